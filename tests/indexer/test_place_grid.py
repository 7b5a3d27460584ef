"""The lattice: true to the sphere, whole at the antimeridian and the poles, the same for every area."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from placeprint.encoders.areas import Area, Box, Circle, Polygon
from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.sphere import km_of_chord, unit_vectors
from placeprint.indexer.place_grid import grid_places

FIJI = Box(179.0, -18.0, -179.0, -16.0)
ARCTIC = Circle(0.0, 90.0, 300.0)


def nearest_m(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
    chord, _ = cKDTree(unit_vectors(lonlat)).query(unit_vectors(lonlat), k=2)
    return 1000.0 * km_of_chord(chord[:, 1])


@pytest.mark.parametrize("area", [Box(9.4, 47.0, 9.7, 47.3), FIJI, ARCTIC, Box(20.0, 69.0, 21.0, 70.0)])
def test_there_is_a_place_for_each_square_of_the_spacing(area: Area) -> None:
    spacing_m = 2000.0
    found = grid_places(area, spacing_m)
    assert area.contains(found).all()
    assert len(found) == pytest.approx(area.area_km2 * 1e6 / spacing_m**2, rel=0.08)
    assert np.median(nearest_m(found)) == pytest.approx(spacing_m, rel=0.15)


def test_rows_and_places_in_a_row_are_the_spacing_apart() -> None:
    found = grid_places(Box(9.4, 47.0, 9.7, 47.3), 500.0)
    rows = np.unique(found[:, 1])
    assert np.deg2rad(np.diff(rows)) * 6_371_008.8 == pytest.approx(500.0, rel=1e-3)
    row = found[found[:, 1] == rows[0]][:, 0]
    width = np.deg2rad(np.diff(row)) * 6_371_008.8 * np.cos(np.deg2rad(rows[0]))
    assert width == pytest.approx(500.0, rel=1e-3)


def test_no_gap_and_no_double_at_the_antimeridian() -> None:
    found = grid_places(FIJI, 5000.0)
    west, east = found[found[:, 0] > 0.0], found[found[:, 0] < 0.0]
    assert len(west) == pytest.approx(len(east), abs=len(np.unique(found[:, 1])))
    row = found[found[:, 1] == found[0, 1]][:, 0] % 360.0
    assert np.ptp(np.diff(np.sort(row))) < 1e-9
    assert nearest_m(found).min() > 4000.0


def test_a_polygon_across_the_antimeridian_has_the_places_of_its_box() -> None:
    ring = [[179.0, -18.0], [181.0, -18.0], [181.0, -16.0], [179.0, -16.0], [179.0, -18.0]]
    polygon = Polygon.from_geojson({"type": "Polygon", "coordinates": [ring]})
    assert np.array_equal(grid_places(polygon, 5000.0), grid_places(FIJI, 5000.0))


def test_a_pole_is_an_ordinary_place() -> None:
    found = grid_places(ARCTIC, 20_000.0)
    assert found[:, 1].max() < 90.0 and np.abs(found[:, 0]).max() < 180.0
    assert nearest_m(found).min() > 10_000.0
    assert len({*np.floor(found[:, 0] / 90.0)}) == 4  # on all sides of it


def test_areas_that_overlap_share_their_places() -> None:
    whole = {tuple(one) for one in grid_places(Box(0.0, 0.0, 1.0, 1.0), 3000.0).tolist()}
    part = {tuple(one) for one in grid_places(Box(0.31, 0.17, 0.77, 0.5), 3000.0).tolist()}
    assert part and part < whole


def test_pieces_that_touch_give_a_place_once() -> None:
    rings = [[[x, 0.0], [x + 1, 0.0], [x + 1, 1.0], [x, 1.0], [x, 0.0]] for x in (0.0, 1.0)]
    both = Polygon.from_geojson({"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]})
    found = grid_places(both, 10_000.0)
    assert np.array_equal(found, grid_places(Box(0.0, 0.0, 2.0, 1.0), 10_000.0))


def test_a_grid_that_nobody_could_embed_is_refused_with_a_spacing_that_would_do() -> None:
    with pytest.raises(InvalidOption, match=r"5,\d{3} m or more"):
        grid_places(Box(-180.0, -90.0, 180.0, 90.0), 500.0)


@pytest.mark.parametrize("spacing_m", [0.0, -5.0, 0.5, 1e8, float("nan")])
def test_a_spacing_of_no_use(spacing_m: float) -> None:
    with pytest.raises(InvalidOption, match="spacing"):
        grid_places(FIJI, spacing_m)


def test_an_area_smaller_than_the_spacing_may_hold_no_place() -> None:
    assert grid_places(Box(0.001, 0.001, 0.0011, 0.0011), 100_000.0).shape == (0, 2)
