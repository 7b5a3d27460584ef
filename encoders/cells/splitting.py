"""Split cells that hold too many points where their points leave gaps.

OPTICS (Ankerst et al. 1999, by scikit-learn) on unit vectors finds clusters of any density; chords
order pairs as great circles do. The cut made of them is a rule on the sphere (`cuts`), and it is
taken only if every part has enough points:

- two clusters or more: the nearest of their centers, without the clusters that end up too small;
- one cluster in a thin ring of other points: a hexagon around it, and the rest.

Where OPTICS finds nothing and `force_split` is on: two-way spherical k-means from the ends of the
principal axis, or where that leaves a part too small the great circle across the axis, as near to
the median as there is room. Points at one position are one point to OPTICS, whose count decides
about sizes alone: a hundred photos of one spot are no dense town.
"""

import warnings
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..sphere import destination, km_of_chord, lonlat_of, unit_vectors
from .cuts import Cut, nearest_center
from .units import normalized, rounded, sums_of

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]

SMALL_ROUNDS = ((8 / 30, 0.05), (10 / 30, 0.025), (15 / 30, 0.015))
LARGE_ROUNDS = ((300 / 1000, 0.05), (400 / 1000, 0.005), (1000 / 1000, 0.0001))
"""PIGEON's and PIGEOTTO's settings: min_samples as a share of the least number of points, and xi."""

LARGE_FROM = 300
OPTICS_POSITIONS = 800
"""OPTICS takes time with the square of the positions: of more, every second or third … is taken."""


def optics_rounds(min_points: int, share: float = 1.0) -> tuple[tuple[int, float], ...]:
    """The (min_samples, xi) to try one after the other.

    Args:
        min_points: the least number of points of a cell.
        share: of the points that OPTICS is shown; of as many fewer a neighborhood is made.
    """
    rounds = SMALL_ROUNDS if min_points < LARGE_FROM else LARGE_ROUNDS
    return tuple((max(2, round(part * min_points * share)), xi) for part, xi in rounds)


