"""Plans of pictures: equally many points per sub-area, views all around, and why an area has fewer.

Claims: each area gets as many as any other; the seed decides, and the company does not; headings go
evenly around the full circle; densities are per km²; what falls short says why; discs around towns are
round in meters at any latitude, half the least distance wide, and do not leave their region; the
antimeridian and the poles are ordinary places; a plan is read as it was written, and strange ones are
refused with the row.
"""

import json
from collections import Counter
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from conftest import SHARED

from placeprint.encoders.areas import Polygon
from placeprint.encoders.errors import (
    InvalidCoordinate,
    InvalidOption,
    UnknownColumns,
    UnreadableSource,
    UnwritableFile,
)
from placeprint.encoders.sphere import destination, great_circle_km
from placeprint.indexer.imagery_areas import SubArea, read_sub_areas
from placeprint.indexer.imagery_plan import Sampling, plan_areas, plan_towns
from placeprint.indexer.imagery_towns import Towns, read_towns
from placeprint.indexer.imagery_views import View, by_point, read_views, write_views


def box(west, south, east, north):
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return Polygon.from_geojson({"type": "Polygon", "coordinates": [ring]})


WARDS = [
    SubArea("east", "harbor", box(139.70, 35.60, 139.72, 35.62)),
    SubArea("east", "hill", box(139.72, 35.60, 139.90, 35.80)),  # eighty times as large
    SubArea("west", "park", box(139.60, 35.60, 139.62, 35.62)),
]


def points(plan, sub_area=None):
    wanted = [view for view in plan.views if sub_area in (None, view.sub_area)]
    return np.array([(group[0].lon, group[0].lat) for group in by_point(wanted)])


def test_every_area_gets_as_many_points_inside_it():
    plan = plan_areas(WARDS, Sampling(n_per_area=12))
    for ward in WARDS:
        lonlat = points(plan, ward.name)
        assert len(lonlat) == 12 and ward.polygon.contains(lonlat).all()
    assert {view.region for view in plan.views if view.sub_area != "park"} == {"east"}
    assert plan.n_points == 36 and plan.short == []
    assert len({view.id for view in plan.views}) == len(plan.views) == 36 * 4


def test_the_seed_decides_and_the_company_does_not():
    alone = plan_areas(WARDS[2:], Sampling(n_per_area=5, seed=3))
    together = plan_areas(WARDS, Sampling(n_per_area=5, seed=3))
    other = plan_areas(WARDS, Sampling(n_per_area=5, seed=4))
    headings = [[v.heading_deg for v in plan.views if v.sub_area == "park"] for plan in (alone, together)]
    assert np.array_equal(points(alone), points(together, "park")) and headings[0] == headings[1]
    assert not np.array_equal(points(together), points(other))
    shifted = points(together, "harbor") - [0.1, 0.0]  # onto an area of the same shape
    assert not np.allclose(shifted, points(together, "park"), atol=1e-6)


@pytest.mark.parametrize("n", [1, 4, 8])
def test_headings_go_evenly_around_the_full_circle(n):
    plan = plan_areas(WARDS[:1], Sampling(n_per_area=50, n_headings=n))
    turns = [[view.heading_deg for view in group] for group in by_point(plan.views)]
    for group in turns:
        gaps = np.diff(sorted(group), append=min(group) + 360.0)
        assert gaps == pytest.approx(360.0 / n, abs=0.11)
    drawn = np.array([group[0] for group in turns])
    assert ((np.array(turns) >= 0.0) & (np.array(turns) < 360.0)).all()
    assert drawn.max() - drawn.min() > 0.8 * 360.0 / n  # the offset is drawn for each point
    assert n == 1 or (np.array(turns) > 180.0).any(axis=1).all()


def test_points_per_km2_follow_the_area_and_small_ones_say_why_not():
    plan = plan_areas(WARDS, Sampling(per_km2=0.1))
    counts = {one.sub_area: one for one in plan.counts}
    assert counts["hill"].n_points == round(0.1 * WARDS[1].polygon.area_km2) > 30
    assert counts["harbor"].n_points == 0
    assert counts["harbor"].reason == "4.02 km² at 0.1 per km² rounds to no point"


