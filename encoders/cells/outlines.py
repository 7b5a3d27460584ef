"""From convex pieces to outlines of cells, and from outlines on the sphere to polygons on a map.

Sides between two pieces of one cell vanish; the others are walked around. Both cells at a border get
the same vertices, so that nothing lies between them and nothing in both. On the map, polygons are
cut at ±180° (RFC 7946), and what holds a pole is closed along lat ±90.

Orientation carries the meaning: a cell lies on the left of its outline. So a ring that goes around
the Earth eastward holds the north pole, and a clockwise one is a hole.
"""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from shapely.affinity import translate

from ..sphere import lonlat_of, sine_integral
from .cuts import runs

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]
WELD = 1e-10  # corners nearer than this, 0.6 mm, are one
STEP = np.deg2rad(0.25)
"""Between vertices: straight in lon, lat, they leave the great circle by 15 m × tan lat."""

_WORLD = shapely.box(-180.0, -90.0, 180.0, 90.0)


def outlines(pieces: Iterable[tuple[int, _Floats]], n_cells: int) -> list[list[_Floats]]:
    """Closed rings of unit vectors around each cell, which lies on their left: C lists of (k, 3)."""
    cells, polygons = zip(*pieces, strict=True)
    sizes = np.array([len(polygon) for polygon in polygons])
    corners, number = _welded(np.concatenate(polygons))
    start = number
    end = np.roll(number, -1)
    last = np.cumsum(sizes) - 1
    end[last] = number[last - sizes + 1]
    cell = np.repeat(np.array(cells, dtype=np.intp), sizes)
    keep = start != end
    start, end, cell = _without_touching_corners(corners, start[keep], end[keep], cell[keep])
    start, end, cell = _without_inner_sides(start, end, cell)
    rings: list[list[_Floats]] = [[] for _ in range(n_cells)]
    order = np.argsort(cell, kind="stable")
    for rows in runs(order, cell[order]):
        rings[cell[rows[0]]] = [
            _divided_ring(corners, ring) for ring in _walked(start[rows].tolist(), end[rows].tolist())
        ]
    return rings


def _welded(corners: _Floats) -> tuple[_Floats, _Numbers]:
    """Corners without repetitions, and the number of each among them."""
    distinct, inverse = np.unique(corners, axis=0, return_inverse=True)
    pairs = cKDTree(distinct).query_pairs(WELD, output_type="ndarray")
    n = len(distinct)
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, label = connected_components(graph, directed=False)
    _, first = np.unique(label, return_index=True)
    return distinct[first], label[inverse.ravel()].astype(np.intp)


