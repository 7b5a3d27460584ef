"""Areas and polygons of cells, derived from the rule of membership.

Cells by places cover the Earth, and so do their polygons. Cells by polygons have the shape of their
boundaries, without the sea that `assign` gives to the nearest of them; where polygons overlap,
the one that counts first keeps the ground. Boolean operations are done in the plane of lon and lat,
in which the edges of boundaries are straight by definition; only what is measured there would be
wrong, and areas are measured on the sphere.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..sphere import EARTH_AREA_KM2
from .boundaries import area_of
from .outlines import outlines, polygon_on_map
from .polygon_rule import PolygonRule
from .sites import SiteRule
from .voronoi import area_km2, cut_piece, octants, pieces_of_cells

if TYPE_CHECKING:
    from ..geocells import Geocells
    from .cuts import CutForest

_Floats = NDArray[np.float64]
Pieces = list[tuple[int, _Floats]]


def areas_km2(cells: "Geocells") -> _Floats:
    """Area of each cell, (C,), km²; by places, all together the Earth's; 0 for a cell without polygon."""
    if isinstance(cells.rule, SiteRule):
        return _areas_of(pieces_of_cells(cells.rule.lonlat, cells.rule.owner, cells.cuts), len(cells))
    return np.array([area_of(polygon) for polygon in polygons_of(cells)])


def polygons_of(
    cells: "Geocells", progress: Callable[[int, int], None] = lambda done, total: None
) -> NDArray[np.object_]:
    """The cells as polygons in lon, lat, valid and cut at ±180°, (C,) of shapely.MultiPolygon."""
    if isinstance(cells.rule, SiteRule):
        pieces = list(pieces_of_cells(cells.rule.lonlat, cells.rule.owner, cells.cuts))
        return _on_map(pieces, len(cells), progress)
    assert isinstance(cells.rule, PolygonRule)
    grounds = _grounds(cells.rule)
    polygons = np.empty(len(cells), dtype=object)
    polygons[:] = [shapely.MultiPolygon()] * len(cells)
    for done, (group, ground) in enumerate(grounds.items()):
        for cell, polygon in _parts_of(ground, group, cells.cuts):
            polygons[cell] = polygon
        progress(done + 1, len(grounds))
    return polygons


def _areas_of(pieces: Any, n_cells: int) -> _Floats:
    areas = np.zeros(n_cells)
    for cell, piece in pieces:
        areas[cell] += area_km2(piece)
    return areas


def _on_map(pieces: Pieces, n_cells: int, progress: Callable[[int, int], None]) -> NDArray[np.object_]:
    areas = _areas_of(pieces, n_cells)
    polygons = np.empty(n_cells, dtype=object)
    for cell, rings in enumerate(outlines(pieces, n_cells)):
        is_there = areas[cell] > 0.0
        share = areas[cell] / EARTH_AREA_KM2
        polygons[cell] = polygon_on_map(rings, share) if is_there else shapely.MultiPolygon()
        progress(cell + 1, n_cells)
    return polygons


def _grounds(rule: PolygonRule) -> dict[int, Any]:
    """What each owner holds: its polygons without what others hold that count before them."""
    before, after = shapely.STRtree(rule.polygons).query(rule.polygons, predicate="intersects")
    counts = (before < after) & (rule.owner[before] != rule.owner[after])
    in_front = defaultdict(list)
    for first, second in zip(before[counts].tolist(), after[counts].tolist(), strict=True):
        in_front[second].append(first)
    held = defaultdict(list)
    for number, polygon in enumerate(rule.polygons):
        if in_front[number]:
            polygon = polygon.difference(shapely.union_all(rule.polygons[in_front[number]]))
        held[int(rule.owner[number])].append(polygon)
    return {owner: _polygonal(shapely.union_all(parts)) for owner, parts in sorted(held.items())}


def _parts_of(ground: Any, group: int, cuts: "CutForest") -> list[tuple[int, Any]]:
    """What of the ground of a group each of its cells has."""
    if cuts.cell[group] >= 0:
        return [(int(cuts.cell[group]), ground)]
    pieces = [piece for octant in octants() for piece in cut_piece(octant, group, cuts)]
    number = {cell: row for row, cell in enumerate(sorted({cell for cell, _ in pieces}))}
    shapes = _on_map([(number[cell], piece) for cell, piece in pieces], len(number), lambda done, total: None)
    return [(cell, _polygonal(ground.intersection(shapes[row]))) for cell, row in number.items()]


def _polygonal(geometry: Any) -> shapely.MultiPolygon:
    parts = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.MultiPolygon([part for part in parts if part.geom_type == "Polygon" and part.area > 0.0])