def test_areas_that_fall_short_say_why_those_without_points_first():
    areas = [*WARDS, SubArea("west", "thread", None, "has no polygon in the file")]
    plan = plan_areas(areas, Sampling(n_per_area=20, spacing_m=900.0))
    assert [one.sub_area for one in plan.short] == [
        "thread",
        *sorted(
            ("harbor", "park"), key=lambda name: next(o.n_points for o in plan.counts if o.sub_area == name)
        ),
    ]
    assert plan.short[0].reason == "has no polygon in the file" and plan.short[0].n_wanted == 20
    assert plan.short[1].reason == "no more fit 900 m apart in 4.02 km²" and 0 < plan.short[1].n_points < 20


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({}, "per area, or so many per km²"),
        ({"n_per_area": 3, "per_km2": 1.0}, "not both"),
        ({"n_per_area": 0}, "above 0"),
        ({"n_per_area": 200_000}, "100,000 are the most"),
        ({"per_km2": -1.0}, "above 0"),
        ({"n_per_area": 3, "n_headings": 0}, "above 0"),
        ({"n_per_area": 3, "seed": -1}, "negative"),
        ({"n_per_area": 3, "spacing_m": float("nan")}, "negative"),
    ],
)
def test_a_sampling_without_meaning_is_refused(wrong, word):
    with pytest.raises(InvalidOption, match=word):
        Sampling(**wrong)


def test_a_plan_of_millions_of_points_is_refused():
    with pytest.raises(InvalidOption, match="100,000 are the most"):
        plan_areas(WARDS[1:2], Sampling(per_km2=1e6))


# --- towns ---------------------------------------------------------------------------------------


def towns_at(*lonlat, region="north"):
    return Towns(np.array(lonlat), [region] * len(lonlat), [f"t{i}" for i in range(len(lonlat))])


def test_discs_are_half_the_least_distance_wide_and_round_in_meters():
    center = np.array([25.0, 65.0])  # a degree of longitude is 47 km there
    near, far = destination(center, 90.0, 1.0), destination(center, 0.0, 7.0)
    towns = towns_at(center, near, far)
    plan = plan_towns(towns, Sampling(n_per_area=400))
    for town, name in zip(towns.lonlat, towns.name, strict=True):
        offsets = points(plan, name)
        distance_km = great_circle_km(town, offsets)
        assert len(offsets) == 400 and distance_km.max() <= 0.5 + 1e-5
        assert np.mean(distance_km > 0.5 / np.sqrt(2.0)) == pytest.approx(0.5, abs=0.08)  # uniform by area
        east = np.abs(offsets[:, 0] - town[0]) * np.cos(np.deg2rad(65.0))
        assert east.max() == pytest.approx(np.abs(offsets[:, 1] - town[1]).max(), rel=0.05)


def test_each_region_has_its_own_least_distance():
    towns = Towns(
        np.array([[10.0, 50.0], [10.0, 50.02], [11.0, 50.0], [11.0, 50.2], [11.0, 50.2000000001]]),
        ["a", "a", "b", "b", "b"],
        list("12345"),
    )
    radius = towns.radius_km()
    assert radius["a"] == pytest.approx(1.112, abs=0.001)
    assert radius["b"] == pytest.approx(11.12, abs=0.01)  # one town listed twice has no distance to itself


def test_points_do_not_leave_their_region_and_a_town_outside_says_so():
    towns = towns_at([9.999, 50.0], [10.05, 50.0], [12.0, 50.0])
    within = [SubArea("north", "north", box(10.0, 49.0, 11.0, 51.0))]
    plan = plan_towns(towns, Sampling(n_per_area=30), within=within)
    assert [one.n_points for one in plan.counts] == [30, 30, 0]
    assert (points(plan)[:, 0] >= 10.0 - 1e-7).all()
    assert "lies in its region's polygon" in plan.short[0].reason and plan.short[0].sub_area == "t2"
    lost = plan_towns(towns, Sampling(n_per_area=3), within=[SubArea("south", "south", WARDS[0].polygon)])
    assert {one.reason for one in lost.counts} == {"there is no polygon for the region 'north'"}


def test_the_only_town_of_a_region_needs_a_radius():
    towns = towns_at([10.0, 50.0])
    assert "the only town" in plan_towns(towns, Sampling(n_per_area=3)).short[0].reason
    plan = plan_towns(towns, Sampling(n_per_area=3), radius_m=200.0)
    assert great_circle_km(towns.lonlat[0], points(plan)).max() <= 0.2


