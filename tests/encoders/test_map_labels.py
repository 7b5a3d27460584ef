"""Labels out of files: points and rasters, joined to places by distance, units checked.

Claims: medians and sums within a radius, also across the antimeridian; rasters of any coordinate
system; people per cell become people per km²; nothing near is unknown, not zero; what is wrong with a
file is said with its name.
"""

import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.warp
from affine import Affine
from conftest import SHARED
from shapely.geometry import Point

from placeprint.encoders.errors import InvalidCoordinate, MissingLabels, UnknownColumns
from placeprint.encoders.map_learning.label_rasters import density_at, raster_at
from placeprint.encoders.map_learning.labels import (
    PRICE_COLUMNS,
    density_within,
    labels_for,
    median_within,
    read_places,
    read_points,
)
from placeprint.encoders.sphere import EARTH_RADIUS_KM, cap_area_km2


def from_origin(west: float, north: float, width: float, height: float) -> Affine:
    """Rasterio's own multiplies affines in a way that warns."""
    return Affine(width, 0.0, west, 0.0, -height, north)


def raster(
    path: Path, values: np.ndarray, crs: str | None, transform: object, nodata: float | None = None
) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype="float64",
        crs=crs, transform=transform, nodata=nodata,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path


def test_a_raster_from_greenwich_around_the_world_and_one_of_scaled_numbers(tmp_path: Path) -> None:
    path = raster(
        tmp_path / "p.tif", np.arange(36.0)[None] + 1.0, "EPSG:4326", from_origin(0.0, 5.0, 10.0, 10.0)
    )
    found = raster_at(path, np.array([[5.0, 0.0], [-100.0, 0.0], [-5.0, 0.0]]))
    assert found.tolist() == [1.0, 27.0, 36.0]
    with rasterio.open(path, "r+") as file:
        file.scales, file.offsets = (100.0,), (5.0,)
    assert raster_at(path, np.array([[65.0, 0.0]])).tolist() == [705.0]


def test_the_median_of_what_is_near_and_nothing_where_nothing_is() -> None:
    points = np.array([[179.999, 0.0], [-179.999, 0.0], [-179.998, 0.0], [0.0, 90.0]])
    places = np.array([[180.0 - 360.0, 0.0], [55.0, 90.0], [10.0, 10.0]])
    found = median_within(places, points, np.array([1.0, 5.0, 9.0, 7.0]), 0.3)
    assert found[:2].tolist() == [5.0, 7.0] and math.isnan(found[2])


def test_density_is_people_over_the_area_of_the_circle() -> None:
    found = density_within(
        np.array([[9.5, 47.1], [0.0, 0.0]]), np.array([[9.5, 47.1], [9.51, 47.1]]), np.array([3e4, 1e4]), 2.0
    )
    assert found[0] == pytest.approx(4e4 / cap_area_km2(2.0)) and math.isnan(found[1])


