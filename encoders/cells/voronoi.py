"""Convex pieces of the sphere: Voronoi regions of sites, cut by great circles.

A region of the nearest site is the intersection of half-spheres, hence convex, and stays so however
often it is cut. All polygons here run counterclockwise seen from outside, as unit vectors (k, 3).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import QhullError, SphericalVoronoi

from ..sphere import EARTH_RADIUS_KM, unit_vectors
from .cuts import CutForest, nearest_center

_Floats = NDArray[np.float64]
ON_CIRCLE = 1e-12
"""A corner nearer than this to a great circle (6 micrometers) lies on it."""


def regions_of(vectors: _Floats) -> Iterator[tuple[int, _Floats]]:
    """Site and region of the Voronoi diagram of unit vectors (S, 3); few sites may have several pieces."""
    try:
        diagram = SphericalVoronoi(vectors, threshold=1e-12)
        diagram.sort_vertices_of_regions()
    except (QhullError, ValueError):
        yield from _regions_of_few(vectors)
        return
    corners = diagram.vertices / np.linalg.norm(diagram.vertices, axis=1, keepdims=True)
    for site, region in enumerate(diagram.regions):
        polygon = corners[region]
        # The sides of a convex region all turn the same way around its site.
        turn = np.cross(polygon, np.roll(polygon, -1, axis=0)).sum(axis=0) @ vectors[site]
        yield site, polygon if turn > 0.0 else polygon[::-1]


def _regions_of_few(vectors: _Floats) -> Iterator[tuple[int, _Floats]]:
    """Regions of sites too few, or too regular, for a hull: the octants of the sphere, cut."""
    for octant in octants():
        yield from divided(octant, vectors)


def octants() -> list[_Floats]:
    """Eight triangles that cover the sphere."""
    signs = [(x, y, z) for x in (1.0, -1.0) for y in (1.0, -1.0) for z in (1.0, -1.0)]
    corners = [np.diag(sign) for sign in signs]
    return [
        corner if np.prod(sign) > 0 else corner[::-1] for corner, sign in zip(corners, signs, strict=True)
    ]


def divided(polygon: _Floats, centers: _Floats) -> Iterator[tuple[int, _Floats]]:
    """What is nearest to each of a few centers (k, 3) in a convex polygon, without the empty ones."""
    for number, center in enumerate(centers):
        piece = polygon
        for other in np.delete(np.arange(len(centers)), number):
            piece = clipped(piece, center - centers[other])
            if len(piece) < 3:
                break
        else:
            yield number, piece


def clipped(polygon: _Floats, normal: _Floats) -> _Floats:
    """The part of a convex polygon on the side of a great circle that its normal points to."""
    length = np.linalg.norm(normal)
    side = polygon @ (normal / length) if length > 0.0 else np.ones(len(polygon))
    side[np.abs(side) < ON_CIRCLE] = 0.0
    if (side >= 0.0).all():
        return polygon
    if (side <= 0.0).all():
        return polygon[:0]
    kept = []
    for here, there, a, b in zip(polygon, np.roll(polygon, -1, axis=0), side, np.roll(side, -1), strict=True):
        if a >= 0.0:
            kept.append(here)
        if a * b < 0.0:
            crossing = (here * b - there * a) * np.copysign(1.0, b - a)
            kept.append(crossing / np.linalg.norm(crossing))
    return np.array(kept)


def pieces_of_cells(
    sites: _Floats, group: NDArray[np.intp], cuts: CutForest
) -> Iterator[tuple[int, _Floats]]:
    """Cell and polygon of all pieces that the rule of sites and cuts divides the sphere into.

    Args:
        sites: degrees, (S, 2).
        group: node of the forest that each site belongs to, (S,).
        cuts: how groups are divided.
    """
    for site, polygon in regions_of(unit_vectors(sites)):
        yield from cut_piece(polygon, int(group[site]), cuts)


def cut_piece(polygon: _Floats, node: int, cuts: CutForest) -> Iterator[tuple[int, _Floats]]:
    """A convex piece of a group by cells."""
    if cuts.cell[node] >= 0:
        yield int(cuts.cell[node]), polygon
        return
    cut, children = cuts.cut_of(node), cuts.children_of(node)
    nearest = nearest_center(polygon, cut.lonlat)
    if (nearest == nearest[0]).all():  # so is all that lies between the corners
        yield from cut_piece(polygon, int(children[cut.child[nearest[0]]]), cuts)
        return
    for number, piece in divided(polygon, unit_vectors(cut.lonlat)):
        yield from cut_piece(piece, int(children[cut.child[number]]), cuts)


def area_km2(polygon: _Floats) -> float:
    """Area of a convex piece, km²: a fan of triangles (van Oosterom & Strackee 1983)."""
    a, b, c = polygon[0], polygon[1:-1], polygon[2:]
    triple = np.cross(b, c) @ a
    angle = 2.0 * np.arctan2(triple, 1.0 + b @ a + (b * c).sum(axis=1) + c @ a)
    return float(np.sum(angle)) * EARTH_RADIUS_KM**2
