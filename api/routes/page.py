"""The web page, and the map under it."""

from importlib import resources
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from ..serving.refusals import UnknownPhoto
from ..serving.service_settings import ServiceSettings

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Placeprint</title>
<p>The service runs, but its page was not built. Run <code>make web</code> in the checkout, or install a
wheel, which has it. The interface is described at <a href="/openapi.json">/openapi.json</a>.</p></html>"""


def add_page(app: FastAPI, settings: ServiceSettings) -> None:
    """Serve the page at ``/`` and its files below ``/assets``; and a basemap of the operator's."""
    folder = Path(str(resources.files("placeprint.api") / "web" / "dist"))
    policy = {"Content-Security-Policy": content_security_policy(settings), "Cache-Control": "no-cache"}
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def page() -> Response:
        index = folder / "index.html"
        if not index.is_file():
            return HTMLResponse(_NOT_BUILT, headers=policy)
        return FileResponse(index, headers=policy)

    @routes.get("/basemap.pmtiles")
    async def basemap() -> Response:
        if not settings.basemap.endswith(".pmtiles") or not Path(settings.basemap).is_file():
            raise UnknownPhoto("there is no basemap here (PLACEPRINT_BASEMAP)")
        return FileResponse(settings.basemap, media_type="application/vnd.pmtiles")

    app.include_router(routes)
    if (folder / "assets").is_dir():
        app.mount("/assets", _Assets(directory=folder / "assets"), name="assets")


class _Assets(StaticFiles):
    """Files whose names change with what is in them, so that browsers may keep them."""

    async def get_response(self, path, scope):  # type: ignore[no-untyped-def]
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def content_security_policy(settings: ServiceSettings) -> str:
    """What the page may load: its own files, and the tiles of a provider that the operator named."""
    tiles = ""
    if settings.basemap.startswith("https://"):
        tiles = " https://" + settings.basemap.removeprefix("https://").split("/", 1)[0]
    return (
        f"default-src 'self'; img-src 'self' data: blob:{tiles}; connect-src 'self'{tiles}; "
        "worker-src 'self' blob:; style-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
