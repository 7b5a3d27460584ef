"""What an embedding says of the rows of a fold: kriging that looks at it, and its ridge probe.

A prediction for a training row may depend on its own label by no way, however long. So what the probe
leaves over at a row's neighbors comes from probes that were fitted without the row's inner fold and
without the neighbor's: one probe for each pair of inner folds. Letters as in `stack`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .kriging import (
    Space,
    best_covariances,
    covariances_by_likeness,
    covariances_by_range,
    kriging_weights,
    principal_components,
)
from .level1 import Fold, Predictions
from .neighbors import smooth
from .ridge import ALPHAS, Floats, RidgePath, center_and_scale, chunk_moments, chunks, total_of

CHUNK = 4096


def with_embedding(
    fold: Fold, features: NDArray[np.float32], held_out: Predictions, asked: Predictions
) -> tuple[Predictions, Predictions]:
    """Add what an embedding says to the neighbors' predictions, of training rows and of test rows."""
    space = Space.of(fold.labeled.lonlat, principal_components(features, fold.train))
    joint = joint_weights(fold, space)
    first, second = ridge_predictions(fold, features, space)
    return held_out.with_embedding(joint[0], first), asked.with_embedding(joint[1], second)


def joint_weights(fold: Fold, space: Space) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kriging weights by place and embedding together, for training and test rows: (·, 3, K)."""
    own, others = space.components[fold.train], space.components[fold.near.rows[:, :5]]
    likeness = float(np.median(np.linalg.norm(others - own[:, None], axis=2)))
    groups = covariances_by_likeness(fold.spacing_km, max(likeness, 1e-6))
    chosen = best_covariances(space, fold.near, fold.train, groups, fold.label_error)
    first, second = (
        np.stack([kriging_weights(space, near, of, covariance)[0] for covariance in chosen], axis=1)
        for near, of in ((fold.near, fold.train), (fold.asked, fold.test))
    )
    return first, second


def ridge_predictions(
    fold: Fold, features: NDArray[np.float32], space: Space
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The embedding's ridge probe, alone and with kriged residuals, of training and test rows: (·, 2, T)."""
    residuals = _Residuals.of(fold, features)

    def error(weights: NDArray[np.float32], some: NDArray[np.intp]) -> float:
        told = residuals.own[some] + residuals.smoothed(weights, some)
        return float(((told - fold.labeled.targets(fold.train[some])) ** 2).mean())

    groups = covariances_by_range(fold.spacing_km)
    best = best_covariances(space, fold.apart, fold.train, groups, error, is_mean_known=True)[0]
    first, _ = kriging_weights(space, fold.apart, fold.train, best, is_mean_known=True)
    second, _ = kriging_weights(space, fold.asked, fold.test, best, is_mean_known=True)
    every = chunks(np.arange(len(fold.train)), CHUNK)
    held_out = np.concatenate([residuals.smoothed(first[part], part) for part in every])
    every = chunks(np.arange(len(fold.test)), CHUNK)
    asked = np.concatenate([residuals.smoothed_for_test(second[part], part) for part in every])
    return (
        np.stack([residuals.own, residuals.own + held_out], axis=1),
        np.stack([residuals.asked, residuals.asked + asked], axis=1),
    )


@dataclass(frozen=True, eq=False)
class _Residuals:
    """A ridge probe's predictions, and what they leave over at neighbors.

    Attributes:
        fold: the rows.
        own: of training rows, each by a probe without its inner fold, (n, T).
        asked: of test rows, (Q, T).
        left: for each inner fold the residuals of the others' rows, by probes that saw neither, (N, T).
        whole: residuals of all training rows, (N, T).
    """

    fold: Fold
    own: NDArray[np.float32]
    asked: NDArray[np.float32]
    left: dict[int, NDArray[np.float32]]
    whole: NDArray[np.float32]

    @classmethod
    def of(cls, fold: Fold, features: NDArray[np.float32]) -> _Residuals:
        """Fit the probes and take their residuals."""
        train, probes = fold.train, _Probes.fitted(fold, features)
        truth = fold.labeled.targets(train).astype(np.float32)
        shape = (len(features), fold.labeled.n_columns)
        own = np.zeros_like(truth)
        for name in probes.names:
            inside = np.flatnonzero(fold.inner == name)
            own[inside] = probes.values({name}, train[inside])
        left = {name: np.zeros(shape, dtype=np.float32) for name in probes.names}
        for one, other in combinations(probes.names, 2):
            for hidden, seen in ((one, other), (other, one)):
                rows = np.flatnonzero(fold.inner == seen)
                left[hidden][train[rows]] = truth[rows] - probes.values({one, other}, train[rows])
        whole = np.zeros(shape, dtype=np.float32)
        whole[train] = truth - own
        return cls(fold, own, probes.values(set(), fold.test), left, whole)

    def smoothed(self, weights: NDArray[np.float32], some: NDArray[np.intp]) -> NDArray[np.float32]:
        """Weighted residuals of the neighbors of some training rows: (q, K) -> (q, T)."""
        out = np.zeros((len(some), self.own.shape[1]), dtype=np.float32)
        for name, table in self.left.items():
            inside = self.fold.inner[some] == name
            near = self.fold.apart[some[inside]]
            out[inside] = smooth(weights[inside, None, :], near, table)[:, 0]
        return out

    def smoothed_for_test(self, weights: NDArray[np.float32], some: NDArray[np.intp]) -> NDArray[np.float32]:
        """Weighted residuals of the neighbors of some test rows: (q, K) -> (q, T)."""
        return smooth(weights[:, None, :], self.fold.asked[some], self.whole)[:, 0].astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Probes:
    """Ridge probes of an embedding, fitted without some inner folds, at one penalty."""

    features: NDArray[np.float32]
    names: list[int]
    paths: dict[frozenset[int], RidgePath]

    @classmethod
    def fitted(cls, fold: Fold, features: NDArray[np.float32]) -> _Probes:
        """Fit all of them; the penalty has the least squared error over the inner folds."""
        train = fold.train
        shift, scale = center_and_scale(features[train])
        moments = {
            int(name): total_of(
                chunk_moments(features[train[part]], fold.labeled.targets(train[part]), shift, scale)
                for part in chunks(np.flatnonzero(fold.inner == name), CHUNK)
            )
            for name in np.unique(fold.inner)
        }
        names = list(moments)

        def solved(hidden: tuple[int, ...], alphas: Floats) -> RidgePath:
            rest = total_of(one for name, one in moments.items() if name not in hidden)
            return rest.ridge(alphas, penalized_intercept=False)

        errors = np.sum([moments[name].squared_error(solved((name,), ALPHAS)) for name in names], axis=0)
        best = ALPHAS[[int(errors.argmin())]]
        hidden = [(), *((name,) for name in names), *combinations(names, 2)]
        return cls(features, names, {frozenset(some): solved(some, best) for some in hidden})

    def values(self, hidden: set[int], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Predicted target columns, (n, T), of the probe fitted without the inner folds `hidden`."""
        path = self.paths[frozenset(hidden)]
        parts = [path.predict(self.features[part])[:, 0] for part in chunks(rows, CHUNK)]
        return np.concatenate(parts).astype(np.float32)
