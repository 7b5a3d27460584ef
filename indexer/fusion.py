"""Neighbors and evidence joined into one density, and how much each is worth.

With s the weighted sum of the sources' log ratios, the density of one photo is

    p(x) ∝ g Σ_a π_a e^{s(a)} k_a(x)  +  (1 − g) Σ_j w_j e^{s(j)} k_j(x)

where a runs over the centers of the support (the prior), j over the neighbors, and g, w, k are those of
`surface_model`. Every kernel keeps its place and its width, and evidence makes it heavier or lighter.
With all weights 0 this is the neighbors' density alone, up to how the support stands for the prior; with
g = 1 it is the sources' posterior. Fitting starts there, at 0, under a penalty: evidence that does not
pay moves nothing. Letters: Q photos, S sources, A centers, K neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

from ..encoders.sphere import EARTH_AREA_KM2, unit_vectors
from .evidence import Heard
from .support import Support
from .surface import Floats, Mixture, log_kernel
from .surface_model import SurfaceModel

LEAST_SHARE = 1e-3
"""Of the uniform density, so that no place is impossible; also what pruning may leave out."""

_MAX_WEIGHT = 2.0
_PENALTY = 1.0  # pseudo photos that hold each weight at 0
_BLOCK = 64


def fused_surface(
    model: SurfaceModel,
    similarity: Floats,
    neighbor_lonlat: Floats,
    heard: Heard,
    *,
    least_share: float = LEAST_SHARE,
) -> Mixture:
    """The density p(x) above for one photo; shapes (K,) and (K, 2)."""
    score = heard.score(model.evidence_weights)
    gate = model.fused_prior_share(similarity, neighbor_lonlat)
    far = heard.support.mixture(heard.log_weight + score)
    log_far = np.log(gate) + logsumexp(heard.log_weight + score)
    parts = [(log_far, far)]
    if gate < 1.0:
        near = model.neighbor_mixture(similarity, neighbor_lonlat)
        log_weight = near.log_weight + score[heard.support.rows_near(near.centers)]
        log_near = np.log1p(-gate) + logsumexp(log_weight)
        parts.append((log_near, Mixture(near.centers, near.kappa, log_weight - logsumexp(log_weight))))
    total = logsumexp([log_share for log_share, _ in parts])
    joined = Mixture.blend([(float(np.exp(log_share - total)), part) for log_share, part in parts])
    return joined.pruned(least_share)


@dataclass(frozen=True, eq=False)
class FusionData:
    """What fitting needs of Q photos, computed once.

    Attributes:
        log_weight: of the centers for each photo, its own group taken out, (Q, A).
        log_kernel: of the centers' kernels at its place, (Q, A).
        log_ratios: of the sources, fitted without its group, (S, Q, A).
        near_log_weight: of its neighbors, (Q, K), -inf for padding.
        near_log_kernel: of their kernels at its place, (Q, K).
        near_row: their rows among the centers, (Q, K).
        gate: odds of the prior against the neighbors, log, (Q,).
    """

    log_weight: Floats
    log_kernel: Floats
    log_ratios: NDArray[np.float32]
    near_log_weight: Floats
    near_log_kernel: Floats
    near_row: NDArray[np.intp]
    gate: Floats

    def __len__(self) -> int:
        return len(self.gate)


def fusion_data(
    model: SurfaceModel,
    similarity: Floats,
    neighbor_lonlat: Floats,
    truth: Floats,
    support: Support,
    log_weight: Floats,
    log_ratios: NDArray[np.float32],
) -> FusionData:
    """Gather it; shapes (Q, K), (Q, K, 2), (Q, 2), (Q, A), (S, Q, A)."""
    at = unit_vectors(truth)
    near_weight = np.full(similarity.shape, -np.inf)
    near_kernel = np.full(similarity.shape, -np.inf)
    near_row = np.zeros(similarity.shape, dtype=np.intp)
    gate = np.empty(len(truth))
    for row in range(len(truth)):
        share = model.prior_share(similarity[row], neighbor_lonlat[row])
        gate[row] = logit(min(share, 1.0 - 1e-12))
        found = np.isfinite(similarity[row])
        if not found.any():
            continue
        weights = model.neighbor_weights(similarity[row, found])  # (K, B)
        is_weighty = weights.sum(axis=1) > 0.0  # the softmax underflows for far ones
        found[found] = is_weighty
        weights, centers = weights[is_weighty], unit_vectors(neighbor_lonlat[row, found])
        kernels = log_kernel((centers @ at[row])[:, None], model.kappas)
        near_weight[row, found] = np.log(weights.sum(axis=1))
        near_kernel[row, found] = logsumexp(kernels, axis=1, b=weights) - near_weight[row, found]
        near_row[row, found] = support.rows_near(centers)
    return FusionData(
        log_weight, support.log_kernels(at), log_ratios, near_weight, near_kernel, near_row, gate
    )


def fit_fusion(model: SurfaceModel, data: FusionData) -> SurfaceModel:
    """The model with the weights of the evidence and the shift of the gate that predict photos best."""
    from scipy.optimize import minimize  # a service only asks what was fitted

    n_sources = len(data.log_ratios)
    start = np.zeros(n_sources + 1)
    bounds = [(0.0, _MAX_WEIGHT)] * n_sources + [(-6.0, 6.0)]
    best = minimize(
        lambda theta: _loss(theta, data), start, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"maxiter": 40},
    ).x  # fmt: skip
    return replace(
        model,
        evidence_weights=tuple(best[:-1].tolist()),
        evidence_gate=float(best[-1]),
    )


def held_out_log_densities(model: SurfaceModel, data: FusionData) -> Floats:
    """Log density per km² of each photo's place, (Q,)."""
    theta = np.array([*model.evidence_weights, model.evidence_gate])
    return np.concatenate([_log_densities(theta, data, part)[0] for part in _parts(len(data))])


