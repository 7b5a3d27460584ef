"""The HTTP service: one gallery, opened once, asked over HTTP.

The event loop only moves bytes. Photos are decoded by processes of their own (`DecodePool`), and
one thread makes every call of the encoder and of the store: it opened them, and it closes them.
What goes out passes `precision`; what goes wrong, `problems`.

Nothing of a question is kept: photos stay in memory, and the log has method, route, status and time.
There are no keys yet, so only this machine is listened to, and only under its own names: a web page
from elsewhere that points its own name at this machine is refused.
"""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, TypeVar

import numpy as np
import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from numpy.typing import NDArray
from uvicorn.config import LOGGING_CONFIG

from .. import __version__
from ..encoders.areas import Circle
from ..encoders.catalog import load_encoder
from ..encoders.decoding import DecodePool
from ..encoders.errors import InvalidFilter, NothingToLocateWith, UnreadableImage
from ..encoders.image import Embeddings, ImageEncoder
from ..indexer.filters import Filter, parse_where
from ..indexer.gallery import Gallery, Neighbor
from ..indexer.geolocate import locate
from ..indexer.held_out import K
from ..indexer.locator import Locator
from ..indexer.prior import Prior
from . import precision
from .problems import (
    RESPONSES,
    BodyTooLarge,
    Busy,
    Door,
    InvalidQuestion,
    NotReady,
    UnsupportedBody,
    add_problem_handlers,
    log_fault,
)
from .service_settings import ServiceSettings, gallery_to_serve, read_settings

DECODERS = 2
DECODE_TIMEOUT_S = 20.0
MAX_INSIDE = 32  # questions at a time; each may hold a body in memory
MAX_K = 100
READY_WITHIN_S = 5.0
PAGE = 200  # photos looked at in one go where places are compared coarsely

Pixels = NDArray[np.uint8]
Answer = TypeVar("Answer")

routes = APIRouter(responses=RESPONSES)


class Service:
    """A gallery with its encoder and its geolocation, and the threads that they work in.

    Opened when made, which takes as long as loading the encoder does.

    Args:
        settings: which gallery, and how precisely places are told.
        encoder: the one that built the gallery; loaded as the gallery names it by default.

    Raises:
        PlaceprintError: the gallery or its encoder cannot be opened.
    """

    gallery: Gallery
    encoder: ImageEncoder
    _locator: Locator | None = None  # None while no photo has a place

    def __init__(self, settings: ServiceSettings, encoder: ImageEncoder | None = None) -> None:
        self.settings = settings
        self._model_thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        try:
            self._model_thread.submit(self._open, encoder).result()
        except BaseException:
            self._model_thread.shutdown()
            raise
        self._decode_threads = ThreadPoolExecutor(DECODERS, thread_name_prefix="decode")
        self._decoders = DecodePool(self.encoder.preprocessing, workers=DECODERS, timeout_s=DECODE_TIMEOUT_S)
        self._n_inside = 0

    def close(self) -> None:
        """End the threads and let go of the gallery."""
        self._decode_threads.shutdown(cancel_futures=True)
        self._decoders.close()
        self._model_thread.submit(self.gallery.close).result()
        self._model_thread.shutdown()

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Count a question in, or send it away.

        Raises:
            Busy: as many as fit are being answered.
        """
        if self._n_inside >= MAX_INSIDE:
            raise Busy(f"{MAX_INSIDE} questions are being answered; ask again in a moment")
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1

    async def decode(self, content: bytes) -> Pixels:
        """The encoder's pixels of a photo.

        Raises:
            UnreadableImage: it cannot be decoded.
        """
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._decode_threads, self._decoders.decode, content))[0]

    async def in_model_thread(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what touches the encoder or the store."""
        return await asyncio.get_running_loop().run_in_executor(self._model_thread, function, *args)

    # --- in the model thread ------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """What is served, and under which cap."""
        fingerprint = self.gallery.fingerprint
        return {
            "name": self.gallery.name,
            "photos": len(self.gallery),
            "placed": self.gallery.count(Filter(is_placed=True)),
            "encoder": {"name": fingerprint.name, "id": fingerprint.id, "dimension": fingerprint.dimension},
            "precision": self.settings.precision,
        }

    def probe(self) -> None:
        """Embed a black picture and look for its neighbor: store and model answer, or this raises."""
        self.gallery.nearest(self._embed(self._black(), None), 1)

    def search(
        self, pixels: Pixels | None, text: str | None, k: int, circle: Circle | None, where: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Photos like a photo, like what a text says, or in the direction between the two."""
        found = self._nearest(self._embed(pixels, text), k, circle, where)
        return [precision.coarse_neighbor(neighbor, self.settings.precision) for neighbor in found]

    def locate(self, pixels: Pixels) -> dict[str, Any]:
        """Where a photo was taken.

        Raises:
            NothingToLocateWith: no photo of the gallery has a place.
        """
        cap = self.settings.precision
        locator = self._locator or Locator(self.gallery)
        near = self.gallery.locate_neighbors(self._embed(pixels, None), K)
        lonlat = precision.coarse_lonlat(near.lonlat, cap)
        location = locate(near.similarity, lonlat, locator.prior, locator.model)
        return precision.coarse_location(location.to_dict(), cap)

    def _open(self, encoder: ImageEncoder | None) -> None:
        self.gallery = Gallery.open(gallery_to_serve(self.settings), settings=self.settings)
        try:
            self.encoder = encoder or load_encoder(self.gallery.encoder, weights=self.gallery.weights)
            self.gallery.check(self.encoder.fingerprint)
            self._locator = self._open_locator()
            self._warm_up()
        except BaseException:
            self.gallery.close()
            raise

    def _warm_up(self) -> None:
        """Go once through what is loaded on first use, so that the first question need not wait."""
        self.probe()
        if self._locator is not None:
            self.locate(self._black())

    def _black(self) -> Pixels:
        size = self.encoder.preprocessing.size
        return np.zeros((size, size, 3), np.uint8)

    def _open_locator(self) -> Locator | None:
        try:
            locator = Locator(self.gallery)
        except NothingToLocateWith:
            return None
        if self.settings.precision == "25km":
            photos, lonlat = self.gallery.placed()
            groups = [photo.group or photo.id for photo in photos]
            locator.prior = Prior.from_lonlat(precision.coarse_lonlat(lonlat, "25km"), groups=groups)
        return locator

    def _embed(self, pixels: Pixels | None, text: str | None) -> Embeddings:
        parts = [self.encoder.embed_pixels(pixels[None])[0]] if pixels is not None else []
        parts += [self.encoder.embed_texts([text])[0]] if text is not None else []
        return np.sum(parts, axis=0, dtype=np.float32)  # type: ignore[no-any-return]

    def _nearest(
        self, embedding: Embeddings, k: int, circle: Circle | None, where: dict[str, Any]
    ) -> list[Neighbor]:
        if circle is None or self.settings.precision == "exact":
            return self.gallery.nearest(embedding, k, filter=Filter(within=circle, where=where))
        wide = Circle(circle.lon, circle.lat, circle.radius_km + precision.MARGIN_KM)
        found: list[Neighbor] = []
        for offset in itertools.count(0, PAGE):
            page = self.gallery.nearest(
                embedding, PAGE, filter=Filter(within=wide, where=where), offset=offset
            )
            found += [neighbor for neighbor in page if precision.is_coarsely_within(neighbor, circle)]
            if len(found) >= k or len(page) < PAGE:
                break
        return found[:k]


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
