"""Orders other than similarity alone: nearness, similarity with a wish for nearness, fused rankings.

The first two are exact as far as the store is: no photo that belongs among the first k is left out
because it was not looked at.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ..encoders.areas import Circle
from ..encoders.sphere import great_circle_km
from .filters import Filter
from .gallery import Gallery
from .neighbors import Neighbor
from .photos import Photo

FARTHEST_KM = 20_020.0  # more than half around the Earth
RRF_K = 60.0
"""Cormack, Clarke and Büttcher (2009), "Reciprocal rank fusion outperforms Condorcet": ranks count
as 1 / (60 + rank)."""

_STEP = 3.0
_SMALLEST_KM = 0.05
_DEEPEST = 20_000


class Ranked(NamedTuple):
    """A photo in an order.

    `score` is what the order goes by, higher first. `similarity` and `distance_km` are None where
    the order does not look at them.
    """

    photo: Photo
    score: float
    similarity: float | None = None
    distance_km: float | None = None


class Wish(NamedTuple):
    """A wish for photos near a place: adds ``weight · 2^(−(d / half_km)²)`` to the similarity."""

    lon: float
    lat: float
    half_km: float
    weight: float

    def bonus(self, distance_km: float) -> float:
        """What a photo gains at a distance; one without a place gains nothing."""
        return self.weight * float(2.0 ** -((distance_km / self.half_km) ** 2))

    def radius_km(self, bonus: float) -> float:
        """The distance at which so much is still gained; 0 for more than there is."""
        if bonus >= self.weight:
            return 0.0
        return float(self.half_km * np.sqrt(np.log2(self.weight / max(bonus, 1e-300))))


def nearest_to_place(
    gallery: Gallery, lon: float, lat: float, k: int, *, filter: Filter | None = None, offset: int = 0
) -> list[Ranked]:
    """The k photos taken nearest to a place, nearest first; of equal distance by id.

    Args:
        gallery: to search.
        lon: degrees.
        lat: degrees.
        k: how many.
        filter: which photos may answer.
        offset: how many of the nearest to leave out.
    """
    filter, wanted = filter or Filter(), k + offset
    radius_km = _smallest_radius_km(gallery, lon, lat, wanted, filter)
    inside = gallery.find(replace(filter, near=Circle(lon, lat, radius_km)))
    by_distance = sorted((distance_km(photo, lon, lat), photo.id, photo) for photo in inside)
    return [Ranked(photo, -km, None, km) for km, _, photo in by_distance[offset:wanted]]


def nearest_and_near(
    gallery: Gallery,
    embedding: ArrayLike,
    wish: Wish,
    k: int,
    *,
    filter: Filter | None = None,
    offset: int = 0,
) -> list[Ranked]:
    """The k best photos by similarity plus the bonus of a wish for nearness.

    Two lists are searched: the most similar photos anywhere, and the most similar ones within the
    circle outside of which no bonus could lift a photo among the first k. When the worst that may
    be missing from both is worse than the k-th found, the answer is complete (the threshold
    algorithm of Fagin, Lotem and Naor, 2001); otherwise both are searched deeper.
    """
    filter, wanted = filter or Filter(), k + offset
    depth = max(200, 2 * wanted)
    while True:
        anywhere = gallery.nearest(embedding, depth, filter=filter)
        floor = anywhere[-1].similarity if len(anywhere) == depth else -np.inf
        ranked = _with_bonus(anywhere, wish)
        last = ranked[wanted - 1].score if len(ranked) >= wanted else -np.inf
        if floor == -np.inf or last >= floor + wish.weight:
            return ranked[offset:wanted]
        radius_km = min(max(wish.radius_km(last - floor), _SMALLEST_KM), FARTHEST_KM)
        around = gallery.nearest(
            embedding, depth, filter=replace(filter, near=Circle(wish.lon, wish.lat, radius_km))
        )
        ranked = _with_bonus([*anywhere, *around], wish)
        floor_around = around[-1].similarity if len(around) == depth else -np.inf
        if ranked[wanted - 1].score >= floor_around + wish.weight or depth >= _DEEPEST:
            return ranked[offset:wanted]
        depth *= 4


def fused(rankings: Sequence[tuple[float, Sequence[Ranked]]], k: int, *, offset: int = 0) -> list[Ranked]:
    """Rankings as one, by the weighted sum of reciprocal ranks (`RRF_K`).

    A ranking of negative weight pushes down what stands high in it, and brings in nothing.

    Args:
        rankings: each with its weight, best first.
        k: how many.
        offset: how many of the best to leave out.

    Returns:
        The best k; `similarity` and `distance_km` are of the first ranking that knows them.
    """
    scores: dict[str, float] = {}
    known: dict[str, Ranked] = {}
    wanted = {one.photo.id for weight, ranking in rankings if weight > 0.0 for one in ranking}
    for weight, ranking in rankings:
        for rank, one in enumerate(ranking, start=1):
            id = one.photo.id
            if id in wanted:
                scores[id] = scores.get(id, 0.0) + weight / (RRF_K + rank)
                known[id] = _completed(known.get(id, one), one)
    best = sorted(scores, key=lambda id: (-scores[id], id))[offset : offset + k]
    return [known[id]._replace(score=scores[id]) for id in best]


def by_similarity(neighbors: Sequence[Neighbor]) -> list[Ranked]:
    """Neighbors as a ranking."""
    return [Ranked(one.photo, one.similarity, one.similarity) for one in neighbors]


def distance_km(photo: Photo, lon: float, lat: float) -> float:
    """From a place to where a photo was taken; infinite where that is not known."""
    if photo.lon is None or photo.lat is None:
        return float("inf")
    return float(great_circle_km(np.array([lon, lat]), np.array([photo.lon, photo.lat])))


def _smallest_radius_km(gallery: Gallery, lon: float, lat: float, wanted: int, filter: Filter) -> float:
    """The smallest of some radii around a place within which there are enough photos; else the largest."""
    n_steps = int(np.ceil(np.log(FARTHEST_KM / _SMALLEST_KM) / np.log(_STEP)))
    low, high = 0, n_steps
    while low < high:
        middle = (low + high) // 2
        circle = Circle(lon, lat, _SMALLEST_KM * _STEP**middle)
        if gallery.count(replace(filter, near=circle)) >= wanted:
            high = middle
        else:
            low = middle + 1
    return min(_SMALLEST_KM * _STEP**low, FARTHEST_KM)


def _with_bonus(neighbors: Sequence[Neighbor], wish: Wish) -> list[Ranked]:
    """Neighbors, each once, in the order of similarity and bonus."""
    unique = {one.photo.id: one for one in neighbors}.values()
    ranked = []
    for one in unique:
        km = distance_km(one.photo, wish.lon, wish.lat)
        known_km = km if np.isfinite(km) else None
        ranked.append(Ranked(one.photo, one.similarity + wish.bonus(km), one.similarity, known_km))
    return sorted(ranked, key=lambda one: (-one.score, one.photo.id))


def _completed(one: Ranked, other: Ranked) -> Ranked:
    return one._replace(
        similarity=other.similarity if one.similarity is None else one.similarity,
        distance_km=other.distance_km if one.distance_km is None else one.distance_km,
    )
