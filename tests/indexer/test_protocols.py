"""Benchmarks: a set is what it is called, its names give ids and authors, and its photos are found.

Claims: a list of another set, of another length, doubled, or with columns exchanged is refused with the
numbers (trap 18); a part is taken when it is said to be one; authors become groups, which hide photos
by the same author from each other (trap 1); sets that nobody can have are named as such.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import record, unit_rows
from PIL import Image

from placeprint.encoders.errors import UnknownProtocol, UnreadableSource, WrongPhotoSet
from placeprint.indexer.held_out import held_out
from placeprint.indexer.protocol_source import list_protocol
from placeprint.indexer.protocols import PROTOCOLS, ids_hash, protocol_named

NAMES = [
    "1234567890_0123456789_1125_11111111@N00.jpg",
    "1234567891_0123456789_1296_11111111@N00.jpg",
    "1234567892_0123456789_1201_22222222@N00.jpg",
]
PLACES = [(-64.764404, 32.325436), (-64.7, 32.3), (122.390356, 29.976052)]
SMALL = replace(
    PROTOCOLS["im2gps3k"],
    n_photos=(3,),
    ids_sha256={3: ids_hash(["1234567890", "1234567891", "1234567892"])},
)
"""A benchmark of three photos."""


def write_set(folder: Path, *, names=NAMES, columns="IMG_ID,AUTHOR,LON,LAT", places=PLACES) -> Path:
    """Photos in a folder below their table."""
    (folder / "images").mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8)).save(folder / "images" / name)
    table = folder / "im2gps3k.csv"
    rows = [f"{name},nobody,{lon},{lat}" for name, (lon, lat) in zip(names, places, strict=False)]
    table.write_text("\n".join([columns, *rows]) + "\n")
    return table


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
def test_the_example_of_a_name_has_an_id(protocol):
    assert protocol.id_of(protocol.ids_look).isdigit()
    assert protocol.id_of("no_such_name.jpg") is None


def test_a_place_before_the_number_is_no_part_of_the_id():
    name = "Ankara_00003_123456789_0123456789_1292_3333333@N07.jpg"
    assert PROTOCOLS["im2gps"].id_of(name) == "123456789"
    assert PROTOCOLS["im2gps"].author_of(name) == "3333333@N07"


def test_an_id_is_the_same_whatever_the_file_is_called():
    yfcc = PROTOCOLS["yfcc4k"]
    assert {yfcc.id_of(name) for name in ("4a/e1/3856151314.jpg", "4a_e1_3856151314", "3856151314.png")} == {
        "3856151314"
    }


def test_the_list_of_another_set_is_refused_with_both_numbers():
    ids = [str(10_000_000 + i) for i in range(25_600)]
    with pytest.raises(WrongPhotoSet, match=r"25,600 photos, but YFCC4k has 4,536.*--protocol yfcc26k"):
        PROTOCOLS["yfcc4k"].check(ids, where="yfcc4k.csv")
    with pytest.raises(WrongPhotoSet, match=r"25,600 photos, but YFCC4k has 4,536"):
        PROTOCOLS["yfcc4k"].check(ids, where="yfcc4k.csv", is_partial=True)
    PROTOCOLS["yfcc26k"].check(ids, where="yfcc26k.csv")


def test_as_many_photos_of_another_set_are_refused():
    ids = [str(10_000_000 + i) for i in range(4536)]
    with pytest.raises(WrongPhotoSet, match="not the same ones"):
        PROTOCOLS["yfcc4k"].check(ids, where="mixed.csv")


def test_a_part_is_taken_only_when_it_is_said_to_be_one():
    ids = [str(10_000_000 + i) for i in range(100)]
    with pytest.raises(WrongPhotoSet, match=r"100 photos, but YFCC4k has 4,536; .*--partial"):
        PROTOCOLS["yfcc4k"].check(ids, where="part.csv")
    PROTOCOLS["yfcc4k"].check(ids, where="part.csv", is_partial=True)


def test_a_photo_listed_twice_is_refused():
    with pytest.raises(WrongPhotoSet, match="1 of its 3 photos are listed twice"):
        PROTOCOLS["im2gps"].check(["1", "2", "2"], where="list.csv", is_partial=True)


@pytest.mark.parametrize(
    ("name", "found"), [("IM2GPS3k", "im2gps3k"), ("OSV-5M", "osv5m"), ("yfcc_4k", "yfcc4k")]
)
def test_names_are_read_as_papers_write_them(name, found):
    assert protocol_named(name).name == found


def test_what_was_never_released_is_named_as_such():
    with pytest.raises(UnknownProtocol, match=r"14,955 photos were never released"):
        protocol_named("GWS15k")
    with pytest.raises(UnknownProtocol, match=r"no protocol 'mine'; there are im2gps, im2gps3k"):
        protocol_named("mine")


def test_only_osv5m_counts_strictly():
    assert [one.name for one in PROTOCOLS.values() if not one.is_inclusive] == ["osv5m"]


def test_photos_are_found_below_the_table_with_their_places_and_authors(tmp_path):
    listing = list_protocol(write_set(tmp_path), SMALL)
    assert [(item.lon, item.lat) for item in listing] == PLACES
    assert [item.group for item in listing] == ["11111111@N00", "11111111@N00", "22222222@N00"]
    assert "exchanged" in listing.notes[0]  # the set's own remark


def test_a_named_column_goes_before_the_author(tmp_path):
    listing = list_protocol(write_set(tmp_path), SMALL, group_column="AUTHOR")
    assert {item.group for item in listing} == {"nobody"}
    with pytest.raises(UnreadableSource, match="no column 'walk'"):
        list_protocol(tmp_path / "im2gps3k.csv", SMALL, group_column="walk")


def test_a_table_with_exchanged_columns_is_refused(tmp_path):
    table = write_set(tmp_path, columns="IMG_ID,AUTHOR,LAT,LON")
    with pytest.raises(WrongPhotoSet, match=r"columns LON and LAT are exchanged \(33%"):
        list_protocol(table, SMALL)


def test_ids_of_another_form_are_refused(tmp_path):
    with pytest.raises(WrongPhotoSet, match=r"3 of 3 ids in IMG_ID.*'1234567890_0123"):
        list_protocol(write_set(tmp_path), PROTOCOLS["yfcc4k"])


def test_photos_that_are_missing_are_named_and_may_be_missing_from_a_part(tmp_path):
    table = write_set(tmp_path)
    (tmp_path / "images" / NAMES[1]).unlink()
    with pytest.raises(WrongPhotoSet, match=r"1 of its 3 photos have no file below .* first 1234567891"):
        list_protocol(table, SMALL)
    listing = list_protocol(table, SMALL, is_partial=True)
    assert len(listing) == 2
    assert "these are 2 of the 3 photos" in listing.notes[-1]


def test_a_row_listed_twice_is_refused_before_it_is_lost(tmp_path):
    table = write_set(tmp_path, names=[NAMES[0], NAMES[1], NAMES[1]])
    with pytest.raises(WrongPhotoSet, match="listed twice"):
        list_protocol(table, SMALL)


@pytest.mark.parametrize(
    ("text", "says"),
    [("A,B\n1,2\n", "no column IMG_ID"), ("IMG_ID,LON,LAT\n" + NAMES[0] + ",x,2\n", "is no number")],
)
def test_a_table_without_ids_or_places_is_refused(tmp_path, text, says):
    (tmp_path / "odd.csv").write_text(text)
    with pytest.raises(UnreadableSource, match=says):
        list_protocol(tmp_path / "odd.csv", SMALL)


def test_a_folder_of_photos_is_checked_by_their_names(tmp_path):
    write_set(tmp_path)
    listing = list_protocol(tmp_path / "images", SMALL)
    assert [item.group for item in listing] == ["11111111@N00", "11111111@N00", "22222222@N00"]
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "holiday.jpg")
    with pytest.raises(WrongPhotoSet, match=r"1 of 4 files are not named .* holiday\.jpg"):
        list_protocol(tmp_path / "images", SMALL)


def test_no_photo_is_located_by_its_own_author(any_gallery, tmp_path, rng):
    """Trap 1: the sets share authors with the photos that galleries are made of."""
    authors = ["11111111@N00", "22222222@N00", "5@N00", "6@N00"]
    embeddings = unit_rows(rng, 4)
    any_gallery.add(
        [
            record(f"photo-{i}", embeddings[i], lon=10.0 * i, lat=5.0, group=author)
            for i, author in enumerate(authors)
        ]
    )
    listing = list_protocol(write_set(tmp_path), SMALL)
    queries = np.stack([embeddings[0], embeddings[0], embeddings[1]])  # as alike as can be
    lonlat = np.array([(item.lon, item.lat) for item in listing])
    found = held_out(any_gallery, queries, lonlat, [item.group or "" for item in listing], k=4)
    for row, own in enumerate((0.0, 0.0, 10.0)):
        seen = found.neighbor_lonlat[row, np.isfinite(found.similarity[row]), 0]
        assert len(seen) == 3
        assert own not in seen


def test_groups_are_one_name_over_all_sources(any_gallery, rng):
    """Trap 2: a sequence that two corpora both list is one sequence."""
    embeddings = unit_rows(rng, 3)
    any_gallery.add([
        record("a.jpg", embeddings[0], source="first.csv", lon=1.0, lat=1.0, group="drive-7"),
        record("b.jpg", embeddings[1], source="second.csv", lon=2.0, lat=2.0, group="drive-7"),
        record("c.jpg", embeddings[2], source="second.csv", lon=3.0, lat=3.0, group="drive-8"),
    ])  # fmt: skip
    found = held_out(any_gallery, embeddings[:1], np.array([[1.0, 1.0]]), ["drive-7"], k=3)
    assert found.neighbor_lonlat[0, np.isfinite(found.similarity[0])].tolist() == [[3.0, 3.0]]
