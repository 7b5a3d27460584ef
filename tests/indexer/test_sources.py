"""Every kind of source lists the same items with the same facts, and bad ones say what is wrong."""

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import pandas as pd
import pytest
from PIL import Image

from placeprint.encoders.errors import UnreadableSource
from placeprint.indexer.listing import Item
from placeprint.indexer.sources import list_source

COLORS = {"red.png": (255, 0, 0), "green.png": (0, 255, 0), "blue.png": (0, 0, 255)}
ROWS = [
    {"image": "pictures/red.png", "lon": 139.76, "lat": 35.67, "country": "JP", "year": 2018},
    {"image": "pictures/green.png", "lon": 17.08, "lat": -22.56, "country": "NA", "year": 2019},
    {"image": "pictures/blue.png", "lon": 179.99, "lat": -16.5, "country": "FJ", "year": 2020},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (20, 20), color).save(tmp_path / "pictures" / name)
    return tmp_path


def write(folder: Path, kind: str, rows: list[dict[str, object]]) -> Path:
    path = folder / f"photos.{kind}"
    frame = pd.DataFrame(rows)
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    else:
        points = geopandas.points_from_xy(frame["lon"], frame["lat"], crs=4326)
        located = geopandas.GeoDataFrame(frame.drop(columns=["lon", "lat"]), geometry=points)
        if kind == "gpkg":
            located.to_crs(3857).to_file(path)
        else:
            located.to_parquet(path)
    return path


def facts(items: list[Item]) -> list[tuple[object, ...]]:
    return sorted(
        (
            Path(item.key).name,
            round(item.lon or 0, 6),
            round(item.lat or 0, 6),
            tuple(sorted(item.payload.items())),
        )
        for item in items
    )


@pytest.mark.parametrize("kind", ["csv", "parquet", "geoparquet", "gpkg"])
def test_every_kind_of_table_tells_the_same(folder: Path, kind: str) -> None:
    items = list_source(write(folder, kind, ROWS))
    expected = sorted(
        (
            Path(row["image"]).name,
            row["lon"],
            row["lat"],
            (("country", row["country"]), ("year", row["year"])),
        )
        for row in ROWS
    )
    assert facts(items) == expected
    assert all(item.path.is_file() and item.problem is None for item in items)


def test_a_folder_is_searched_through_and_through(folder: Path) -> None:
    (folder / "pictures" / "deep").mkdir()
    Image.new("RGB", (5, 5)).save(folder / "pictures" / "deep" / "DEEP.JPG")
    (folder / "pictures" / ".hidden.png").write_bytes(b"")
    (folder / "pictures" / "notes.txt").write_text("no picture")
    names = [Path(item.key).name for item in list_source(folder)]
    assert sorted(names) == ["DEEP.JPG", "blue.png", "green.png", "red.png"]


def test_a_link_to_itself_is_named_and_folders_that_are_linked_are_not_looked_into(tmp_path: Path) -> None:
    for name in ("b/1.jpg", "b-1.jpg", "c.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")
    (tmp_path / "in" / "a.jpg").symlink_to("a.jpg")
    (tmp_path / "in" / "linked").symlink_to("b")
    (tmp_path / "in" / "d.jpg").symlink_to("c.jpg")
    items = list(list_source(tmp_path / "in"))
    names = [Path(item.key).relative_to(tmp_path / "in").as_posix() for item in items]
    assert names == ["a.jpg", "b-1.jpg", "b/1.jpg", "c.jpg", "d.jpg"]
    assert [item.problem is None for item in items] == [False, True, True, True, True]


def test_an_archive_is_read_in_place(folder: Path) -> None:
    path = folder / "shard.tar"
    with tarfile.open(path, "w") as archive:
        for row in ROWS:
            stem = Path(str(row["image"])).stem
            archive.add(folder / str(row["image"]), f"{stem}.png")
            told = json.dumps({key: value for key, value in row.items() if key != "image"}).encode()
            member = tarfile.TarInfo(f"{stem}.json")
            member.size = len(told)
            archive.addfile(member, io.BytesIO(told))
    items = list_source(path)
    assert {item.payload["country"] for item in items} == {"JP", "NA", "FJ"}
    for item in items:
        assert item.read() == (folder / "pictures" / item.key.partition("::")[2]).read_bytes()


def test_namibia_and_leading_zeros_survive(folder: Path) -> None:
    path = write(folder, "csv", [ROWS[1] | {"code": "007", "note": ""}])
    assert list_source(path)[0].payload == {"country": "NA", "year": 2019, "code": "007"}


