"""Sines and cosines of coordinates at many scales: Space2Vec, Sphere2Vec, NeRF.

Scales are geometric from r_min to r_max (`geometric_scales`), frequencies 1 / r_s; there is no 2π in
Space2Vec and Sphere2Vec. **Space2Vec counts in degrees, Sphere2Vec in radians.** All features of one
scale stand together, from the finest scale to the coarsest, in the order the class names.

λ / r_s returns after a full turn only where 1 / r_s is whole. Any other list of scales has a seam at
the antimeridian, and `is_periodic` is False.
"""

from typing import ClassVar

import torch
from torch import Tensor

from .errors import InvalidOption
from .positional_base import PositionalEncoding, geometric_scales, radians, unit_vector

MAX_NERF_SCALES = 16
"""The 16th octave has waves of 390 m on the ground; from the 50th on, phases are rounding noise."""


class Grid(PositionalEncoding):
    """Space2Vec's grid (Mai et al. 2020, arXiv 2003.00824, Eq. 4), in degrees. Dimension 4 S.

    Per scale: sin(lon / r), sin(lat / r), cos(lon / r), cos(lat / r). Not periodic.
    """

    _scales: Tensor

    def __init__(self, *, scales: int = 64, r_min: float = 0.1, r_max: float = 360.0) -> None:
        options = {"scales": scales, "r_min": r_min, "r_max": r_max}
        super().__init__(4 * scales, options, is_periodic=False)
        self.register_constant("_scales", geometric_scales(scales, r_min, r_max))

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., 4 S)."""
        phase = lonlat[..., None, :] / self._scales[:, None]  # (..., S, 2)
        return torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(-2)


class Theory(PositionalEncoding):
    """Space2Vec's theory (Mai et al. 2020, Eq. 3), in degrees. Dimension 6 S.

    The plane seen along three unit vectors a_j, 120 degrees apart, as grid cells of the brain see
    it. Per scale: sin(⟨x, a_j⟩ / r) for j = 1..3, then the cosines. Not periodic.
    """

    _scales: Tensor
    _directions: Tensor

    def __init__(self, *, scales: int = 64, r_min: float = 0.1, r_max: float = 360.0) -> None:
        options = {"scales": scales, "r_min": r_min, "r_max": r_max}
        super().__init__(6 * scales, options, is_periodic=False)
        self.register_constant("_scales", geometric_scales(scales, r_min, r_max))
        half, height = 0.5, 0.75**0.5
        directions = [[1.0, 0.0], [-half, height], [-half, -height]]
        self.register_constant("_directions", torch.tensor(directions, dtype=torch.float64))

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., 6 S)."""
        along = lonlat @ self._directions.T  # (..., 3)
        phase = along[..., None, :] / self._scales[:, None]  # (..., S, 3)
        return torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(-2)


class Sphere2Vec(PositionalEncoding):
    """The Sphere2Vec family (Mai et al. 2023, arXiv 2306.17624), in radians.

    Per scale, with φ' = φ / r and λ' = λ / r:

    - ``c``, 3 S: sin φ', cos φ' cos λ', cos φ' sin λ'
    - ``m``, 5 S: sin φ', cos φ' cos λ, cos φ cos λ', cos φ' sin λ, cos φ sin λ'
    - ``c+``, 6 S, and ``m+``, 8 S: the same, then cos φ', sin λ', cos λ'

    With r_max = 1 the coarsest scale of ``c`` is the point on the unit sphere. The plus forms join
    the terms of `Grid` on the same list of scales, with sin φ' kept once.
    """

    variant: ClassVar[str]
    _scales: Tensor

    def __init__(self, *, scales: int = 32, r_min: float = 0.001, r_max: float = 1.0) -> None:
        options = {"scales": scales, "r_min": r_min, "r_max": r_max}
        scale_list = geometric_scales(scales, r_min, r_max)
        columns = {"c": 3, "c+": 6, "m": 5, "m+": 8}[self.variant]
        super().__init__(columns * scales, options, is_periodic=_are_whole(scale_list))
        self.register_constant("_scales", scale_list)

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., 3 S, 5 S, 6 S or 8 S)."""
        lon, lat = radians(lonlat)  # (..., 1)
        sin_lon, cos_lon = (lon / self._scales).sin(), (lon / self._scales).cos()  # (..., S)
        sin_lat, cos_lat = (lat / self._scales).sin(), (lat / self._scales).cos()
        if self.variant.startswith("c"):
            columns = [sin_lat, cos_lat * cos_lon, cos_lat * sin_lon]
        else:
            columns = [
                sin_lat,
                cos_lat * lon.cos(),
                lat.cos() * cos_lon,
                cos_lat * lon.sin(),
                lat.cos() * sin_lon,
            ]
        if self.variant.endswith("+"):
            columns += [cos_lat, sin_lon, cos_lon]
        return torch.stack(columns, dim=-1).flatten(-2)


class SphereC(Sphere2Vec):
    """Sphere2Vec's sphereC. Dimension 3 S."""

    variant = "c"


