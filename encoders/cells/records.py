"""What is recorded of each cell: how many points, where their middle is, how far they spread.

All numbers are rounded to what is stored, so that a table read back equals the one written.
Letters: n points, C cells, U units.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sphere import great_circle_km, lonlat_of, unit_vectors
from .cuts import runs
from .units import Names, Units, normalized, rounded, sums_of

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]

MEDIAN_STEPS = 60
UNDERSIZED, OVERSIZED, UNSPLITTABLE, EMPTY, CROSSES = (
    "undersized", "oversized", "unsplittable", "empty", "crosses-admin1",
)  # fmt: skip
FLAGS = (EMPTY, UNDERSIZED, OVERSIZED, UNSPLITTABLE, CROSSES)
"""No training point; fewer than wanted; more, though it could be cut by force; more, and it cannot be
cut into parts that are large enough (as many points at one position); points in several admin-1."""


@dataclass(frozen=True)
class Spread:
    """Where the points of each cell lie, (C, 2) degrees and (C,) kilometers."""

    center_lonlat: _Floats  # direction of the mean unit vector
    median_lonlat: _Floats  # the place with the least sum of distances
    rms_km: _Floats
    p95_km: _Floats


def spread_of(vectors: _Floats, cell: _Numbers, n_cells: int) -> Spread:
    """Middle and spread of the points (n, 3) of each cell; every cell must have one.

    The median is that of chords, by Weiszfeld's (1937) iteration, 60 steps.
    """
    count = np.bincount(cell, minlength=n_cells)
    first = np.zeros((n_cells, 3))
    first[cell[::-1]] = vectors[::-1]  # stands in where points balance out
    mean = normalized(sums_of(vectors, cell, n_cells), otherwise=first)
    median = mean
    for _ in range(MEDIAN_STEPS):
        weight = 1.0 / np.maximum(np.linalg.norm(vectors - median[cell], axis=1), 1e-9)
        median = normalized(sums_of(vectors * weight[:, None], cell, n_cells), otherwise=mean)
    center = rounded(lonlat_of(mean))
    distance = great_circle_km(center[cell], lonlat_of(vectors))
    rms: _Floats = np.sqrt(np.bincount(cell, distance**2, n_cells) / np.maximum(count, 1))
    order = np.lexsort((distance, cell))
    start = np.cumsum(count) - count
    p95 = distance[order][start + np.ceil(0.95 * count).astype(np.intp) - 1]
    return Spread(center, rounded(lonlat_of(median)), np.round(rms, 3), np.round(p95, 3))


def admin_of(
    units: Units, unit: _Numbers, cell: _Numbers, n_cells: int
) -> tuple[list[dict[str, float]], list[tuple[str, ...]], Names]:
    """Shares of admin-1, largest first, names of admin-2, and the country, of each cell.

    Args:
        units: their names.
        unit: of each point, (n,).
        cell: of each point, (n,); every cell must have one.
        n_cells: C.
    """
    shares: list[dict[str, float]] = []
    admin2: list[tuple[str, ...]] = []
    countries = np.empty(n_cells, dtype=object)
    order = np.lexsort((unit, cell))
    for rows in runs(order, cell[order]):
        numbers, count = np.unique(unit[rows], return_counts=True)
        names: Counter[str] = Counter()
        for number, n in zip(numbers, count, strict=True):
            names[units.admin1[number]] += int(n)
        ordered = sorted(names, key=lambda name: (-names[name], name))
        shares.append({name: round(names[name] / len(rows), 6) for name in ordered})
        admin2.append(tuple(sorted({units.admin2[number] for number in numbers} - {""})))
        countries[cell[rows[0]]] = units.country[numbers[0]]
    return shares, admin2, countries


def flags_of(
    n_train: _Numbers,
    shares: Sequence[dict[str, float]],
    can_be_cut: NDArray[np.bool_],
    *,
    min_points: int,
    max_points: int,
) -> list[tuple[str, ...]]:
    """What is remarkable about each cell, in the order of `FLAGS`.

    Args:
        n_train: training points, (C,).
        shares: of admin-1.
        can_be_cut: whether force would cut the cell, (C,).
        min_points: fewer are too few.
        max_points: more are too many.
    """
    is_large = n_train > max_points
    told = {
        EMPTY: n_train == 0,
        UNDERSIZED: n_train < min_points,
        OVERSIZED: is_large & can_be_cut,
        UNSPLITTABLE: is_large & ~can_be_cut,
        CROSSES: np.array([len(share) > 1 for share in shares]) & (n_train > 0),
    }
    return [tuple(flag for flag in FLAGS if told[flag][row]) for row in range(len(n_train))]


def names_of(lonlat: _Floats, place_cell: _Numbers, labels: Names, place_vectors: _Floats) -> Names:
    """A readable name for each cell: that of its first place, else of the place nearest to its center.

    Args:
        lonlat: centers, (C, 2).
        place_cell: cell of each place, the most important place first, (N,).
        labels: what the places are called, (N,).
        place_vectors: where they are, (N, 3).
    """
    from scipy.spatial import cKDTree

    name = np.full(len(lonlat), "", dtype=object)
    cells, first = np.unique(place_cell, return_index=True)
    name[cells] = labels[first]
    unnamed = np.flatnonzero(name == "")
    if unnamed.size:
        _, nearest = cKDTree(place_vectors).query(unit_vectors(lonlat[unnamed]))
        name[unnamed] = [f"near {label}" for label in labels[nearest]]
    return name
