"""Kriging from the nearest labeled rows: the best linear predictor under a covariance of distance.

Local ordinary kriging (Matheron 1963) with covariance exp(-d / range) and a nugget, the variance of a
label about the smooth field in units of the field's. The weights solve K + 1 linear equations for each
row. Range and nugget are chosen by the error on training rows that are held out as the test rows are.
Letters: Q rows asked about, K neighbors; distances are chords of the sphere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .probe_neighbors import Near
from .sphere import EARTH_RADIUS_KM, unit_vectors

Floats = NDArray[np.float64]

N_KRIGED = 32  # neighbors with a weight
RANGES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Ranges tried, in units of the spacing."""

NUGGETS = (0.01, 0.05, 0.2, 0.6)
"""Nuggets tried."""


@dataclass(frozen=True)
class Covariance:
    """Covariance of labels: exp(-d / range_km), and `nugget` more on a row with itself."""

    range_km: float
    nugget: float


def kriging_weights(
    lonlat: Floats,
    near: Near,
    of: NDArray[np.intp],
    covariance: Covariance,
    *,
    is_mean_known: bool = False,
    n_kriged: int = N_KRIGED,
) -> tuple[NDArray[np.float32], Floats]:
    """Kriging weights and the variance they leave.

    Args:
        lonlat: places of all rows, (N, 2).
        near: neighbors of the rows asked about, (Q, K).
        of: numbers of the rows asked about, (Q,).
        covariance: of labels.
        is_mean_known: simple kriging of a field with mean zero, such as residuals: far from all
            neighbors the prediction is zero. Otherwise weights sum to one.
        n_kriged: neighbors with a weight; the others get zero.

    Returns:
        Weights (Q, K), and the variance of simple kriging in units of the field's, (Q,).
    """
    xyz = unit_vectors(lonlat)
    k = min(n_kriged, near.rows.shape[1])
    weights = np.zeros(near.rows.shape, dtype=np.float32)
    variance = np.empty(len(near))
    for start in range(0, len(near), 512):
        part = slice(start, start + 512)
        points = xyz[near.rows[part, :k]]
        gram = _covariance(points @ points.transpose(0, 2, 1), covariance)
        gram[:, np.arange(k), np.arange(k)] = 1.0 + covariance.nugget
        cross = _covariance((points @ xyz[of[part], :, None])[..., 0], covariance)
        solved = np.linalg.solve(gram, np.stack([cross, np.ones_like(cross)], axis=-1))
        simple, flat = solved[..., 0], solved[..., 1]
        variance[part] = 1.0 - (simple * cross).sum(axis=1)
        if not is_mean_known:
            missing = (1.0 - simple.sum(axis=1)) / flat.sum(axis=1)
            simple = simple + missing[:, None] * flat
        weights[part, :k] = simple
    return weights, variance


def _covariance(cosine: Floats, covariance: Covariance) -> Floats:
    """Covariances of points by the cosine of their angle, which resolves some decimeters."""
    chord = np.sqrt(np.maximum(2.0 - 2.0 * cosine, 0.0).astype(np.float32))
    return np.exp(chord * np.float32(-EARTH_RADIUS_KM / covariance.range_km)).astype(np.float64)


def best_covariances(
    lonlat: Floats,
    near: Near,
    of: NDArray[np.intp],
    spacing_km: float,
    error: Callable[[NDArray[np.float32], NDArray[np.intp]], float],
    *,
    is_mean_known: bool = False,
    n_best: int = len(RANGES),
    n_rows: int = 1500,
    seed: int = 0,
) -> list[Covariance]:
    """The covariances of least error on a sample of held-out training rows, best first.

    Each has another range, with the nugget that suits it: near twins would say the same.

    Args:
        lonlat: places of all rows, (N, 2).
        near: held-out neighbors of the training rows, (Q, K).
        of: numbers of the training rows, (Q,).
        spacing_km: what the ranges are multiples of.
        error: tells the mean squared error of weights (q, K) for rows of `near`, (q,).
        is_mean_known: as in `kriging_weights`.
        n_best: how many to return.
        n_rows: size of the sample.
        seed: of the sample.
    """
    some = np.sort(np.random.default_rng(seed).permutation(len(of))[:n_rows])
    tried = [Covariance(spacing_km * length, nugget) for length in RANGES for nugget in NUGGETS]
    errors = np.empty(len(tried))
    for place, covariance in enumerate(tried):
        weights, _ = kriging_weights(
            lonlat, near[some], of[some], covariance, is_mean_known=is_mean_known, n_kriged=16
        )
        errors[place] = error(weights, some)
    by_range = errors.reshape(len(RANGES), len(NUGGETS))
    best = by_range.argmin(axis=1) + np.arange(len(RANGES)) * len(NUGGETS)
    return [tried[place] for place in sorted(best, key=errors.__getitem__)[:n_best]]
