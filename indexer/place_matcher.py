"""Local features of photos, read when a second look asks for them.

A grid of features takes some hundred kilobytes, a thousand times an embedding: only those of photos that
came among the first answers are made, and the last ones are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..encoders.errors import InvalidOption
from ..encoders.image import ImageEncoder
from ..encoders.matching import unit_features
from ..encoders.photo import ImageLike
from ..encoders.place_recognition.encoder import PlaceEncoder
from ..encoders.place_recognition.local_features import HasBackbone, LocalFeatures
from ..encoders.reranking import Score, match_scores
from .listing import Item
from .place_sets import PlaceSet
from .surface import Floats

KEPT_BYTES = 1 << 30
DEPTH = 0.75
"""Share of the layers below the one that is read by default: what stands where, before it is one class."""


def middle_layer(n_layers: int) -> int:
    """The layer that is read by default: the tenth of 12 blocks, the fourth of 5 stages."""
    return int(DEPTH * n_layers)


def _features_of(encoder: ImageEncoder, layer: int | None, size: int | None) -> LocalFeatures:
    """The layer to read: of a place encoder its own, of another one that asked for.

    Raises:
        InvalidOption: the encoder's layers cannot be read, or it reads another one.
    """
    name = encoder.fingerprint.name
    if isinstance(encoder, PlaceEncoder):
        if layer is not None or size is not None:
            raise InvalidOption(f"{name}: its layer and input size are part of it; ask for no others")
        return encoder.features
    source = cast(HasBackbone, encoder)  # `LocalFeatures` refuses others
    if layer is None:
        layer = middle_layer(LocalFeatures(source, layer=0, size=size).n_layers)
    return LocalFeatures(source, layer=layer, size=size)


class LocalReader:
    """Reads photos as grids of local features of unit length.

    Args:
        encoder: whose backbone is read.
        layer: of the backbone, see `LocalFeatures`; three quarters up by default.
        size: height and width in pixels that all of a photo is brought to; the encoder's own by default.

    Attributes:
        features: the layers that are read.
        preprocessing: how photos reach them: all of a photo, distorted to a square.

    Raises:
        InvalidOption: the encoder's layers cannot be read, or there is no such layer or size.
    """

    def __init__(self, encoder: ImageEncoder, *, layer: int | None = None, size: int | None = None) -> None:
        self.features = _features_of(encoder, layer, size)
        self.preprocessing = replace(
            encoder.preprocessing, size=self.features.size, resize="squash", crop_share=1.0
        )

    def map_of(self, item: Item) -> NDArray[np.float32]:
        """The map of a photo, as the layer gives it: (1, D, H, W)."""
        return self._map_of(item.read())

    def read(self, photo: Item | ImageLike) -> Tensor:
        """Local features of a photo, (H W, D), unit rows.

        Raises:
            UnreadableImage: it cannot be decoded.
        """
        image = photo.read() if isinstance(photo, Item) else photo
        return unit_features(torch.from_numpy(self._map_of(image)))[0]

    def of_pixels(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Local features of preprocessed photos: (B, height, width, 3) bytes -> (B, H W, D), unit rows."""
        return unit_features(torch.from_numpy(self.features.of_pixels(pixels)))

    def _map_of(self, image: ImageLike) -> NDArray[np.float32]:
        pixels, _ = self.preprocessing.read(image)
        return self.features.of_pixels(pixels[None])

    @property
    def bytes_of_photo(self) -> int:
        """How much the features of a photo take."""
        height, width = self.features.grid
        return 4 * int(self.features.channels) * height * width


class PlaceMatcher:
    """Scores of gallery photos for queries, by their local features; `rerank` calls it.

    Args:
        reader: of the photos.
        queries: which are asked.
        gallery: which may answer.
        score: by what two photos are compared, see `match_scores`.
    """

    def __init__(
        self, reader: LocalReader, queries: PlaceSet, gallery: PlaceSet, *, score: Score = "nearest"
    ) -> None:
        self._reader, self._queries, self._gallery, self._score = reader, queries, gallery, score
        self._kept: OrderedDict[int, Tensor] = OrderedDict()
        self._n_kept = max(1, KEPT_BYTES // reader.bytes_of_photo)

    def __call__(self, query: int, rows: NDArray[np.int64]) -> Floats:
        """Scores of photos of the gallery for one query: rows (R,) -> (R,)."""
        asked = self._reader.read(self._queries.items[query])
        there = torch.stack([self._of_gallery(row) for row in rows.tolist()])
        return match_scores(asked, there, self._reader.features.grid, self._score)

    def _of_gallery(self, row: int) -> Tensor:
        if row in self._kept:
            self._kept.move_to_end(row)
        else:
            self._kept[row] = self._reader.read(self._gallery.items[row])
            if len(self._kept) > self._n_kept:
                self._kept.popitem(last=False)
        return self._kept[row]
