"""The service: galleries, models, and the threads that they work in.

The event loop only moves bytes. Photos are decoded by sandboxed processes (`PhotoDecoders`), one thread
makes all calls of the models (`ModelWorker`), others those of the stores (`Threads`), and locations are
worked out in a process of their own (`LocateProcess`), so that a search waits for none of these.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ...encoders.catalog import load_encoder
from ...encoders.errors import PlaceprintError, UnknownGallery
from ...encoders.image import ImageEncoder
from ...encoders.location import LocationEmbedder
from ...encoders.location_catalog import load_location_encoder
from ...indexer.gallery import Gallery
from ...indexer.place_card import MAP, is_of_places
from ...indexer.record import Record, Status
from ...indexer.switching import recover_all
from . import metrics, work
from .audit import AuditLog
from .changeover import UNUSED_WITHIN_S
from .jobs import Jobs
from .locate_process import LocateProcess, Tell
from .model_worker import ModelWorker
from .models import AnyModel, LoadEncoder, Models
from .patience import Patience
from .photo_decoders import PhotoDecoders
from .refusals import Busy, Conflict, DeadlinePassed, NotReady
from .sensitive import SensitiveAreas
from .served_gallery import ServedGallery
from .served_map import ServedMap
from .served_regions import ServedRegions, serve_regions
from .service_settings import ServiceSettings, galleries_to_serve
from .threads import Threads
from .url_fetch import UrlFetcher

log = logging.getLogger("placeprint.service")

CANARY_AFTER_S = 10.0
CANCELED_WITHIN_S = 15.0
READY_WITHIN_S = 5.0
SEARCHED_S = 0.1
"""Patient work does not hurry in between two searches."""

Answer = TypeVar("Answer")
Kind: TypeAlias = Literal["search", "locate", "recognize", "embed"]
"""Questions that are counted apart, so that none of the slow ones keeps the quick ones out."""


class Service(Threads):
    """Everything that is opened once, when the server starts, and closed when it ends.

    Opening takes as long as loading the models does.

    Args:
        settings: of the operator.
        encoders: already loaded, by the name that galleries know them by; others are loaded.
        tell: has locations worked out; by default in a process of its own.

    Raises:
        PlaceprintError: a gallery or a model cannot be opened.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        encoders: Mapping[str, ImageEncoder] | None = None,
        tell: Tell | None = None,
    ) -> None:
        super().__init__(n_files=settings.decoders)
        self.settings = settings
        self.decoders = PhotoDecoders(settings)
        self._tell: Tell = tell or LocateProcess(settings.deadline_s)
        self.sensitive = SensitiveAreas(settings.sensitive_areas)
        self.audit = AuditLog(settings.audit_path)
        self.urls = UrlFetcher(settings.url_hosts, max_bytes=int(settings.max_body_mb * 1e6))
        self.worker = ModelWorker(max_waiting=settings.max_waiting)
        self.models = Models(self.worker, _loader(encoders or {}, settings.device))
        self.galleries: dict[str, ServedGallery] = {}
        self.regions: dict[str, ServedRegions] = {}
        self.n_unavailable = 0
        self._location_encoder: LocationEmbedder | None = None
        self._n_inside: dict[Kind, int] = dict.fromkeys(get_args(Kind), 0)
        self._most_inside: dict[Kind, int] = {
            "search": settings.max_inside, "locate": settings.max_locating,
            "recognize": settings.max_recognizing, "embed": settings.max_embedding,
        }  # fmt: skip
        self._searched_at = -np.inf
        self.patience = Patience(lambda: self.is_searched)
        self._finishing: set[asyncio.Future[None]] = set()
        self.jobs = Jobs()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if self.settings.may_geolocate and isinstance(self._tell, LocateProcess):
            self.in_locator_soon(self._tell.start)  # it loads beside the models; the first location waits
        for name, weights in self.settings.models.items():
            self.models.load(name, weights or None)
        recover_all(self.settings)
        names = galleries_to_serve(self.settings)
        for name in names:
            try:
                self.open_gallery(name)
            except Exception as error:
                if isinstance(error, PlaceprintError) and (
                    name in self.settings.galleries or len(names) == 1
                ):
                    raise
                # One of many that is broken or in use must not keep the others from being served.
                self.n_unavailable += 1
                log.warning("gallery %s is not served: %s %s", name, type(error).__name__, error)
        self.regions = serve_regions(self.settings.regions, self.models)

    def close(self) -> None:
        """End the threads and let go of the galleries."""
        self.jobs.close()
        if isinstance(self._tell, LocateProcess):
            self._tell.close()
        self.decoders.close()
        super().close()
        self.worker.close()
        self.close_store()
        for served in self.galleries.values():
            served.close()
        self.galleries = {}

    # --- galleries ----------------------------------------------------------------------------

    def gallery(self, name: str) -> ServedGallery:
        """A gallery that is served.

        Raises:
            UnknownGallery: there is none of that name.
        """
        try:
            return self.galleries[name]
        except KeyError:
            raise UnknownGallery(f"no gallery {name!r} is served here") from None

    def served_by(self, gallery: Gallery, model: AnyModel) -> ServedGallery:
        """An opened gallery with its model, under this service's settings."""
        return ServedGallery(
            gallery,
            model,
            self.settings.precision,
            self.sensitive,
            self._tell,
            self._map_beside(gallery),
            self.models.beside(gallery, self.settings.vectors),
        )

    def _map_beside(self, gallery: Gallery) -> ServedMap | None:
        """What looked at the map around a gallery's photos; without it the gallery is served all the same."""
        if MAP not in gallery.vectors.cards:
            return None
        try:
            return self.models.map_of_gallery(gallery)
        except PlaceprintError as error:
            log.warning("gallery %s: not searched by the map around its photos: %s", gallery.name, error)
            return None

    def open_gallery(self, name: str) -> ServedGallery:
        """Open a gallery and serve it from now on.

        Raises:
            PlaceprintError: it cannot be opened, or its model cannot be loaded.
        """
        gallery = Gallery.open(name, settings=self.settings)
        try:
            model = self._model_of(gallery)
            gallery.check(model.fingerprint)
            served = self.served_by(gallery, model)
        except BaseException:
            gallery.close()
            raise
        self.galleries[name] = served
        self.calibrate_if_behind(served)
        return served

    def _model_of(self, gallery: Gallery) -> AnyModel:
        if is_of_places(gallery):
            return self.models.map_of_gallery(gallery)
        return self.models.of_gallery(gallery.fingerprint, gallery.encoder, gallery.weights)

    def calibrate_if_behind(self, served: ServedGallery) -> None:
        """Queue a job that brings up to date what is known of a gallery as a whole, where it is not."""
        if served.is_behind and not served.gallery.is_read_only:
            with suppress(Conflict):  # it is queued already
                self.jobs.start("calibrate", served.name, work.calibrating(self, served.name))

    def create_gallery(self, name: str, model: str) -> ServedGallery:
        """Make a gallery and serve it.

        Raises:
            Conflict: there is one of that name.
            UnknownEncoder: no such model.
        """
        if name in self.galleries or (self.settings.home / "galleries" / name).exists():
            raise Conflict(f"there is a gallery {name!r} already")
        chosen = self.models.by_name(model)
        Gallery.create(
            name, chosen.fingerprint, encoder=chosen.name, weights=chosen.weights, settings=self.settings
        ).close()
        return self.open_gallery(name)

    async def delete_gallery(self, served: ServedGallery) -> None:
        """Delete a gallery, with all that is known of its photos; the photos' own files stay."""
        for job in self.jobs:
            if job.gallery == served.name and job.kind == "calibrate":  # what it fits is not wanted any more
                self.jobs.cancel(job.id)
        end = time.monotonic() + CANCELED_WITHIN_S
        while self._works_on(served) == {"calibrate"} and time.monotonic() < end:
            await asyncio.sleep(0.02)
        if self._works_on(served):
            raise Conflict(f"a job works on gallery {served.name!r}; cancel it first")
        self._require_current(served)
        del self.galleries[served.name]
        await self._unused(served, own=1)

        def remove() -> None:
            served.close()
            Gallery.remove(served.name, settings=self.settings)

        await self.in_writer(remove)

    async def _unused(self, served: ServedGallery, *, own: int = 0) -> None:
        """Wait until nobody but the caller asks a gallery that is not served any more."""
        end = time.monotonic() + UNUSED_WITHIN_S
        while served.n_users > own and time.monotonic() < end:
            await asyncio.sleep(0.02)

    def _works_on(self, served: ServedGallery) -> set[str]:
        """Kinds of the jobs that wait for a gallery or work on it."""
        return {job.kind for job in self.jobs if job.gallery == served.name and not job.is_over}

    def _require_current(self, served: ServedGallery) -> None:
        if self.galleries.get(served.name) is not served:
            raise Busy(f"gallery {served.name!r} has just changed its model; ask again")

    async def write(self, served: ServedGallery, change: Callable[[ServedGallery], Answer]) -> Answer:
        """Change a gallery, after all changes before.

        Raises:
            Busy: it was switched to another model since the question came in.
        """

        def checked() -> Answer:
            self._require_current(served)
            return change(served)

        return await self.in_writer(checked)

    async def delete(self, served: ServedGallery, ids: Sequence[str], *, is_erased: bool) -> int:
        """Take photos out of a gallery; what is erased is out of all files when this returns.

        Whoever asks may go away: an erasing that has begun is finished.
        """
        n_deleted = await self.write(served, lambda gallery: gallery.delete(ids, is_erased=is_erased))
        self.calibrate_if_behind(served)
        if is_erased:

            async def finish() -> None:
                with served.in_use():
                    await asyncio.to_thread(served.finish_erasing)

            self._finishing.add(task := asyncio.ensure_future(finish()))
            task.add_done_callback(self._finishing.discard)
            await asyncio.shield(task)
        return n_deleted

    async def add(self, served: ServedGallery, photos: Sequence[tuple[Record, bytes]]) -> None:
        """Add photos to a gallery, and to that of the model that a switch leads to."""
        records = [record for record, _ in photos]
        await self.write(served, lambda gallery: gallery.add(records))
        self.calibrate_if_behind(served)
        following = served.following
        if following is None:
            return
        also = []
        for record, content in photos:
            embedding = None
            if not following.knows(record.sha256):
                embedding = await self.embed_photo(content, following.model)
            status: Status = "embedded" if embedding is not None else "seen"
            also.append(replace(record, status=status, embedding=embedding))
        await self.in_writer(lambda: following.add(also))

    # --- threads ------------------------------------------------------------------------------

    @property
    def is_searched(self) -> bool:
        """Whether somebody searches, or did just now and may do so again."""
        return self._n_inside["search"] > 0 or time.monotonic() - self._searched_at < SEARCHED_S

    def is_full(self, kind: "Kind") -> bool:
        """Whether as many questions of a kind as fit are being answered."""
        return self._n_inside[kind] >= self._most_inside[kind]

    @asynccontextmanager
    async def admitted(self, kind: "Kind") -> AsyncIterator[None]:
        """Count a question in and give it its time, or send it away.

        Raises:
            Busy: as many of its kind as fit are being answered.
            DeadlinePassed: it took longer than the operator allows.
        """
        if self.is_full(kind):
            metrics.REFUSED.labels("busy").inc()
            raise Busy(f"{self._n_inside[kind]} such questions are being answered; ask again in a moment")
        self._n_inside[kind] += 1
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                yield
        except TimeoutError:
            metrics.REFUSED.labels("deadline").inc()
            raise DeadlinePassed(f"this took longer than {self.settings.deadline_s:g} s") from None
        finally:
            self._n_inside[kind] -= 1
            if kind == "search":
                self._searched_at = time.monotonic()
                asyncio.get_running_loop().call_later(SEARCHED_S, self.patience.look)

    async def embed_photo(
        self, content: bytes, model: AnyModel, *, is_patient: bool = False
    ) -> NDArray[np.float32]:
        """The embedding of a photo, (D,)."""
        async with self.patience if is_patient else nullcontext():
            pixels, _ = await self.decoders.decode(content, model.preprocessing, is_patient=is_patient)
            return await self.embed(model.embed_pixels, pixels, is_patient=is_patient)

    async def embed(self, function: Any, input: Any, *, is_patient: bool = False) -> NDArray[np.float32]:
        """The embedding of one input of a model, (D,)."""
        future = self.worker.submit(function, input, within_s=self.settings.deadline_s, is_patient=is_patient)
        return await asyncio.wrap_future(future)

    def location_encoder(self) -> "LocationEmbedder":
        """The encoder of places; loaded when first asked for, in the locator's thread."""
        if self._location_encoder is None:
            self._location_encoder = load_location_encoder()
        return self._location_encoder

    # --- readiness ----------------------------------------------------------------------------

    async def check_ready(self) -> None:
        """See that questions can be answered: the model thread lives, models and stores answer.

        Raises:
            NotReady: they do not.
        """
        try:
            if not self.worker.is_alive:
                raise NotReady("the model does not answer; the operator must restart the service")
            async with asyncio.timeout(READY_WITHIN_S):
                if time.monotonic() - self.worker.last_success > CANARY_AFTER_S:
                    await self._ask_canary()
                for served in list(self.galleries.values()):
                    await self.in_store(served.gallery.count)
        except Exception as error:
            metrics.READY.set(0)
            if isinstance(error, NotReady):
                raise
            log.error("not ready: %s", type(error).__name__)
            raise NotReady("the store or the model does not answer") from None
        metrics.READY.set(1)

    async def _ask_canary(self) -> None:
        for model in list(self.models):
            size = model.preprocessing.size
            black = np.zeros((size, size, 3), np.uint8)
            future = self.worker.submit(model.embed_pixels, black, within_s=READY_WITHIN_S)
            await asyncio.wrap_future(future)
            return


def _loader(encoders: Mapping[str, ImageEncoder], device: str) -> LoadEncoder:
    def load(name: str, *, weights: Any = None) -> ImageEncoder:
        if name in encoders:
            return encoders[name]
        return load_encoder(name, weights=weights, device=device)

    return load