def test_towns_on_both_sides_of_the_antimeridian_and_at_the_pole():
    plan = plan_towns(towns_at([179.99, -16.0], [-179.99, -16.0]), Sampling(n_per_area=200))
    lonlat = points(plan)
    assert great_circle_km(np.array([180.0, -16.0]), lonlat).max() <= 2.2
    assert (np.abs(lonlat[:, 0]) > 179.9).all() and (lonlat[:, 0] >= -180.0).all()
    polar = points(plan_towns(towns_at([0.0, 90.0]), Sampling(n_per_area=200), radius_m=1000.0))
    assert great_circle_km(np.array([77.0, 90.0]), polar).max() <= 1.0 + 1e-5
    assert np.histogram(polar[:, 0], 4, (-180.0, 180.0))[0].min() > 25


def test_towns_take_neither_density_nor_spacing():
    for sampling in (Sampling(per_km2=1.0), Sampling(n_per_area=2, spacing_m=5.0)):
        with pytest.raises(InvalidOption, match="by number"):
            plan_towns(towns_at([0.0, 0.0]), sampling)


def test_towns_are_read_by_the_names_of_columns(tmp_path: Path):
    (tmp_path / "towns.csv").write_text("town,lat,lon,region\nNA,35.6,139.7,Chuo\nBa,35.7,139.8,Chuo\n")
    towns = read_towns(tmp_path / "towns.csv", name_column="town")
    assert towns.lonlat.tolist() == [[139.7, 35.6], [139.8, 35.7]]
    assert towns.name == ["NA", "Ba"] and towns.region == ["Chuo", "Chuo"]
    assert read_towns(tmp_path / "towns.csv").name == ["town 1", "town 2"]


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        ("lon,lat\n1,2\n", UnknownColumns, "--region-column"),
        ("a,b,region\n1,2,x\n", UnknownColumns, "longitude"),
        ("lon,lat,region\n", UnreadableSource, "no towns"),
        ("lon,lat,region\n1,2,x\n1,,x\n", InvalidCoordinate, "row 1"),
        ("lon,lat,region\n35,139,x\n36,140,x\n", InvalidCoordinate, "exchanged"),
    ],
)
def test_tables_that_list_no_towns_are_refused(text, error, word, tmp_path: Path):
    (tmp_path / "towns.csv").write_text(text)
    with pytest.raises(error, match=word) as raised:
        read_towns(tmp_path / "towns.csv")
    assert "towns.csv" in str(raised.value)


# --- areas ---------------------------------------------------------------------------------------


def feature(region, area, geometry):
    return {"type": "Feature", "properties": {"ward": region, "aza": area}, "geometry": geometry}


def square(west, south, size=0.01):
    return shapely.geometry.mapping(shapely.box(west, south, west + size, south + size))


def wards_file(folder: Path) -> Path:
    features = [
        feature("A", "a1", square(10.0, 50.0)),
        feature("A", "a2", square(10.1, 50.0)),
        feature("A", "a1", square(10.2, 50.0)),
        feature("B", "a1", square(11.0, 50.0)),
        feature("B", "b2", {"type": "Point", "coordinates": [11.0, 50.0]}),
    ]
    path = folder / "wards.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def test_features_of_one_name_are_one_area_and_points_are_none(tmp_path: Path):
    areas = read_sub_areas(wards_file(tmp_path), region_column="ward", area_column="aza")
    assert [(one.region, one.name) for one in areas] == [("A", "a1"), ("A", "a2"), ("B", "a1"), ("B", "b2")]
    assert len(areas[0].polygon.pieces) == 2
    assert areas[3].polygon is None and areas[3].fault == "has no polygon in the file"


def test_without_an_area_column_each_region_is_one_area(tmp_path: Path):
    areas = read_sub_areas(wards_file(tmp_path), region_column="ward")
    assert [(one.region, one.name) for one in areas] == [("A", "A"), ("B", "B")]
    assert len(read_sub_areas(wards_file(tmp_path))) == 5  # no usual name: every feature is one


@pytest.mark.parametrize("ending", ["gpkg", "parquet"])
def test_other_formats_and_coordinate_systems_are_brought_to_degrees(ending, tmp_path: Path):
    frame = geopandas.GeoDataFrame({"name": ["x"]}, geometry=[shapely.box(10.0, 50.0, 10.1, 50.1)], crs=4326)
    path = tmp_path / f"areas.{ending}"
    projected = frame.to_crs(3857)
    projected.to_file(path) if ending == "gpkg" else projected.to_parquet(path)
    (area,) = read_sub_areas(path)
    assert area.name == "x"
    assert shapely.MultiPolygon(area.polygon.pieces).bounds == pytest.approx((10.0, 50.0, 10.1, 50.1))


