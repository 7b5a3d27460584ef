"""Geometries of any file, made fit for drawing: in lon, lat, valid, flat, and in single parts.

Rasterizers are slow on multipolygons (each scan line would visit all parts), so all collections are
exploded. An edge goes the short way round: a line from 179 to -179 crosses the antimeridian.
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from ..areas import Polygon
from ..errors import InvalidCoordinate
from ..sphere import as_lonlat

Geometries = NDArray[np.object_]
POINT, LINE, RING, POLYGON = 0, 1, 2, 3
"""Type ids of shapely; larger ones are collections."""


def parts_of(geometry: Geometries) -> tuple[Geometries, NDArray[np.intp]]:
    """Points, lines and valid polygons that geometries are made of, and the row each came from.

    Empty and missing geometries have no parts. Invalid polygons are repaired; what a repair leaves
    without an area is dropped. Altitudes are dropped.

    Args:
        geometry: shapely geometries in lon, lat degrees, (n,). Not changed.

    Raises:
        InvalidCoordinate: a vertex lies nowhere on Earth.
    """
    rows = np.flatnonzero(~(shapely.is_missing(geometry) | shapely.is_empty(geometry)))
    geometry = shapely.force_2d(geometry[rows])
    as_lonlat(shapely.get_coordinates(geometry))  # for its check alone: wrapping would tear edges at 180
    parts, rows = _exploded(geometry, rows)
    is_long = _has_long_edge(parts)
    if is_long.any():
        parts[is_long] = [_short_way(part) for part in parts[is_long]]
    kind = shapely.get_type_id(parts)
    is_invalid = (kind == POLYGON) & ~shapely.is_valid(parts)
    parts[is_invalid] = shapely.make_valid(parts[is_invalid])
    was_polygon = kind == POLYGON
    parts, index = _exploded(parts, np.arange(len(parts)))
    kind = shapely.get_type_id(parts)
    kept = (kind == POLYGON) & (shapely.area(parts) > 0.0) | (kind != POLYGON) & ~was_polygon[index]
    return parts[kept], rows[index[kept]]


def bounds_of(parts: Geometries) -> tuple[float, float, float, float]:
    """The smallest box around geometries on the globe: west, south, east, north degrees.

    West is in [-180, 180), east at most 360 above it: 179 and -179 lie in a box of 2 degrees.

    Raises:
        InvalidCoordinate: there are none.
    """
    if not len(parts):
        raise InvalidCoordinate("there is nothing to draw: no geometry")
    west, south, east, north = shapely.bounds(parts).T
    turns = np.floor((west + 180.0) / 360.0) * 360.0
    order = np.argsort(west - turns)
    start, end = (west - turns)[order], (east - turns)[order]
    reach = np.maximum.accumulate(end)
    # Where the next interval begins after all before it have ended, there is a gap; the widest is left out.
    gaps = np.append(start[1:], start[0] + 360.0) - reach
    widest = int(np.argmax(gaps))
    if gaps[widest] <= 0.0:
        return -180.0, float(south.min()), 180.0, float(north.max())
    first = float(start[(widest + 1) % len(start)])
    last = float(reach[widest])
    return first, float(south.min()), last if last >= first else last + 360.0, float(north.max())


def _exploded(geometry: Geometries, rows: NDArray[np.intp]) -> tuple[Geometries, NDArray[np.intp]]:
    while len(geometry) and (shapely.get_type_id(geometry) > POLYGON).any():
        geometry, index = shapely.get_parts(geometry, return_index=True)
        rows = rows[index]
    kept = ~shapely.is_empty(geometry)
    return np.asarray(geometry[kept], dtype=object), rows[kept]


def _has_long_edge(parts: Geometries) -> NDArray[np.bool_]:
    """Whether a part has an edge of more than 180 degrees; 360 are the two names of one meridian."""
    coordinates, owner = shapely.get_coordinates(parts, return_index=True)
    length = np.abs(np.diff(coordinates[:, 0]))
    is_long = (length > 180.0) & (length < 360.0) & (owner[1:] == owner[:-1])
    # The last vertex of a ring and the first of the next are no edge, but asking too often is no harm.
    found = np.zeros(len(parts), bool)
    found[owner[1:][is_long]] = True
    return found


def _short_way(part: shapely.Geometry) -> shapely.Geometry:
    if shapely.get_type_id(part) == POLYGON:
        return shapely.MultiPolygon(Polygon.from_geojson(shapely.geometry.mapping(part)).pieces)
    lonlat = shapely.get_coordinates(part)
    turns = np.round(np.diff(lonlat[:, 0]) / 360.0)
    lonlat[1:, 0] -= 360.0 * np.cumsum(turns)
    return shapely.LineString(lonlat)
