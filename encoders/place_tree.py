"""The nearest of many places, found by a tree of unit vectors.

Straight chords between unit vectors order places as great circles do, and know neither poles nor
antimeridian. Letters: n places asked about, N in the tree, K neighbors.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .sphere import chord_of_km, km_of_chord, unit_vectors

ENTRIES_AT_A_TIME = 2_000_000  # distances and numbers of neighbors, 32 MB
SLACK = 1e-11
"""Added to every limit, as a chord: 0.06 mm, far above rounding. Edges are in, and at a limit of 0
what is one place is one, such as all longitudes of a pole."""


class PlaceTree:
    """Places to find neighbors among.

    Args:
        lonlat: checked coordinates, (N, 2).
    """

    def __init__(self, lonlat: NDArray[np.float64]) -> None:
        self.lonlat = lonlat
        self._tree = cKDTree(unit_vectors(lonlat).reshape(-1, 3))

    def __len__(self) -> int:
        return len(self.lonlat)

    def nearest(
        self, lonlat: NDArray[np.float64], k: int, *, beyond_km: float | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Kilometers to the k nearest places and their numbers, (n, k) each, nearest first.

        Args:
            lonlat: where to look from, (n, 2).
            k: how many; where there are fewer, kilometers are inf and numbers 0.
            beyond_km: places at this distance or nearer do not count: 0 hides those at the same
                place, None counts all.
        """
        vectors = unit_vectors(lonlat)
        n_hidden = np.zeros(len(lonlat), dtype=np.intp)
        if beyond_km is not None:
            n_hidden = self.count_within(lonlat, beyond_km)
        chord = np.full((len(lonlat), k), np.inf)
        number = np.zeros((len(lonlat), k), dtype=np.intp)
        for rows in _batches(np.minimum(n_hidden + k, len(self))):
            n_asked = min(int(n_hidden[rows].max()) + k, len(self))
            found, found_number = self._tree.query(vectors[rows], np.arange(1, n_asked + 1))
            # Those hidden come first, so that the ones wanted are the k after them.
            column = n_hidden[rows, None] + np.arange(k)
            is_there = column < n_asked
            column = np.minimum(column, n_asked - 1)
            chord[rows] = np.where(is_there, np.take_along_axis(found, column, axis=1), np.inf)
            number[rows] = np.where(is_there, np.take_along_axis(found_number, column, axis=1), 0)
        return np.where(np.isfinite(chord), km_of_chord(chord), np.inf), number

    def count_within(self, lonlat: NDArray[np.float64], radius_km: float) -> NDArray[np.intp]:
        """How many places lie at `radius_km` or nearer, (n,). At 0 those at the same place."""
        radius = float(chord_of_km(radius_km)) + SLACK
        counts = self._tree.query_ball_point(unit_vectors(lonlat), radius, return_length=True)
        return np.asarray(counts, dtype=np.intp).reshape(len(lonlat))


def _batches(n_asked: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Numbers of rows that are asked for about equally many neighbors, few enough to hold."""
    order = np.argsort(n_asked, kind="stable")
    order = order[n_asked[order] > 0]
    start = 0
    while start < len(order):
        # The last row of a batch asks for the most; batches shrink as they ask for more.
        stop = start + max(1, ENTRIES_AT_A_TIME // int(n_asked[order[start]]))
        stop = start + max(1, ENTRIES_AT_A_TIME // int(n_asked[order[min(stop, len(order)) - 1]]))
        yield order[start:stop]
        start = stop
