"""Fit the surface model on a gallery's own photos, and calibrate its regions.

By maximum likelihood of photos whose own group (site, sequence, author) is hidden from both the
neighbors and the prior. Letters: Q photos, K neighbors, N gallery photos, B bandwidths.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax

from ..encoders.sphere import unit_vectors
from .conformal import held, with_region_levels
from .prior import Prior
from .surface import Floats, kappa_of_km, log_kernel
from .surface_model import SurfaceModel, bandwidth_tilt, default_surface_model, evidence_of

_MAX_LEVEL_PHOTOS = 500
# Of sharpening, gate bias, gate weights. What varies from photo to photo must be earned: in a
# gallery of noise free weights lose to the prior; the bias is let go there.
_PENALTIES = (10.0, 0.1, 10.0, 10.0, 10.0)


def fit_surface_model(
    similarity: Floats,
    neighbor_lonlat: Floats,
    truth: Floats,
    gallery_lonlat: Floats,
    *,
    groups: Sequence[Hashable] | None = None,
    gallery_groups: Sequence[Hashable] | None = None,
    levels: Sequence[float] = (0.5, 0.9),
) -> SurfaceModel:
    """Fit the density and its regions on photos of known place.

    Args:
        similarity: of each photo to its neighbors, (Q, K); -inf where a row has fewer.
        neighbor_lonlat: their places, (Q, K, 2); none of the photo's own group.
        truth: the photos' own places, (Q, 2).
        gallery_lonlat: all placed photos of the gallery, (N, 2), for the prior.
        groups: label of each photo, (Q,); its place by default.
        gallery_groups: label of each gallery photo, (N,); `groups` by default where both are the
            same photos.
        levels: nominal levels of the regions to calibrate; none saves most of the time.

    Returns:
        The fitted model; the default one when no photo has a neighbor.
    """
    labels, gallery_labels = _labels(truth, gallery_lonlat, groups, gallery_groups)
    kept = np.flatnonzero(np.isfinite(similarity).any(axis=1))
    if not len(kept):
        return default_surface_model()
    similarity, neighbor_lonlat, truth = similarity[kept], neighbor_lonlat[kept], truth[kept]
    prior = Prior.from_lonlat(gallery_lonlat, groups=gallery_labels)
    priors = _priors_without_own_group(prior, labels[kept], gallery_lonlat, gallery_labels)
    log_prior = np.array([one.log_density(place[None])[0] for one, place in zip(priors, truth, strict=True)])
    model = _maximize_likelihood(similarity, neighbor_lonlat, truth, log_prior)
    model = replace(model, n_groups=len(np.unique(labels[kept])))
    if not levels:
        return replace(model, region_levels=())
    chosen = np.unique(np.linspace(0, len(kept) - 1, min(len(kept), _MAX_LEVEL_PHOTOS)).astype(int))
    photos = [held(truth[i], model.surface(similarity[i], neighbor_lonlat[i], priors[i])) for i in chosen]
    return with_region_levels(model, photos, levels)


def _labels(
    truth: Floats,
    gallery_lonlat: Floats,
    groups: Sequence[Hashable] | None,
    gallery_groups: Sequence[Hashable] | None,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Whole-number labels of photos and gallery photos, equal where the groups are."""
    own: list[Hashable] = list(groups) if groups is not None else [tuple(row) for row in truth.tolist()]
    if gallery_groups is not None:
        other: list[Hashable] = list(gallery_groups)
    elif groups is not None:
        other = own
    else:
        other = [tuple(row) for row in gallery_lonlat.tolist()]
    if len(own) != len(truth) or len(other) != len(gallery_lonlat):
        raise ValueError(
            f"{len(own)} groups for {len(truth)} photos and {len(other)} for {len(gallery_lonlat)} "
            "gallery photos; pass one for each (gallery_groups too, unless the photos are the gallery)"
        )
    number: dict[Hashable, int] = {}
    numbers = [number.setdefault(label, len(number)) for label in [*own, *other]]
    return np.asarray(numbers[: len(own)], dtype=np.intp), np.asarray(numbers[len(own) :], dtype=np.intp)


