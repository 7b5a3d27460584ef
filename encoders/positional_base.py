"""What every positional encoding is: a fixed map from a place to features, as a torch module.

Conventions of this family of files:

- Input is `lonlat`, WGS84 degrees, longitude first, shape (..., 2), any float type; it is never
  changed. Output is (..., `dimension`) in the module's own dtype (float32 unless `.double()` or
  `.half()` was called), on the module's device.
- λ and φ are longitude and latitude in radians. Phases are computed in float64: 1e-4 degrees is
  lost in a float32 longitude times a frequency of 1e4.
- Everything but `tile` can be differentiated to the coordinates, at the poles too.
- `is_periodic` says that lon and lon + 360 give the same features, so that the antimeridian is an
  ordinary place. Where it is False the encoding has a seam there.
- Constants (scales, frequencies, coefficients) follow the module to another device, but keep their
  precision whatever it is cast to: another rounding of a frequency is another encoding.
"""

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor, nn

from .errors import InvalidOption


class PositionalEncoding(nn.Module):
    """Base of all: keeps the options, computes in float64, answers in the module's dtype.

    Subclasses compute `features`; the options they hand over must be JSON and rebuild them.
    """

    _like: Tensor

    def __init__(
        self, dimension: int, options: Mapping[str, Any] | None = None, *, is_periodic: bool = True
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.options: dict[str, Any] = dict(options or {})
        self.is_periodic = is_periodic
        self._constants: list[str] = []
        self.register_buffer("_like", torch.empty(0), persistent=False)  # follows .to(), .double()

    def register_constant(self, name: str, value: Tensor, *, persistent: bool = False) -> None:
        """Keep a tensor that follows the device but is never cast; persistent ones are saved."""
        self.register_buffer(name, value, persistent=persistent)
        self._constants.append(name)

    def forward(self, lonlat: Tensor) -> Tensor:
        """Encode places: degrees (..., 2) -> (..., dimension), in the module's dtype."""
        if lonlat.shape[-1:] != (2,):
            raise InvalidOption(
                f"lonlat must have shape (..., 2), longitude first; got {tuple(lonlat.shape)}"
            )
        return self.features(lonlat.to(self.device, torch.float64)).to(self.dtype)

    def features(self, lonlat: Tensor) -> Tensor:
        """The features in float64: degrees (..., 2), float64 -> (..., dimension)."""
        raise NotImplementedError

    @property
    def device(self) -> torch.device:
        """Where the module is and its output will be."""
        return self._like.device

    @property
    def dtype(self) -> torch.dtype:
        """What its features are in."""
        return self._like.dtype

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        kept = {name: getattr(self, name) for name in self._constants}
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name, value in kept.items():
            setattr(self, name, value.to(self.device))
        return self

    def extra_repr(self) -> str:
        """The options and the dimension, for `print`."""
        options = [f"{key}={value!r}" for key, value in self.options.items()]
        return ", ".join([*options, f"dimension={self.dimension}"])


def radians(lonlat: Tensor) -> tuple[Tensor, Tensor]:
    """λ and φ: degrees (..., 2) -> two of (..., 1)."""
    angles = torch.deg2rad(lonlat)
    return angles[..., :1], angles[..., 1:]


def unit_vector(lonlat: Tensor) -> Tensor:
    """The point on the unit sphere, cos φ cos λ, cos φ sin λ, sin φ: degrees (..., 2) -> (..., 3)."""
    lon, lat = radians(lonlat)
    return torch.cat([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()], dim=-1)


def geometric_scales(scales: int, r_min: float, r_max: float) -> Tensor:
    """r_s = r_min (r_max / r_min)^(s / (S - 1)), s = 0..S-1: (S,) float64, ascending.

    Both ends are in the list; a single scale is r_min. (TorchSpatial leaves r_min out of sphereM+
    and dfs; with its r_max of 1 all frequencies are then the same.)

    Raises:
        InvalidOption: unless scales >= 1 and 0 < r_min <= r_max.
    """
    if scales < 1 or not 0.0 < r_min <= r_max:
        raise InvalidOption(
            f"scales={scales}, r_min={r_min}, r_max={r_max}: needs scales >= 1 and 0 < r_min <= r_max"
        )
    exponent = torch.arange(scales, dtype=torch.float64) / max(scales - 1, 1)
    scale: Tensor = r_min * (r_max / r_min) ** exponent
    return scale


class Xyz(PositionalEncoding):
    """The point on the unit sphere: cos φ cos λ, cos φ sin λ, sin φ. Dimension 3."""

    def __init__(self) -> None:
        super().__init__(3)

    def features(self, lonlat: Tensor) -> Tensor:
        """Columns x, y, z: degrees (..., 2), float64 -> (..., 3)."""
        return unit_vector(lonlat)


class Wrap(PositionalEncoding):
    """Sine and cosine of both angles: sin λ, cos λ, sin φ, cos φ. Dimension 4.

    Latitude counts in radians like longitude, so that the two poles differ. They are the same
    features in the encoding of Mac Aodha et al. 2019 (arXiv 1906.05272), which stretches latitude
    to a full turn; see `WrapAliased`.
    """

    def __init__(self) -> None:
        super().__init__(4)

    def features(self, lonlat: Tensor) -> Tensor:
        """Columns as named above: degrees (..., 2), float64 -> (..., 4)."""
        lon, lat = radians(lonlat)
        return torch.cat([lon.sin(), lon.cos(), lat.sin(), lat.cos()], dim=-1)


class WrapAliased(PositionalEncoding):
    """The wrap of Mac Aodha et al. 2019, kept to load weights trained on it. Dimension 4.

    Columns sin πx, sin πy, cos πx, cos πy with x = lon / 180, y = lat / 90. North and south pole
    have the same features: use `Wrap` for anything new.
    """

    def __init__(self) -> None:
        super().__init__(4)

    def features(self, lonlat: Tensor) -> Tensor:
        """Columns as named above: degrees (..., 2), float64 -> (..., 4)."""
        lon, lat = radians(lonlat)
        angles = torch.cat([lon, 2.0 * lat], dim=-1)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
