"""From layers to polygons on the pixel grid: lines get their width, places their disc.

Widths are meters on the ground, at the latitude of the line's middle, but never less than the legend's
pixels: a road of 11 m is 9 px wide at zoom 17 in Vaduz and 1.5 px at zoom 12. A strip at least 1 px wide
covers a pixel center in each column or row that it passes, so no line is torn into dots.
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from .geometry import POINT, POLYGON, Geometries
from .layers import Layer
from .legend import CLASSES, IDS, N_CLASSES
from .mercator import ground_m_per_px, to_lonlat, to_world, world_px
from .scanlines import Edges, edges_of

PLACE_M_PER_ROOT_PERSON = 4.0
"""A place of P people is a disc of radius 4 √P meters (12.6 km for 10 million), within these pixels:"""
PLACE_PX = (1.0, 6.0)
POINT_PX = 0.75
"""Smallest radius of a disc: from 0.71 on it covers a pixel center wherever it lies."""

BENT_PX = 0.1
"""So far from its chord an edge may bend."""

_LINE_M = np.array([one.line_m for one in CLASSES])
_LINE_PX = np.array([one.line_px for one in CLASSES])


def shapes_at(layer: Layer, zoom: int) -> tuple[Geometries, NDArray[np.uint8]]:
    """The polygons a layer is drawn with at a zoom, in world pixels, and the class of each, (n,).

    Coastlines come as strips of sea, below the land that `coastline` makes of them.
    """
    kind = shapely.get_type_id(layer.geometry)
    shown = layer.min_zoom <= zoom
    world = to_world_px(layer.geometry[shown], zoom)
    kind, class_id = kind[shown], layer.class_id[shown]
    # The boundary of an area is a line, also where a file draws it as the area.
    is_outline = (kind == POLYGON) & (class_id == IDS["boundary"])
    world[is_outline] = shapely.boundary(world[is_outline])
    scale = ground_m_per_px(_middle_lat(world, zoom), zoom)
    is_point, is_area = kind == POINT, (kind == POLYGON) & ~is_outline
    radius = line_px(class_id, layer.line_m[shown], scale) / 2.0
    radius[is_point] = _disc_px(class_id, layer.population[shown], scale)[is_point]
    is_strip = ~(is_area | is_point)
    world[is_strip] = shapely.buffer(world[is_strip], radius[is_strip], quad_segs=2)
    world[is_point] = shapely.buffer(world[is_point], radius[is_point], quad_segs=8)
    kept = ~shapely.is_empty(world)
    parts, row = shapely.get_parts(world[kept], return_index=True)
    return np.asarray(parts, dtype=object), class_id[kept][row]


def line_px(
    class_id: NDArray[np.uint8], line_m: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Widths of lines in pixels of `scale` meters, all (n,); NaN meters mean the legend's."""
    meters = np.where(np.isnan(line_m), _LINE_M[class_id], line_m)
    width: NDArray[np.float64] = np.maximum(meters / scale, _LINE_PX[class_id])
    return width


def edges_by_class(shapes: list[tuple[Geometries, NDArray[np.uint8]]]) -> list[Edges]:
    """Edges of all shapes, for each class id in turn, (N_CLASSES,)."""
    polygons = np.concatenate([some for some, _ in shapes]) if shapes else np.empty(0, object)
    class_id = np.concatenate([ids for _, ids in shapes]) if shapes else np.empty(0, np.uint8)
    return [edges_of(polygons[class_id == one]) for one in range(N_CLASSES)]


def to_world_px(geometry: Geometries, zoom: int) -> Geometries:
    """Geometries in lon, lat degrees as new ones in world pixels.

    An edge is straight in degrees (RFC 7946, section 3.1.1) and bent on the map: long ones are divided,
    or a hole that lies along one would reach out of its outline.
    """
    divided = shapely.segmentize(geometry, _longest_deg(zoom))
    moved: Geometries = np.asarray(shapely.transform(divided, lambda lonlat: to_world(lonlat, zoom)))
    return moved


def _longest_deg(zoom: int) -> float:
    """How long an edge may be to leave its chord by `BENT_PX` at most.

    By L² / 8 times the second derivative of the projection, tan φ / cos φ, which is 14.4 at 75 degrees;
    nearer to a pole an edge may be bent further.
    """
    radius_px = world_px(zoom) / (2.0 * np.pi)
    return float(np.degrees(np.sqrt(8.0 * BENT_PX / (14.4 * radius_px))))


def _middle_lat(world: Geometries, zoom: int) -> NDArray[np.float64]:
    """Latitude of the middle of each geometry's box, degrees, (n,)."""
    _, top, _, bottom = shapely.bounds(world).T
    middle = (top + bottom) / 2.0
    return to_lonlat(np.stack([middle, middle], axis=-1), zoom)[..., 1]


def _disc_px(
    class_id: NDArray[np.uint8], population: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Radius of the disc a point is drawn with, pixels, (n,)."""
    people = PLACE_M_PER_ROOT_PERSON * np.sqrt(np.maximum(population, 0.0)) / scale
    settled = np.clip(people, *PLACE_PX)
    plain = np.maximum(_LINE_M[class_id] / 2.0 / scale, POINT_PX)
    return np.where(np.isnan(population), plain, settled)