def _without_touching_corners(
    corners: _Floats, start: _Numbers, end: _Numbers, cell: _Numbers
) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Divide sides on which a corner of the piece across the border lies.

    A cut ends on the border of its group, where the neighbor knows nothing of it. The sides there
    have no partner in the other direction; a corner that lies on such a side divides it.
    """
    sides = list(zip(start.tolist(), end.tolist(), strict=True))
    there = set(sides)
    alone = [row for row, (a, b) in enumerate(sides) if (b, a) not in there]
    if not alone:
        return start, end, cell
    loose = np.unique(np.concatenate([start[alone], end[alone]]))
    tree = cKDTree(corners[loose])
    gone, new = [], []
    for row in alone:
        a, b = corners[start[row]], corners[end[row]]
        reach = np.linalg.norm(a - b)
        near = loose[tree.query_ball_point((a + b) / 2.0, reach / 2.0 + WELD)]
        normal = np.cross(a, b)
        normal /= max(float(np.linalg.norm(normal)), 1e-300)
        along = (corners[near] - a) @ (b - a) / reach**2
        on_side = (np.abs(corners[near] @ normal) < 1e-9) & (along > 1e-12) & (along < 1.0 - 1e-12)
        between = near[on_side][np.argsort(along[on_side])]
        between = between[(between != start[row]) & (between != end[row])]
        if between.size:
            way = [start[row], *between, end[row]]
            gone.append(row)
            new += [(*side, cell[row]) for side in pairwise(way)]
    kept = np.delete(np.stack([start, end, cell], axis=1), gone, axis=0)
    sides_now = np.concatenate([kept, np.array(new, dtype=np.intp).reshape(-1, 3)])
    return sides_now[:, 0], sides_now[:, 1], sides_now[:, 2]


def _without_inner_sides(
    start: _Numbers, end: _Numbers, cell: _Numbers
) -> tuple[_Numbers, _Numbers, _Numbers]:
    """The sides between different cells."""
    sides = np.stack([cell, np.minimum(start, end), np.maximum(start, end)], axis=1)
    _, inverse = np.unique(sides, axis=0, return_inverse=True)
    balance = np.bincount(inverse.ravel(), np.where(start < end, 1.0, -1.0))[inverse.ravel()]
    outer = balance != 0.0
    return start[outer], end[outer], cell[outer]


def _walked(start: list[int], end: list[int]) -> list[list[int]]:
    """Rings made of sides, the first corner again at the end of each."""
    following = defaultdict(list)
    for a, b in zip(start[::-1], end[::-1], strict=True):
        following[a].append(b)
    rings = []
    for first in start:
        while following[first]:
            ring = [first]
            while following[ring[-1]]:
                ring.append(following[ring[-1]].pop())
            if ring[0] == ring[-1] and len(ring) > 3:
                rings.append(ring)
    return rings


def _divided_ring(corners: _Floats, ring: list[int]) -> _Floats:
    """A closed ring with vertices at least every quarter of a degree, the same in both directions."""
    parts = []
    for a, b in pairwise(ring):
        low, high = corners[min(a, b)], corners[max(a, b)]
        angle = 2.0 * np.arcsin(min(1.0, float(np.linalg.norm(low - high)) / 2.0))
        share = np.arange(np.ceil(angle / STEP) + 1.0)[:, None] / max(1.0, np.ceil(angle / STEP))
        if angle < 1e-9:
            side = np.stack([low, high])
        else:
            side = (np.sin((1.0 - share) * angle) * low + np.sin(share * angle) * high) / np.sin(angle)
            side[0], side[-1] = low, high
        parts.append((side if a < b else side[::-1])[:-1])
    vertices = np.concatenate(parts)
    return np.vstack([vertices, vertices[:1]])


def polygon_on_map(rings: list[_Floats], sphere_share: float) -> shapely.MultiPolygon:
    """What rings enclose, in lon, lat, cut at ±180° and closed along the poles.

    Args:
        rings: closed, (k, 3) each; what they enclose lies on their left.
        sphere_share: area of what they enclose as a share of the sphere, in (0, 1]. It tells a hole
            in the whole world from an island.
    """
    if not rings:
        return shapely.MultiPolygon([_WORLD])
    flat = sorted((_on_map(ring) for ring in rings), key=lambda part: -abs(part[1]))
    total = sum(share for _, share in flat)
    too_many = round(total - sphere_share)
    region = shapely.Polygon() if too_many >= 0 else _WORLD
    for polygon, share in flat:
        if share < 0.0:
            region = region.difference(polygon)
        elif too_many > 0 and not region.is_empty:  # a band around the Earth, between two caps
            region, too_many = region.intersection(polygon), too_many - 1
        else:
            region = region.union(polygon)
    parts = shapely.get_parts(shapely.get_parts(region if region.is_valid else shapely.make_valid(region)))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon" and part.area > 0.0])


def _on_map(ring: _Floats) -> tuple[shapely.Geometry, float]:
    """The inside of one ring, as if it were alone, and its signed share of the sphere."""
    lonlat = lonlat_of(ring)
    at_pole = np.abs(lonlat[:, 1]) > 90.0 - 1e-9
    if at_pole.any() and not at_pole.all():  # its longitude is its neighbors'
        lonlat = _through_pole(lonlat, at_pole)
    winding = round(_steps(lonlat[:, 0]).sum() / 360.0)
    # Begun at its vertex nearest to its pole, the ring is not crossed by the line from there to the pole.
    nearest = int(np.argmax(lonlat[:-1, 1] * (winding or 1)))
    lonlat = np.roll(lonlat[:-1], -nearest, axis=0)
    lon, lat = np.vstack([lonlat, lonlat[:1]]).T
    unwrapped = lon[0] + np.concatenate([[0.0], np.cumsum(_steps(lon))])
    # Adding up rounds; the vertex itself must come out as it does in the ring across the border.
    unwrapped = lon + 360.0 * np.round((unwrapped - lon) / 360.0)
    line = np.stack([unwrapped, lat], axis=1)
    if winding:
        pole = np.copysign(90.0, winding)
        line = np.vstack([line, [line[-1, 0], pole], [line[0, 0], pole], line[:1]])
    share = -sine_integral(line) / (4.0 * np.pi)
    polygon = shapely.Polygon(line)
    if not polygon.is_valid:
        polygon = shapely.make_valid(polygon)
    west, _, east, _ = polygon.bounds
    turns = np.arange(np.floor((west + 180.0) / 360.0), np.ceil((east - 180.0) / 360.0) + 1.0)
    clips = [translate(polygon, xoff=-360.0 * turn).intersection(_WORLD) for turn in turns]
    parts = shapely.get_parts(shapely.get_parts(clips))
    return shapely.union_all([part for part in parts if part.geom_type == "Polygon"]), share


def _steps(lon: _Floats) -> _Floats:
    """From each longitude to the next, the short way round."""
    step = np.diff(lon)
    steps: _Floats = step - 360.0 * np.round(step / 360.0)
    return steps


def _through_pole(lonlat: _Floats, at_pole: NDArray[np.bool_]) -> _Floats:
    """A closed ring with a vertex at a pole, drawn along the pole from one meridian to the other."""
    ring, at_pole = lonlat[:-1], at_pole[:-1]
    first = int(np.flatnonzero(~at_pole)[0])
    ring, at_pole = np.roll(ring, -first, axis=0), np.roll(at_pole, -first)
    drawn = []
    for row, is_pole in enumerate(at_pole):
        if is_pole:
            pole = np.copysign(90.0, ring[row, 1])
            drawn += [[ring[row - 1, 0], pole], [ring[(row + 1) % len(ring), 0], pole]]
        else:
            drawn.append(ring[row].tolist())
    return np.array([*drawn, drawn[0]])
