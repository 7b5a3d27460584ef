"""Polygons name the points in them and the shore before them, wherever on Earth, and only so far."""

import gzip
import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from conftest import SHARED

from placeprint.encoders.sphere import destination
from placeprint.indexer.geolocate import REMOTE, name_shares
from placeprint.indexer.regions import NEAR_KM, Regions, load_regions


def regions_of(**boxes: tuple[float, float, float, float]) -> Regions:
    names = np.array(list(boxes), dtype=object)
    return Regions(np.array([shapely.box(*box) for box in boxes.values()], dtype=object), names, names)


def named(regions: Regions, *lonlat: tuple[float, float]) -> list[str]:
    return [regions.name[row] if row >= 0 else "" for row in regions.find(np.array(lonlat))]


def test_the_shore_is_named_by_the_nearest_polygon_and_the_open_sea_is_not() -> None:
    regions = regions_of(west=(0.0, 0.0, 10.0, 10.0), east=(10.4, 0.0, 20.0, 10.0))
    edge = np.array([0.0, 5.0])
    shore, sea = (tuple(destination(edge, 270.0, km).tolist()) for km in (NEAR_KM - 0.2, NEAR_KM + 0.2))
    assert named(regions, (5.0, 5.0), shore, sea) == ["west", "west", ""]
    assert named(regions, (10.15, 5.0), (10.25, 5.0)) == ["west", "east"]


def test_nearness_is_measured_on_the_ground_also_where_maps_end() -> None:
    regions = regions_of(fiji=(177.0, -18.0, 180.0, -16.0), arctic=(-180.0, 80.0, 100.0, 85.0))
    assert named(regions, (-179.9, -17.0), (-179.7, -17.0)) == ["fiji", ""]
    # A degree of longitude is 19 km here, and 2 of latitude are 222.
    assert named(regions, (101.0, 80.5), (102.0, 80.5), (50.0, 78.0)) == ["arctic", "", ""]
    assert named(regions_of(pole=(-180.0, -89.9, 180.0, -80.0)), (77.0, -90.0)) == ["pole"]


def test_frames_and_regions_name_alike() -> None:
    frame = geopandas.GeoDataFrame({"name": ["land"]}, geometry=[shapely.box(0, 0, 1, 1)], crs=4326)
    points = np.array([[0.5, 0.5], [1.1, 0.5], [5.0, 5.0], [5.0, 5.0]])
    expected = [("land", "", 0.5), (REMOTE, "", 0.5)]
    assert name_shares(points, countries=frame)[0] == expected
    assert name_shares(points, states=Regions.from_frame(frame))[1] == expected


def test_what_a_column_does_not_know_the_next_one_tells(tmp_path: Path) -> None:
    rows = [
        {"NAME": "France", "ISO_A2": "-99", "ISO_A2_EH": "FR"},
        {"NAME": "Kosovo", "ISO_A2": "-99", "ISO_A2_EH": "-99"},
        {"NAME": None, "ISO_A2": "NA", "ISO_A2_EH": "NA", "ADMIN": "Namibia"},
        {"NAME": None, "ISO_A2": "JP", "ISO_A2_EH": "JP"},
        {"NAME": None, "ISO_A2": None, "ISO_A2_EH": None},
    ]
    boxes = [shapely.box(i, 0, i + 1, 1) for i in range(len(rows))]
    path = tmp_path / "countries.geojson"
    geopandas.GeoDataFrame(rows, geometry=boxes, crs=4326).to_file(path)
    regions = load_regions(path)
    assert regions.name.tolist() == ["France", "Kosovo", "Namibia", "JP", "without a name"]
    assert regions.code.tolist() == ["FR", "", "NA", "JP", ""]


def test_invalid_and_empty_geometries_keep_their_names_apart(tmp_path: Path) -> None:
    bow_tie = [[0, 0], [2, 2], [2, 0], [0, 2], [0, 0]]
    features = [
        {"type": "Feature", "properties": {"name": name}, "geometry": geometry}
        for name, geometry in (
            ("a point", {"type": "Point", "coordinates": [9, 9]}),
            ("nothing", None),
            ("bow tie", {"type": "Polygon", "coordinates": [bow_tie]}),
        )
    ]
    path = tmp_path / "odd.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert named(load_regions(path), (1.8, 1.0), (9.0, 9.0)) == ["bow tie", ""]


@pytest.mark.real
def test_beaches_of_the_world_are_in_their_countries(tmp_path: Path) -> None:
    source = SHARED / "data" / "natural_earth" / "ne_110m_admin_0_countries.geojson.gz"
    if not source.exists():
        pytest.skip("the world's outlines are not here")
    (tmp_path / "world.geojson").write_bytes(gzip.decompress(source.read_bytes()))
    regions = load_regions(tmp_path / "world.geojson")
    beaches = {
        "France": (7.2700, 43.6940), "Norway": (10.4000, 63.4400), "Brazil": (-43.1800, -22.9870),
        "Fiji": (177.4000, -17.7500), "Japan": (139.7900, 35.6300), "South Africa": (18.3770, -33.9510),
    }  # fmt: skip
    assert named(regions, *beaches.values()) == list(beaches)
    assert named(regions, (-30.0, 0.0), (0.0, 0.0)) == ["", ""]
    assert "-99" not in {*regions.code.tolist(), *regions.name.tolist()}
