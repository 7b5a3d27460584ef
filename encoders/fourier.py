"""Random Fourier features of the map plane: a kernel's worth of sines at random frequencies.

The frequencies are drawn once, from a seed, and kept with the module's tensors: a saved encoder does
not depend on a generator.

The plane has an edge: neither encoding is periodic, and the antimeridian is a seam.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .errors import InvalidOption
from .positional_base import PositionalEncoding

EQUAL_EARTH = (1.340264, -0.081106, 0.000893, 0.003796)
"""Coefficients of the projection of Šavrič, Patterson and Jenny 2018."""

GEOCLIP_SCALE = 66.50336 / 180.0
"""GeoCLIP's factor; it brings X close to [-1, 1] at the equator."""


class PlaneFourier(PositionalEncoding):
    """Random Fourier features (Rahimi and Recht 2007) of x = (lon / 180, lat / 90). Dimension D.

    √(2 / D) cos(W x + b), W ~ N(0, 1 / ℓ²), b ~ U(0, 2π): inner products approach the Gaussian
    kernel exp(-|x - y|² / 2ℓ²). `length_scale` is ℓ, in halves of the map: larger is smoother.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, *, features: int = 512, length_scale: float = 0.1, seed: int = 0) -> None:
        if features < 1 or length_scale <= 0.0:
            raise InvalidOption(f"features={features}, length_scale={length_scale}: both must be positive")
        rng = np.random.default_rng(seed)
        frequencies = rng.standard_normal((features, 2)) / length_scale
        options = {"features": features, "length_scale": length_scale, "seed": seed}
        super().__init__(features, options, is_periodic=False)
        self.register_constant("frequencies", _float32(frequencies), persistent=True)
        self.register_constant("phases", _float32(rng.uniform(0.0, 2.0 * np.pi, features)), persistent=True)

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., D)."""
        plane = lonlat / lonlat.new_tensor([180.0, 90.0])
        phase = plane @ self.frequencies.double().T + self.phases.double()
        return phase.cos() * math.sqrt(2.0 / self.dimension)


class EqualEarthFourier(PositionalEncoding):
    """GeoCLIP's front end (Vivanco Cepeda et al. 2023, arXiv 2309.16020). Dimension 2 F per sigma.

    The point is projected by Equal Earth, which keeps areas, and scaled: v. Per sigma, columns
    cos(2π B v), then sin(2π B v), with B (F, 2) ~ N(0, σ²). There B is drawn without a seed; here
    with one, sigma after sigma from one generator.
    """

    frequencies: Tensor

    def __init__(
        self, *, sigmas: Sequence[float] = (1.0, 16.0, 256.0), frequencies: int = 256, seed: int = 0
    ) -> None:
        if not sigmas or min(sigmas) <= 0.0 or frequencies < 1:
            raise InvalidOption(f"sigmas={list(sigmas)}, frequencies={frequencies}: all must be positive")
        rng = np.random.default_rng(seed)
        drawn = np.concatenate([sigma * rng.standard_normal((frequencies, 2)) for sigma in sigmas])
        options = {"sigmas": [float(sigma) for sigma in sigmas], "frequencies": frequencies, "seed": seed}
        super().__init__(2 * len(drawn), options, is_periodic=False)
        self.register_constant("frequencies", _float32(drawn), persistent=True)
        self._n_sigmas, self._per_sigma = len(sigmas), frequencies

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., 2 F per sigma)."""
        turns = equal_earth(lonlat) @ self.frequencies.double().T
        # Whole turns, of which there are hundreds, are taken off in float64; the rest fits float32.
        phase = (2.0 * torch.pi * (turns - turns.round())).to(torch.promote_types(self.dtype, torch.float32))
        blocks = phase.reshape(*phase.shape[:-1], self._n_sigmas, self._per_sigma)  # (..., sigmas, F)
        return torch.cat([blocks.cos(), blocks.sin()], dim=-1).flatten(-2)


def equal_earth(lonlat: Tensor) -> Tensor:
    """Equal Earth on a sphere of radius `GEOCLIP_SCALE`: degrees (..., 2) -> (..., 2), x to the east."""
    a1, a2, a3, a4 = EQUAL_EARTH
    lon, lat = torch.deg2rad(lonlat).unbind(-1)
    t = torch.asin(0.75**0.5 * lat.sin())
    slope = 9.0 * a4 * t**8 + 7.0 * a3 * t**6 + 3.0 * a2 * t**2 + a1
    x = 2.0 * 3.0**0.5 * lon * t.cos() / (3.0 * slope)
    y = a4 * t**9 + a3 * t**7 + a2 * t**3 + a1 * t
    return GEOCLIP_SCALE * torch.stack([x, y], dim=-1)


def _float32(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
