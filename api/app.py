"""The HTTP service: galleries, opened once, asked over HTTP.

Routes are in `routes`, a module for each noun; what they answer with in `schemas`; the work in
`serving`. What goes out passes `serving.precision`; what goes wrong, `serving.problems`; who asks,
`serving.callers`. Nothing of a question is kept: photos stay in memory, and the log has method,
route, status and time.

A new capability is a route here, a schema there, and a view of the page.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from uvicorn.config import LOGGING_CONFIG

from .. import __version__
from .openapi import described
from .routes import (
    embed,
    galleries,
    geolocate,
    jobs,
    maps,
    operations,
    photos,
    places,
    recognize,
    regions,
    search,
)
from .routes.page import add_page
from .serving.callers import Doorkeeper
from .serving.door import Door
from .serving.http_protocol import TimedProtocol
from .serving.looks import Looks
from .serving.problems import add_problem_handlers
from .serving.readiness import Readiness
from .serving.service import Kind, Service
from .serving.service_settings import InvalidSettings, ServiceSettings, read_settings

ROUTES = (
    operations.routes,
    embed.routes,
    galleries.routes,
    photos.routes,
    search.routes,
    recognize.routes,
    geolocate.routes,
    regions.routes,
    maps.routes,
    places.routes,
    jobs.routes,
)


KINDS: dict[str, Kind] = {
    "/search": "search",
    "/places/like": "search",
    "/recognize": "recognize",
    "/geolocate": "locate",
    "/v1/embed": "embed",
}
"""Which questions are counted together, by a part of their path."""


MAX_CONNECTIONS = 512
"""More are answered 503 at once; each may hold a file handle and a part of a body."""

GARBAGE = (20_000, 20, 20)
"""So many new objects until the young ones are collected, and so on for the older; by default 700."""

SWITCH_S = 0.001
"""After so long a thread that computes lets another go on: a search must not wait for a location."""


def create_app(settings: ServiceSettings, service: Service | None = None) -> FastAPI:
    """The application. Its lifespan opens the service and closes it.

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

    def is_full(path: str) -> bool:
        kind = next((kind for word, kind in KINDS.items() if word in path), None)
        opened: Service | None = getattr(app.state, "service", None)
        return kind is not None and opened is not None and opened.is_full(kind)

    def check_key(request: Request) -> None:
        doorkeeper: Doorkeeper = app.state.doorkeeper
        is_open = request.method == "OPTIONS" or not request.url.path.startswith("/v1/") or (
            request.url.path == "/v1/about"
        )  # fmt: skip
        if not is_open and not doorkeeper.knows(request.headers.get("authorization", "")):
            doorkeeper.refuse(request.client.host if request.client else "-")

    # The usual pages of documentation load scripts from a public server; /openapi.json is served.
    app = FastAPI(
        title="Placeprint",
        version=__version__,
        summary="Search photos by image, text, place and area, and say where a photo was taken.",
        description=(
            "Coordinates are degrees WGS84, longitude first; distances are kilometers; embeddings have unit "
            "length and are compared by cosine. Every error is a problem (RFC 9457) whose `detail` says what "
            f"to do.\n\n{operations.MISUSE}"
        ),
        license_info={"name": "Apache-2.0"},
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.doorkeeper = Doorkeeper(settings)
    app.state.readiness = Readiness(lambda: app.state.service.check_ready())
    app.state.looks = Looks(settings.max_looking, settings.deadline_s)
    for routes in ROUTES:
        app.include_router(routes)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]
    add_page(app, settings)
    add_problem_handlers(app)
    app.add_middleware(
        Door,
        hostnames=settings.hostnames if settings.is_local else [*settings.hostnames, settings.host],
        max_body_bytes=int(settings.max_body_mb * 1e6),
        log_format=settings.log_format,
        check_key=check_key,
        is_full=is_full,
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


def run_server(config: Path | None = None, **given: Any) -> None:
    """Serve galleries until interrupted.

    Args:
        config: a TOML file of settings.
        given: settings that go before it and before the environment.

    Raises:
        InvalidSettings: a setting with a value that is not allowed, or no key where one is needed.
        PlaceprintError: a gallery or its encoder cannot be opened.
    """
    settings = read_settings(config, **given)
    require_keys(settings)
    sys.setswitchinterval(SWITCH_S)
    torch.set_num_threads(settings.model_threads)
    # Opened before the server starts: what is wrong with a gallery then comes without a traceback.
    app = create_app(settings, Service(settings))
    # A collection of garbage looks at all there is, which holds every question up for tenths of a second.
    # What is here now stays, so it need not be looked at again; what questions leave behind is little.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    loggers = {"placeprint": {"handlers": ["default"], "level": "INFO", "propagate": False}}
    server = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        log_config=LOGGING_CONFIG | {"loggers": LOGGING_CONFIG["loggers"] | loggers},
        server_header=False,
        http=TimedProtocol,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=int(settings.deadline_s) + 5,
        backlog=512,
        limit_concurrency=MAX_CONNECTIONS,
    )
    try:
        _AnnouncedServer(server).run()
    except KeyboardInterrupt:
        pass  # the usual way to end a server


def require_keys(settings: ServiceSettings) -> None:
    """See that beyond this machine a key is asked for.

    Raises:
        InvalidSettings: there is none.
    """
    if not settings.is_local and not Doorkeeper(settings).has_keys:
        raise InvalidSettings(
            f"PLACEPRINT_HOST: others can reach {settings.host}, so callers must show a key, and there is "
            f"none in {settings.keys_path}. Make one with: placeprint keys create NAME --scope read"
        )


class _AnnouncedServer(uvicorn.Server):
    """A server that says where it is once it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        service: Service = self.config.app.state.service  # type: ignore[union-attr]
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        names = ", ".join(service.galleries) or "no gallery yet"
        cap = service.settings.precision
        print(
            f"{names} at {url}  (Ctrl-C stops; places are told: {cap}, see PLACEPRINT_PRECISION)", flush=True
        )