def _priors_without_own_group(
    prior: Prior, labels: NDArray[np.intp], gallery_lonlat: Floats, gallery_labels: NDArray[np.intp]
) -> list[Prior]:
    """One prior for each photo, from which its group has been taken out."""
    by_label = {
        int(label): prior.without(gallery_lonlat[gallery_labels == label]) for label in np.unique(labels)
    }
    return [by_label[int(label)] for label in labels]


@dataclass(frozen=True, eq=False)
class _Likelihood:
    """Negative mean log-likelihood of held-out photos, and its gradient.

    Parameters, in one vector: ln(1/temperature), sharpening, gate bias, gate weights (3),
    bandwidth logits (B). A quadratic penalty pulls them to the defaults, so that a handful of
    photos moves them little.
    """

    similarity: Floats  # (Q, K), 0 where padded
    log_found: Floats  # (Q, K), -inf where padded
    kernel: Floats  # (Q, K, B), density at the truth
    tilt: Floats  # (Q, K, B)
    evidence: Floats  # (Q, 3), standardized
    prior: Floats  # (Q,), density at the truth
    start: Floats  # (6 + B,)

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        inverse = np.exp(parameters[0])
        gate = expit(parameters[2] + self.evidence @ parameters[3:6])
        weight = softmax(inverse * self.similarity + self.log_found, axis=1)
        shares = np.exp(log_softmax(parameters[6:] + parameters[1] * self.tilt, axis=2))
        each = shares * self.kernel
        per_neighbor = each.sum(axis=2)
        mixed = (weight * per_neighbor).sum(axis=1)
        density = (1.0 - gate) * mixed + gate * self.prior
        outer = (1.0 - gate) / density
        usual = (weight * self.similarity).sum(axis=1, keepdims=True)
        by_heat = inverse * (weight * per_neighbor * (self.similarity - usual)).sum(axis=1)
        surplus = weight[:, :, None] * (each - shares * per_neighbor[:, :, None])  # d mixed / d logits
        by_logit = np.einsum("q,qkb->b", outer, surplus)
        by_tilt = np.einsum("q,qkb,qkb->", outer, surplus, self.tilt)
        by_gate = gate * (1.0 - gate) * (self.prior - mixed) / density
        slope = np.concatenate([[outer @ by_heat, by_tilt, by_gate.sum()], by_gate @ self.evidence, by_logit])
        away = parameters - self.start
        stiffness = np.array([1.0, *_PENALTIES, *np.ones(len(by_logit))])
        n = len(density)
        objective = float((stiffness @ away**2 - np.log(density).sum()) / n)
        return objective, (2.0 * stiffness * away - slope) / n


def _maximize_likelihood(
    similarity: Floats, neighbor_lonlat: Floats, truth: Floats, log_prior: Floats
) -> SurfaceModel:
    """Fit all parameters but the region levels; every row has a neighbor."""
    model = default_surface_model()
    raw = evidence_of(similarity, neighbor_lonlat)
    mean, scale = raw.mean(axis=0), raw.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    found = np.isfinite(similarity)
    filled = np.where(found, similarity, 0.0)
    from scipy.optimize import minimize  # a service only asks what was fitted

    cosine = np.einsum("qkd,qd->qk", unit_vectors(neighbor_lonlat), unit_vectors(truth))
    likelihood = _Likelihood(
        similarity=filled,
        log_found=np.where(found, 0.0, -np.inf),
        kernel=np.exp(log_kernel(cosine[:, :, None], kappa_of_km(model.bandwidths_km))),
        tilt=bandwidth_tilt(filled, mean[0], scale[0], model.bandwidths_km),
        evidence=(raw - mean) / scale,
        prior=np.exp(log_prior),
        start=np.array(
            [-np.log(model.temperature), 0.0, model.gate_bias, *model.gate_weights, *model.bandwidth_logits]
        ),
    )
    best = minimize(likelihood, likelihood.start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return replace(
        model,
        temperature=float(np.exp(-best[0])),
        sharpening=float(best[1]),
        gate_bias=float(best[2]),
        gate_weights=tuple(best[3:6].tolist()),
        bandwidth_logits=tuple(best[6:].tolist()),
        evidence_mean=tuple(mean.tolist()),
        evidence_scale=tuple(scale.tolist()),
        n_photos=len(truth),
        k=similarity.shape[1],
    )
