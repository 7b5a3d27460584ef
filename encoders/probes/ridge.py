"""Ridge regression for many penalties at once, from sums over rows that can be added and left out.

Letters: n rows, D features, A penalties, T targets (one column for a quantity, one for each class).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from ..errors import InvalidProbe

ALPHAS: NDArray[np.float64] = 10.0 ** (np.arange(-8, 13) / 2.0)
"""Ridge penalties: 10^-4, 10^-3.5, …, 10^6."""

CHUNK = 8192  # rows that are float64 at one time

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows from which ridge regression can be solved; those of disjoint rows add.

    Features are shifted and scaled by constants of the whole data, since sums of squares of raw ones
    would cancel.

    Attributes:
        shift: subtracted from features, (D,).
        scale: features are divided by it, (D,).
        n: number of rows.
        total: sum of the features, (D,).
        gram: sum of their products, (D, D).
        target_total: sum of targets, (T,).
        cross: sum of products with the targets, (D, T).
        low: least value, (D,); with `high` it tells a constant column without rounding.
        high: greatest value, (D,).
    """

    shift: Floats
    scale: Floats
    n: int
    total: Floats
    gram: Floats
    target_total: Floats
    cross: Floats
    low: Floats
    high: Floats

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.shift, self.scale, self.n + other.n, self.total + other.total, self.gram + other.gram,
            self.target_total + other.target_total, self.cross + other.cross,
            np.minimum(self.low, other.low), np.maximum(self.high, other.high),
        )  # fmt: skip

    def ridge(self, alphas: Floats = ALPHAS, *, penalized_intercept: bool = True) -> RidgePath:
        """Solve for every penalty from one eigendecomposition; for a single one directly.

        Over z-scored training rows the features' sums vanish, so that the intercept decouples: it is
        the targets' mean, times n / (n + α) where it is penalized like a weight.
        """
        mean = self.total / self.n
        variance = np.maximum(np.diagonal(self.gram) - self.n * mean**2, 0.0) / max(self.n - 1, 1)
        floor = 1e-6 / self.scale
        spread = np.maximum(np.sqrt(variance), floor)
        varies = (self.high > self.low).astype(np.float64)  # a constant column has no weight at all
        unit = varies / spread
        gram = (self.gram - self.n * np.outer(mean, mean)) * np.outer(unit, unit)
        cross = (self.cross - np.outer(mean, self.target_total)) * unit[:, None]
        if len(alphas) == 1:
            gram[np.diag_indices_from(gram)] += alphas[0]
            weights = solve(gram, cross, assume_a="pos", overwrite_a=True)[:, None, :]
        else:
            eigenvalues, vectors = np.linalg.eigh(gram)
            shrink = 1.0 / (np.maximum(eigenvalues, 0.0)[None, :] + alphas[:, None])
            weights = np.einsum("de,ae,et->dat", vectors, shrink, vectors.T @ cross, optimize=True)
        kept = self.n / (self.n + alphas) if penalized_intercept else np.ones_like(alphas)
        intercept = kept[:, None] * (self.target_total / self.n)[None, :]
        return RidgePath(
            self.shift + self.scale * mean, np.where(varies > 0, unit, 0.0) / self.scale, weights, intercept
        )

    def take(self, columns: NDArray[np.intp]) -> Moments:
        """The same of some features only."""
        return Moments(
            self.shift[columns], self.scale[columns], self.n, self.total[columns],
            self.gram[np.ix_(columns, columns)], self.target_total, self.cross[columns],
            self.low[columns], self.high[columns],
        )  # fmt: skip

    def squared_error(self, path: RidgePath) -> Floats:
        """Sum over rows and targets of (prediction² - 2 prediction · target) at each penalty, (A,).

        It is the squared error less the targets' own squares, and needs no second look at the rows.
        """
        weights = path.weights * (self.scale * path.unit)[:, None, None]
        intercept = path.intercept + np.einsum(
            "d,dat->at", (self.shift - path.center) * path.unit, path.weights
        )
        linear = np.einsum("dat,d->at", weights, self.total)
        square = np.einsum("dat,de,eat->a", weights, self.gram, weights, optimize=True)
        square += (2.0 * intercept * linear + self.n * intercept**2).sum(axis=1)
        product = np.einsum("dat,dt->a", weights, self.cross) + intercept @ self.target_total
        return np.asarray(square - 2.0 * product)


@dataclass(frozen=True, eq=False)
class RidgePath:
    """Ridge solutions for all penalties: center (D,), unit (D,), weights (D, A, T), intercept (A, T)."""

    center: Floats
    unit: Floats
    weights: Floats
    intercept: Floats

    def at(self, index: int) -> RidgePath:
        """The solution of one penalty alone."""
        only = [index]
        return RidgePath(self.center, self.unit, self.weights[:, only], self.intercept[only])

    def predict(self, features: NDArray[np.floating]) -> Floats:
        """Values of all targets at all penalties: (n, D) -> (n, A, T)."""
        z = (np.asarray(features, dtype=np.float64) - self.center) * self.unit
        D, A, T = self.weights.shape
        flat = z @ self.weights.reshape(D, A * T)
        return np.asarray(flat.reshape(len(z), A, T) + self.intercept)

    def guesses(
        self, features: NDArray[np.floating], rows: NDArray[np.intp]
    ) -> NDArray[np.float64] | NDArray[np.intp]:
        """Values, or codes of the largest class, for some rows: (n, A). One target is a quantity."""
        n_targets = self.weights.shape[2]
        size = max(1, min(CHUNK, 40_000_000 // (self.weights.shape[1] * n_targets)))
        parts = [
            predicted[:, :, 0] if n_targets == 1 else predicted.argmax(axis=2)
            for predicted in (self.predict(features[part]) for part in chunks(rows, size))
        ]
        return np.concatenate(parts)


def moments_of(
    features: NDArray[np.floating],
    columns: Floats,
    *,
    shift: Floats | None = None,
    scale: Floats | None = None,
) -> Moments:
    """Moments of all the rows given: (n, D) and (n, T), shifted and scaled by their own statistics."""
    own_shift, own_scale = center_and_scale(features) if shift is None or scale is None else (shift, scale)
    total: Moments | None = None
    for part in chunks(np.arange(len(features)), CHUNK):
        chunk = chunk_moments(features[part], columns[part], own_shift, own_scale)
        total = chunk if total is None else total + chunk
    if total is None:
        raise InvalidProbe("there are no rows to fit a probe on")
    return total


def chunk_moments(features: NDArray[np.floating], columns: Floats, shift: Floats, scale: Floats) -> Moments:
    """Moments of rows that fit in memory as float64: (n, D), (n, T)."""
    raw = np.asarray(features, dtype=np.float64)
    X = (raw - shift) / scale
    return Moments(
        shift, scale, len(X), X.sum(axis=0), X.T @ X, columns.sum(axis=0), X.T @ columns,
        raw.min(axis=0), raw.max(axis=0),
    )  # fmt: skip


def total_of(moments: Iterable[Moments]) -> Moments:
    """Moments of all rows together."""
    return reduce(add, moments)


def center_and_scale(features: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Mean and standard deviation of all rows, (D,) each; 1 for a constant column."""
    shift = np.asarray(features.mean(axis=0, dtype=np.float64))
    scale = np.asarray(features.std(axis=0, dtype=np.float64))
    return shift, np.where(scale > 1e-6, scale, 1.0)


def chunks(rows: NDArray[np.intp], size: int) -> Iterator[NDArray[np.intp]]:
    """Row numbers in parts of `size`, in order."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
