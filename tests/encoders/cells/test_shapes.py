"""Polygons of cells.

Claims: pieces and polygons cover the Earth without gap or overlap, for one site as for many, with cuts
and without; polygons are valid, lie within ±180°, and hold the points that `assign` gives them.
"""

import numpy as np
import pytest
import shapely

from placeprint.encoders.cells.boundaries import area_of
from placeprint.encoders.cells.building import cut_groups
from placeprint.encoders.cells.cuts import CutForest
from placeprint.encoders.cells.outlines import outlines, polygon_on_map
from placeprint.encoders.cells.sites import SiteRule
from placeprint.encoders.cells.units import rounded
from placeprint.encoders.cells.voronoi import area_km2, clipped, octants, pieces_of_cells
from placeprint.encoders.sphere import EARTH_AREA_KM2, uniform_on_sphere, unit_vectors


def partition(n_sites: int, n_groups: int, n_points: int) -> tuple[SiteRule, CutForest]:
    """Sites in compact groups, some of which are cut."""
    rng = np.random.default_rng(n_sites)
    sites, seeds = rounded(uniform_on_sphere(n_sites, rng)), uniform_on_sphere(n_groups, rng)
    group = np.argmax(unit_vectors(sites) @ unit_vectors(seeds).T, axis=1)
    _, group = np.unique(group, return_inverse=True)
    rule = SiteRule(sites, group)
    points = uniform_on_sphere(n_points, rng)
    forest = cut_groups(
        unit_vectors(points), rule.number_of(points), int(group.max()) + 1,
        min_points=5, max_points=15, force_split=True,
    )  # fmt: skip
    return rule, forest


def drawn(rule: SiteRule, forest: CutForest) -> tuple[np.ndarray, list[shapely.MultiPolygon]]:
    pieces = list(pieces_of_cells(rule.lonlat, rule.owner, forest))
    areas = np.zeros(forest.n_cells)
    for cell, piece in pieces:
        areas[cell] += area_km2(piece)
    rings = outlines(pieces, forest.n_cells)
    return areas, [
        polygon_on_map(ring, area / EARTH_AREA_KM2) for ring, area in zip(rings, areas, strict=True)
    ]


SIZES = [(1, 1, 0), (2, 2, 0), (3, 3, 0), (5, 4, 0), (60, 3, 0), (200, 12, 0), (120, 6, 150)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_polygons_tile_the_earth(size: tuple[int, int, int]) -> None:
    rule, forest = partition(*size)
    areas, polygons = drawn(rule, forest)
    assert areas.sum() == pytest.approx(EARTH_AREA_KM2, rel=1e-12)
    on_map = np.array([area_of(polygon) for polygon in polygons])
    assert on_map.sum() == pytest.approx(EARTH_AREA_KM2, rel=1e-9)
    np.testing.assert_allclose(on_map, areas, rtol=1e-3)
    # In the plane too: what is counted twice or not at all would show as area.
    assert sum(polygon.area for polygon in polygons) == pytest.approx(360 * 180, rel=1e-9)
    assert shapely.union_all(polygons).area == pytest.approx(360 * 180, rel=1e-9)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_polygons_hold_the_points_that_are_assigned(size: tuple[int, int, int]) -> None:
    rule, forest = partition(*size)
    _, polygons = drawn(rule, forest)
    assert all(polygon.is_valid for polygon in polygons)
    assert max(np.abs(polygon.bounds).max() for polygon in polygons) <= 180.0
    points = uniform_on_sphere(2000, np.random.default_rng(1))
    cell = forest.cells_of(rule.number_of(points), unit_vectors(points))
    inside = shapely.intersects_xy(np.array(polygons, dtype=object)[cell], points[:, 0], points[:, 1])
    assert inside.mean() > 0.998  # edges are straight in lon, lat on the map and great circles in truth


def test_the_octants_are_the_sphere() -> None:
    assert sum(area_km2(octant) for octant in octants()) == pytest.approx(EARTH_AREA_KM2)
    assert all(np.linalg.det(octant) > 0.0 for octant in octants())


def test_a_half_of_an_octant_has_half_its_area() -> None:
    octant = octants()[0]
    half = clipped(octant, np.array([1.0, -1.0, 0.0]))
    assert area_km2(half) == pytest.approx(EARTH_AREA_KM2 / 16)
    assert len(clipped(octant, np.array([-1.0, -1.0, -1.0]))) == 0
    assert clipped(octant, np.array([1.0, 1.0, 1.0])) is octant


def test_a_ring_that_backtracks_around_the_pole_holds_the_pole() -> None:
    rule, forest = partition(500, 5, 0)
    _, polygons = drawn(rule, forest)
    for lat in (-90.0, 90.0):
        (cell,) = forest.cells_of(
            rule.number_of(np.array([[0.0, lat]])), unit_vectors(np.array([[0.0, lat]]))
        )
        edge = shapely.LineString([(-180, lat), (180, lat)])
        assert polygons[cell].intersection(edge).length == pytest.approx(360.0)
