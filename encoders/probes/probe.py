"""The CoordBench protocol: what a linear probe reads out of frozen location features.

Protocol of `torchgeo/torchgeo-bench`, module `coordbench`: five folds, drawn from the rows in file
order or from blocks of the map; features z-scored on the training rows; ridge regression with 21
penalties; R² of a quantity, or accuracy of one-hot ridge, averaged over the folds. The penalty is
chosen **on the reported folds**, which flatters every row a little and is what was published; with
`selection="nested"` it is chosen on the training folds alone.

Letters: N rows, D features, F folds, A penalties, T targets (1, or the number of classes). A fold is
a label for each row, (N,), and rows keep the order of their file: shuffled rows are other folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from ..errors import InvalidProbe
from .folds import Folds
from .folds import block_folds as block_folds
from .folds import random_folds as random_folds
from .ridge import ALPHAS, CHUNK, Floats, Moments, center_and_scale, chunk_moments, chunks, total_of


@dataclass(frozen=True, eq=False)
class ProbeScore:
    """How well a target can be read.

    Attributes:
        mean: R² or accuracy, mean over folds: the figure that is reported.
        per_fold: the same for each fold that holds rows, (F,).
        alpha: the ridge penalty chosen; NaN where each fold has its own, or there is none.
        by_alpha: score of every penalty and fold, (A, F); empty where there is none.
        predictions: out-of-fold predictions at the penalty chosen, (N,): values, or class codes.
    """

    mean: float
    per_fold: Floats
    alpha: float
    by_alpha: Floats
    predictions: NDArray[Any]


def ridge_scores(
    features: ArrayLike,
    y: ArrayLike,
    folds: Folds,
    classification: bool = False,
    penalized_intercept: bool = True,
    *,
    selection: Literal["test", "nested"] = "test",
    alphas: Floats = ALPHAS,
) -> ProbeScore:
    """Score a ridge probe of frozen features.

    One pass over the rows gathers the moments of each fold; those of a training set are sums of
    them, and one eigendecomposition serves all penalties. Beside the features it takes memory for
    F matrices (D, D) and one chunk of rows.

    Args:
        features: (N, D); taken as float32, as the protocol does.
        y: (N,): a quantity, or labels of any kind with `classification`.
        folds: label of each row's fold, (N,); rows labeled -1 are left out.
        classification: ridge on one-hot targets, and accuracy of the largest.
        penalized_intercept: shrink the intercept like any weight, as the published figures do.
        selection: "test" picks the penalty of the best mean score; "nested" picks one for each fold
            by cross-validation over the other folds.
        alphas: penalties to choose from, (A,).

    Raises:
        InvalidProbe: shapes disagree, values are not finite, or fewer than two folds hold rows.
    """
    X, target, used = _checked(features, y, folds, classification)
    moments = _fold_moments(X, target, folds, used)
    splits = [_others(moments, {fold}) for fold in used]
    by_alpha = np.empty((len(alphas), len(used)))
    guesses = np.zeros((len(X), len(alphas)), dtype=np.intp if classification else np.float64)
    for column, (fold, training) in enumerate(zip(used, splits, strict=True)):
        rows = np.flatnonzero(folds == fold)
        path = training.ridge(alphas, penalized_intercept=penalized_intercept)
        guesses[rows] = path.guesses(X, rows)
        by_alpha[:, column] = score(guesses[rows], target.values[rows], classification)
    if selection == "test":
        best = np.full(len(used), int(by_alpha.mean(axis=1).argmax()))
    else:
        inner = _inner_scores(X, target, folds, used, moments, alphas, penalized_intercept)
        best = inner.argmax(axis=0)
    per_fold = by_alpha[best, np.arange(len(used))]
    chosen = np.zeros(len(X), dtype=np.intp)
    for fold, row in zip(used, best, strict=True):
        chosen[folds == fold] = row
    alpha = float(alphas[best[0]]) if (best == best[0]).all() else float("nan")
    predictions = np.take_along_axis(guesses, chosen[:, None], axis=1)[:, 0]
    return ProbeScore(float(per_fold.mean()), per_fold, alpha, by_alpha, predictions)


def score(guesses: NDArray[np.generic], truth: NDArray[np.generic], classification: bool) -> Floats:
    """R² about the mean of the rows given, or accuracy: (n, A) against (n,) -> (A,)."""
    if classification:
        return np.asarray((guesses == truth[:, None]).mean(axis=0), dtype=np.float64)
    values = np.asarray(truth, dtype=np.float64)
    spread = max(float(((values - values.mean()) ** 2).sum()), 1e-12)
    error = ((np.asarray(guesses, dtype=np.float64) - values[:, None]) ** 2).sum(axis=0)
    return np.asarray(1.0 - error / spread)


def scored(predictions: NDArray[np.generic], y: ArrayLike, folds: Folds, classification: bool) -> ProbeScore:
    """Score predictions made elsewhere, fold by fold; class codes are those of `np.unique`."""
    target = _Target.of(y, classification)
    used = [fold for fold in np.unique(folds) if fold >= 0]
    parts = [score(predictions[folds == f, None], target.values[folds == f], classification) for f in used]
    per_fold = np.concatenate(parts)
    plain = np.asarray(predictions, dtype=np.intp if classification else np.float64)
    return ProbeScore(float(per_fold.mean()), per_fold, float("nan"), np.empty((0, len(used))), plain)


def knn_accuracy(features: ArrayLike, y: ArrayLike, folds: Folds, *, k: int = 5) -> ProbeScore:
    """Accuracy of a majority vote of the k nearest training rows, by z-scored features.

    Args:
        features: (N, D); distances are Euclidean after z-scoring on the training rows.
        y: (N,) labels of any kind.
        folds: label of each row's fold, (N,); rows labeled -1 are left out.
        k: votes, at most as many as training rows; a tie goes to the class that sorts first.
    """
    X, target, used = _checked(features, y, folds, True)
    predictions = np.zeros(len(X), dtype=np.intp)
    for fold in used:
        train, test = np.flatnonzero((folds != fold) & (folds >= 0)), np.flatnonzero(folds == fold)
        mean, spread = X[train].mean(axis=0), np.maximum(X[train].std(axis=0, ddof=1), np.float32(1e-6))
        near = nearest_rows((X[train] - mean) / spread, (X[test] - mean) / spread, min(k, len(train)))
        votes = np.asarray(target.values, dtype=np.intp)[train[near]]
        counts = np.zeros((len(test), target.n_columns), dtype=np.int32)
        np.add.at(counts, (np.arange(len(test))[:, None], votes), 1)
        predictions[test] = counts.argmax(axis=1)
    return scored(predictions, y, folds, True)


def nearest_rows(among: NDArray[np.float32], of: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Rows of `among` nearest to each row of `of`, nearest first: (M, D), (Q, D) -> (Q, k)."""
    if among.shape[1] <= 16:
        _, near = cKDTree(among).query(of, k=np.arange(1, k + 1))
        return np.asarray(near, dtype=np.intp)
    squares = (among * among).sum(axis=1)
    found = np.empty((len(of), k), dtype=np.intp)
    for part in chunks(np.arange(len(of)), max(1, 50_000_000 // len(among))):
        far = squares - 2.0 * (of[part] @ among.T)
        some = np.argpartition(far, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(far, some, axis=1).argsort(axis=1, kind="stable")
        found[part] = np.take_along_axis(some, order, axis=1)
    return found


@dataclass(frozen=True, eq=False)
class _Target:
    """What is predicted: (N,) values or class codes, and how to make them columns."""

    values: NDArray[np.float64] | NDArray[np.intp]
    n_columns: int
    is_class: bool

    @classmethod
    def of(cls, y: ArrayLike, classification: bool) -> _Target:
        if classification:
            names, codes = np.unique(np.asarray(y), return_inverse=True)
            return cls(codes.astype(np.intp), len(names), True)
        return cls(np.asarray(y, dtype=np.float64), 1, False)

    def columns(self, rows: NDArray[np.intp]) -> Floats:
        """One column of values, or one of zeros and ones for each class: (n, T)."""
        if not self.is_class:
            return np.asarray(self.values[rows, None], dtype=np.float64)
        return np.asarray(np.eye(self.n_columns)[self.values[rows]])


def _fold_moments(
    X: NDArray[np.float32], target: _Target, folds: Folds, used: list[int]
) -> dict[int, Moments]:
    shift, scale = center_and_scale(X)
    moments: dict[int, Moments] = {}
    for fold in used:
        for part in chunks(np.flatnonzero(folds == fold), CHUNK):
            chunk = chunk_moments(X[part], target.columns(part), shift, scale)
            moments[fold] = moments[fold] + chunk if fold in moments else chunk
    return moments


def _others(moments: dict[int, Moments], left_out: set[int]) -> Moments:
    """Moments of all folds but some."""
    return total_of(one for fold, one in moments.items() if fold not in left_out)


def _inner_scores(
    X: NDArray[np.float32],
    target: _Target,
    folds: Folds,
    used: list[int],
    moments: dict[int, Moments],
    alphas: Floats,
    penalized_intercept: bool,
) -> Floats:
    """For each fold, mean score of every penalty when the other folds take turns as test: (A, F)."""
    if len(used) < 3:
        raise InvalidProbe(
            f"a nested choice of the penalty needs three folds with rows; there are {len(used)}"
        )
    scores = np.zeros((len(alphas), len(used)))
    for i, j in combinations(range(len(used)), 2):
        path = _others(moments, {used[i], used[j]}).ridge(alphas, penalized_intercept=penalized_intercept)
        for outer, inner in ((i, j), (j, i)):
            rows = np.flatnonzero(folds == used[inner])
            found = score(path.guesses(X, rows), target.values[rows], target.is_class)
            scores[:, outer] += found / (len(used) - 1)
    return scores


def _checked(
    features: ArrayLike, y: ArrayLike, folds: Folds, classification: bool
) -> tuple[NDArray[np.float32], _Target, list[int]]:
    X = np.asarray(features, dtype=np.float32)
    target = _Target.of(y, classification)
    if X.ndim != 2 or not len(X) == len(target.values) == len(folds) or target.values.ndim != 1:
        raise InvalidProbe(
            f"features {X.shape}, labels {target.values.shape} and folds {np.shape(folds)} do not belong"
            " together: expected (N, D), (N,) and (N,)"
        )
    if not np.isfinite(X).all() or (not classification and not np.isfinite(target.values).all()):
        raise InvalidProbe("features or labels hold NaN or infinity; leave those rows out before folding")
    if classification and target.n_columns < 2:
        raise InvalidProbe("all labels are of one class; there is nothing to tell apart")
    used = [int(fold) for fold in np.unique(folds) if fold >= 0]
    if len(used) < 2:
        raise InvalidProbe(
            f"{len(X)} rows fall into {len(used)} fold; a probe needs two: take smaller blocks"
        )
    return X, target, used
