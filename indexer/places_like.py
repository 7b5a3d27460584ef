"""Asking a gallery of places for others like some, and unlike others.

Maps of places that lie next to each other are nearly the same map: without more the answer to "like this
one" would be its own surroundings. So answers lie away from every place that was asked about, and from
each other, by the width of what was looked at (non-maximum suppression: of places that overlap, the most
similar one stands for all).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import InvalidOption
from ..encoders.sphere import great_circle_km
from .filters import Filter
from .gallery import Gallery
from .neighbors import Neighbor
from .photos import Photo
from .place_card import vectors_of_places

UNLIKE = 0.5
"""How much an unlike place counts beside a like one."""

DEEPEST = 50_000
"""So many of the most similar places are looked through for some that lie apart."""

_Floats = NDArray[np.float64]
_Embeddings = NDArray[np.float32]

PlaceOf: TypeAlias = Callable[[Photo], tuple[float, float]]


class LikePlace(NamedTuple):
    """A place that answers.

    Attributes:
        photo: the place, as the gallery has it.
        similarity: cosine to what was asked, higher is more alike.
        distance_km: to the nearest of the places that it should be like.
    """

    photo: Photo
    similarity: float
    distance_km: float


def direction(like: _Embeddings, unlike: _Embeddings, *, unlike_weight: float = UNLIKE) -> _Embeddings:
    """What to look for: the mean of some embeddings without a share of the mean of others.

    Args:
        like: (n, D), at least one.
        unlike: (m, D), or none.
        unlike_weight: how much the second mean counts, positive.

    Returns:
        (D,), unit length.

    Raises:
        InvalidOption: nothing to look for, a weight of no use, or embeddings that cancel.
    """
    if not len(like):
        raise InvalidOption("name at least one place that the answers should be like")
    if not 0.0 < unlike_weight <= 10.0:
        raise InvalidOption(f"unlike places with weight {unlike_weight:g}: must be above 0 and at most 10")
    total = like.astype(np.float64).mean(axis=0)
    if len(unlike):
        total = total - unlike_weight * unlike.astype(np.float64).mean(axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-6:
        raise InvalidOption("like and unlike places cancel each other out; change them or their weight")
    return np.asarray(total / length, np.float32)


def likest(
    gallery: Gallery,
    embedding: _Embeddings,
    k: int,
    *,
    like: _Floats,
    unlike: _Floats,
    apart_m: float,
    is_thinned: bool = True,
    filter: Filter | None = None,
) -> list[LikePlace]:
    """The k places most like an embedding that lie apart, most similar first.

    Args:
        gallery: of places, or of photos of whose places a map was looked at.
        embedding: what to look for, (D,).
        k: how many.
        like: places asked about, degrees, (n, 2); answers lie away from them.
        unlike: and from these, (m, 2).
        apart_m: how far, meters; 0 for anywhere.
        is_thinned: whether answers also lie so far from each other.
        filter: which places may answer.

    Raises:
        InvalidOption: k or a distance of no use.
        NotOfPlaces: a gallery of photos of which no map was looked at.
    """
    if k < 1 or not 0.0 <= apart_m <= 20_040_000.0:
        raise InvalidOption(f"k={k}, apart by {apart_m:g} m: k is at least 1, and meters are not negative")
    using = vectors_of_places(gallery)
    asked = np.concatenate([like.reshape(-1, 2), unlike.reshape(-1, 2)])
    depth = max(256, 8 * k)
    while True:
        page = gallery.nearest(embedding, depth, filter=filter, using=using)
        some = [one for one in page if one.photo.is_placed]
        lonlat = np.array([_where(one.photo) for one in some]).reshape(-1, 2)
        rows = _apart(lonlat, asked, k, apart_m / 1000.0, is_thinned=is_thinned)
        if len(rows) >= k or len(page) < depth or depth >= DEEPEST:
            return _told(some, lonlat, rows, like)
        depth *= 4


def _apart(lonlat: _Floats, asked: _Floats, k: int, apart_km: float, *, is_thinned: bool) -> list[int]:
    """Rows, in their order, away from places asked about, and taken one after the other from each other."""
    is_free = np.ones(len(lonlat), np.bool_)
    if apart_km > 0.0:
        for place in asked:
            is_free &= great_circle_km(place, lonlat) >= apart_km
    chosen: list[int] = []
    for row in range(len(lonlat)):
        if is_free[row]:
            chosen.append(row)
            if len(chosen) == k:
                break
            if is_thinned and apart_km > 0.0:
                is_free &= great_circle_km(lonlat[row], lonlat) >= apart_km
    return chosen


def _told(some: Sequence[Neighbor], lonlat: _Floats, rows: list[int], like: _Floats) -> list[LikePlace]:
    away = [float(great_circle_km(lonlat[row], like.reshape(-1, 2)).min()) for row in rows]
    return [LikePlace(some[row].photo, some[row].similarity, km) for row, km in zip(rows, away, strict=True)]


def _where(photo: Photo) -> tuple[float, float]:
    return float(photo.lon or 0.0), float(photo.lat or 0.0)
