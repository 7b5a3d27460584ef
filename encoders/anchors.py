"""Positional encodings by neighborhood: how near are some anchors, in which tile of the map?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .errors import InvalidOption
from .positional_base import PositionalEncoding, unit_vector
from .sphere import EARTH_RADIUS_KM, as_lonlat

MAX_TILE_ENTRIES = 1 << 28
"""A gibibyte of float32; a table beyond it is more likely a slip in `cell_deg`."""


class Rbf(PositionalEncoding):
    """Gaussians of the great-circle distance to anchors: exp(-d² / 2s²). One column an anchor.

    Periodic: the antimeridian is no edge, and a degree of longitude counts what it measures. TorchSpatial
    takes degrees for distances; see `RbfDegrees`.

    Args:
        anchors: rows of lon, lat; when left out, `count` of them spread evenly over the Earth.
            (TorchSpatial draws 200 of the training points.)
        count: how many to spread.
        scale_km: s, kilometers.
    """

    _anchors: Tensor

    def __init__(
        self,
        *,
        anchors: Sequence[Sequence[float]] | None = None,
        count: int = 200,
        scale_km: float = 1000.0,
    ) -> None:
        if scale_km <= 0.0:
            raise InvalidOption(f"scale_km={scale_km}: must be positive")
        places, options = _anchors(anchors, count)
        super().__init__(len(places), {**options, "scale_km": scale_km})
        self.register_constant("_anchors", unit_vector(torch.from_numpy(places)))
        self._scale = scale_km / EARTH_RADIUS_KM

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., M)."""
        cosine = unit_vector(lonlat) @ self._anchors.T
        haversine = (1.0 - cosine) / 2.0
        # A root has no slope at 0. The square of the angle has one, 0, and the bound says so.
        near, far = haversine.clamp(min=1e-30), (1.0 - haversine).clamp(min=1e-30)
        angle = 2.0 * torch.atan2(near.sqrt(), far.sqrt())
        return torch.exp(-0.5 * (angle / self._scale) ** 2)


class RbfDegrees(PositionalEncoding):
    """Gaussians of the distance in degrees, exp(-|x - a|² / 2s²), as in TorchSpatial. Dimension M.

    The map is taken for a plane: not periodic, with a seam at the antimeridian, and wide near the poles.

    Args:
        anchors: as in `Rbf`.
        count: as in `Rbf`.
        scale_deg: s, degrees.
    """

    _anchors: Tensor

    def __init__(
        self,
        *,
        anchors: Sequence[Sequence[float]] | None = None,
        count: int = 200,
        scale_deg: float = 10.0,
    ) -> None:
        if scale_deg <= 0.0:
            raise InvalidOption(f"scale_deg={scale_deg}: must be positive")
        places, options = _anchors(anchors, count)
        super().__init__(len(places), {**options, "scale_deg": scale_deg}, is_periodic=False)
        self.register_constant("_anchors", torch.from_numpy(places))
        self._scale_deg = scale_deg

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., M)."""
        offset = lonlat[..., None, :] - self._anchors  # (..., M, 2)
        return torch.exp(-offset.square().sum(dim=-1) / (2.0 * self._scale_deg**2))


class Tile(PositionalEncoding):
    """A learned vector for each tile of a grid in degrees. Dimension `width`.

    Tiles count from 180° W, 90° S; where `cell_deg` does not divide the circle the last column is
    narrower. Longitudes wrap; the north pole lies in the last row. The features are steps: they have
    no slope in the coordinates.
    """

    def __init__(self, *, cell_deg: float = 1.0, width: int = 16) -> None:
        if not 0.0 < cell_deg <= 180.0 or width < 1:
            raise InvalidOption(f"cell_deg={cell_deg}, width={width}: needs 0 < cell_deg <= 180, width >= 1")
        columns, rows = int(np.ceil(360.0 / cell_deg)), int(np.ceil(180.0 / cell_deg))
        if columns * rows * width > MAX_TILE_ENTRIES:
            raise InvalidOption(
                f"cell_deg={cell_deg}, width={width}: {columns} × {rows} tiles are too many; "
                "take larger cells or a smaller width"
            )
        super().__init__(width, {"cell_deg": cell_deg, "width": width})
        self.columns, self.rows, self._cell_deg = columns, rows, cell_deg
        self.table = nn.Embedding(self.columns * self.rows, width)

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., width), in the table's dtype."""
        lon, lat = lonlat.unbind(-1)
        column = (torch.remainder(lon + 180.0, 360.0) / self._cell_deg).long().clamp(max=self.columns - 1)
        row = ((lat + 90.0) / self._cell_deg).long().clamp(0, self.rows - 1)
        vectors: Tensor = self.table(row * self.columns + column)
        return vectors


def fibonacci_lattice(n: int) -> NDArray[np.float64]:
    """Spread n points evenly over the sphere, (n, 2) degrees: equal steps of sin(lat), golden turns."""
    step = np.arange(n) + 0.5
    lat = np.rad2deg(np.arcsin(1.0 - 2.0 * step / n))
    lon = np.remainder(step * 360.0 * (np.sqrt(5.0) - 1.0) / 2.0, 360.0) - 180.0
    return np.stack([lon, lat], axis=-1)


def _anchors(
    anchors: Sequence[Sequence[float]] | None, count: int
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """The anchors (M, 2) degrees, and the options that give them again."""
    if anchors is None:
        if count < 1:
            raise InvalidOption(f"count={count}: there must be at least one anchor")
        return fibonacci_lattice(count), {"count": count}
    places = as_lonlat(anchors)
    if places.ndim != 2 or not len(places):
        raise InvalidOption(f"anchors must be rows of lon, lat, at least one; got shape {places.shape}")
    return places, {"anchors": places.tolist()}
