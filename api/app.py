"""The HTTP service: one gallery, opened once, asked over HTTP.

Routes here, the work in `service`. What goes out passes `precision`; what goes wrong, `problems`.

Nothing of a question is kept: photos stay in memory, and the log has method, route, status and time.
There are no keys yet, so only this machine is listened to, and only under its own names: a web page
from elsewhere that points its own name at this machine is refused.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from uvicorn.config import LOGGING_CONFIG

from .. import __version__
from ..encoders.areas import Circle
from ..encoders.errors import InvalidFilter, UnreadableImage
from ..indexer.filters import parse_where
from . import precision
from .problems import (
    RESPONSES,
    BodyTooLarge,
    Door,
    InvalidQuestion,
    NotReady,
    UnsupportedBody,
    add_problem_handlers,
    log_fault,
)
from .service import Service
from .service_settings import ServiceSettings, read_settings

MAX_K = 100
READY_WITHIN_S = 5.0

routes = APIRouter(responses=RESPONSES)


# --- routes ----------------------------------------------------------------------------------------


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Opened = Annotated[Service, Depends(_service)]
_PHOTO: dict[str, Any] = {
    "requestBody": {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
}


@routes.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process is alive."""
    return {"status": "alive"}


@routes.get("/readyz")
async def readyz(service: Opened) -> dict[str, str]:
    """Whether the store answers and the model embeds, tried on the spot."""
    try:
        await asyncio.wait_for(service.in_model_thread(service.probe), READY_WITHIN_S)
    except Exception as error:
        log_fault(error)
        raise NotReady("the store or the model does not answer") from None
    return {"status": "ready"}


@routes.get("/v1/gallery")
async def gallery(service: Opened) -> dict[str, Any]:
    """The gallery that is served."""
    return await service.in_model_thread(service.describe)


@routes.post("/v1/search", openapi_extra=_PHOTO)
async def search(
    request: Request,
    service: Opened,
    text: Annotated[str | None, Query(min_length=1, max_length=1000)] = None,
    k: Annotated[int, Query(ge=1, le=MAX_K)] = 10,
    near: Annotated[str | None, Query(description="lon,lat")] = None,
    radius_km: Annotated[float, Query(gt=0.0, le=20_020.0)] = 25.0,
    where: Annotated[list[str] | None, Query(description="name=value")] = None,
) -> dict[str, Any]:
    """Photos like the one in the body, or like what a text says."""
    circle = _circle(near, radius_km)
    conditions = _conditions(where or [])
    precision.check_conditions(circle, conditions, service.settings.precision)
    with service.admitted():
        content = await _photo(request, service.settings)
        if not content and text is None:
            raise InvalidQuestion("send a photo as the body, with Content-Type: image/jpeg, or text=…")
        pixels = await service.decode(content) if content else None
        found = await service.in_model_thread(service.search, pixels, text, k, circle, conditions)
    return {"neighbors": found}


@routes.post("/v1/locate", openapi_extra=_PHOTO)
async def locate_photo(request: Request, service: Opened) -> dict[str, Any]:
    """Where the photo in the body was taken, how sure that is, and whether to believe it at all."""
    with service.admitted():
        content = await _photo(request, service.settings)
        if not content:
            raise UnreadableImage("the body is empty; send a photo, with Content-Type: image/jpeg")
        pixels = await service.decode(content)
        return await service.in_model_thread(service.locate, pixels)


async def _photo(request: Request, settings: ServiceSettings) -> bytes:
    """The body, counted while it comes in; empty when there is none."""
    limit = int(settings.max_body_mb * 1e6)
    too_large = BodyTooLarge(f"the body is larger than {settings.max_body_mb:g} MB")
    length = request.headers.get("content-length", "0")
    if not length.isdigit() or int(length) > limit:
        raise too_large
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > limit:
            raise too_large
    media_type = request.headers.get("content-type", "none")
    if content and not media_type.lower().startswith("image/"):
        raise UnsupportedBody("the body must be a photo, with Content-Type: image/jpeg or another image/…")
    return bytes(content)


def _circle(near: str | None, radius_km: float) -> Circle | None:
    if near is None:
        return None
    try:
        lon, lat = (float(part) for part in near.split(","))
    except ValueError:
        raise InvalidQuestion("near: expected lon,lat in degrees, for example near=139.76,35.67") from None
    return Circle(lon, lat, radius_km)


def _conditions(where: list[str]) -> dict[str, Any]:
    try:
        conditions = parse_where(where)
    except InvalidFilter as error:
        raise InvalidFilter(str(error).removeprefix("--")) from None
    for name, value in conditions.items():
        if not re.fullmatch(r"[\w.-]+", name):
            raise InvalidFilter(f"where {name!r}: a field's name has letters, digits, _, - and . only")
        numbers = [one for one in (value if isinstance(value, list) else [value]) if not isinstance(one, str)]
        if not all(abs(number) < 2**63 for number in numbers):  # neither is NaN
            raise InvalidFilter(f"where {name}: a number that the store cannot hold; in quotes it is a text")
    return conditions


# --- the application -------------------------------------------------------------------------------


def create_app(settings: ServiceSettings, service: Service | None = None) -> FastAPI:
    """The application. Its lifespan opens the gallery and closes it.

    Args:
        settings: of the operator.
        service: opened already; by default it is opened when the server starts.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = service or await asyncio.to_thread(Service, settings)
        try:
            yield
        finally:
            await asyncio.to_thread(app.state.service.close)

    # The usual pages of documentation load scripts from a public server; /openapi.json is served.
    app = FastAPI(title="Placeprint", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.include_router(routes)
    add_problem_handlers(app)
    app.add_middleware(Door)
    return app


def run_server(gallery: str, host: str, port: int) -> None:
    """Serve a gallery until interrupted.

    Args:
        gallery: its name; "" for the one in the environment, or the only one there is.
        host: a loopback address.
        port: 0 for any that is free.

    Raises:
        InvalidSettings: another host, or a setting with a value that is not allowed.
        PlaceprintError: the gallery or its encoder cannot be opened.
    """
    given = {"gallery": gallery} if gallery else {}
    settings = read_settings(**given, host=host, port=port)
    # Opened before the server starts: what is wrong with a gallery then comes without a traceback.
    app = create_app(settings, Service(settings))
    loggers = {"placeprint": {"handlers": ["default"], "level": "INFO", "propagate": False}}
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        log_config=LOGGING_CONFIG | {"loggers": LOGGING_CONFIG["loggers"] | loggers},
        server_header=False,
    )
    try:
        _AnnouncedServer(config).run()
    except KeyboardInterrupt:
        pass  # the usual way to end a server


class _AnnouncedServer(uvicorn.Server):
    """A server that says where it is once it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        settings = self.config.app.state.service.settings  # type: ignore[union-attr]
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        name, cap = self.config.app.state.service.gallery.name, settings.precision  # type: ignore[union-attr]
        print(f"gallery {name} at {url}, places told to: {cap} (PLACEPRINT_PRECISION)", flush=True)
