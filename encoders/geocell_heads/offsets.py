"""Where in its cell: kilometers east and north of the center, in the plane that touches it there.

The plane is the azimuthal equidistant one: the length of an offset is the great-circle distance from the
center, its direction the bearing. At a pole east and north are those of the meridian that the center's
longitude names, as in `sphere.destination`.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..sphere import destination, great_circle_km, unit_vectors

_Floats = NDArray[np.float64]


def offsets_km(center_lonlat: _Floats, lonlat: _Floats) -> _Floats:
    """(east, north) of places from centers: (..., 2) and (..., 2) degrees -> (..., 2) km.

    Of the center itself it is zero. The antipode, which lies in every direction, goes north.
    """
    lon, lat = np.deg2rad(center_lonlat[..., 0]), np.deg2rad(center_lonlat[..., 1])
    north = np.stack([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)], axis=-1)
    east = np.stack([-np.sin(lon), np.cos(lon), np.zeros_like(lon)], axis=-1)
    to = unit_vectors(lonlat)
    bearing = np.arctan2((to * east).sum(axis=-1), (to * north).sum(axis=-1))
    distance = great_circle_km(center_lonlat, lonlat)
    return np.stack([distance * np.sin(bearing), distance * np.cos(bearing)], axis=-1)


def moved(center_lonlat: _Floats, offset_km: _Floats) -> _Floats:
    """Places at offsets from centers, the inverse of `offsets_km`: -> (..., 2) degrees."""
    bearing_deg = np.rad2deg(np.arctan2(offset_km[..., 0], offset_km[..., 1]))
    return destination(center_lonlat, bearing_deg, np.hypot(offset_km[..., 0], offset_km[..., 1]))


def within(raw: Tensor, radius_km: Tensor) -> Tensor:
    """Bound vectors by a circle, keeping their direction: (..., 2) and (...) -> (..., 2) km.

    A vector of length r comes out with length radius · tanh(r). (OSV-5M bounds each axis by itself, which
    reaches farther along the diagonals.)
    """
    length = raw.norm(dim=-1, keepdim=True)
    # tanh(r) / r is 1 at 0, where its gradient would be 0 / 0.
    ratio = length.clamp_min(1e-6).tanh() / length.clamp_min(1e-6)
    bounded: Tensor = raw * ratio * radius_km[..., None]
    return bounded
