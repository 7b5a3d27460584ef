"""Areas from GeoJSON.

Claims: it is read in all its wrappings, repaired where that is possible, and refused with a reason where it
is not; a file that is refused is named.
"""

import copy
import json

import pytest

from placeprint.encoders.areas import Box, Polygon, load_area
from placeprint.encoders.errors import InvalidCoordinate, PlaceprintError

TOKYO_AND_NIIGATA = [[139, 35], [140, 35], [140, 38], [139, 38], [139, 35]]

# --- Polygon: reading


SQUARE = {"type": "Polygon", "coordinates": [TOKYO_AND_NIIGATA]}
FEATURE = {"type": "Feature", "properties": {}, "geometry": SQUARE}
WRAPPINGS = [
    SQUARE,
    {"type": "MultiPolygon", "coordinates": [[TOKYO_AND_NIIGATA]]},
    FEATURE,
    {"type": "FeatureCollection", "features": [FEATURE, {"type": "Feature", "geometry": None}]},
    {"type": "GeometryCollection", "geometries": [SQUARE]},
    {"type": "Polygon", "coordinates": [TOKYO_AND_NIIGATA[:-1]]},
    {"type": "Polygon", "coordinates": [[[*lonlat, 12.0] for lonlat in TOKYO_AND_NIIGATA]]},
    SQUARE | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}},
    SQUARE | {"crs": {"type": "name", "properties": {"name": "EPSG:4326"}}},
    SQUARE | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4326"}}},
]


@pytest.mark.parametrize("obj", WRAPPINGS, ids=lambda obj: obj["type"])
def test_every_wrapping_of_a_polygon_is_read(obj):
    before = copy.deepcopy(obj)
    assert Polygon.from_geojson(obj).area_km2 == pytest.approx(Box(139, 35, 140, 38).area_km2)
    assert obj == before


REFUSED = [
    ("no GeoJSON object", [], "not a GeoJSON object"),
    ("a line", {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "LineString"),
    ("a type that is no text", {"type": ["Polygon"]}, "made of polygons"),
    ("no type", {"coordinates": []}, "made of polygons"),
    ("no features", {"type": "FeatureCollection"}, "no list of features"),
    ("no polygon", {"type": "FeatureCollection", "features": []}, "no polygon"),
    ("no rings", {"type": "Polygon", "coordinates": []}, "list of rings"),
    ("null coordinates", {"type": "Polygon", "coordinates": None}, "list of rings"),
    ("rings of words", {"type": "Polygon", "coordinates": [["a"]]}, "list of"),
    (
        "rings of rings",
        {"type": "Polygon", "coordinates": [[[[0, 0], [9, 0]], [[9, 9], [0, 9]], [[0, 5], [0, 1]]]]},
        "holds lists of them",
    ),
    ("two positions", {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}, "3 positions"),
    ("zero area", {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}, "no polygon with an area"),
    (
        "zero area, cut",
        {"type": "Polygon", "coordinates": [[[179, 0], [-179, 1], [179, 0]]]},
        "no polygon with",
    ),
    ("swapped", {"type": "Polygon", "coordinates": [[[35, 139], [36, 139], [36, 140]]]}, "order must be lon"),
    ("NaN", {"type": "Polygon", "coordinates": [[[0, 0], [1, float("nan")], [1, 1]]]}, "row 1 of 3"),
    ("meters", SQUARE | {"crs": {"type": "name", "properties": {"name": "EPSG:3857"}}}, "EPSG:3857"),
    ("a longer code", SQUARE | {"crs": {"type": "name", "properties": {"name": "EPSG:43267"}}}, "convert it"),
]


@pytest.mark.parametrize("obj, reason", [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_area_is_refused_with_the_reason(obj, reason):
    with pytest.raises(InvalidCoordinate, match=reason):
        Polygon.from_geojson(obj)


# --- load_area


def test_a_file_is_read_also_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "square.geojson"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(SQUARE).encode())
    assert load_area(path) == Polygon.from_geojson(SQUARE)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PlaceprintError, match=r"nowhere\.geojson: No such file"):
        load_area(tmp_path / "nowhere.geojson")


@pytest.mark.parametrize("content", [b"lon,lat\n1,2", b"\xff\xfe\x00", b"[" * 100_000])
def test_a_file_that_is_not_json_is_refused(tmp_path, content):
    path = tmp_path / "area.geojson"
    path.write_bytes(content)
    with pytest.raises(PlaceprintError, match="is not JSON"):
        load_area(path)


def test_the_reason_of_a_refusal_comes_with_the_path(tmp_path):
    path = tmp_path / "line.geojson"
    path.write_text('{"type": "Point", "coordinates": [0, 0]}')
    with pytest.raises(InvalidCoordinate, match=r"line\.geojson: .* Point"):
        load_area(path)
