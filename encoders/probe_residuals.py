"""What an embedding says of the rows of a fold: its ridge probe, alone and with kriged residuals.

A prediction for a training row may depend on its own label by no way, however long. So what the probe
leaves over at a row's neighbors comes from probes that were fitted without the row's inner fold and
without the neighbor's: one probe for each pair of inner folds. Letters as in `probe_stack`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from .probe_kriging import best_covariances, kriging_weights
from .probe_level1 import Fold
from .probe_neighbors import smooth
from .probe_ridge import ALPHAS, Floats, RidgePath, center_and_scale, chunk_moments, chunks, total_of

CHUNK = 4096


def embedding_predictions(
    fold: Fold, features: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the embedding says: of training rows, held out, and of test rows: (·, 1 + R, T) each."""
    labeled, lonlat, truth = fold.labeled, fold.labeled.lonlat, fold.labeled.targets(fold.train)
    probes = _Probes.fitted(fold, features)
    own = np.zeros((len(fold.train), labeled.n_columns), dtype=np.float32)
    left = {}  # residuals of the rows outside of each inner fold, over all rows of the table (N, T)
    for name in probes.names:
        inside = np.flatnonzero(fold.inner == name)
        own[inside] = probes.values({name}, fold.train[inside])
        left[name] = np.zeros((len(lonlat), labeled.n_columns), dtype=np.float32)
    for one, other in combinations(probes.names, 2):
        for hidden, seen in ((one, other), (other, one)):
            rows = np.flatnonzero(fold.inner == seen)
            left[hidden][fold.train[rows]] = truth[rows] - probes.values({one, other}, fold.train[rows])

    def kriged(weights: NDArray[np.float32], some: NDArray[np.intp]) -> NDArray[np.float32]:
        out = np.zeros((len(some), labeled.n_columns), dtype=np.float32)
        for name in probes.names:
            inside = fold.inner[some] == name
            near = fold.apart[some[inside]]
            out[inside] = smooth(weights[inside, None, :], near, left[name])[:, 0]
        return out

    def error(weights: NDArray[np.float32], some: NDArray[np.intp]) -> float:
        return float(((own[some] + kriged(weights, some) - truth[some]) ** 2).mean())

    covariances = best_covariances(
        lonlat, fold.apart, fold.train, fold.spacing_km, error, is_mean_known=True, n_best=2
    )
    every = np.arange(len(fold.train))
    asked_own = probes.values(set(), fold.test)
    residuals = np.zeros((len(lonlat), labeled.n_columns), dtype=np.float32)
    residuals[fold.train] = truth - own
    held_out, asked = [own], [asked_own]
    for covariance in covariances:
        weights, _ = kriging_weights(lonlat, fold.apart, fold.train, covariance, is_mean_known=True)
        held_out.append(own + np.concatenate([kriged(weights[part], part) for part in chunks(every, CHUNK)]))
        weights, _ = kriging_weights(lonlat, fold.asked, fold.test, covariance, is_mean_known=True)
        some = chunks(np.arange(len(fold.test)), CHUNK)
        asked.append(
            asked_own
            + np.concatenate(
                [smooth(weights[part, None, :], fold.asked[part], residuals)[:, 0] for part in some]
            ).astype(np.float32)
        )
    return np.stack(held_out, axis=1), np.stack(asked, axis=1)


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
