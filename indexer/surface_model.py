"""From neighbors to a density: the model and its few parameters.

p(x) = (1 − g) Σⱼ wⱼ Σ_b a_jb vMF(x; μⱼ, κ_b) + g prior(x), where j runs over the K nearest photos:

- w = softmax(similarity / temperature): how much each neighbor counts;
- a_j = softmax_b(logit_b − sharpening · zⱼ · ln(σ_b / 100 km)): how near its place the answer lies,
  zⱼ the neighbor's similarity in standard deviations of the usual best one. A near-duplicate may
  so say "here", where the usual neighbor says "this country";
- g = logistic(bias + weights · evidence): how much the photo is left to the prior. The evidence is
  the best similarity, its lead over the tenth, and how close together the first ten lie.

`calibrate` fits the parameters. Letters: Q photos, K neighbors, B bandwidths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit, logit, softmax

from ..encoders.sphere import EARTH_RADIUS_KM, unit_vectors
from .prior import Prior
from .surface import BANDWIDTHS_KM, Floats, Mixture, kappa_of_km

_N_COMPARED = 10  # neighbors whose lead and whose closeness to one another are evidence
_LISTS = ("region_levels", "continent_levels")  # of tuples
_CLOSE_KM = 1492.7  # the length scale of the GeoScore


@dataclass(frozen=True)
class SurfaceModel:
    """Parameters of the density, and what the calibration photos said about its regions.

    Attributes:
        temperature: divides similarities in the softmax over neighbors.
        bandwidth_logits: of each of `bandwidths_km`, for a neighbor as similar as the usual best.
        bandwidths_km: kernel widths.
        sharpening: how much more similar neighbors get narrower kernels; 0 for not at all.
        gate_bias: log odds of the prior at usual evidence.
        gate_weights: change of the log odds for each standard deviation of evidence.
        evidence_mean: usual evidence, (3,).
        evidence_scale: its standard deviation, (3,).
        evidence_weights: of each source of `evidence`, (S,); none without any.
        evidence_gate: change of the log odds of the prior where the evidence speaks too.
        region_levels: for each nominal level, the share of the density that a region must hold so
            that it covers the nominal share of truths (`conformal`).
        continent_levels: the same where the answer lies on a continent with photos enough: its
            two-letter code, nominal level, share.
        min_information_bits: abstain below so much information over the prior.
        n_photos: photos the parameters were fitted on; 0 when they are defaults.
        n_groups: their groups.
        k: neighbors of each photo in the fit.
    """

    temperature: float = 0.05
    bandwidth_logits: tuple[float, ...] = (-2.0, -2.0, -1.5, 0.0, 0.5, -0.5)
    bandwidths_km: tuple[float, ...] = BANDWIDTHS_KM
    sharpening: float = 0.0
    gate_bias: float = 0.0
    gate_weights: tuple[float, ...] = (0.0, 0.0, 0.0)
    evidence_mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    evidence_scale: tuple[float, ...] = (1.0, 1.0, 1.0)
    evidence_weights: tuple[float, ...] = ()
    evidence_gate: float = 0.0
    region_levels: tuple[tuple[float, float], ...] = ((0.5, 0.5), (0.9, 0.9))
    continent_levels: tuple[tuple[str, float, float], ...] = ()
    min_information_bits: float = 0.25
    n_photos: int = 0
    n_groups: int = 0
    k: int = 0

    @property
    def is_calibrated(self) -> bool:
        """Whether the parameters come from photos of this gallery rather than from this file."""
        return self.n_photos > 0

    def levels_on(self, continent: str) -> tuple[tuple[float, float], ...]:
        """`region_levels` for an answer on a continent."""
        own = {level: share for name, level, share in self.continent_levels if name == continent}
        return tuple((level, own.get(level, share)) for level, share in self.region_levels)

    def prior_share(self, similarity: Floats, neighbor_lonlat: Floats) -> float:
        """The gate g of one photo: 1 without any neighbor. Shapes (K,) and (K, 2)."""
        if not np.isfinite(similarity).any():
            return 1.0
        evidence = evidence_of(similarity[None], neighbor_lonlat[None])[0]
        scaled = (evidence - np.asarray(self.evidence_mean)) / np.asarray(self.evidence_scale)
        return float(expit(self.gate_bias + scaled @ np.asarray(self.gate_weights)))

    def fused_prior_share(self, similarity: Floats, neighbor_lonlat: Floats) -> float:
        """The gate where evidence speaks too."""
        share = self.prior_share(similarity, neighbor_lonlat)
        return share if share == 1.0 else float(expit(logit(share) + self.evidence_gate))

    @property
    def kappas(self) -> Floats:
        """Concentrations of the kernels, (B,)."""
        return kappa_of_km(self.bandwidths_km)

    def neighbor_weights(self, similarity: Floats) -> Floats:
        """Share of each neighbor with each bandwidth: (K,) finite -> (K, B)."""
        tilt = bandwidth_tilt(similarity, self.evidence_mean[0], self.evidence_scale[0], self.bandwidths_km)
        shares = softmax(np.asarray(self.bandwidth_logits) + self.sharpening * tilt, axis=-1)
        result: Floats = softmax(similarity / self.temperature)[:, None] * shares
        return result

    def neighbor_mixture(self, similarity: Floats, neighbor_lonlat: Floats) -> Mixture:
        """What the neighbors alone say; padding (-inf) is skipped. Shapes (K,) and (K, 2)."""
        found = np.isfinite(similarity)
        centers = unit_vectors(neighbor_lonlat[found])
        return Mixture.of_weights(centers, self.bandwidths_km, self.neighbor_weights(similarity[found]))

    def surface(self, similarity: Floats, neighbor_lonlat: Floats, prior: Prior) -> Mixture:
        """The density for one photo, p(x) above. Shapes (K,) and (K, 2).

        This is where the sources of evidence meet: a further one joins as one more part.
        """
        share = self.prior_share(similarity, neighbor_lonlat)
        parts = [(share, prior.mixture)]
        if share < 1.0:
            parts.append((1.0 - share, self.neighbor_mixture(similarity, neighbor_lonlat)))
        return Mixture.blend(parts)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        listed = {name: [list(one) for one in getattr(self, name)] for name in _LISTS}
        return asdict(self) | listed

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> SurfaceModel:
        """Read what `to_dict` wrote."""
        tuples: dict[str, Any] = {
            name: tuple(item) if isinstance(item, list) else item for name, item in value.items()
        }
        tuples |= {name: tuple(tuple(one) for one in value[name]) for name in _LISTS}
        return cls(**tuples)


def default_surface_model() -> SurfaceModel:
    """A cautious model for galleries too small to fit one: half prior, wide kernels."""
    return SurfaceModel()


def evidence_of(similarity: Floats, neighbor_lonlat: Floats) -> Floats:
    """What the retrieval itself says about its worth: (Q, K), (Q, K, 2) -> (Q, 3).

    The best similarity; its lead over the tenth neighbor; and the log of the mean of exp(−d/1492.7)
    over the pairs of the first ten places, d km apart. Rows need one finite similarity at least.
    """
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :_N_COMPARED]
    best = np.take_along_axis(similarity, order, axis=1)
    found = np.isfinite(best)
    lead = best[:, 0] - np.where(found, best, np.inf).min(axis=1)
    vectors = unit_vectors(np.take_along_axis(neighbor_lonlat, order[:, :, None], axis=1))
    cosine = np.clip(np.einsum("qid,qjd->qij", vectors, vectors), -1.0, 1.0)
    closeness = np.exp(-EARTH_RADIUS_KM / _CLOSE_KM * np.arccos(cosine))
    pairs = found[:, :, None] & found[:, None, :]
    together = np.where(pairs, closeness, 0.0).sum(axis=(1, 2)) / pairs.sum(axis=(1, 2))
    return np.stack([best[:, 0], lead, np.log(together)], axis=1)


def bandwidth_tilt(similarity: Floats, mean: float, scale: float, bandwidths_km: Sequence[float]) -> Floats:
    """What `sharpening` multiplies in the bandwidth logits: (..., K) -> (..., K, B)."""
    excess = (similarity - mean) / scale
    result: Floats = -excess[..., None] * np.log(np.asarray(bandwidths_km) / 100.0)
    return result
