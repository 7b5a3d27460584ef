"""Places in a grid: rows of latitude a spacing apart, and in each row places the same spacing apart.

The rows and places are those of one lattice of the whole Earth, which a spacing determines and an area
only cuts out of: two areas that overlap share their places, a grid grows when its area does, and neither
the antimeridian nor a pole is a special place. A row has as many places as fit its circle of latitude,
so that their distance is the spacing to within half a place a row; no place lies on a pole or on ±180.
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from ..encoders.areas import Area, Box, Circle
from ..encoders.errors import InvalidOption
from ..encoders.sphere import EARTH_RADIUS_KM

MOST = 20_000_000
"""Places in a grid at most; a gallery of so many takes days to embed on a CPU."""

SHORTEST_M, LONGEST_M = 1.0, 5_000_000.0

_Floats = NDArray[np.float64]


def grid_places(area: Area, spacing_m: float) -> _Floats:
    """The places of the lattice that lie in an area, from south to north and west to east.

    Args:
        area: where.
        spacing_m: distance between neighbors, meters on the sphere.

    Returns:
        (n, 2) degrees, longitude first; n may be 0 where the area is small beside the spacing.

    Raises:
        InvalidOption: a spacing of no use, or more than `MOST` places.
    """
    if not SHORTEST_M <= spacing_m <= LONGEST_M:
        raise InvalidOption(
            f"a spacing of {spacing_m:g} m: must be {SHORTEST_M:g} m to {LONGEST_M / 1e3:,g} km"
        )
    if (n := area.area_km2 * 1e6 / spacing_m**2) > MOST:
        least_m = 1000.0 * np.sqrt(area.area_km2 / MOST)
        raise InvalidOption(
            f"a grid of {spacing_m:g} m would have {n:,.0f} places here, more than {MOST:,}; take a smaller "
            f"area, or a spacing of {least_m:,.0f} m or more"
        )
    if isinstance(area, Circle):
        found = [_rows(*_around(area), spacing_m)]
        found = [found[0][area.contains(found[0])]]
    elif isinstance(area, Box):
        found = [_rows(area.south, area.north, area.spans, spacing_m)]
    else:
        found = []
        for piece in area.pieces:
            west, south, east, north = piece.bounds
            inside = _rows(south, north, ((west, east),), spacing_m)
            shapely.prepare(piece)
            found.append(inside[shapely.intersects_xy(piece, inside[:, 0], inside[:, 1])])
    together = np.concatenate(found)
    order = np.lexsort((together[:, 0], together[:, 1]))
    together = together[order]
    # Pieces that touch may both hold a place on their common edge.
    is_new = np.ones(len(together), np.bool_)
    is_new[1:] = (np.diff(together, axis=0) != 0.0).any(axis=1)
    return together[is_new]


def _rows(south: float, north: float, spans: tuple[tuple[float, float], ...], spacing_m: float) -> _Floats:
    step_deg = float(np.rad2deg(spacing_m / (1000.0 * EARTH_RADIUS_KM)))
    n_rows = max(1, round(180.0 / step_deg))
    found: list[_Floats] = []
    for lat in _centers(south, north, -90.0, 180.0 / n_rows).tolist():
        n_places = max(1, round(360.0 * np.cos(np.deg2rad(lat)) / step_deg))
        for west, east in spans:
            lon = _centers(west, east, -180.0, 360.0 / n_places)
            found.append(np.stack([lon, np.full(len(lon), lat)], axis=-1))
    return np.concatenate(found) if found else np.empty((0, 2))


def _centers(low: float, high: float, origin: float, step: float) -> _Floats:
    """Middles of the steps from an origin on that lie in [low, high]."""
    first = int(np.ceil((low - origin) / step - 0.5))
    last = int(np.floor((high - origin) / step - 0.5))
    centers: _Floats = origin + (np.arange(first, last + 1, dtype=np.float64) + 0.5) * step
    return centers


def _around(circle: Circle) -> tuple[float, float, tuple[tuple[float, float], ...]]:
    """South, north and longitudes around a circle."""
    angle = np.rad2deg(circle.radius_km / EARTH_RADIUS_KM)
    south, north = max(-90.0, circle.lat - angle), min(90.0, circle.lat + angle)
    if south == -90.0 or north == 90.0:
        return south, north, ((-180.0, 180.0),)
    ratio = np.sin(np.deg2rad(angle)) / np.cos(np.deg2rad(circle.lat))
    half = float(np.rad2deg(np.arcsin(min(1.0, ratio)))) + 1e-9
    return south, north, Box(circle.lon - half, south, circle.lon + half, north).spans
