"""How the service is: alive, ready, its metrics, and what it allows."""

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ... import __version__
from ..schemas.operations import About, Alive, Ready
from ..serving.callers import Doorkeeper, reader
from ..serving.problems import responses
from ..serving.readiness import Readiness
from .opened import Opened

MISUSE = (
    "Do not use Placeprint to find or follow a person, to identify a private home, to unmask someone who "
    "did not say where they are, or to decide anything about a person from where a photo seems to have been "
    "taken."
)

routes = APIRouter(tags=["operations"])


@routes.get("/healthz", response_model=Alive, responses=responses(400, 421, 500))
async def healthz() -> Any:
    """Whether the process is alive."""
    return Alive()


@routes.get("/readyz", response_model=Ready, responses=responses(400, 421, 500, 503))
async def readyz(request: Request) -> Any:
    """Whether questions can be answered: the model thread lives, models and stores answer.

    What is told is at most a second old.
    """
    readiness: Readiness = request.app.state.readiness
    await readiness.require()
    return Ready()


@routes.get("/metrics", dependencies=[Depends(reader)], response_class=Response, responses={
    **responses(400, 401, 403, 421, 429, 500),
    200: {"description": "Prometheus' text", "content": {"text/plain": {"schema": {"type": "string"}}}},
})  # fmt: skip
async def metrics_text(service: Opened) -> Response:
    """What the service counts and times, for Prometheus."""
    service.decoders.count_crashes()
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@routes.get("/v1/about", response_model=About, responses=responses(400, 421, 500))
async def about(request: Request, service: Opened) -> Any:
    """What this service is and allows."""
    settings, doorkeeper = service.settings, request.app.state.doorkeeper
    assert isinstance(doorkeeper, Doorkeeper)
    basemap = settings.basemap
    return About(
        version=__version__,
        precision=settings.precision,
        geolocation=settings.may_geolocate,
        needs_key=doorkeeper.needs_key,
        max_body_mb=settings.max_body_mb,
        formats=settings.formats,
        takes_urls=bool(settings.url_hosts),
        misuse=MISUSE,
        basemap="/basemap.pmtiles" if basemap.endswith(".pmtiles") else basemap or None,
        attribution=settings.attribution,
    )
