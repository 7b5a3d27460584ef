"""Reading layers: formats, coordinate systems, what is drawn as what, and files that are no maps."""

import gzip
import json
import os
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from placeprint.encoders.areas import Box
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption, UnreadableSource
from placeprint.encoders.mosaics.layers import read_layer
from placeprint.encoders.mosaics.legend import CLASSES, IDS, N_CLASSES, NODATA
from placeprint.encoders.mosaics.rules import NATURAL_EARTH, OSM_AREAS, OSM_LINES, OSM_POINTS, classify

SHARED = Path(os.environ.get("PLACEPRINT_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "data"


def town(crs: int = 4326) -> gpd.GeoDataFrame:
    """A house, a road, a lake, a tunnel, a bench and a shop."""
    rows = [
        ({"building": "yes"}, shapely.box(9.50, 47.10, 9.51, 47.11)),
        ({"highway": "primary"}, shapely.LineString([[9.5, 47.1], [9.6, 47.2]])),
        ({"natural": "water"}, shapely.box(9.52, 47.12, 9.53, 47.13)),
        ({"highway": "motorway", "tunnel": "yes"}, shapely.LineString([[9.5, 47.2], [9.6, 47.1]])),
        ({"amenity": "bench"}, shapely.Point(9.55, 47.15)),
        ({"shop": "bakery"}, shapely.Point(9.56, 47.16)),
    ]
    keys = ("building", "highway", "natural", "tunnel", "amenity", "shop")
    columns = {key: [tags.get(key) for tags, _ in rows] for key in keys}
    return gpd.GeoDataFrame(columns, geometry=[shape for _, shape in rows], crs=4326).to_crs(crs)


def names(layer: object) -> list[str]:
    return sorted(CLASSES[one].name for one in layer.class_id)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["t.geojson", "t.gpkg", "t.parquet", "t.geojson.gz"])
def test_a_town_by_its_tags_in_any_format(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        town().to_parquet(path)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(town().to_json().encode()))
    else:
        town().to_file(path)
    layer = read_layer(path)
    assert names(layer) == ["building", "place", "road", "water"]  # no tunnel, no bench
    assert layer.credit == "© OpenStreetMap contributors, ODbL"


def test_a_shapefile(tmp_path: Path) -> None:
    town()[["highway", "geometry"]].iloc[[1]].to_file(tmp_path / "roads.shp")
    assert names(read_layer(tmp_path / "roads.shp")) == ["road"]


@pytest.mark.parametrize("crs", [3857, 32632, 2056])
def test_any_coordinate_system_comes_out_in_degrees(tmp_path: Path, crs: int) -> None:
    town(crs).to_file(tmp_path / "t.gpkg")
    layer = read_layer(tmp_path / "t.gpkg")
    expected = (9.5, 47.1, 9.6, 47.2)
    assert layer.coverage == pytest.approx(expected, abs=1e-4)
    house = layer.geometry[layer.class_id == IDS["building"]][0]
    assert shapely.bounds(house) == pytest.approx(np.array([9.50, 47.10, 9.51, 47.11]), abs=1e-4)


def test_a_file_that_does_not_tell_is_told(tmp_path: Path) -> None:
    town()[["geometry"]].iloc[[1]].to_file(tmp_path / "r.gpkg")
    with pytest.raises(UnreadableSource, match=r"r\.gpkg:CLASS, where CLASS is one of sea, land"):
        read_layer(tmp_path / "r.gpkg")
    assert names(read_layer(tmp_path / "r.gpkg", "rail")) == ["rail"]
    with pytest.raises(InvalidOption, match="no map class 'railway'; there are nodata, sea"):
        read_layer(tmp_path / "r.gpkg", "railway")


def test_natural_earth_by_its_feature_classes(tmp_path: Path) -> None:
    kinds = ["Land", "Lake", "Urban area", "Populated place", "Ferry"]
    shapes = [shapely.box(i, 0, i + 1, 1) for i in range(5)]
    shapes[3] = shapely.Point(3.5, 0.5)
    frame = gpd.GeoDataFrame({"featurecla": kinds, "POP_MAX": [0, 0, 0, 5000, 0]}, geometry=shapes, crs=4326)
    frame.to_file(tmp_path / "ne.gpkg")
    layer = read_layer(tmp_path / "ne.gpkg")
    assert names(layer) == ["land", "place", "residential", "water"]
    assert layer.population[layer.class_id == IDS["place"]].tolist() == [5000.0]
    assert layer.credit == "Made with Natural Earth"


def test_places_of_a_table(tmp_path: Path) -> None:
    text = 'lat,lon,population,city\n47.14,9.52,"5,700",Vaduz\n,,3,nowhere\n-18.1,178.4,unknown,Suva\n'
    (tmp_path / "places.csv").write_text(text)
    layer = read_layer(tmp_path / "places.csv")
    assert shapely.get_coordinates(layer.geometry).tolist() == [[9.52, 47.14], [178.4, -18.1]]
    assert layer.population[0] == 5700.0
    assert np.isnan(layer.population[1])


def test_what_lies_outside_of_the_box_is_left_out(tmp_path: Path) -> None:
    shapes = [shapely.Point(lon, 0.0) for lon in (-179.5, 0.0, 179.5)]
    gpd.GeoDataFrame({"population": [1, 2, 3]}, geometry=shapes, crs=4326).to_file(tmp_path / "p.gpkg")
    layer = read_layer(tmp_path / "p.gpkg", box=Box(179.0, -1.0, -179.0, 1.0))
    assert layer.population.tolist() == [1.0, 3.0]
    ferry = shapely.LineString([[178.0, 0.0], [-178.0, 0.0]])  # is kept as 178 to 182
    gpd.GeoDataFrame({"n": [1]}, geometry=[ferry], crs=4326).to_file(tmp_path / "f.gpkg")
    assert len(read_layer(tmp_path / "f.gpkg", "road", box=Box(-179.0, -1.0, -178.5, 1.0))) == 1


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("a.geojson", b"no map", r"a\.geojson: cannot be read as a map .* Read are \.osm\.pbf, \.geojson"),
        ("a.osm.pbf", b"no map", r"a\.osm\.pbf: cannot be read as a map"),
        ("a.parquet", b"PAR1", r"a\.parquet: cannot be read as a map"),
        ("a.csv", b"x,y\n1,2\n", r"a\.csv: no column for the longitude"),
        ("a.csv", b"", r"a\.csv: cannot be read"),
    ],
)
def test_no_map_is_said_to_be_none(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableSource, match=says):
        read_layer(tmp_path / name)


