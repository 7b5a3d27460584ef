"""Kriging from the nearest labeled rows: the best linear predictor under a covariance of distance.

Local ordinary kriging (Matheron 1963) with covariance exp(-d) and a nugget, the variance of a label about
the smooth field in units of the field's. The distance d is that on the sphere, in ranges; or, jointly, that
on the sphere and that in an embedding, so that among the neighbors the like ones count for more. The weights
solve K + 1 linear equations for each row. Scales and nugget are chosen by the error on training rows that
are held out as the test rows are.

Letters: N rows, Q rows asked about, K neighbors, P components of an embedding; distances on the sphere are
chords.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from ..sphere import EARTH_RADIUS_KM, unit_vectors
from .neighbors import Near

Floats = NDArray[np.float64]

N_KRIGED = 32  # neighbors with a weight
N_COMPONENTS = 24


@dataclass(frozen=True)
class Covariance:
    """Covariance of labels: exp(-d), and `nugget` more on a row with itself.

    Attributes:
        range_km: distance on the sphere that makes d = 1.
        nugget: of one label.
        likeness: distance in the embedding that makes d = 1; infinite where it does not count.
    """

    range_km: float
    nugget: float
    likeness: float = inf


@dataclass(frozen=True, eq=False)
class Space:
    """Where rows lie: unit vectors (N, 3), and components of an embedding (N, P), or (N, 0)."""

    xyz: Floats
    components: Floats

    @classmethod
    def of(cls, lonlat: Floats, components: Floats | None = None) -> Space:
        """Of places (N, 2), and of an embedding's components where there are any."""
        return cls(unit_vectors(lonlat), np.zeros((len(lonlat), 0)) if components is None else components)

    def points(self, covariance: Covariance) -> Floats:
        """Points whose straight distances are d, (N, 3 + P)."""
        scaled = self.xyz * (EARTH_RADIUS_KM / covariance.range_km)
        if covariance.likeness == inf:
            return scaled
        return np.concatenate([scaled, self.components / covariance.likeness], axis=1)


def principal_components(
    features: NDArray[np.float32], train: NDArray[np.intp], n_rows: int = 8192
) -> Floats:
    """The first components of standardized features, found on some training rows: (N, ≤ 24)."""
    some = train[:: max(1, -(-len(train) // n_rows))]
    mean, spread = features[some].mean(axis=0), np.maximum(features[some].std(axis=0), 1e-6)
    _, axes = np.linalg.eigh(np.cov(((features[some] - mean) / spread).T.astype(np.float64), ddof=0))
    return np.asarray(((features - mean) / spread) @ axes[:, ::-1][:, :N_COMPONENTS], dtype=np.float64)


def kriging_weights(
    space: Space,
    near: Near,
    of: NDArray[np.intp],
    covariance: Covariance,
    *,
    is_mean_known: bool = False,
    n_kriged: int = N_KRIGED,
) -> tuple[NDArray[np.float32], Floats]:
    """Kriging weights and the variance they leave.

    Args:
        space: where all rows lie.
        near: neighbors of the rows asked about, (Q, K).
        of: numbers of the rows asked about, (Q,).
        covariance: of labels.
        is_mean_known: simple kriging of a field with mean zero, such as residuals: far from all
            neighbors the prediction is zero. Otherwise weights sum to one.
        n_kriged: neighbors with a weight; the others get zero.

    Returns:
        Weights (Q, K), and the variance of simple kriging in units of the field's, (Q,).
    """
    placed = space.points(covariance)
    k = min(n_kriged, near.rows.shape[1])
    weights = np.zeros(near.rows.shape, dtype=np.float32)
    variance = np.empty(len(near))
    for start in range(0, len(near), 512):
        part = slice(start, start + 512)
        # About the row itself, so that differences of small distances do not cancel.
        points = placed[near.rows[part, :k]] - placed[of[part], None]
        square = (points * points).sum(axis=2)
        products = points @ points.transpose(0, 2, 1)
        gram = _decay(square[:, :, None] + square[:, None, :] - 2.0 * products)
        gram[:, np.arange(k), np.arange(k)] = 1.0 + covariance.nugget
        cross = _decay(square)
        solved = np.linalg.solve(gram, np.stack([cross, np.ones_like(cross)], axis=-1))
        simple, flat = solved[..., 0], solved[..., 1]
        variance[part] = 1.0 - (simple * cross).sum(axis=1)
        if not is_mean_known:
            missing = (1.0 - simple.sum(axis=1)) / flat.sum(axis=1)
            simple = simple + missing[:, None] * flat
        weights[part, :k] = simple
    return weights, variance


def _decay(square: Floats) -> Floats:
    """exp(-d) of squared distances; single precision is enough for what is added to a nugget."""
    return np.exp(-np.sqrt(np.maximum(square, 0.0).astype(np.float32))).astype(np.float64)


def covariances_by_range(spacing_km: float) -> list[list[Covariance]]:
    """Covariances of place alone to choose from, in groups of one range."""
    return [
        [Covariance(length * spacing_km, nugget) for nugget in (0.01, 0.05, 0.2, 0.6)]
        for length in (1.0, 3.0, 10.0, 30.0, 100.0)
    ]


def covariances_by_likeness(spacing_km: float, likeness: float) -> list[list[Covariance]]:
    """Covariances of place and embedding to choose from, in groups of one weight of the embedding.

    Args:
        spacing_km: typical distance of neighbors on the sphere.
        likeness: typical distance of neighbors in the embedding.
    """
    return [
        [
            Covariance(length * spacing_km, nugget, scale * likeness)
            for length in (5.0, 20.0, 80.0)
            for nugget in (0.05, 0.3)
        ]
        for scale in (1.0, 4.0, 16.0)
    ]


def best_covariances(
    space: Space,
    near: Near,
    of: NDArray[np.intp],
    groups: Sequence[Sequence[Covariance]],
    error: Callable[[NDArray[np.float32], NDArray[np.intp]], float],
    *,
    is_mean_known: bool = False,
    n_rows: int = 1200,
    seed: int = 0,
) -> list[Covariance]:
    """The covariance of least error of each group, on a sample of held-out training rows; best first.

    Args:
        space: where all rows lie.
        near: held-out neighbors of the training rows, (Q, K).
        of: numbers of the training rows, (Q,).
        groups: what to choose from; of each group one, since near twins would say the same.
        error: tells the mean squared error of weights (q, K) for rows of `near`, (q,).
        is_mean_known: as in `kriging_weights`.
        n_rows: size of the sample.
        seed: of the sample.
    """
    some = np.sort(np.random.default_rng(seed).permutation(len(of))[:n_rows])
    best: list[tuple[float, Covariance]] = []
    for group in groups:
        errors = [
            error(
                kriging_weights(space, near[some], of[some], one, is_mean_known=is_mean_known, n_kriged=16)[
                    0
                ],
                some,
            )
            for one in group
        ]
        place = int(np.argmin(errors))
        best.append((errors[place], group[place]))
    return [covariance for _, covariance in sorted(best, key=lambda found: found[0])]
