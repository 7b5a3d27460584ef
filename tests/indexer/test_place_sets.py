"""Sets of photos: tables of any names, folders with a table, file names of benchmarks, walks."""

from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from placeprint.encoders.errors import UnreadableSource, WrongPhotoSet
from placeprint.indexer.benchmark_names import BANDS, read_names
from placeprint.indexer.place_sets import copies_in, read_place_set

TOKYO_TOWER = (139.745433, 35.658581)


def drawn(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(folder / name)
    return folder


@pytest.mark.parametrize("header", ["image,lon,lat", "File,Longitude,LATITUDE", "path,lng,latitude"])
def test_a_table_tells_places_by_the_names_of_its_columns(tmp_path, header):
    drawn(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text(f"{header}\nb.jpg,2.5,48.5\na.jpg,-180.0,-16.8\n")
    found = read_place_set(tmp_path / "t.csv")
    assert found.names == ["a.jpg", "b.jpg"]
    assert found.lonlat.tolist() == [[-180.0, -16.8], [2.5, 48.5]]


def test_an_index_in_the_folder_tells_of_its_photos(tmp_path):
    drawn(tmp_path, "a1.jpg", "b2.jpg", "c3.jpg")
    (tmp_path / "index.csv").write_text(
        "image,lon,lat,sequence_id,light,year,frame\na1.jpg,1,2,walk,day,2016,7\nb2.jpg,1,2,walk,night,2018,9\n"
    )
    found = read_place_set(tmp_path)
    assert found.names == ["a1.jpg", "b2.jpg"]
    assert found.has_groups and found.group.tolist() == ["walk", "walk"]
    assert found.frame.tolist() == [7, 9]
    assert {name: values.tolist() for name, values in found.parts.items()} == {
        "year": ["2016", "2018"], "light": ["day", "night"],
    }  # fmt: skip


def test_two_tables_in_a_folder_are_one_too_many(tmp_path):
    drawn(tmp_path, "a.jpg")
    for name in ("index.csv", "gps.csv"):
        (tmp_path / name).write_text("image,lon,lat\na.jpg,1,2\n")
    with pytest.raises(UnreadableSource, match=r"gps\.csv and index\.csv"):
        read_place_set(tmp_path)


def test_a_table_the_wrong_way_round_is_refused(tmp_path):
    names = [f"{row}.jpg" for row in range(4)]
    drawn(tmp_path, *names)
    rows = "\n".join(f"{name},35.6,139.7" for name in names)
    (tmp_path / "t.csv").write_text(f"image,lon,lat\n{rows}\n")
    with pytest.raises(UnreadableSource, match="exchanged"):
        read_place_set(tmp_path / "t.csv")


def test_queries_that_are_photos_of_the_gallery_are_found(tmp_path):
    folder = drawn(tmp_path / "db", "a.png", "b.bmp")
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "copy.png").write_bytes((folder / "a.png").read_bytes())
    Image.new("RGB", (8, 8), "red").save(tmp_path / "q" / "other.png")
    assert copies_in(read_place_set(tmp_path / "q"), read_place_set(folder)) == ["copy.png"]
    assert copies_in(read_place_set(folder / "b.bmp"), read_place_set(folder / "a.png")) == []


def test_photos_that_nothing_tells_of_stand_alone(tmp_path):
    found = read_place_set(drawn(tmp_path, "day2_012.jpg", "day2_013_left.png", "cover.jpg"))
    assert found.frame.tolist() == [-1, 12, 13]  # the last number of a name
    assert not found.has_groups
    assert np.isnan(found.lonlat).all() and not found.parts


def test_a_file_name_tells_degrees_panorama_and_year(tmp_path):
    name = "@0386440.56@3946806.01@54@S@035.658581@139.745433@pano7@03@90@@@@20190314_101500@night@.jpg"
    found = read_place_set(drawn(tmp_path, name))
    assert found.lonlat[0] == pytest.approx(TOKYO_TOWER, abs=1e-9)
    assert found.group.tolist() == ["pano7"]
    assert found.parts["year"].tolist() == ["2019"]
    assert not found.notes


def test_utm_becomes_degrees_where_the_name_has_none():
    # On the equator and the central meridian of zone 31, which is 3 degrees east, by definition.
    for name in ("@500000.00@0@31@N@.jpg", "@500000.00@10000000@31@M@.jpg"):
        assert read_names([name]).lonlat[0] == pytest.approx([3.0, 0.0], abs=1e-9)


def test_the_letter_is_a_band_and_not_a_hemisphere():
    north, south = read_names(["@500000@4000000@10@S@.jpg", "@500000@6000000@10@H@.jpg"]).lonlat
    assert north[1] == pytest.approx(36.14, abs=0.01)  # S is 32 to 40 degrees north
    assert south[1] == pytest.approx(-36.14, abs=0.01)
    assert BANDS.index("M") + 1 == BANDS.index("N") == len(BANDS) // 2


def test_the_last_zone_reaches_over_the_antimeridian():
    east = read_names(["@833000@8130000@60@K@.jpg"]).lonlat[0]
    assert -180.0 <= east[0] < -179.0


def test_the_same_place_is_read_in_every_zone_it_is_told_in(rng):
    import pyproj

    for zone in (1, 31, 60):
        for lat, letter in ((-33.0, "H"), (50.0, "U")):
            lon = -183.0 + 6 * zone
            project = pyproj.Proj(proj="utm", zone=zone, south=lat < 0, ellps="WGS84")
            easting, northing = project(lon, lat)
            told = read_names([f"@{easting:.3f}@{northing:.3f}@{zone}@{letter}@.jpg"])
            assert told.lonlat[0] == pytest.approx([lon, lat], abs=1e-7)


def test_degrees_and_utm_that_disagree_are_told_of():
    told = read_names(["@500000@4000000@10@S@48.0@2.0@.jpg"])
    assert told.lonlat[0].tolist() == [2.0, 48.0]
    assert "1 names whose UTM and degrees lie more than 100 m apart" in told.notes[0]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("@500000@4000000@.jpg", "120 zones"),
        ("@500000@4000000@61@S@.jpg", "zone '61'"),
        ("@500000@4000000@10@O@.jpg", "letter 'O'"),
        ("@4000000@500000@10@S@.jpg", "exchanged"),
        ("@5e5m@4000000@10@S@.jpg", "easting '5e5m' is not a number"),
        ("@500000@4000000@10@S@91.0@2.0@.jpg", "not on Earth"),
        ("@500000@4000000@10@S@48.0@@.jpg", "told together"),
        ("@500000@4000000@10@S@nan@nan@.jpg", "lat 'nan'"),
    ],
)
def test_a_wrong_name_is_named(tmp_path, name, said):
    with pytest.raises(WrongPhotoSet, match=said) as refused:
        read_place_set(drawn(tmp_path, name))
    assert name in str(refused.value)


@pytest.mark.real
def test_the_corridor_is_a_walk_of_111_frames():
    folder = SHARED / "data" / "vpr" / "corridor"
    if not folder.is_dir():
        pytest.skip("the corridor is not here")
    assert read_place_set(folder / "query").frame.tolist() == list(range(111))
