"""Intervals of the benchmark's scores: over folds, and by bootstrap of the pooled predictions.

The bootstrap resamples what was held out together, within each fold: rows where the folds are random,
whole cells where they are blocks. Predictions stay as they are, so it tells how much a score depends on
the places that happen to be asked about, not how much on the training rows. All rows of the table see
the same resamples, so that differences are paired. Letters: N rows, F folds, G groups, B resamples,
R rows of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from .folds import Folds

Floats = NDArray[np.float64]
Interval = tuple[float, float]

MIN_GROUPS = 5
"""In each fold, for an interval to be given: of fewer there are too few different resamples."""
N_RESAMPLES = 1000
CHUNK = 50  # resamples drawn at one time


@dataclass(frozen=True, eq=False)
class Resampled:
    """Scores of all rows of a table in all resamples, (R, B)."""

    scores: Floats

    def interval(self, row: int) -> Interval:
        """95 % percentile interval of a row's score."""
        return _percentiles(self.scores[row])

    def gain(self, row: int, over: int) -> Interval:
        """95 % interval of the difference of two rows' scores, paired."""
        return _percentiles(self.scores[row] - self.scores[over])


def resampled(
    predictions: NDArray[np.generic],
    truth: NDArray[np.generic],
    folds: Folds,
    groups: NDArray[np.generic],
    *,
    is_class: bool,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Resampled:
    """Score resamples: mean over folds of R², about the resampled fold's mean, or of accuracy.

    Args:
        predictions: out of fold, (R, N): values or class codes.
        truth: (N,), of the same kind.
        folds: label of each row's fold, (N,).
        groups: what is drawn together, (N,); a group lies in one fold.
        is_class: accuracy instead of R².
        n_resamples: B.
        seed: of the resamples.
    """
    used = np.unique(folds)
    scores = np.zeros((len(predictions), n_resamples))
    for fold in used:
        inside = folds == fold
        sums = _group_sums(predictions[:, inside], truth[inside], groups[inside], is_class)
        start = 0
        for drawn in _draws(len(sums), n_resamples, np.random.default_rng((seed, int(fold)))):
            totals = drawn @ sums  # (b, R + 3)
            error, n, total, square = totals[:, :-3], totals[:, -3:-2], totals[:, -2:-1], totals[:, -1:]
            spread = np.maximum(square - total**2 / n, 1e-12)
            part = error / n if is_class else 1.0 - error / spread
            scores[:, start : start + len(drawn)] += part.T / len(used)
            start += len(drawn)
    return Resampled(scores)


def groups_in_folds(folds: Folds, groups: NDArray[np.generic]) -> NDArray[np.intp]:
    """How many groups each fold holds that holds any, (F,)."""
    return np.array([len(np.unique(groups[folds == fold])) for fold in np.unique(folds)], dtype=np.intp)


def over_folds(per_fold: Floats) -> Interval:
    """95 % interval of the mean by Student's t over folds, which is short where folds share rows."""
    half = student.ppf(0.975, len(per_fold) - 1) * per_fold.std(ddof=1) / np.sqrt(len(per_fold))
    return float(per_fold.mean() - half), float(per_fold.mean() + half)


def _group_sums(
    predictions: NDArray[np.generic],
    truth: NDArray[np.generic],
    groups: NDArray[np.generic],
    is_class: bool,
) -> Floats:
    """For each group squared errors (or hits) of all rows, count, sum and sum of squares: (G, R + 3)."""
    _, group = np.unique(groups, return_inverse=True)
    if is_class:
        columns = [(one == truth).astype(np.float64) for one in predictions]
        values = np.zeros(len(truth))
    else:
        values = np.asarray(truth, dtype=np.float64)
        columns = [(np.asarray(one, dtype=np.float64) - values) ** 2 for one in predictions]
        values = values - values.mean()  # sums of squares of large values would cancel
    columns += [np.ones(len(truth)), values, values**2]
    return np.stack([np.bincount(group, column) for column in columns], axis=1)


def _draws(n_groups: int, n_resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """How often each group is drawn, (b, G) at a time."""
    for start in range(0, n_resamples, CHUNK):
        size = min(CHUNK, n_resamples - start)
        drawn = rng.integers(0, n_groups, (size, n_groups)) + np.arange(size)[:, None] * n_groups
        counts = np.bincount(drawn.ravel(), minlength=size * n_groups)
        yield counts.reshape(size, n_groups).astype(np.float64)


def _percentiles(values: Floats) -> Interval:
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)
