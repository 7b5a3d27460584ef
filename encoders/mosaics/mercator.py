"""Web Mercator (EPSG:3857) in world pixels: the grid all mosaics lie on.

A level of zoom z is a square of 256 · 2^z pixels: x grows eastward from lon -180, y **southward** from
lat 85.0511. Pixel (i, j) covers [j, j + 1) × [i, i + 1), so its center is at (j + ½, i + ½). x may leave
the square on either side: it is the same place one turn on.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_LAT = 85.05112877980659
"""Where the square ends: arctan(sinh π), in degrees."""
EQUATOR_M_PER_PX = 156543.03392804097
"""Ground size of a pixel of zoom 0 at the equator: 2π · 6378137 m / 256, Web Mercator's own radius."""
MAX_ZOOM = 22

_Floats = NDArray[np.float64]


def world_px(zoom: int) -> int:
    """Side of the world at a zoom, pixels."""
    return 256 << zoom


def to_world(lonlat: _Floats, zoom: int) -> _Floats:
    """Degrees (..., 2) -> world pixels (..., 2), x then y. Latitudes beyond the square go to its edge."""
    lat = np.deg2rad(np.clip(lonlat[..., 1], -MAX_LAT, MAX_LAT))
    x = (lonlat[..., 0] + 180.0) / 360.0
    y = 0.5 - np.arctanh(np.sin(lat)) / (2.0 * np.pi)
    return np.stack([x, y], axis=-1) * world_px(zoom)


def to_lonlat(world: _Floats, zoom: int) -> _Floats:
    """World pixels (..., 2) -> degrees (..., 2), the inverse of `to_world`; lon is not wrapped."""
    share = np.asarray(world, np.float64) / world_px(zoom)
    lat = np.rad2deg(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * share[..., 1]))))
    return np.stack([share[..., 0] * 360.0 - 180.0, lat], axis=-1)


def ground_m_per_px(lat: ArrayLike, zoom: ArrayLike) -> _Floats:
    """Ground size of a pixel, meters: halved by each zoom, and shrinking with the cosine of the latitude."""
    lat = np.clip(np.asarray(lat, np.float64), -MAX_LAT, MAX_LAT)
    size: _Floats = EQUATOR_M_PER_PX * np.cos(np.deg2rad(lat)) / np.exp2(zoom)
    return size