class SphereCPlus(Sphere2Vec):
    """Sphere2Vec's sphereC+. Dimension 6 S."""

    variant = "c+"


class SphereM(Sphere2Vec):
    """Sphere2Vec's sphereM. Dimension 5 S."""

    variant = "m"


class SphereMPlus(Sphere2Vec):
    """Sphere2Vec's sphereM+. Dimension 8 S."""

    variant = "m+"


class Dfs(PositionalEncoding):
    """Sphere2Vec's dfs, after the double Fourier sphere (arXiv 2306.17624), in radians.

    Columns, with a = (sin φ/r_s for all s, cos φ/r_s for all s) and b the same of λ: a, b, and all
    products a_i b_j with j running faster. Dimension 4 S + 4 S².
    """

    _scales: Tensor

    def __init__(self, *, scales: int = 16, r_min: float = 0.001, r_max: float = 1.0) -> None:
        options = {"scales": scales, "r_min": r_min, "r_max": r_max}
        scale_list = geometric_scales(scales, r_min, r_max)
        super().__init__(4 * scales + 4 * scales**2, options, is_periodic=_are_whole(scale_list))
        self.register_constant("_scales", scale_list)

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., 4 S + 4 S²)."""
        lon, lat = radians(lonlat)
        a = torch.cat([(lat / self._scales).sin(), (lat / self._scales).cos()], dim=-1)  # (..., 2 S)
        b = torch.cat([(lon / self._scales).sin(), (lon / self._scales).cos()], dim=-1)
        return torch.cat([a, b, (a[..., :, None] * b[..., None, :]).flatten(-2)], dim=-1)


class Nerf(PositionalEncoding):
    """NeRF's octaves (Mildenhall et al. 2020, arXiv 2003.08934) of the point v on the unit sphere.

    Per octave k = 0..S-1: sin(2^k π v) for x, y, z, then the cosines. Dimension 6 S. Periodic. At
    v = ±1 on an axis all sines vanish, for both ends alike: the poles differ in no feature. They do
    in any point beside them.
    """

    _octaves: Tensor

    def __init__(self, *, scales: int = 10) -> None:
        if not 1 <= scales <= MAX_NERF_SCALES:
            raise InvalidOption(f"scales={scales}: NeRF takes 1 to {MAX_NERF_SCALES} octaves")
        super().__init__(6 * scales, {"scales": scales})
        self.register_constant("_octaves", torch.pi * 2.0 ** torch.arange(scales, dtype=torch.float64))

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., 6 S)."""
        phase = unit_vector(lonlat)[..., None, :] * self._octaves[:, None]  # (..., S, 3)
        return torch.cat([phase.sin(), phase.cos()], dim=-1).flatten(-2)


def _are_whole(scales: Tensor) -> bool:
    """Whether all frequencies 1 / r_s are whole numbers."""
    frequencies = 1.0 / scales
    return bool(((frequencies - frequencies.round()).abs() < 1e-9).all())