def _parts(n: int) -> Sequence[slice]:
    return [slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK)]


def _loss(theta: Floats, data: FusionData) -> tuple[float, Floats]:
    """Mean negative log density with its penalty, and the gradient."""
    value, slope = _PENALTY * float(theta @ theta), 2.0 * _PENALTY * theta
    for part in _parts(len(data)):
        log_density, gradient = _log_densities(theta, data, part)
        value -= float(log_density.sum())
        slope = slope - gradient.sum(axis=0)
    return value / len(data), slope / len(data)


def _log_densities(theta: Floats, data: FusionData, part: slice) -> tuple[Floats, Floats]:
    """Log densities at the truths, (q,), and their derivatives by the parameters, (q, S + 1)."""
    weights, shift = theta[:-1], theta[-1]
    ratios = data.log_ratios[:, part].astype(np.float64)  # (S, q, A)
    rows = data.near_row[part]
    near_ratios = np.take_along_axis(ratios, np.broadcast_to(rows, (len(ratios), *rows.shape)), axis=2)
    odds = data.gate[part] + shift
    far = np.log(expit(odds))[:, None] + data.log_weight[part] + np.tensordot(weights, ratios, 1)
    near = np.log(expit(-odds))[:, None] + data.near_log_weight[part] + np.tensordot(weights, near_ratios, 1)
    joined = np.concatenate([far, near], axis=1)
    all_ratios = np.concatenate([ratios, near_ratios], axis=2)
    # d log g / d shift = 1 − g for what is the prior's, −g for what is the neighbors'.
    turn = np.concatenate(
        [
            np.broadcast_to(expit(-odds)[:, None], far.shape),
            np.broadcast_to(-expit(odds)[:, None], near.shape),
        ],
        axis=1,
    )
    kernels = np.concatenate([data.log_kernel[part], data.near_log_kernel[part]], axis=1)
    log_total, mean_ratio, mean_turn = _moments(joined, all_ratios, turn)
    hit = joined + np.where(np.isfinite(joined), kernels, 0.0)
    log_hit, hit_ratio, hit_turn = _moments(hit, all_ratios, turn)
    log_density = log_hit - log_total
    floored = np.logaddexp(np.log1p(-LEAST_SHARE) + log_density, np.log(LEAST_SHARE / EARTH_AREA_KM2))
    share = np.exp(np.log1p(-LEAST_SHARE) + log_density - floored)
    slope = np.concatenate([hit_ratio - mean_ratio, (hit_turn - mean_turn)[None]]).T
    return floored, share[:, None] * slope


def _moments(log_weight: Floats, ratios: Floats, turn: Floats) -> tuple[Floats, Floats, Floats]:
    """Log of the sum, and under the normalized weights the means of the ratios, (S, q), and of the turn."""
    peak = log_weight.max(axis=1, keepdims=True)
    weight = np.exp(log_weight - peak)
    total = weight.sum(axis=1)
    weight /= total[:, None]
    return peak[:, 0] + np.log(total), np.einsum("qa,sqa->sq", weight, ratios), (weight * turn).sum(axis=1)
