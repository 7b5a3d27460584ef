"""Cells by polygons.

Claims: unnamed boundaries are refused; a bow-tie is mended and told, a polygon without area dropped and
told; of overlapping polygons the smallest counts, then the lowest code; a beach belongs to the nearest
polygon up to 50 km, beyond that to what the nearest place belongs to; the antimeridian and the poles
are ordinary; the quick way answers as the slow one; what is read back answers the same.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from placeprint.encoders.cells import polygon_rule
from placeprint.encoders.cells.boundaries import BoundaryFile, read_boundaries
from placeprint.encoders.cells.place_units import PlaceHierarchy
from placeprint.encoders.cells.polygon_units import PolygonHierarchy
from placeprint.encoders.cells.shapes import polygons_of
from placeprint.encoders.errors import InvalidCells, UnreadableSource
from placeprint.encoders.geocells import Geocells, build_geocells
from placeprint.encoders.places import Places
from placeprint.encoders.sphere import as_lonlat, destination, uniform_on_sphere

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "boundaries"
NAMED = {"name": "made up", "release": "1", "licence": "CC0", "url": "https://example.org"}


def box(west: float, south: float, east: float, north: float) -> list:
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


SHAPES = {
    "AA": box(0, 0, 10, 10),
    "BB": box(10, 0, 20, 10),
    "CC": box(4, 4, 6, 6),  # inside AA, smaller
    "DD": box(178, -20, -178, -10),  # across the antimeridian
    "EE": [[[30, 0], [40, 10], [40, 0], [30, 10], [30, 0]]],  # a bow-tie
    "ZZ": [[[50, 0], [51, 1], [50, 0], [50, 0]]],  # without area
    "FX": box(60, 0, 61, 1),
}


@pytest.fixture
def file(tmp_path: Path) -> BoundaryFile:
    features = [
        {
            "type": "Feature",
            "properties": {"iso": code},
            "geometry": {"type": "Polygon", "coordinates": rings},
        }
        for code, rings in SHAPES.items()
    ]
    path = tmp_path / "countries.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return BoundaryFile(level="country", path=path, code="iso", **NAMED)


def small_places() -> PlaceHierarchy:
    spots = [
        (5, 5, "AA"),
        (15, 5, "BB"),
        (25, 5, "QQ"),
        (-120, 40, "QQ"),
        (179, -15, "DD"),
        (35, 3, "EE"),
        (5, 1, "AA"),
    ]
    rows = [
        {"city": f"c{lon}", "country_code": code, "state": "", "county": "", "population": 1,
         "longitude": lon, "latitude": lat}
        for lon, lat, code in spots
    ]  # fmt: skip
    return PlaceHierarchy(Places(rows, {}))


@pytest.fixture
def hierarchy(file: BoundaryFile) -> PolygonHierarchy:
    return PolygonHierarchy([read_boundaries(file)], small_places())


def countries(hierarchy: PolygonHierarchy, lonlat: list) -> list[str]:
    return list(hierarchy.units.country[hierarchy.rule.number_of(as_lonlat(lonlat))])


@pytest.mark.parametrize("missing", ["name", "release", "licence", "url"])
def test_unnamed_boundaries_are_refused(file: BoundaryFile, missing: str) -> None:
    with pytest.raises(InvalidCells, match=f"without {missing}"):
        BoundaryFile(level="country", path=file.path, code="iso", **{**NAMED, missing: " "})


def test_repairs_are_recorded(file: BoundaryFile) -> None:
    layer = read_boundaries(file)
    assert [repair["code"] for repair in layer.account["repairs"]] == ["DD", "EE"]
    assert layer.account["without_area"] == ["ZZ"]
    assert len(layer.account["sha256"]) == 64 and layer.account["licence"] == "CC0"


def test_a_bow_tie_keeps_both_lobes(hierarchy: PolygonHierarchy) -> None:
    assert countries(hierarchy, [[32, 5], [38, 5]]) == ["EE", "EE"]


def test_the_smaller_of_two_polygons_counts(hierarchy: PolygonHierarchy) -> None:
    assert countries(hierarchy, [[5, 5], [2, 2], [12, 2]]) == ["CC", "AA", "BB"]


def test_the_lower_code_counts_on_a_common_border(hierarchy: PolygonHierarchy) -> None:
    assert countries(hierarchy, [[10, 5]]) == ["AA"]


def test_the_antimeridian_is_inside_a_polygon(hierarchy: PolygonHierarchy) -> None:
    assert countries(hierarchy, [[180, -15], [-180, -15], [179, -15], [-179, -15]]) == ["DD"] * 4


@pytest.mark.parametrize(("km", "country"), [(49.0, "AA"), (52.0, "QQ")])
def test_a_beach_belongs_to_the_nearest_polygon_within_50_km(
    hierarchy: PolygonHierarchy, km: float, country: str
) -> None:
    hierarchy.rule.places.owner[:] = hierarchy.units.country.tolist().index("QQ")
    assert countries(hierarchy, [destination(as_lonlat([0.0, 8.0]), 270.0, km).tolist()]) == [country]


def test_far_away_the_nearest_place_answers(hierarchy: PolygonHierarchy) -> None:
    assert countries(hierarchy, [[-120, 42], [-120, -90], [0, -90]])[0] == "QQ"


def test_a_reserved_code_is_its_countrys(hierarchy: PolygonHierarchy) -> None:
    assert countries(hierarchy, [[60.5, 0.5]]) == ["FR"]
    assert hierarchy.provenance()["aliases"]["FX"] == "FR"


def test_the_quick_way_answers_as_the_slow_one(
    hierarchy: PolygonHierarchy, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    points = np.vstack([
        uniform_on_sphere(5000, rng), rng.uniform([-1, -1], [41, 11], (5000, 2)),
        [[180, -15], [-180, -15], [0, 90], [50, -90]],
    ])  # fmt: skip
    points = as_lonlat(points)
    slow = hierarchy.rule.number_of(points)
    monkeypatch.setattr(polygon_rule, "MANY", 1)
    assert np.array_equal(hierarchy.rule.number_of(points), slow)


def test_cells_are_built_saved_and_read(hierarchy: PolygonHierarchy, tmp_path: Path) -> None:
    points = np.random.default_rng(1).uniform([0.5, 0.5], [19.5, 9.5], (120, 2))
    cells = build_geocells(points, min_points=10, max_points=30, hierarchy=hierarchy, force_split=True)
    assert cells.n_train.max() <= 30
    cells.save(tmp_path / "cells.parquet")
    back = Geocells.load(tmp_path / "cells.parquet")
    grid = np.vstack([uniform_on_sphere(500, np.random.default_rng(3)), points, [[180, -15], [0, 90]]])
    assert np.array_equal(back.assign(grid), cells.assign(grid))
    assert np.array_equal(np.bincount(back.assign(points), minlength=len(back)), cells.n_train)
    inside = shapely.intersects_xy(polygons_of(cells)[cells.assign(points)], points[:, 0], points[:, 1])
    assert inside.mean() > 0.98
    assert cells.provenance["hierarchy"]["layers"][0]["name"] == "made up"


def test_what_cannot_be_read_is_named(file: BoundaryFile, tmp_path: Path) -> None:
    with pytest.raises(InvalidCells, match="no column 'code'"):
        read_boundaries(BoundaryFile(level="country", path=file.path, code="code", **NAMED))
    (tmp_path / "odd.geojson").write_text("odd")
    for path in (tmp_path / "odd.geojson", tmp_path / "none.gpkg"):
        with pytest.raises(UnreadableSource, match=path.name):
            read_boundaries(BoundaryFile(level="country", path=path, code="iso", **NAMED))


@pytest.mark.slow
@pytest.mark.real
def test_real_boundaries_are_mended_and_overlaps_resolved() -> None:
    if not SHARED.is_dir():
        pytest.skip("the boundaries are not here")
    file = BoundaryFile(
        level="country", path=SHARED / "iso1_medium.geojson.gz", code="iso1", label="name",
        name="country levels", release="2021", licence="ODbL 1.0", url="https://www.openstreetmap.org",
    )  # fmt: skip
    layer = read_boundaries(file)
    assert len(layer.polygons) == 250 and all(polygon.is_valid for polygon in layer.polygons)
    assert len(layer.account["repairs"]) == 85
    hierarchy = PolygonHierarchy([layer], small_places())
    lonlat = [[2.35, 48.86], [-4.0, 40.4], [12.5, 41.9], [-1.5, 52.5], [-172.0, 66.0], [178.0, -17.8]]
    assert countries(hierarchy, lonlat) == ["FR", "ES", "IT", "GB", "RU", "FJ"]
