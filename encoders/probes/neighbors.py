"""Predictions from labeled neighbors: means, inverse distances, kernels, as weights over neighbors.

Every method here is a linear smoother: weights over the nearest labeled rows, that serve a quantity
and the frequencies of classes alike. Letters: Q rows asked about, K neighbors, M smoothers, T target
columns. Distances are great-circle kilometers; nearest neighbors come first.

A training row's neighbors must stand to it as those of a test row will. So they are held out the way
the test rows are: alone where the folds are random, and with its whole block where they are blocks,
since otherwise a fit would learn to trust neighbors that the test rows do not have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..errors import InvalidProbe
from ..sphere import km_of_chord, unit_vectors
from .folds import Folds

Floats = NDArray[np.float64]

N_NEIGHBORS = 48
COUNTS = (1, 2, 3, 5, 8, 12, 20, 48)
"""Neighbors that plain means take."""

INVERSE_POWERS = ((10, 1.0), (48, 1.0), (48, 2.0))
"""Neighbors and power of inverse-distance means."""

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Standard deviations of Gaussian kernels, in units of the spacing."""


@dataclass(frozen=True, eq=False)
class Near:
    """Nearest labeled rows of some rows: `rows` and `km`, (Q, K) each, nearest first."""

    rows: NDArray[np.intp]
    km: Floats

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: NDArray[np.intp] | slice) -> Near:
        return Near(self.rows[part], self.km[part])


def nearest(lonlat: Floats, among: NDArray[np.intp], of: NDArray[np.intp], k: int = N_NEIGHBORS) -> Near:
    """The k rows of `among` nearest to each row of `of`; a row is not its own neighbor.

    Args:
        lonlat: places of all rows, (N, 2).
        among: numbers of the labeled rows.
        of: numbers of the rows asked about.
        k: how many, at most the labeled rows that there are.

    Raises:
        InvalidProbe: if there are fewer than two labeled rows.
    """
    k = min(k, len(among) - 1)
    if k < 1:
        raise InvalidProbe(f"{len(among)} labeled rows are too few to have neighbors")
    xyz = unit_vectors(lonlat)
    chord, found = cKDTree(xyz[among]).query(xyz[of], k=k + 1)
    rows = among[found]
    # Where many rows share one place a row need not be among its own nearest: then the last goes.
    drop = rows == of[:, None]
    drop[~drop.any(axis=1), -1] = True
    return Near(rows[~drop].reshape(len(of), k), km_of_chord(chord[~drop].reshape(len(of), k)))


def held_out_nearest(
    lonlat: Floats, train: NDArray[np.intp], inner: Folds | None, k: int = N_NEIGHBORS
) -> Near:
    """Neighbors of training rows among the other training rows, held out as the test rows are.

    Args:
        lonlat: places of all rows, (N, 2).
        train: numbers of the training rows, (n,).
        inner: folds of the training rows, (n,), none of whose rows see each other; or None, where
            only the row itself is left out.
        k: how many.
    """
    if inner is None:
        return nearest(lonlat, train, train, k)
    k = min(k, min(int((inner != fold).sum()) for fold in np.unique(inner)) - 1)
    rows, km = np.zeros((len(train), max(k, 1)), dtype=np.intp), np.zeros((len(train), max(k, 1)))
    for fold in np.unique(inner):
        inside = inner == fold
        found = nearest(lonlat, train[~inside], train[inside], k)
        rows[inside], km[inside] = found.rows, found.km
    return Near(rows, km)


def smoother_names() -> list[str]:
    """Names of the smoothers of `smoother_weights`, M of them."""
    return [
        *(f"mean of {count}" for count in COUNTS),
        *(f"{count} by 1/d^{power:g}" for count, power in INVERSE_POWERS),
        *(f"kernel of {width:g} spacings" for width in BANDWIDTHS),
    ]


def smoother_weights(near: Near, spacing_km: float) -> NDArray[np.float32]:
    """Weights over neighbors that sum to one: (Q, M, K).

    Args:
        near: the neighbors.
        spacing_km: what the widths of the kernels are multiples of; a tenth of it is added to
            distances that are divided by.
    """
    km = near.km
    rank = np.arange(km.shape[1])
    weights = np.empty((len(km), len(smoother_names()), len(rank)), dtype=np.float32)
    n_inverse = len(COUNTS) + len(INVERSE_POWERS)
    for place, count in enumerate(COUNTS):
        weights[:, place] = rank < count
    for place, (count, power) in enumerate(INVERSE_POWERS, len(COUNTS)):
        weights[:, place] = (rank < count) / (km + 0.1 * spacing_km) ** power
    # Less the nearest's square, so that a kernel far from all rows is the nearest row, not 0 / 0.
    beyond = (km**2 - km[:, :1] ** 2) / spacing_km**2
    for place, width in enumerate(BANDWIDTHS, n_inverse):
        weights[:, place] = np.exp(-0.5 / width**2 * beyond)
    weights /= weights.sum(axis=2, keepdims=True)
    return weights


def spacing_km(near: Near) -> float:
    """Typical distance between labeled rows: the median to the fifth neighbor, at least 10 m."""
    return max(float(np.median(near.km[:, min(4, near.km.shape[1] - 1)])), 0.01)


def smooth(weights: NDArray[np.floating], near: Near, columns: NDArray[np.floating]) -> Floats:
    """Weighted sums of the neighbors' labels: (Q, M, K), (N, T) columns -> (Q, M, T)."""
    return np.asarray(np.matmul(weights, columns[near.rows]), dtype=np.float64)


def smooth_classes(
    weights: NDArray[np.floating], near: Near, codes: NDArray[np.intp], n_classes: int
) -> Floats:
    """Weighted frequencies of classes among neighbors: (Q, M, K), (N,) codes -> (Q, M, T).

    The same as `smooth` of columns of zeros and ones, without multiplying the zeros.
    """
    out = np.zeros((*weights.shape[:2], n_classes))
    rows = np.arange(len(near))
    for k in range(weights.shape[2]):
        out[rows, :, codes[near.rows[:, k]]] += weights[:, :, k]
    return out


def context(near: Near, spacing: float) -> Floats:
    """What says how far neighbors are to be trusted: log km to the 1st, 5th, 20th: (Q, 3)."""
    ranks = [min(rank, near.km.shape[1] - 1) for rank in (0, 4, 19)]
    return np.asarray(np.log(near.km[:, ranks] + 0.1 * spacing))


def density(near: Near, spacing: float) -> Floats:
    """log(1 + neighbors) at the same place and within 0.3, 1 and 3 spacings: (Q, 4)."""
    counts = [(near.km <= radius * spacing).sum(axis=1) for radius in (0.001, 0.3, 1.0, 3.0)]
    return np.asarray(np.log1p(np.stack(counts, axis=1)), dtype=np.float64)


def spread_of_labels(near: Near, values: Floats) -> Floats:
    """Standard deviation, median, least and greatest of 5 and of 20 neighbors' values: (Q, 8)."""
    parts: list[Floats] = []
    for count in (5, 20):
        some = values[near.rows[:, :count]]
        parts += [some.std(axis=1), np.median(some, axis=1), some.min(axis=1), some.max(axis=1)]
    return np.stack(parts, axis=1)
