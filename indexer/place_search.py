"""Two sets of photos held against each other: embeddings, and exact neighbors.

Letters: n photos, Q queries, N photos of the gallery, K neighbors, D embedding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import UnreadableImage, UnreadableSource
from .place_recall import Rows
from .place_sets import PlaceSet
from .surface import Floats

if TYPE_CHECKING:  # it loads torch
    from ..encoders.image import Embeddings, ImageEncoder

Progress = Callable[[int, int], None]

_QUERIES_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class EmbeddedSet:
    """A set and the embeddings of its photos.

    Attributes:
        photos: those that could be read.
        embeddings: (n, D), unit length.
        seconds: of reading and embedding a photo, on average; None where it was embedded before.
        skipped: a line for each photo that could not be read.
    """

    photos: PlaceSet
    embeddings: Embeddings
    seconds: float | None
    skipped: list[str]


def embed_place_set(
    photos: PlaceSet,
    encoder: ImageEncoder,
    *,
    batch_size: int = 32,
    progress: Progress = lambda done, total: None,
) -> EmbeddedSet:
    """Read and embed a set; of photos whose place nothing else tells, EXIF is asked.

    Args:
        photos: the set. Not changed.
        encoder: what embeds them.
        batch_size: photos at once; it changes embeddings by no more than rounding.
        progress: called with photos done and their number.

    Raises:
        UnreadableSource: none could be read.
    """
    began = time.perf_counter()
    lonlat, kept, skipped = photos.lonlat.copy(), [], []
    parts: list[Embeddings] = []
    waiting: list[NDArray[np.uint8]] = []
    for row, item in enumerate(photos.items):
        try:
            if item.problem:
                raise UnreadableImage(item.problem)
            pixels, facts = encoder.preprocessing.read(item.read())
        except (UnreadableImage, OSError) as error:
            skipped.append(f"{item.key}: {error}")
            continue
        if np.isnan(lonlat[row]).any() and facts.lon is not None and facts.lat is not None:
            lonlat[row] = facts.lon, facts.lat
        kept.append(row)
        waiting.append(pixels)
        if len(waiting) == batch_size:
            parts.append(encoder.embed_pixels(np.stack(waiting)))
            waiting = []
            progress(row + 1, len(photos))
    if not kept:
        raise UnreadableSource(f"{photos.source}: none of its photos can be read; the first: {skipped[0]}")
    if waiting:
        parts.append(encoder.embed_pixels(np.stack(waiting)))
    progress(len(photos), len(photos))
    placed = replace(photos, lonlat=lonlat).take(np.array(kept, dtype=np.intp))
    seconds = (time.perf_counter() - began) / len(photos)
    return EmbeddedSet(placed, np.concatenate(parts), seconds, skipped)


def exact_neighbors(
    queries: NDArray[np.floating], gallery: NDArray[np.floating], k: int
) -> tuple[Rows, Floats]:
    """The k most similar of a gallery, by looking at all: (Q, D), (N, D) unit rows -> two of (Q, k).

    Returns:
        Rows of the gallery, most similar first, of equals the first; and their cosines.
    """
    k = min(k, len(gallery))
    rows, cosines = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
    for start in range(0, len(queries), _QUERIES_AT_ONCE):
        part = np.asarray(queries[start : start + _QUERIES_AT_ONCE] @ gallery.T, np.float64)
        found, similarity = first_of(-part, k)
        rows[start : start + len(part)], cosines[start : start + len(part)] = found, -similarity
    return rows, cosines


def first_of(difference: Floats, k: int) -> tuple[Rows, Floats]:
    """The k columns with the smallest values of each row, in their order: (Q, N) -> two of (Q, k)."""
    k = min(k, difference.shape[1])
    # Sorted first, so that of equal values the columns stay in order.
    found = np.sort(np.argpartition(difference, k - 1, axis=1)[:, :k], axis=1)
    values = np.take_along_axis(difference, found, axis=1)
    order = np.argsort(values, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)
