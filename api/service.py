"""What the HTTP service asks: one gallery with its encoder, and the threads that they work in.

The event loop only moves bytes. Photos are decoded by processes of their own (`DecodePool`), and
one thread makes every call of the encoder and of the store: it opened them, and it closes them.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..encoders.areas import Circle
from ..encoders.catalog import load_encoder
from ..encoders.decoding import DecodePool
from ..encoders.errors import NothingToLocateWith
from ..encoders.image import Embeddings, ImageEncoder
from ..indexer.filters import Filter
from ..indexer.fitted import Fitted
from ..indexer.gallery import Gallery, Neighbor
from ..indexer.held_out import K
from ..indexer.locator import Locator
from ..indexer.prior import Prior
from . import precision
from .problems import (
    Busy,
)
from .service_settings import ServiceSettings, gallery_to_serve

DECODERS = 2
DECODE_TIMEOUT_S = 20.0
MAX_INSIDE = 32  # questions at a time; each may hold a body in memory
PAGE = 200  # photos looked at in one go where places are compared coarsely

Pixels = NDArray[np.uint8]
Answer = TypeVar("Answer")


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
        embedding = self._embed(pixels, None)
        near = self.gallery.locate_neighbors(embedding, K)
        near = replace(near, lonlat=precision.coarse_lonlat(near.lonlat, cap))
        location = locator.locate_among(near, embedding)
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
            prior = Prior.from_lonlat(precision.coarse_lonlat(lonlat, "25km"), groups=groups)
            # The evidence was fitted on exact places and would tell of them.
            model = replace(locator.model, evidence_weights=(), evidence_gate=0.0)
            locator.fitted = Fitted(prior, model)
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
