"""The encoders that are served, each loaded once however many galleries it built."""

import asyncio
import functools
import logging
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...encoders.catalog import CARDS, load_encoder
from ...encoders.errors import (
    FingerprintMismatch,
    InvalidOption,
    NoTextTower,
    PlaceprintError,
    UnknownEncoder,
)
from ...encoders.fingerprint import Fingerprint
from ...encoders.image import ImageEncoder
from ...encoders.map_files import MapFiles
from ...encoders.preprocessing import Preprocessing
from ...indexer.gallery import Gallery
from ...indexer.named_vectors import VectorCard
from ...indexer.place_card import PREFIX
from ...indexer.place_opening import open_embedder
from .local_reading import ServedReader
from .model_worker import Embed, ModelWorker
from .served_map import ServedMap

log = logging.getLogger("placeprint.service")

Pixels = NDArray[np.uint8]
LoadEncoder = Callable[..., ImageEncoder]


@dataclass(frozen=True, eq=False)
class ServedModel:
    """An encoder, asked through the model thread.

    Attributes:
        name: as galleries and callers call it.
        weights: file that it was loaded from, if any.
        encoder: the encoder itself; only the model thread calls it.
        takes_text: whether it embeds texts.
        embed_pixels: list of (H, W, 3) bytes -> (n, D).
        embed_texts: list of texts -> (n, D).
    """

    name: str
    weights: str | None
    encoder: ImageEncoder
    takes_text: bool
    embed_pixels: Embed
    embed_texts: Embed

    @classmethod
    def of(cls, encoder: ImageEncoder, name: str, weights: str | None = None) -> "ServedModel":
        """Make ready; call it in the model thread, for it goes through the encoder once."""
        size = encoder.preprocessing.size
        encoder.embed_pixels(np.zeros((1, size, size, 3), np.uint8))
        return cls(
            name,
            weights,
            encoder,
            takes_text=_takes_text(encoder),
            embed_pixels=lambda batch: encoder.embed_pixels(np.stack(batch)),
            embed_texts=lambda batch: encoder.embed_texts(list(batch)),
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """Which encoder it is."""
        return self.encoder.fingerprint

    @property
    def preprocessing(self) -> Preprocessing:
        """How its pixels are made."""
        return self.encoder.preprocessing


AnyModel: TypeAlias = ServedModel | ServedMap
"""What may have built a gallery: an encoder of photos, or one of places."""


class BackgroundEncoder:
    """An encoder for long work: asks the model thread while no question waits for it."""

    def __init__(self, model: AnyModel, worker: ModelWorker) -> None:
        self._model, self._worker = model, worker
        self.fingerprint = model.fingerprint
        self.preprocessing: Preprocessing = model.preprocessing

    def embed_pixels(self, pixels: Pixels) -> NDArray[np.float32]:
        """Embed preprocessed photos: (B, H, W, 3) bytes -> (B, D), unit length."""
        return self._worker.embed_in_background(self._model.embed_pixels, list(pixels))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: n texts -> (n, D), unit length."""
        return self._worker.embed_in_background(self._model.embed_texts, list(texts))


class Models:
    """All encoders that are served, by fingerprint.

    Args:
        worker: the model thread, in which they are loaded.
        load: loads an encoder by name and weights.
    """

    def __init__(self, worker: ModelWorker, load: LoadEncoder = load_encoder) -> None:
        self._worker, self._load = worker, load
        self._by_id: dict[str, ServedModel] = {}
        self._beside: dict[str, ServedModel] = {}  # of named vectors; their names may be files of the server
        self._readers: dict[str, ServedReader | None] = {}
        self._maps: dict[tuple[str, ...], MapFiles] = {}

    def __iter__(self) -> "Any":
        return iter(self._by_id.values())

    def get(self, name: str | None) -> ServedModel:
        """An encoder that is served, by its name or fingerprint; the first without one.

        Raises:
            UnknownEncoder: none of that name is served.
        """
        for model in self:
            if name in (None, model.name, model.fingerprint.id, model.fingerprint.name):
                return model  # type: ignore[no-any-return]
        served = ", ".join(model.name for model in self) or "none, for there is no gallery yet"
        raise UnknownEncoder(f"no model {name!r} is served here; there are: {served}")

    def of_gallery(self, fingerprint: Fingerprint, name: str, weights: str | None) -> ServedModel:
        """The encoder that built a gallery; loaded when no other gallery has it.

        Raises:
            PlaceprintError: it cannot be loaded.
        """
        known = self._by_id.get(fingerprint.id)
        return known or self.load(name, weights)

    def map_of_gallery(self, gallery: Gallery) -> ServedMap:
        """What embedded a gallery of places; maps are opened once however many galleries look at them.

        It is no image encoder, and so none of those that callers may ask by name.

        Raises:
            PlaceprintError: a map, or the encoder, is not where it was.
        """

        def load() -> ServedMap:
            return ServedMap.of(*open_embedder(gallery, open_maps=self._opened_maps))

        loading: Future[ServedMap] = self._worker.run(load)
        return loading.result()

    def beside(self, gallery: Gallery, names: Collection[str]) -> dict[str, ServedModel]:
        """What made a gallery's other vectors of photos; without it the gallery is served all the same.

        These encoders are none that callers may ask by name, unless they are served anyway.

        Args:
            gallery: that has the vectors.
            names: of vectors whose encoders may be loaded; of others they are found if they are loaded.
        """
        found: dict[str, ServedModel] = {}
        for name, card in gallery.vectors.cards.items():
            if card.encoder.startswith(PREFIX):  # it embeds places
                continue
            try:
                model = self._of_vectors(card, may_load=name in names)
            except PlaceprintError as error:
                log.warning("gallery %s: nothing is recognized by %s: %s", gallery.name, name, error)
            else:
                if model is not None:
                    found[name] = model
        return found

    async def reader_of(self, model: ServedModel) -> ServedReader | None:
        """What reads a model's local features, made when first asked for; None where nobody can read them."""
        id = model.fingerprint.id
        if id not in self._readers:
            await asyncio.wrap_future(self._worker.run(functools.partial(self._read_by, model)))
        return self._readers[id]

    def _read_by(self, model: ServedModel) -> None:
        if model.fingerprint.id in self._readers:
            return
        try:
            self._readers[model.fingerprint.id] = ServedReader.of(model.encoder)
        except InvalidOption:
            self._readers[model.fingerprint.id] = None

    def _of_vectors(self, card: VectorCard, *, may_load: bool) -> ServedModel | None:
        id = card.fingerprint.id
        known = self._by_id.get(id) or self._beside.get(id)
        if known is not None or not may_load:
            return known
        load = functools.partial(self._load_now, card.encoder, card.weights)
        model: ServedModel = self._worker.run(load).result()
        if model.fingerprint.id != id:
            raise FingerprintMismatch(
                f"{card.encoder} is not what made the vectors {card.name!r}; its file is another by now. "
                f"Make them anew with: placeprint vectors build {card.name}"
            )
        return self._beside.setdefault(id, model)

    def load(self, name: str, weights: str | None = None) -> ServedModel:
        """Load an encoder, in the model thread, while nobody asks.

        Raises:
            PlaceprintError: it cannot be loaded.
        """
        loading: Future[ServedModel] = self._worker.run(functools.partial(self._load_now, name, weights))
        model = loading.result()
        return self._by_id.setdefault(model.fingerprint.id, model)

    def by_name(self, name: str) -> ServedModel:
        """An encoder by name: one that is served, or one of the catalog, which is loaded.

        A caller may not name a file of the server's; so no other names are loaded.

        Raises:
            UnknownEncoder: neither.
        """
        try:
            return self.get(name)
        except UnknownEncoder:
            if name not in CARDS:
                raise
        return self.load(name)

    def _opened_maps(self, paths: Sequence[str | Path]) -> MapFiles:
        key = tuple(f"{path} {Path(path).stat().st_mtime_ns}" for path in paths)
        if key not in self._maps:
            self._maps[key] = MapFiles.open(paths)
        return self._maps[key]

    def _load_now(self, name: str, weights: str | None) -> ServedModel:
        encoder = self._load(name, weights=None if weights is None else Path(weights))
        return ServedModel.of(encoder, name, weights)


def _takes_text(encoder: ImageEncoder) -> bool:
    try:
        encoder.embed_texts(["a photo"])
    except NoTextTower:
        return False
    except Exception:  # it knows texts, though perhaps not this one
        return True
    return True
