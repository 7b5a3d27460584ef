"""Probability densities on the sphere: mixtures of von Mises–Fisher kernels.

Conventions: `lonlat` is (..., 2) degrees, longitude first; `vectors` are unit vectors (..., 3);
densities are natural logarithms, per square kilometer. A kernel of bandwidth σ km has the
concentration κ = (R/σ)², so that a narrow one is the planar Gaussian with standard deviation σ
along each axis. Letters: M kernels, n points, C centers, B bandwidths.

The kernel is exact on the sphere (Fisher, Proc. R. Soc. Lond. A 217, 1953):
vMF(x; μ, κ) = κ e^{κ(μ·x − 1)} / (2π (1 − e^{−2κ})) per steradian, uniform as κ → 0. In float64
μ·x − 1 is off by about 2e-16, which κ = 4e7 (1 km) turns into 1e-8; a matrix product may do it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ..encoders.sphere import EARTH_RADIUS_KM, lonlat_of, unit_vectors

Floats = NDArray[np.float64]

BANDWIDTHS_KM = (1.0, 5.0, 25.0, 100.0, 400.0, 1500.0)
"""Street, town, county, region, country, part of a continent; their shares are fitted."""

_UNIFORM_KAPPA = 1e-9
_MERGED = 0.3  # of a width: what merging adds to the variance is below 1 %
_SINGLE_KAPPA = (EARTH_RADIUS_KM / 60.0) ** 2
"""Concentration up to which single precision does, twice as fast: 6e-8 κ is 7e-4 in the logarithm."""

_ARRIVED = 1e-7  # a step of 60 cm
# Kernel values at a time. They stay in the cache, and a matrix product of this size is not shared
# among threads, which takes ten times longer where the processor has other things to do.
_BLOCK = 80_000


def log_kernel(cosine: Floats, kappa: Floats) -> Floats:
    """Log density, per km², of vMF kernels at points a given cosine from their centers."""
    log_norm = np.log(kappa / (-2.0 * np.pi * np.expm1(-2.0 * kappa))) - 2.0 * np.log(EARTH_RADIUS_KM)
    result: Floats = log_norm + kappa * (cosine - 1.0)
    return result


def kappa_of_km(bandwidth_km: float | Sequence[float] | Floats) -> Floats:
    """Concentration of a kernel with standard deviation `bandwidth_km` along each axis."""
    return (EARTH_RADIUS_KM / np.asarray(bandwidth_km, dtype=np.float64)) ** 2


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weighted vMF kernels: a probability density over the Earth.

    Attributes:
        centers: unit vectors, (M, 3).
        kappa: concentrations, (M,).
        log_weight: log shares, (M,); they add up to 1.
    """

    centers: Floats
    kappa: Floats
    log_weight: Floats

    @classmethod
    def of_weights(cls, centers: Floats, bandwidths_km: Sequence[float], weight: Floats) -> Mixture:
        """Kernels of every bandwidth around every center: (C, 3), B widths, (C, B) -> C·B kernels at most."""
        row, column = np.nonzero(weight > 0.0)
        kept = weight[row, column]
        return cls(centers[row], kappa_of_km(bandwidths_km)[column], np.log(kept / kept.sum()))

    @classmethod
    def uniform(cls) -> Mixture:
        """The same density everywhere."""
        return cls(np.array([[1.0, 0.0, 0.0]]), np.array([_UNIFORM_KAPPA]), np.zeros(1))

    @classmethod
    def blend(cls, parts: Sequence[tuple[float, Mixture]]) -> Mixture:
        """One mixture of several, each with its share; shares add up to 1, and one of 0 leaves no trace."""
        parts = [(share, mixture) for share, mixture in parts if share > 0.0]
        return cls(
            np.concatenate([mixture.centers for _, mixture in parts]),
            np.concatenate([mixture.kappa for _, mixture in parts]),
            np.concatenate([np.log(share) + mixture.log_weight for share, mixture in parts]),
        )

    def log_density(self, lonlat: Floats) -> Floats:
        """Natural log of the density per km²: (n, 2) degrees -> (n,)."""
        return self.log_density_at(unit_vectors(np.asarray(lonlat, dtype=np.float64)))

    def log_density_at(self, vectors: Floats) -> Floats:
        """Natural log of the density per km²: unit vectors (n, 3) -> (n,); off by 1e-3 at most."""
        wide = self.kappa <= _SINGLE_KAPPA
        if wide.all():
            return self._log_sums(vectors, wide, is_single=True)
        exact = self._log_sums(vectors, ~wide, is_single=False)
        if not wide.any():
            return exact
        result: Floats = np.logaddexp(exact, self._log_sums(vectors, wide, is_single=True))
        return result

    def _log_sums(self, vectors: Floats, part: NDArray[np.bool_], *, is_single: bool) -> Floats:
        """Log of the summed densities of some kernels, (M,), at points: (n, 3) -> (n,)."""
        precision: Any = np.float32 if is_single else np.float64
        kappa = self.kappa[part]
        scaled = (self.centers[part] * kappa[:, None]).T.astype(precision)
        constant = log_kernel(np.ones(()), kappa) + self.log_weight[part] - kappa
        constant, points = constant.astype(precision), vectors.astype(precision)
        # exp is twenty times slower where it underflows, which most kernels do at most points.
        least = -80.0 if is_single else -700.0
        step = max(1, _BLOCK // len(kappa))
        result = np.empty(len(points))
        for start in range(0, len(points), step):
            exponent: NDArray[Any] = points[start : start + step] @ scaled
            exponent += constant
            peak = exponent.max(axis=1, keepdims=True)
            np.maximum(np.subtract(exponent, peak, out=exponent), least, out=exponent)
            np.exp(exponent, out=exponent)
            result[start : start + step] = peak[:, 0] + np.log(exponent.sum(axis=1))
        return result

    def sample(self, n: int, *, seed: int = 0) -> Floats:
        """Draw n points, the same for the same seed: (n, 2) degrees."""
        return lonlat_of(self.sample_vectors(n, seed=seed))

    def sample_vectors(self, n: int, *, seed: int = 0) -> Floats:
        """Draw n points as unit vectors, (n, 3), spread evenly: kernels get their due number of points.

        Kernels are drawn systematically, and places within them by the additive sequence of the
        plastic number, so that averages over the points err less than over independent draws.
        """
        offset = np.random.default_rng(seed).random(3)
        position = (np.arange(n) + offset[0]) / n
        cumulative = np.cumsum(np.exp(self.log_weight))
        drawn = np.searchsorted(cumulative / cumulative[-1], position, side="right")
        radial = (offset[1] + np.arange(1, n + 1) * 0.7548776662466927) % 1.0
        turn = 2.0 * np.pi * ((offset[2] + np.arange(1, n + 1) * 0.5698402909980532) % 1.0)
        kappa, center = self.kappa[drawn], self.centers[drawn]
        # The cosine's distribution inverts in closed form; expm1 and log1p keep it at both ends of κ.
        fall = np.clip(-np.log1p(radial * np.expm1(-2.0 * kappa)) / kappa, 0.0, 2.0)  # 1 − cosine
        east, north = _tangents(center)
        sideways = np.cos(turn)[:, None] * east + np.sin(turn)[:, None] * north
        points = (1.0 - fall)[:, None] * center + np.sqrt(fall * (2.0 - fall))[:, None] * sideways
        return _normalized(points)

    def pruned(self, least_share: float) -> Mixture:
        """Without the lightest kernels, and in their place the uniform density with `least_share`."""
        order = np.argsort(-self.log_weight, kind="stable")
        reached = np.cumsum(np.exp(self.log_weight[order])).searchsorted(1.0 - least_share)
        kept = order[: int(reached) + 1]
        log_weight = self.log_weight[kept]
        rest = Mixture(self.centers[kept], self.kappa[kept], log_weight - logsumexp(log_weight))
        return Mixture.blend([(1.0 - least_share, rest), (least_share, Mixture.uniform())])

    def smoothed(self) -> Mixture:
        """The same mixture with no kernel narrower than its median kernel, weighted.

        Regions and the mode are read from this one. Where much is unknown, every photo of the
        gallery still has its kilometer-wide peak, for the case that the query shows the same spot:
        a region of thousands of specks, and a mode at whichever peak is the highest. When most of
        the weight says "here", the narrow kernels are the median and stay.
        """
        order = np.argsort(-self.kappa, kind="stable")
        reached = np.cumsum(np.exp(self.log_weight[order])).searchsorted(0.5)
        widest_needed = self.kappa[order[min(int(reached), len(order) - 1)]]
        return Mixture(self.centers, np.minimum(self.kappa, widest_needed), self.log_weight)._merged()

    def _merged(self) -> Mixture:
        """Kernels of one width made one where they lie closer together than their width can show."""
        pitch = _MERGED / np.sqrt(np.maximum(self.kappa, 1.0))
        keys = np.column_stack([self.kappa, np.round(self.centers / pitch[:, None])])
        order = np.lexsort(keys.T)  # np.unique(axis=0) takes ten times longer
        is_new = np.append(True, (np.diff(keys[order], axis=0) != 0.0).any(axis=1))
        index = np.empty(len(order), dtype=np.intp)
        index[order] = np.cumsum(is_new) - 1
        first = order[is_new]
        # Relative to the heaviest of its kind: e^−800 is 0, and nothing has no direction.
        heaviest = np.full(len(first), -np.inf)
        np.maximum.at(heaviest, index, self.log_weight)
        heaviest = np.maximum(heaviest, -1e30)  # of none at all
        weight = np.where(self.log_weight == -np.inf, 1e-100, np.exp(self.log_weight - heaviest[index]))
        sums: Floats = np.stack([np.bincount(index, weight * axis) for axis in self.centers.T], axis=1)
        return Mixture(_normalized(sums), self.kappa[first], heaviest + np.log(np.bincount(index, weight)))

    def climb(self, vectors: Floats, *, n_steps: int = 60) -> Floats:
        """Mean shift, uphill to modes: x ← normalize(Σ wᵢ cᵢ κᵢ e^{κᵢ μᵢ·x} μᵢ); (n, 3) -> (n, 3)."""
        log_pull = log_kernel(np.ones(()), self.kappa) + np.log(self.kappa) + self.log_weight - self.kappa
        scaled = (self.centers * self.kappa[:, None]).T
        result, moving = vectors.copy(), np.arange(len(vectors))
        for _ in range(n_steps):
            exponent = log_pull + result[moving] @ scaled
            pull = np.exp(exponent - exponent.max(axis=1, keepdims=True)) @ self.centers
            moved = _normalized(pull)
            goes_on = np.abs(moved - result[moving]).max(axis=1) >= _ARRIVED
            result[moving] = moved
            moving = moving[goes_on]
            if len(moving) == 0:
                break
        return result


def _normalized(vectors: Floats) -> Floats:
    """The same directions at length 1, (n, 3)."""
    result: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return result


def _tangents(vectors: Floats) -> tuple[Floats, Floats]:
    """Unit vectors to the east and to the north, (n, 3) each; at a pole, those of longitude 0."""
    horizontal = np.hypot(vectors[:, 0], vectors[:, 1])
    safe = np.where(horizontal == 0.0, 1.0, horizontal)
    cos_lon = np.where(horizontal == 0.0, 1.0, vectors[:, 0] / safe)
    sin_lon = vectors[:, 1] / safe
    east = np.stack([-sin_lon, cos_lon, np.zeros_like(sin_lon)], axis=1)
    return east, np.cross(vectors, east)