def test_layers_of_one_file_on_both_sides_of_the_antimeridian(tmp_path: Path) -> None:
    """Fiji: a road across 180 degrees and a house east of it are no belt around the globe."""
    path = tmp_path / "fiji.gpkg"
    road = gpd.GeoDataFrame(
        {"highway": ["primary"]}, geometry=[shapely.LineString([(179.9, -17.0), (180.1, -17.1)])], crs=4326
    )
    house = gpd.GeoDataFrame(
        {"building": ["yes"]}, geometry=[shapely.box(-179.96, -17.2, -179.95, -17.19)], crs=4326
    )
    road.to_file(path, layer="roads")
    house.to_file(path, layer="houses")
    west, _, east, _ = read_layer(path).coverage
    assert 179.8 < west < 180.0 < east < 180.2


def test_a_missing_file_and_a_table_of_nothing_spatial(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match=r"x\.gpkg: no such file"):
        read_layer(tmp_path / "x.gpkg")
    point = {"type": "Point", "coordinates": [0, 999]}
    (tmp_path / "far.geojson").write_text(
        json.dumps({"type": "Feature", "properties": {}, "geometry": point})
    )
    with pytest.raises(InvalidCoordinate, match=r"far\.geojson: .*999.0 is not on Earth"):
        read_layer(tmp_path / "far.geojson", "place")


def test_the_first_rule_that_fits_has_the_feature() -> None:
    tags = {"building": np.array(["yes", None, "no"], object), "landuse": np.array(["retail"] * 3, object)}
    found = classify(OSM_AREAS, tags, 3).class_id
    assert [CLASSES[one].name for one in found] == ["building", "industrial", "industrial"]


def test_rules_name_classes_that_there_are() -> None:
    for rule in (*OSM_AREAS, *OSM_LINES, *OSM_POINTS, *NATURAL_EARTH):
        assert rule.name in IDS
    assert [one.id for one in CLASSES] == list(range(N_CLASSES))
    assert N_CLASSES <= 16
    assert NODATA == 0


@pytest.mark.real
def test_an_extract_of_openstreetmap() -> None:
    if not (SHARED / "osm").is_dir():
        pytest.skip("the extracts are not here")
    layer = read_layer(SHARED / "osm" / "monaco.osm.pbf")
    assert layer.coverage == pytest.approx((7.409205, 43.72335, 7.448637, 43.75169))  # of its header
    counts = np.bincount(layer.class_id, minlength=N_CLASSES)
    assert counts[IDS["building"]] == 1207
    assert counts[IDS["sea"]] == 19  # coastlines
    assert set(np.unique(shapely.get_type_id(layer.geometry))) <= {0, 1, 3}
    helsinki = read_layer(SHARED / "osm" / "helsinki.osm.pbf")  # has rings of two points
    assert len(helsinki) > 4000
