"""Coordinates are found by name, in any coordinate system, and rows without a place are named."""

import subprocess
import sys

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely

from placeprint.encoders.coordinate_columns import check_columns, coordinate_columns, coordinates_of
from placeprint.encoders.errors import InvalidCoordinate, UnknownColumns

TOKYO, LIMA = (139.7671, 35.6812), (-77.0428, -12.0464)


@pytest.mark.parametrize(
    "names", [("lon", "lat"), ("Longitude", "Latitude"), ("lng", "LAT"), (" long", "latitude")]
)
def test_usual_names_are_understood_in_any_order(names: tuple[str, str]) -> None:
    table = pd.DataFrame({"price": [1.0], names[1]: [TOKYO[1]], names[0]: [TOKYO[0]]})
    np.testing.assert_array_equal(coordinates_of(table).lonlat, [TOKYO])


def test_the_exact_name_goes_before_a_usual_one() -> None:
    assert coordinate_columns(["longitude", "lon", "latitude", "lat"]) == ("lon", "lat")


def test_two_candidates_are_an_error_that_names_them() -> None:
    with pytest.raises(UnknownColumns, match=r"longitude may be in 'longitude' or 'lng'; name it with lon="):
        coordinate_columns(["longitude", "lng", "lat"])


def test_no_candidate_is_an_error_that_lists_the_columns() -> None:
    with pytest.raises(UnknownColumns, match=r"no column for the latitude .*There are 'lon', 'y'"):
        coordinate_columns(["lon", "y"])


def test_a_column_asked_for_is_not_replaced_by_a_usual_one() -> None:
    with pytest.raises(UnknownColumns, match="no column 'homeLon'"):
        coordinate_columns(["lon", "lat"], "homeLon", "lat")


def test_one_column_cannot_be_both() -> None:
    with pytest.raises(UnknownColumns, match="both"):
        coordinate_columns(["a", "b"], "a", "a")


def test_a_doubled_column_is_refused() -> None:
    with pytest.raises(UnknownColumns, match="occurs 2 times"):
        coordinate_columns(["lon", "lat", "lon"])


def test_an_array_wider_than_two_must_say_which() -> None:
    rows = np.array([[1.0, *TOKYO]])
    with pytest.raises(UnknownColumns, match="3 feature"):
        coordinates_of(rows)
    np.testing.assert_array_equal(coordinates_of(rows, 1, 2).lonlat, [TOKYO])
    with pytest.raises(UnknownColumns, match="not two of the array's 3"):
        coordinates_of(rows, 1, 3)


def test_columns_of_a_frame_may_be_named_by_position() -> None:
    table = pd.DataFrame({"y": [TOKYO[1]], "x": [TOKYO[0]]})
    np.testing.assert_array_equal(coordinates_of(table, 1, 0).lonlat, [TOKYO])


def test_numbers_kept_as_text_are_numbers() -> None:
    table = pd.DataFrame({"lon": ["139.7671", " -77.0428"], "lat": ["35.6812", "-12.0464"]})
    np.testing.assert_array_equal(coordinates_of(table).lonlat, [TOKYO, LIMA])


def test_missing_values_of_every_kind_have_no_place() -> None:
    lon = pd.array([1.0, None, 3.0, 4.0], dtype="Float64")
    table = pd.DataFrame({"lon": lon, "lat": pd.Series([1.0, 2.0, np.inf, 95.0])})
    coordinates = coordinates_of(table)
    assert coordinates.is_placed.tolist() == [True, False, False, False]
    assert np.isnan(coordinates.lonlat[1:]).all()
    assert coordinates.complaint(1) == "lon is missing (NaN or empty)"
    assert "lat inf is not on Earth" in coordinates.complaint(2)
    assert "lat 95.0 is not on Earth" in coordinates.complaint(3)


def test_a_text_that_is_no_number_is_named() -> None:
    coordinates = check_columns(np.array(["139,7", "", "x"], object), np.array(["35", "", "1"], object))
    assert coordinates.complaint(0) == "lon '139,7' is not a number: write a decimal point"
    assert coordinates.complaint(1) == "lon and lat are missing (NaN or empty)"
    assert coordinates.complaint(2) == "lon 'x' is not a number"