def test_times_and_groups_are_read_by_their_usual_names(folder: Path) -> None:
    path = write(folder, "csv", [ROWS[0] | {"date": "2018:04:01 12:00:00", "sequence_id": "walk 7"}])
    item = list_source(path)[0]
    assert item.captured_at == datetime(2018, 4, 1, 12, tzinfo=UTC)
    assert item.group == "walk 7"
    assert list_source(path, group_column="country")[0].group == "JP"


@pytest.mark.parametrize(
    "lon, lat, says", [(10, 95, "95"), (float("inf"), 5, "inf"), ("east", 5, "east"), ("", 5, "missing")]
)
def test_a_row_that_is_not_on_earth_is_told_apart(folder: Path, lon: object, lat: object, says: str) -> None:
    path = write(folder, "csv", [*ROWS, {"image": "pictures/red2.png", "lon": lon, "lat": lat}])
    wrong = [item for item in list_source(path) if item.problem]
    assert [Path(item.key).name for item in wrong] == ["red2.png"]
    assert says in str(wrong[0].problem)


def test_a_missing_file_is_told(folder: Path) -> None:
    items = list_source(write(folder, "csv", [{"image": "nowhere.png", "lon": 1, "lat": 2}]))
    assert "No such file" in str(items[0].problem)


def test_rows_without_a_place_have_none(folder: Path) -> None:
    path = write(folder, "csv", [*ROWS, {"image": "pictures/red.png", "lon": "", "lat": ""}])
    assert next(item for item in list_source(path) if item.key.endswith("red.png")).lon is None


def test_swapped_columns_are_refused(folder: Path) -> None:
    rows = [{"image": row["image"], "lon": 35.67, "lat": 139.76} for row in ROWS]
    with pytest.raises(UnreadableSource, match="exchanged"):
        list_source(write(folder, "csv", rows))


def test_what_is_said_of_a_photo_shows_in_its_hash(folder: Path) -> None:
    before = list_source(write(folder, "csv", ROWS[:1]))[0].said
    assert list_source(write(folder, "csv", ROWS[:1]))[0].said == before
    assert list_source(write(folder, "csv", [ROWS[0] | {"year": 2019}]))[0].said != before


def test_a_path_that_is_listed_twice_is_told_and_its_last_row_counts(folder: Path) -> None:
    again = [ROWS[0] | {"year": 2021}, ROWS[0] | {"year": 2022}]
    items = list_source(write(folder, "csv", [*ROWS, *again]))
    assert next(item.payload["year"] for item in items if item.key.endswith("red.png")) == 2022
    assert len(items) == 3
    (note,) = items.notes
    assert note.startswith(
        f"1 paths are listed more than once, the first {folder / 'pictures/red.png'} (3 times)"
    )
    assert "2 rows" in note
    assert list_source(write(folder, "csv", ROWS)).notes == []


def test_a_file_has_one_key_however_its_path_is_written(folder: Path) -> None:
    (folder / "tables").mkdir()
    rows = [row | {"image": f"../{row['image']}"} for row in ROWS]
    keys = [item.key for item in list_source(write(folder / "tables", "csv", rows))]
    assert keys == [item.key for item in list_source(folder / "pictures")]


def test_what_a_source_says_nothing_of_is_known_as_such(folder: Path) -> None:
    assert not any(item.is_told for item in list_source(folder / "pictures"))
    assert all(item.is_told for item in list_source(write(folder, "csv", ROWS)))
    assert not any(
        item.is_told for item in list_source(write(folder, "csv", [{"image": "pictures/red.png"}]))
    )


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("nowhere", None, "no such file"),
        ("empty.csv", b"", "cannot be read as a table"),
        ("other.csv", b"a,b\n1,2\n", "no column with the pictures' paths"),
        ("photos.parquet", b"no parquet", "cannot be read as a table"),
        ("photos.tar", b"no archive", "not an uncompressed tar"),
        ("notes.txt", b"text", "not a source of photos"),
        ("headers.csv", b"image,lon,lat\n", "no pictures"),
    ],
)
def test_what_is_no_source_says_what_is(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UnreadableSource, match=says):
        list_source(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSource, match="no pictures"):
        list_source(tmp_path)


def test_an_unknown_group_column_names_those_there_are(folder: Path) -> None:
    with pytest.raises(UnreadableSource, match="country"):
        list_source(write(folder, "csv", ROWS), group_column="place")
