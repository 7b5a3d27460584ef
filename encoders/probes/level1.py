"""Level 1 of the stack: the rows of a fold, predictions from labeled neighbors, and their context.

Training rows get theirs held out the way the test rows are, so that a fit learns from them how far to
trust neighbors.

Letters as in `stack`: N rows, n training rows, Q rows asked about, T target columns, M predictions,
R predictions by residuals, K neighbors, C and B context columns, P columns of level 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidProbe
from .folds import Folds, Split
from .kriging import Covariance, Space, best_covariances, covariances_by_range, kriging_weights
from .neighbors import (
    Near,
    context,
    density,
    held_out_nearest,
    nearest,
    smooth,
    smooth_classes,
    smoother_names,
    smoother_weights,
    spacing_km,
    spread_of_labels,
)
from .ridge import Floats

INNER_SEED = 1
CHUNK = 4096
N_CANDIDATES = 10  # classes that level 2 weighs for a row
BROADEST = smoother_names().index("48 by 1/d^1")


@dataclass(frozen=True, eq=False)
class Labeled:
    """All rows: places (N, 2), values or codes of classes (N,), and how many target columns."""

    lonlat: Floats
    values: NDArray[np.float64] | NDArray[np.intp]
    n_columns: int
    is_class: bool

    @classmethod
    def of(cls, lonlat: Floats, y: ArrayLike, classification: bool) -> Labeled:
        """Take values as they are, and names of classes as codes."""
        if classification:
            names, codes = np.unique(np.asarray(y), return_inverse=True)
            return cls(lonlat, codes.astype(np.intp), len(names), True)
        return cls(lonlat, np.asarray(y, dtype=np.float64), 1, False)

    def targets(self, rows: NDArray[np.intp]) -> Floats:
        """A column of values, or one of zeros and ones for each class, (n, T)."""
        if self.is_class:
            return np.asarray(np.eye(self.n_columns)[self.values[rows]])
        return np.asarray(self.values[rows, None], dtype=np.float64)

    def truth(self, rows: NDArray[np.intp], candidates: NDArray[np.intp]) -> Floats:
        """What level 2 is fitted to: values, or whether a candidate is right, (n, T)."""
        if not self.is_class:
            return self.targets(rows)
        return np.asarray(self.values[rows, None] == candidates, dtype=np.float64)

    def smooth(self, weights: NDArray[np.floating], near: Near) -> Floats:
        """Weighted labels of neighbors: (Q, M, K) -> (Q, M, T)."""
        if self.is_class:
            return smooth_classes(weights, near, np.asarray(self.values, dtype=np.intp), self.n_columns)
        return smooth(weights, near, np.asarray(self.values, dtype=np.float64)[:, None])


@dataclass(frozen=True, eq=False)
class Fold:
    """One outer fold: rows to fit on and to score, their neighbors, and the folds within the former.

    Attributes:
        labeled: all rows; of test rows only the places are read.
        train: numbers of the training rows, (n,).
        test: numbers of the test rows, (Q,).
        inner: inner folds of the training rows, made the way the outer ones are, (n,).
        apart: neighbors of training rows outside of their inner folds.
        near: the same, where folds are blocks; where they are random all but the row itself.
        asked: neighbors of test rows among the training rows.
        spacing_km: typical distance of training rows.
    """

    labeled: Labeled
    train: NDArray[np.intp]
    test: NDArray[np.intp]
    inner: Folds
    apart: Near
    near: Near
    asked: Near
    spacing_km: float

    @classmethod
    def of(cls, labeled: Labeled, folds: Folds, fold: int, split: Split) -> Fold:
        """Divide the rows, and look up neighbors.

        Raises:
            InvalidProbe: if the training rows fall into fewer than three folds of their own.
        """
        lonlat = labeled.lonlat
        train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        inner = split.folds(lonlat[train], seed=INNER_SEED)
        if len(np.unique(inner)) < 3:
            raise InvalidProbe(
                f"{len(train)} training rows fall into {len(np.unique(inner))} inner folds, and a stack"
                " needs three: take smaller blocks"
            )
        apart = held_out_nearest(lonlat, train, inner)
        k = apart.rows.shape[1]
        near = apart if split.degrees is not None else held_out_nearest(lonlat, train, None, k)
        asked = nearest(lonlat, train, test, k)
        return cls(
            labeled, train, test, inner, apart, near, asked, spacing_km(nearest(lonlat, train, train, 5))
        )

    def label_error(self, weights: NDArray[np.float32], some: NDArray[np.intp]) -> float:
        """Mean squared error of weighted labels (q, K) for some training rows, (q,), by `near`."""
        predicted = self.labeled.smooth(weights[:, None, :], self.near[some])[:, 0]
        return float(((predicted - self.labeled.targets(self.train[some])) ** 2).mean())


@dataclass(frozen=True, eq=False)
class Predictions:
    """What level 1 says of some rows.

    Attributes:
        labeled: all rows; only labels of training rows are read.
        near: labeled neighbors, (Q, K).
        weights: of the smoothers of labels, (Q, M, K).
        context: standardized distances and least kriging variance, (Q, C): they multiply predictions.
        beside: more of the kind, and the spread of the neighbors' labels, for quantities, (Q, B).
        embedded: what the embedding says, alone and with kriged residuals, (Q, 1 + R, T); or (Q, 0, T).
        n_without_embedding: how many smoothers know of places alone; they come first.
    """

    labeled: Labeled
    near: Near
    weights: NDArray[np.float32]
    context: Floats
    beside: Floats
    embedded: NDArray[np.float32]
    n_without_embedding: int

    def __len__(self) -> int:
        return len(self.near)

    def with_embedding(self, weights: NDArray[np.float32], embedded: NDArray[np.float32]) -> Predictions:
        """The same with what an embedding says: smoothers that look at it, (Q, ·, K), and predictions."""
        return replace(self, weights=np.concatenate([self.weights, weights], axis=1), embedded=embedded)

    def candidates(self, part: NDArray[np.intp]) -> NDArray[np.intp]:
        """Classes worth weighing for some rows, by what neighbors and embedding say: (q, ≤ 10) codes.

        A quantity has one column, number 0.
        """
        if not self.labeled.is_class:
            return np.zeros((len(part), 1), dtype=np.intp)
        evidence = self.labeled.smooth(self.weights[part, BROADEST, None], self.near[part])[:, 0]
        if self.embedded.shape[1]:
            evidence = evidence + self.embedded[part, 0]
        n = min(N_CANDIDATES, self.labeled.n_columns)
        return np.argpartition(-evidence, n - 1, axis=1)[:, :n]

    def plain(self, part: NDArray[np.intp], candidates: NDArray[np.intp]) -> Floats:
        """The predictions alone, of the candidates for some rows: (q, T, M + 1 + R)."""
        weights, near, values = self.weights[part], self.near[part], self.labeled.values
        if not self.labeled.is_class:
            said = smooth(weights, near, np.asarray(values, dtype=np.float64)[:, None])
            embedded = self.embedded[part]
        else:
            hits = values[near.rows][:, :, None] == candidates[:, None, :]
            said = np.matmul(weights, hits.astype(np.float32))
            embedded = np.take_along_axis(self.embedded[part], candidates[:, None, :], axis=2)
        return np.asarray(np.concatenate([said, embedded], axis=1).transpose(0, 2, 1), dtype=np.float64)

    def design(self, part: NDArray[np.intp], candidates: NDArray[np.intp]) -> Floats:
        """Columns of level 2, (q, T, P): predictions, their products with context, what is beside."""
        plain = self.plain(part, candidates)
        about = self.context[part, None, :]
        products = (plain[:, :, :, None] * about[:, :, None, :]).reshape(*plain.shape[:2], -1)
        if self.labeled.is_class:
            return np.concatenate([plain, products], axis=2)
        return np.concatenate([plain, products, about, self.beside[part, None, :]], axis=2)

    def designs(self) -> list[NDArray[np.intp]]:
        """Choices of columns for level 2, simplest first."""
        n_plain, n_context = self.weights.shape[1] + self.embedded.shape[1], self.context.shape[1]
        n_products = n_plain * n_context
        plain, products = np.arange(n_plain), np.arange(n_plain, n_plain + n_products)
        n_beside = 0 if self.labeled.is_class else n_context + self.beside.shape[1]
        beside = np.arange(n_plain + n_products, n_plain + n_products + n_beside)
        choices = [plain, np.concatenate([plain, beside]), np.concatenate([plain, products, beside])]
        if self.n_without_embedding < n_plain:
            choices.insert(0, plain[self.n_without_embedding :])
        return choices


def neighbor_predictions(fold: Fold) -> tuple[Predictions, Predictions]:
    """Predictions from labeled neighbors alone: for training rows, held out, and for test rows."""
    lonlat = fold.labeled.lonlat
    groups = covariances_by_range(fold.spacing_km)
    kriged = best_covariances(Space.of(lonlat), fold.near, fold.train, groups, fold.label_error)
    first = _said(fold, fold.near, fold.train, kriged)
    second = _said(fold, fold.asked, fold.test, kriged)
    middle, spread = first.context.mean(axis=0), np.maximum(first.context.std(axis=0), 1e-9)
    held_out, asked = (replace(one, context=(one.context - middle) / spread) for one in (first, second))
    return held_out, asked


def _said(fold: Fold, near: Near, of: NDArray[np.intp], kriged: list[Covariance]) -> Predictions:
    labeled, spacing = fold.labeled, fold.spacing_km
    weights = [smoother_weights(near, spacing)]
    space = Space.of(labeled.lonlat)
    found = [kriging_weights(space, near, of, covariance) for covariance in kriged]
    weights += [one[:, None, :] for one, _ in found]
    variances = np.stack([variance for _, variance in found], axis=1)
    beside = [density(near, spacing), variances[:, 1:]]
    if not labeled.is_class:
        beside.append(spread_of_labels(near, np.asarray(labeled.values, dtype=np.float64)))
    return Predictions(
        labeled=labeled,
        near=near,
        weights=np.concatenate(weights, axis=1),
        context=np.column_stack([context(near, spacing), variances[:, 0]]),
        beside=np.concatenate(beside, axis=1),
        embedded=np.zeros((len(near), 0, labeled.n_columns), dtype=np.float32),
        n_without_embedding=sum(one.shape[1] for one in weights),
    )