def test_a_table_and_a_vector_file_say_the_same(tmp_path: Path) -> None:
    csv = tmp_path / "prices.csv"
    csv.write_text("longitude,latitude,price\n9.5,47.1,100\n9.6,47.2,\n,47.0,5\n9.7,47.3,300\n")
    lonlat, values, notes = read_points(csv, None, PRICE_COLUMNS)
    assert lonlat.tolist() == [[9.5, 47.1], [9.7, 47.3]] and values.tolist() == [100.0, 300.0]
    assert any("without a label" in note for note in notes) and any(
        "without a place" in note for note in notes
    )
    frame = gpd.GeoDataFrame(
        {"Price": [100.0, 300.0]}, geometry=[Point(9.5, 47.1), Point(9.7, 47.3)], crs=4326
    )
    frame.to_crs(3857).to_file(tmp_path / "prices.gpkg")
    again, others, _ = read_points(tmp_path / "prices.gpkg", None, PRICE_COLUMNS)
    np.testing.assert_allclose(again, lonlat, atol=1e-9)
    assert others.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("lon,lat,cost\n1,2,3\n", "no column"),
        ("lon,lat,price\n1,2,-3\n", "negative"),
        ("lon,lat,price\n1,2,cheap\n", "not numeric"),
        ("lon,lat,price\n,,3\n", "none of 1 rows"),
        ("a,b,price\n1,2,3\n", "longitude"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, match: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises((MissingLabels, UnknownColumns), match=match):
        read_points(path, None, PRICE_COLUMNS)


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.geojson").write_text("not json")
    with pytest.raises(MissingLabels, match=r"x\.geojson"):
        read_points(tmp_path / "x.geojson", None, PRICE_COLUMNS)
    (tmp_path / "x.tif").write_text("no raster")
    with pytest.raises(MissingLabels, match="raster"):
        raster_at(tmp_path / "x.tif", np.zeros((1, 2)))
    for read in (
        lambda path: read_points(path, None, PRICE_COLUMNS),
        read_places,
        lambda path: raster_at(path, np.zeros((1, 2))),
    ):
        with pytest.raises(MissingLabels, match="no such file"):
            read(tmp_path / "none.csv")


def test_a_raster_is_read_in_its_own_coordinates(tmp_path: Path) -> None:
    values = np.arange(12.0).reshape(3, 4)
    values[0, 0] = -9999.0
    degrees = raster(
        tmp_path / "a.tif", values, "EPSG:4326", from_origin(9.0, 48.0, 0.25, 0.25), nodata=-9999.0
    )
    places = np.array([[9.3, 47.9], [9.1, 47.9], [9.99, 47.26], [8.9, 47.9], [9.3, 48.1]])
    found = raster_at(degrees, places)
    assert found[0] == 1.0 and found[2] == 11.0 and np.isnan(found[[1, 3, 4]]).all()
    meters = raster(
        tmp_path / "b.tif", np.arange(1.0, 5.0).reshape(2, 2), "EPSG:3035", from_origin(4e6, 3e6, 1e5, 1e5)
    )
    lon, lat = rasterio.warp.transform("EPSG:3035", "EPSG:4326", [4.05e6, 4.15e6], [2.95e6, 2.85e6])
    assert raster_at(meters, np.stack([lon, lat], 1)).tolist() == [1.0, 4.0]


def test_people_per_cell_become_people_per_km2(tmp_path: Path) -> None:
    path = raster(tmp_path / "c.tif", np.full((2, 1), 50.0), "EPSG:4326", from_origin(9.0, 60.01, 0.01, 0.01))
    place = np.array([[9.005, 60.005]])
    side = math.radians(0.01) * EARTH_RADIUS_KM
    assert density_at(path, place, "per-cell")[0] == pytest.approx(
        50.0 / (side**2 * math.cos(math.radians(60.005))), rel=1e-4
    )
    assert density_at(path, place, "per-km2")[0] == 50.0


def test_rasters_without_a_system_or_with_negative_values_are_refused(tmp_path: Path) -> None:
    plain = raster(tmp_path / "a.tif", np.ones((2, 2)), None, from_origin(9.0, 48.0, 1.0, 1.0))
    with pytest.raises(MissingLabels, match="a_srs"):
        raster_at(plain, np.array([[9.5, 47.5]]))
    negative = raster(
        tmp_path / "b.tif", np.full((2, 2), -5.0), "EPSG:4326", from_origin(9.0, 48.0, 1.0, 1.0)
    )
    with pytest.raises(MissingLabels, match="a_nodata -5"):
        raster_at(negative, np.array([[9.5, 47.5]]))


def test_labels_are_joined_noted_and_refused_where_none_is_near(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("lon,lat,price,population\n9.5,47.1,100,2000\n")
    lonlat = np.array([[9.5, 47.1], [9.6, 47.1]])
    found = labels_for(lonlat, price=tmp_path / "p.csv", population=tmp_path / "p.csv", radius_km=1.0)
    assert found.price[0] == 100.0 and math.isnan(found.price[1]) and found.density[0] > 600.0
    assert "1 of 2 places have a price" in found.notes[0]
    assert labels_for(lonlat, radius_km=1.0).coverage["price"]["labeled"] == 0
    with pytest.raises(MissingLabels, match="another area"):
        labels_for(lonlat + 20.0, price=tmp_path / "p.csv", radius_km=1.0)


def test_places_are_read_and_exchanged_columns_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("name,lon,lat\na,139.7,35.6\nb,,\n")
    assert read_places(path).tolist() == [[139.7, 35.6]]
    path.write_text("lon,lat\n" + "35.6,139.7\n" * 5)
    with pytest.raises(InvalidCoordinate, match="exchanged"):
        read_places(path)


@pytest.mark.real
def test_the_real_prices_and_places_are_joined() -> None:
    data = SHARED / "data"
    if not (data / "prices").is_dir():
        pytest.skip("the prices are not here")
    tokyo = np.array([[139.70, 35.69], [139.80, 35.70], [0.0, 0.0]])
    found = labels_for(
        tokyo, price=data / "prices" / "japan_land_price_2023.csv",
        population=data / "places" / "cities.csv.gz", radius_km=10.0,
    )  # fmt: skip
    assert (found.price[:2] > 1e5).all() and np.isnan(found.price[2])
    assert (found.density[:2] > 1000.0).all()
