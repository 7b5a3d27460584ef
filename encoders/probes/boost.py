"""Boosted trees on what the stack leaves over, for quantities.

Gradient boosting (histogram trees of scikit-learn) sees level 1, the coordinates and the embedding's
principal components, and is fitted to held-out residuals of the stack. How much of its correction is
taken, between nothing and all, is what would have been best over the inner folds.
Letters: n training rows, Q rows asked about, D features, P columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from ..sphere import unit_vectors
from .kriging import principal_components
from .level1 import Fold, Predictions
from .ridge import Floats

N_TRIED = 3  # inner folds that tell how much of the correction is taken


@dataclass(frozen=True, eq=False)
class Table:
    """What the trees see: of training rows (n, P) and of test rows (Q, P)."""

    train: NDArray[np.float32]
    test: NDArray[np.float32]

    @classmethod
    def of(
        cls, fold: Fold, held_out: Predictions, asked: Predictions, features: NDArray[np.float32] | None
    ) -> Table:
        """Put level 1, coordinates and embedding side by side."""
        beside = unit_vectors(fold.labeled.lonlat)
        if features is not None:
            beside = np.concatenate([beside, principal_components(features, fold.train)], axis=1)
        return cls(_columns(held_out, beside[fold.train]), _columns(asked, beside[fold.test]))


def boosted_correction(
    fold: Fold, table: Table, held_out_values: Floats, *, n_rounds: int = 120, seed: int = 0
) -> Floats:
    """What to add to the stack's values for the test rows, (Q,).

    Args:
        fold: rows and inner folds.
        table: what the trees see.
        held_out_values: what the stack says of the training rows without their inner fold, (n,).
        n_rounds: number of trees.
        seed: of the trees' choice of columns.
    """
    left = np.asarray(fold.labeled.values, dtype=np.float64)[fold.train] - held_out_values

    def fitted(rows: NDArray[np.bool_]) -> HistGradientBoostingRegressor:
        trees = HistGradientBoostingRegressor(
            max_iter=n_rounds, learning_rate=0.06, max_leaf_nodes=16, min_samples_leaf=40,
            l2_regularization=5.0, max_features=0.3, early_stopping=False, random_state=seed,
        )  # fmt: skip
        return trees.fit(table.train[rows], left[rows])

    correction = np.zeros(len(left))
    for name in np.unique(fold.inner)[:N_TRIED]:
        inside = fold.inner == name
        correction[inside] = fitted(~inside).predict(table.train[inside])
    share = float(correction @ left) / max(float(correction @ correction), 1e-12)
    whole = fitted(np.ones(len(left), dtype=bool)).predict(table.test)
    return np.asarray(np.clip(share, 0.0, 1.0) * whole, dtype=np.float64)


def _columns(level_1: Predictions, beside: Floats) -> NDArray[np.float32]:
    every = np.arange(len(level_1))
    plain = level_1.plain(every, level_1.candidates(every))[:, 0]
    return np.concatenate([plain, level_1.context, level_1.beside, beside], axis=1).astype(np.float32)
