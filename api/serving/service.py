"""The service: galleries, models, and the threads that they work in.

The event loop only moves bytes. Photos are decoded by sandboxed processes, one thread makes all calls
of the models (`ModelWorker`), one those of the stores, and one locates, so that a search need not wait
for a location. What changes a gallery has a thread of its own too.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...encoders.catalog import load_encoder
from ...encoders.decoding import DecodePool
from ...encoders.errors import PlaceprintError, UnknownGallery, UnreadableImage
from ...encoders.image import ImageEncoder
from ...encoders.location import LocationEmbedder
from ...encoders.location_catalog import load_location_encoder
from ...encoders.photo import PhotoFacts
from ...encoders.photo_formats import FORMATS
from ...encoders.preprocessing import Preprocessing
from ...encoders.upload_limits import UploadLimits
from ...indexer.gallery import Gallery
from ...indexer.record import Record, Status
from ...indexer.switching import exchange, fill, keys_behind, mark_ready, recover_all
from . import metrics, work
from .audit import AuditLog
from .jobs import Jobs
from .model_worker import ModelWorker
from .models import BackgroundEncoder, LoadEncoder, Models, ServedModel
from .problems import Busy, Conflict, DeadlinePassed, NotReady
from .sensitive import SensitiveAreas
from .served_gallery import ServedGallery
from .service_settings import ServiceSettings, galleries_to_serve
from .url_fetch import UrlFetcher

log = logging.getLogger("placeprint.service")

CANARY_AFTER_S = 10.0
MAX_ROUNDS = 5
CANCELED_WITHIN_S = 15.0
UNUSED_WITHIN_S = 60.0
"""So long is waited for questions under way before a gallery is let go."""

READY_WITHIN_S = 5.0
Pixels = NDArray[np.uint8]
Answer = TypeVar("Answer")
Kind: TypeAlias = Literal["search", "locate", "embed"]
"""Questions that are counted apart, so that none of the slow ones keeps the quick ones out."""


class Service:
    """Everything that is opened once, when the server starts, and closed when it ends.

    Opening takes as long as loading the models does.

    Args:
        settings: of the operator.
        encoders: already loaded, by the name that galleries know them by; others are loaded.

    Raises:
        PlaceprintError: a gallery or a model cannot be opened.
    """

    def __init__(self, settings: ServiceSettings, encoders: Mapping[str, ImageEncoder] | None = None) -> None:
        self.settings = settings
        self.sensitive = SensitiveAreas(settings.sensitive_areas)
        self.audit = AuditLog(settings.audit_path)
        self.urls = UrlFetcher(settings.url_hosts, max_bytes=int(settings.max_body_mb * 1e6))
        self.worker = ModelWorker(max_waiting=settings.max_waiting)
        self.models = Models(self.worker, _loader(encoders or {}))
        self.galleries: dict[str, ServedGallery] = {}
        self.n_unavailable = 0
        self._store_thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._locate_thread = ThreadPoolExecutor(1, thread_name_prefix="locate")
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._decode_threads = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decode")
        self._patient_decode_threads = ThreadPoolExecutor(settings.decoders, thread_name_prefix="decode-more")
        self._decoders: DecodePool | None = None
        self._file_threads = ThreadPoolExecutor(settings.decoders, thread_name_prefix="files")
        self._own_decoders: DecodePool | None = None  # for files of galleries, which may be of any format
        self._location_encoder: LocationEmbedder | None = None
        self._n_crashes_seen = 0
        self._n_inside: dict[Kind, int] = {"search": 0, "locate": 0, "embed": 0}
        self._most_inside: dict[Kind, int] = {
            "search": settings.max_inside, "locate": settings.max_locating, "embed": settings.max_embedding
        }  # fmt: skip
        self.jobs = Jobs()
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
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
        self._decoders = DecodePool(
            Preprocessing(size=224),
            workers=self.settings.decoders,
            timeout_s=self.settings.deadline_s,
            limits=UploadLimits(
                formats=tuple(self.settings.formats), max_pixels=int(self.settings.max_pixels_mp * 1e6)
            ),
        )

    def close(self) -> None:
        """End the threads and let go of the galleries."""
        self.jobs.close()
        for threads in (
            self._decode_threads,
            self._patient_decode_threads,
            self._file_threads,
            self._locate_thread,
            self._write_thread,
        ):
            threads.shutdown(cancel_futures=True)
        for pool in (self._decoders, self._own_decoders):
            if pool is not None:
                pool.close()
        self.worker.close()
        self._store_thread.shutdown()
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

    def open_gallery(self, name: str) -> ServedGallery:
        """Open a gallery and serve it from now on.

        Raises:
            PlaceprintError: it cannot be opened, or its model cannot be loaded.
        """
        gallery = Gallery.open(name, settings=self.settings)
        try:
            model = self.models.of_gallery(gallery.fingerprint, gallery.encoder, gallery.weights)
            gallery.check(model.fingerprint)
            served = ServedGallery(gallery, model, self.settings.precision, self.sensitive)
        except BaseException:
            gallery.close()
            raise
        self.galleries[name] = served
        self.calibrate_if_behind(served)
        return served

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

    def switch(self, served: ServedGallery, following: ServedGallery, *, may_miss: set[str]) -> None:
        """Serve a gallery by another model from now on; called in the thread of a job.

        New questions go to the new one at once, those under way end on the old one, and no question
        fails. While the folders are exchanged, some hundred milliseconds, questions wait.

        Args:
            served: by the old model.
            following: its twin by the new one, filled.
            may_miss: ids of photos that the new model could not look at.
        """
        for _ in range(MAX_ROUNDS):
            if self._write_thread.submit(self._hand_over, served, following, may_miss).result():
                break
            encoder = BackgroundEncoder(following.model, self.worker)
            fill(served.gallery, following.gallery, encoder, leave_out_missing=True)
        else:
            raise Conflict(
                f"photos came into gallery {served.name!r} meanwhile that the new model cannot look at; "
                "their files are not at hand. Switch again, and leave out what is missing"
            )
        end = time.monotonic() + UNUSED_WITHIN_S
        while served.n_users and time.monotonic() < end:
            time.sleep(0.02)
        served.following = None
        with self._paused():
            served.close()
            following.gallery.close()
            old = exchange(served.name, self.settings)
            following.move_to(Gallery.open(served.name, settings=self.settings))
        Gallery(old, self.settings).discard()

    def _hand_over(self, served: ServedGallery, following: ServedGallery, may_miss: set[str]) -> bool:
        """Serve the twin, unless something was written that it does not have; in the thread that writes."""
        entries = served.gallery.state.entries
        behind = keys_behind(served.gallery, following.gallery)
        if any(entries[key].id not in may_miss for key in behind):
            return False
        mark_ready(following.gallery)  # from here on a kill leads forward: what is written goes to the twin
        self.galleries[served.name] = following
        return True

    @contextmanager
    def _paused(self) -> Iterator[None]:
        """Hold all threads that ask galleries."""
        release = threading.Event()
        threads = (self._store_thread, self._locate_thread, self._write_thread, self._file_threads)
        held = [pool.submit(release.wait) for pool in threads for _ in range(pool._max_workers)]
        try:
            while not all(one.running() or one.done() for one in held):
                time.sleep(0.005)
            yield
        finally:
            release.set()

    async def write(self, served: ServedGallery, change: Callable[[ServedGallery], Answer]) -> Answer:
        """Change a gallery, after all changes before.

        Raises:
            Busy: it was switched to another model since the question came in.
        """

        def checked() -> Answer:
            self._require_current(served)
            return change(served)

        return await self.in_writer(checked)

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

    async def decode(
        self, content: bytes, model: ServedModel, *, is_patient: bool = False
    ) -> tuple[Pixels, PhotoFacts]:
        """A photo as a model sees it, and what its file says of itself.

        Raises:
            UnreadableImage: it cannot be decoded, or is of a format that is not taken.
        """
        return await self._in_decoder(lambda pool: pool.decode(content, model.preprocessing), is_patient)

    async def own_thumbnail(self, content: bytes, side_px: int) -> bytes:
        """A small JPEG of a photo of a gallery, made of its pixels alone."""
        if self._own_decoders is None:
            self._own_decoders = DecodePool(
                Preprocessing(size=224), workers=1, timeout_s=20.0, limits=UploadLimits(formats=FORMATS)
            )
        pool = self._own_decoders
        return await self.in_files(pool.thumbnail, content, side_px)

    async def _in_decoder(self, function: Callable[[DecodePool], Answer], is_patient: bool) -> Answer:
        pool = self._decoders
        if pool is None:
            raise NotReady("the service is ending")
        started = time.perf_counter()
        try:
            threads = self._patient_decode_threads if is_patient else self._decode_threads
            return await asyncio.get_running_loop().run_in_executor(threads, function, pool)
        except UnreadableImage as error:
            metrics.DECODE_FAILURES.labels(type(error).__name__).inc()
            raise
        finally:
            metrics.DECODE_SECONDS.observe(time.perf_counter() - started)

    async def embed_photo(
        self, content: bytes, model: ServedModel, *, is_patient: bool = False
    ) -> NDArray[np.float32]:
        """The embedding of a photo, (D,)."""
        pixels, _ = await self.decode(content, model, is_patient=is_patient)
        return await self.embed(model.embed_pixels, pixels, is_patient=is_patient)

    async def embed(self, function: Any, input: Any, *, is_patient: bool = False) -> NDArray[np.float32]:
        """The embedding of one input of a model, (D,)."""
        future = self.worker.submit(function, input, within_s=self.settings.deadline_s, is_patient=is_patient)
        return await asyncio.wrap_future(future)

    async def in_store(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what asks a store, and is over in milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._store_thread, function, *args)

    async def in_locator(self, function: Callable[..., Answer]) -> Answer:
        """Call what locates a photo, or takes as long."""
        return await asyncio.get_running_loop().run_in_executor(self._locate_thread, function)

    async def in_files(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what reads or writes a file."""
        return await asyncio.get_running_loop().run_in_executor(self._file_threads, function, *args)

    def location_encoder(self) -> "LocationEmbedder":
        """The encoder of places; loaded when first asked for, in the locator's thread."""
        if self._location_encoder is None:
            self._location_encoder = load_location_encoder()
        return self._location_encoder

    def count_decoders(self) -> None:
        """Count the decoding processes that photos have ended since the last time."""
        n_crashed = self._decoders.n_crashed if self._decoders is not None else 0
        metrics.DECODER_CRASHES.inc(n_crashed - self._n_crashes_seen)
        self._n_crashes_seen = n_crashed

    async def in_writer(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what changes a gallery. It is not called off by a deadline: half of it is not done."""
        return await asyncio.shield(
            asyncio.get_running_loop().run_in_executor(self._write_thread, function, *args)
        )

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


def _loader(encoders: Mapping[str, ImageEncoder]) -> LoadEncoder:
    def load(name: str, *, weights: Any = None) -> ImageEncoder:
        return encoders[name] if name in encoders else load_encoder(name, weights=weights)

    return load