def test_an_outline_across_the_antimeridian_is_one_area(tmp_path: Path):
    ring = [[179.9, -17.0], [-179.9, -17.0], [-179.9, -16.8], [179.9, -16.8], [179.9, -17.0]]
    path = tmp_path / "fiji.geojson"
    path.write_text(json.dumps(feature("Fiji", "", {"type": "Polygon", "coordinates": [ring]})))
    (area,) = read_sub_areas(path, region_column="ward")
    assert area.polygon.area_km2 == pytest.approx(21.29 * 22.24, rel=0.01)
    assert plan_areas([area], Sampling(n_per_area=9)).n_points == 9


def test_files_without_what_is_asked_for_are_refused(tmp_path: Path):
    with pytest.raises(UnknownColumns, match="no column 'town'; there are ward, aza"):
        read_sub_areas(wards_file(tmp_path), area_column="town")
    with pytest.raises(UnreadableSource, match="no such file"):
        read_sub_areas(tmp_path / "none.geojson")
    path = tmp_path / "points.geojson"
    path.write_text(json.dumps(feature("A", "a", {"type": "Point", "coordinates": [1.0, 2.0]})))
    with pytest.raises(UnreadableSource, match="no polygons"):
        read_sub_areas(path)


@pytest.mark.real
def test_all_prefectures_of_a_country_get_their_points_and_small_islands_are_hit():
    path = SHARED / "data" / "boundaries" / "prefectures_s0010.geojson.gz"
    if not path.exists():
        pytest.skip("the boundaries are not here")
    areas = read_sub_areas(path)
    plan = plan_areas(areas, Sampling(n_per_area=40, n_headings=1))
    assert Counter(one.n_points for one in plan.counts) == {40: 47} and plan.short == []
    assert all(area.polygon.contains(points(plan, area.name)).all() for area in areas)


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_plan_is_read_as_it_was_written(ending, tmp_path: Path):
    plan = plan_areas([*WARDS, SubArea("NA", "", box(-180.0, -17.0, -179.9, -16.9))], Sampling(n_per_area=3))
    write_views(plan.views, tmp_path / f"plan.{ending}")
    assert read_views(tmp_path / f"plan.{ending}") == plan.views


def test_longitude_comes_first_in_the_table(tmp_path: Path):
    write_views([View(id="x", lon=139.7, lat=35.6, heading_deg=12.5, region="R")], tmp_path / "p.csv")
    assert (
        tmp_path / "p.csv"
    ).read_text() == "id,lon,lat,heading_deg,region,sub_area\nx,139.7,35.6,12.5,R,\n"


def test_headings_are_brought_into_the_circle(tmp_path: Path):
    (tmp_path / "p.csv").write_text("lon,lat,heading_deg\n1,2,-90\n1,2,360\n1,2,\n")
    assert [view.heading_deg for view in read_views(tmp_path / "p.csv")] == [270.0, 0.0, None]


def test_a_table_of_coordinates_alone_is_a_plan(tmp_path: Path):
    (tmp_path / "p.csv").write_text("lat,lng\n35.6,139.7\n35.7,181\n")
    views = read_views(tmp_path / "p.csv")
    assert views[1] == View(id="row 2", lon=-179.0, lat=35.7)


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        ("id,lon,lat\nx,1,2\nx,3,4\n", UnreadableSource, "'x' occurs more than once"),
        ("lon,lat,heading_deg\n1,2,north\n", UnreadableSource, "row 0: heading_deg 'north'"),
        ("lon,lat,heading_deg\n1,2,inf\n", UnreadableSource, "'inf'"),
        ("lon,lat\n1,95\n", InvalidCoordinate, "95"),
        ("x,y\n1,2\n", UnknownColumns, "longitude"),
        ("lon,lat\n", UnreadableSource, "empty"),
        ("", UnreadableSource, "cannot be read"),
    ],
)
def test_strange_plans_are_refused(text, error, word, tmp_path: Path):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(error, match=word) as raised:
        read_views(tmp_path / "p.csv")
    assert "p.csv" in str(raised.value)


def test_a_plan_is_written_to_tables_that_can_be_written(tmp_path: Path):
    for name, word in (("plan.json", "as .csv or .parquet"), ("none/plan.csv", "No such file")):
        with pytest.raises(UnwritableFile, match=word):
            write_views([], tmp_path / name)
