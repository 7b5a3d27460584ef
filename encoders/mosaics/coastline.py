"""Land out of coastlines: OpenStreetMap draws the sea only by its edge, with land on the left.

The box is divided along the coastlines in it; each face has the side of the coast that looks into it.
A coast of an extract may end within the box, where the extract was cut along a border: it is led on to
the nearest point of the frame, or it would divide nothing. Beyond such an end the sea is a guess; whoever
has the polygon of the extract cuts the guess off with it.
"""

import numpy as np
import shapely
from numpy.typing import NDArray

from .geometry import Geometries

Bounds = tuple[float, float, float, float]
ASIDE_DEG = 1e-7
"""How far beside the coast a side is asked, 1 cm: nearer than any two coasts, farther than rounding."""


def land_of(coast: Geometries, box: Bounds) -> Geometries:
    """The land in a box, polygons in lon, lat.

    Args:
        coast: lines in lon, lat degrees with land on their left, (n,).
        box: west, south, east (may pass 180), north.

    Returns:
        Polygons, (p,): the whole box when no coast passes through it.
    """
    west, south, east, north = box
    frame = shapely.box(west, south, east, north)
    turned = [shapely.transform(coast, lambda xy, t=t: xy + np.array([t, 0.0])) for t in (-360.0, 0.0, 360.0)]
    lines = np.concatenate(turned) if len(coast) else np.empty(0, object)
    lines = lines[shapely.intersects(lines, frame)]
    if not len(lines):
        return np.array([frame], dtype=object)
    rim = shapely.boundary(frame)
    divided = shapely.union_all([*shapely.intersection(lines, frame), *_led_on(lines, frame, rim), rim])
    faces = np.asarray(shapely.get_parts(shapely.polygonize(shapely.get_parts([divided]))), dtype=object)
    if not len(faces):
        return np.array([frame], dtype=object)
    left, right, length = _sides(lines, box)
    says_land = _votes(faces, left, length) - _votes(faces, right, length)
    land: Geometries = faces[says_land >= 0.0]
    return land


def _led_on(lines: Geometries, frame: shapely.Geometry, rim: shapely.Geometry) -> list[shapely.Geometry]:
    """From each end of a coast within the frame, the shortest line to its rim."""
    whole = shapely.get_parts(shapely.line_merge(shapely.multilinestrings(lines), directed=True))
    open_ones = whole[~shapely.is_closed(whole)]
    ends = np.concatenate([shapely.get_point(open_ones, 0), shapely.get_point(open_ones, -1)])
    inside = ends[shapely.contains_properly(frame, ends)]
    return list(shapely.shortest_line(inside, rim))


def _sides(
    lines: Geometries, box: Bounds
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points just left and right of the middle of each edge, as far as it is in the box, and its length."""
    xy, line = shapely.get_coordinates(lines, return_index=True)
    is_edge = (line[1:] == line[:-1]) & (xy[1:] != xy[:-1]).any(axis=1)
    start, along = xy[:-1][is_edge], (xy[1:] - xy[:-1])[is_edge]
    # Where an edge enters and leaves the box, as shares of its length (Liang and Barsky 1984).
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = (np.array(box[:2]) - start) / along, (np.array(box[2:]) - start) / along
    is_level = along == 0.0  # then it is beside the box, or as far in it as the other axis says
    beside = (is_level & ((start < box[:2]) | (start > box[2:]))).any(axis=1)
    enters = np.where(is_level, 0.0, np.minimum(low, high)).max(axis=1).clip(min=0.0)
    leaves = np.where(is_level, 1.0, np.maximum(low, high)).min(axis=1).clip(max=1.0)
    kept = (leaves > enters) & ~beside
    start, along, enters, leaves = start[kept], along[kept], enters[kept], leaves[kept]
    length = np.hypot(along[:, 0], along[:, 1])
    leftward = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None] * ASIDE_DEG
    middle = start + along * ((enters + leaves) / 2.0)[:, None]
    return middle + leftward, middle - leftward, length * (leaves - enters)


def _votes(
    faces: Geometries, points: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.float64]:
    """For each face the length of the coast whose points lie in it, (p,)."""
    point, face = shapely.STRtree(faces).query(shapely.points(points), predicate="within")
    return np.bincount(face, length[point], len(faces)).astype(np.float64)