def find_cut(vectors: _Floats, *, min_points: int, force_split: bool) -> Cut | None:
    """A cut of points, each part of which has at least `min_points`; None where there is none.

    Args:
        vectors: the points as unit vectors, (n, 3), in any order: the cut depends on the set alone.
        min_points: least number in a part.
        force_split: cut even where there is no gap.
    """
    position, count = np.unique(vectors, axis=0, return_counts=True)
    if len(position) < 2:
        return None
    every = -(-len(position) // OPTICS_POSITIONS)
    rounds = optics_rounds(min_points, len(position[::every]) / int(count.sum()))
    for clusters in _clusters(position, count, every, rounds, min_points):
        cut = _cut_between(position, count, clusters, min_points)
        if cut is not None:
            return cut
    return _forced(position, count, min_points) if force_split else None


def _clusters(
    position: _Floats,
    count: _Numbers,
    every: int,
    rounds: tuple[tuple[int, float], ...],
    min_points: int,
) -> Iterator[list[_Numbers]]:
    """Of each round the smallest clusters that are large enough, as rows among the positions.

    OPTICS finds clusters within clusters; its labels name the innermost, which may all be too small
    where the town around them is not.
    """
    from sklearn import config_context  # a second to import, for those alone who build cells
    from sklearn.cluster import OPTICS

    shown = np.arange(len(position))[::every]
    for min_samples, xi in dict.fromkeys(rounds):
        if min_samples >= len(shown):
            continue
        # The warnings are of positions equally far apart, which divide by zero.
        with warnings.catch_warnings(), config_context(assume_finite=True, skip_parameter_validation=True):
            warnings.simplefilter("ignore")
            found = OPTICS(min_samples=min_samples, xi=xi).fit(position[shown])
        size = np.concatenate([[0], np.cumsum(count[shown][found.ordering_])]) * every
        chosen: list[tuple[int, int]] = []
        for first, last in found.cluster_hierarchy_.tolist():  # the innermost come first
            is_large = size[last + 1] - size[first] >= min_points
            if is_large and not any(first <= a and b <= last for a, b in chosen):
                chosen.append((first, last))
        yield [shown[found.ordering_[first : last + 1]] for first, last in sorted(chosen)]


def _cut_between(position: _Floats, count: _Numbers, clusters: list[_Numbers], min_points: int) -> Cut | None:
    if len(clusters) == 1:
        return _hexagon(position, count, clusters[0], min_points)
    middles = [normalized((position * count[:, None])[rows].sum(axis=0)) for rows in clusters]
    return _least_small(position, count, rounded(lonlat_of(np.array(middles).reshape(-1, 3))), min_points)


def _least_small(position: _Floats, count: _Numbers, centers: _Floats, min_points: int) -> Cut | None:
    """The cut by the nearest center, without those that have too few points; None if one is left."""
    while len(centers) > 1:
        size = np.bincount(nearest_center(position, centers), count, len(centers))
        if size.min() >= min_points:
            return Cut(centers, np.arange(len(centers)))
        centers = np.delete(centers, int(np.argmin(size)), axis=0)
    return None


def _hexagon(position: _Floats, count: _Numbers, inside: _Numbers, min_points: int) -> Cut | None:
    middle = rounded(lonlat_of(normalized((position * count[:, None])[inside].sum(axis=0))))
    radius_km = float(km_of_chord(np.linalg.norm(position[inside] - unit_vectors(middle), axis=1).max()))
    if not 0.0 < radius_km < 3000.0:  # beyond, the six centers would meet behind the Earth
        return None
    around = destination(np.broadcast_to(middle, (6, 2)), np.arange(6) * 60.0, 2.0 * radius_km)
    cut = Cut(rounded(np.vstack([middle, around])), np.array([0, 1, 1, 1, 1, 1, 1], dtype=np.intp))
    size = np.bincount(cut.child_of(position), count, 2)
    return cut if size.min() >= min_points else None


def _forced(position: _Floats, count: _Numbers, min_points: int) -> Cut | None:
    """Two-way k-means, else a great circle across the principal axis."""
    mean = normalized((position * count[:, None]).sum(axis=0), otherwise=position[0])
    spread = (position - mean) * np.sqrt(count)[:, None]
    _, directions = np.linalg.eigh(spread.T @ spread)
    axis = directions[:, -1] * np.copysign(1.0, directions[np.argmax(np.abs(directions[:, -1])), -1])
    along = position @ axis
    centers = rounded(lonlat_of(position[[int(np.argmin(along)), int(np.argmax(along))]]))
    for _ in range(100):
        side = nearest_center(position, centers)
        sums = sums_of(position * count[:, None], side, 2)
        moved = rounded(lonlat_of(normalized(sums, otherwise=unit_vectors(centers))))
        if np.array_equal(moved, centers):
            break
        centers = moved
    size = np.bincount(nearest_center(position, centers), count, 2)
    if size.min() >= min_points:
        return Cut(centers, np.arange(2))
    return _across(position, count, along, mean, axis, min_points)


def _across(
    position: _Floats, count: _Numbers, along: _Floats, mean: _Floats, axis: _Floats, min_points: int
) -> Cut | None:
    """A great circle across the axis, as near to the median of the points as there is room."""
    order = np.argsort(along, kind="stable")
    below = np.cumsum(count[order])[:-1]
    room = np.diff(along[order])
    fits = (below >= min_points) & (count.sum() - below >= min_points) & (room > 1e-9)
    for place in sorted(np.flatnonzero(fits), key=lambda row: abs(2 * below[row] - count.sum()))[:8]:
        middle = normalized(position[order[place]] + position[order[place + 1]])
        # The circle's normal, and a center and its mirror image on both sides of it.
        normal = normalized(axis - (axis @ middle) * middle)
        reach = max(float(np.linalg.norm(position - mean, axis=1).max()), 1e-6) / 2.0
        centers = rounded(lonlat_of(normalized(np.stack([middle - reach * normal, middle + reach * normal]))))
        size = np.bincount(nearest_center(position, centers), count, 2)
        if size.min() >= min_points:
            return Cut(centers, np.arange(2))
    return None