def test_the_first_row_at_fault_is_named_with_their_number() -> None:
    rows = np.array([TOKYO, (1.0, np.nan), (1.0, 95.0)])
    with pytest.raises(
        InvalidCoordinate, match=r"row 1 of 3: lat is missing \(NaN or empty\) \(2 such rows\)"
    ):
        coordinates_of(rows).require_all()


def test_a_table_the_wrong_way_round_is_refused_with_the_remedy() -> None:
    rows = np.array([TOKYO, TOKYO, LIMA])[:, ::-1]  # Lima is on Earth either way
    with pytest.raises(InvalidCoordinate, match=r"2 of 3 rows .* exchanged \(longitude goes first\)"):
        coordinates_of(rows).refuse_exchanged()


def test_one_row_is_not_enough_to_refuse_a_table_and_missing_rows_do_not_count() -> None:
    coordinates_of(np.array([TOKYO[::-1]])).refuse_exchanged()
    rows = np.array([TOKYO[::-1], TOKYO[::-1], TOKYO, (np.nan, 1.0), (1.0, np.nan)])
    with pytest.raises(InvalidCoordinate, match="2 of 3 rows"):
        coordinates_of(rows).refuse_exchanged()
    coordinates_of(rows[1:]).refuse_exchanged()


def test_some_rows_the_wrong_way_round_are_counted() -> None:
    rows = np.array([TOKYO[::-1], TOKYO, LIMA])
    coordinates = coordinates_of(rows)
    assert coordinates.n_swapped == 1
    assert "other way round" in coordinates.complaint(0)


def test_longitudes_counted_to_360_are_wrapped_and_the_table_is_kept() -> None:
    rows = np.array([[282.9572, LIMA[1]]])
    before = rows.copy()
    np.testing.assert_allclose(coordinates_of(rows).lonlat, [LIMA])
    np.testing.assert_array_equal(rows, before)


def test_projected_geometry_is_brought_to_degrees() -> None:
    points = geopandas.GeoDataFrame(
        geometry=geopandas.points_from_xy(*zip(TOKYO, LIMA, strict=True)), crs=4326
    )
    for crs in (3857, 8857, 4612):
        found = coordinates_of(points.to_crs(crs)).lonlat
        np.testing.assert_allclose(found, [TOKYO, LIMA], atol=2e-5)


def test_geometry_goes_before_columns_and_by_longitude_first() -> None:
    frame = geopandas.GeoDataFrame({"lon": [0.0], "lat": [0.0]}, geometry=[shapely.Point(TOKYO)], crs=4326)
    np.testing.assert_allclose(coordinates_of(frame).lonlat, [TOKYO])
    np.testing.assert_allclose(coordinates_of(frame.geometry).lonlat, [TOKYO])


def test_a_geometry_without_coordinate_system_is_refused() -> None:
    frame = geopandas.GeoDataFrame(geometry=[shapely.Point(TOKYO)])
    with pytest.raises(InvalidCoordinate, match=r"set_crs\(4326\)"):
        coordinates_of(frame)


def test_a_polygon_stands_for_a_point_inside_it() -> None:
    crescent = shapely.Point(10, 0).buffer(5).difference(shapely.Point(12, 0).buffer(5))
    place = coordinates_of(geopandas.GeoSeries([crescent, shapely.Point(TOKYO)], crs=4326)).lonlat
    assert crescent.contains(shapely.Point(place[0]))
    assert not crescent.contains(crescent.centroid)
    np.testing.assert_allclose(place[1], TOKYO)


def test_empty_and_missing_geometries_have_no_place() -> None:
    frame = geopandas.GeoSeries([shapely.Point(TOKYO), shapely.Point(), None, shapely.Polygon()], crs=4326)
    coordinates = coordinates_of(frame)
    assert coordinates.is_placed.tolist() == [True, False, False, False]
    assert "missing" in coordinates.complaint(2)


def test_a_geometry_column_of_a_plain_frame_is_found() -> None:
    column = geopandas.GeoSeries([shapely.Point(TOKYO)], crs=4326)
    plain = pd.DataFrame({"a": [1], "where": column})
    np.testing.assert_allclose(coordinates_of(plain).lonlat, [TOKYO])
    with pytest.raises(UnknownColumns, match="'where' or 'also'"):
        coordinates_of(plain.assign(also=column))


def test_without_geopandas_in_use_it_is_not_loaded() -> None:
    code = (
        "import sys, numpy, placeprint.encoders.coordinate_columns as c; "
        "c.coordinates_of(numpy.zeros((1, 2))); print('geopandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
