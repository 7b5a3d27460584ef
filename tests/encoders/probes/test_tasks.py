"""Labels of the benchmark.

Claims: tables are read with the country code NA, other spellings of the columns, empty cells left out;
what cannot be read is named; a missing file says where it comes from; the real files hold what is said.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from placeprint.encoders.errors import InvalidCoordinate, InvalidProbe, MissingLabels, UnknownColumns
from placeprint.encoders.probes.tasks import TASKS, Labels, own_task, read_labels

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(
        "Lon,LAT,price,country\n17.08,-22.57,100,NA\n190,10,,FJ\n2.35,48.85,400,\n139.76,35.67,900,JP\n"
    )
    return path


def test_namibia_is_a_country(table: Path) -> None:
    labels = read_labels(table, "country", classification=True)
    assert labels.y.tolist() == ["NA", "FJ", "JP"]
    assert labels.lonlat[1].tolist() == [-170.0, 10.0]


def test_rows_without_a_label_are_left_out_and_order_is_kept(table: Path) -> None:
    labels = read_labels(table, "price", log=True)
    np.testing.assert_allclose(np.exp(labels.y), [100, 400, 900])
    np.testing.assert_allclose(read_labels(table, "price", scale=100.0).y, [1, 4, 9])


def test_parquet_is_read_too(table: Path, tmp_path: Path) -> None:
    pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0], "v": [5.0, np.nan]}).to_parquet(tmp_path / "a.parquet")
    labels = read_labels(tmp_path / "a.parquet", "v", lon="x", lat="y")
    assert (labels.lonlat.tolist(), labels.y.tolist()) == ([[1.0, 3.0]], [5.0])


def test_what_cannot_be_read_is_named(table: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidProbe, match=r"no column 'rent'; there are Lon, LAT, price, country"):
        read_labels(table, "rent")
    with pytest.raises(InvalidProbe, match="'country' is not numeric"):
        read_labels(table, "country")
    with pytest.raises(InvalidProbe, match="no such file"):
        read_labels(tmp_path / "none.csv", "price")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(InvalidProbe, match="not a CSV or Parquet table"):
        read_labels(tmp_path / "bad.parquet", "price")
    (tmp_path / "zero.csv").write_text("lon,lat,v\n1,2,0\n")
    with pytest.raises(InvalidProbe, match="no logarithm"):
        read_labels(tmp_path / "zero.csv", "v", log=True)
    (tmp_path / "swapped.csv").write_text("lon,lat,v\n" + "35.7,139.7,1\n" * 3)
    with pytest.raises(InvalidCoordinate, match="exchanged"):
        read_labels(tmp_path / "swapped.csv", "v")
    (tmp_path / "nowhere.csv").write_text("lon,lat,v\n,,1\n1,2,\n")
    with pytest.raises(InvalidProbe, match="none of 2 rows has both"):
        read_labels(tmp_path / "nowhere.csv", "v")
    (tmp_path / "two.csv").write_text("lon,longitude,lng,v\n1,2,3,4\n")
    with pytest.raises(UnknownColumns, match="name it with --lat"):
        read_labels(tmp_path / "two.csv", "v")


def written(table: pd.DataFrame, path: Path) -> Path:
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_classes_keep_their_whole_names_beside_missing_ones(tmp_path: Path, name: str) -> None:
    kinds = ["farm", None, "forest", "fen", None, "farm"]
    table = pd.DataFrame({"lon": np.arange(6.0), "lat": 1.0, "kind": kinds})
    labels = read_labels(written(table, tmp_path / name), "kind", classification=True)
    assert labels.y.tolist() == ["farm", "forest", "fen", "farm"]
    assert labels.lonlat[:, 0].tolist() == [0.0, 2.0, 3.0, 5.0]
    assert labels.notes == (
        f"{name}: 2 of 6 rows without a label in 'kind' left out, the first of them row 2",
    )


def test_categories_and_numbers_are_classes_too(tmp_path: Path) -> None:
    table = pd.DataFrame({"lon": np.arange(4.0), "lat": 1.0})
    table["kind"] = pd.Categorical(["road", None, "river", "road"])
    table["zone"] = pd.array([7, None, 12, 7], dtype="Int64")
    path = written(table, tmp_path / "labels.parquet")
    assert read_labels(path, "kind", classification=True).y.tolist() == ["road", "river", "road"]
    assert read_labels(path, "zone", classification=True).y.tolist() == ["7", "12", "7"]
    assert read_labels(path, "zone").y.tolist() == [7.0, 12.0, 7.0]


@pytest.mark.parametrize("name", ["labels.csv", "labels.parquet"])
def test_rows_without_a_place_are_left_out_and_counted(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"Longitude": [1.0, np.nan, 3.0, 4.0], "Latitude": [1.0, 2.0, 95.0, 4.0]})
    table["v"] = [10.0, 20.0, 30.0, np.nan]
    labels = read_labels(written(table, tmp_path / name), "v")
    assert (labels.lonlat.tolist(), labels.y.tolist()) == ([[1.0, 1.0]], [10.0])
    assert "2 of 4 rows without a place left out, the first of them row 2: lon is missing" in labels.notes[0]
    assert "1 of 4 rows without a label in 'v' left out, the first of them row 4" in labels.notes[1]
    assert labels.first(1).notes == labels.notes


@pytest.mark.parametrize(
    "text", ["lng;lat;v\n2.5;48.5;7\n", "\ufefflng,lat,v\n2.5,48.5,7\n", "Long\tLatitude\tV\n2.5\t48.5\t7\n"]
)
def test_columns_are_found_as_for_embeddings(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    labels = read_labels(tmp_path / "labels.csv", "v")
    assert (labels.lonlat.tolist(), labels.y.tolist()) == ([[2.5, 48.5]], [7.0])


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    for task in TASKS.values():
        with pytest.raises(MissingLabels, match=task.name) as caught:
            task.labels(tmp_path)
        assert task.url in str(caught.value)
        assert str(tmp_path / task.file) in str(caught.value)


def test_tasks_are_described() -> None:
    for name, task in TASKS.items():
        assert task.name == name
        assert task.variables
        assert task.splits[:2] == ("random", "block10")
        assert task.url.startswith("https://")


def test_a_task_of_ones_own(table: Path, tmp_path: Path) -> None:
    task = own_task(table, "price")
    assert (task.name, len(task.labels(tmp_path)), task.score_name) == ("labels", 3, "R²")
    assert own_task(table, "country", classification=True).score_name == "accuracy"


def test_a_quick_look_keeps_the_order() -> None:
    labels = Labels(np.stack([np.arange(90.0)] * 2, axis=1), np.arange(90))
    some = labels.first(20)
    assert len(some) == 20
    assert (np.diff(some.y) > 0).all()
    np.testing.assert_array_equal(some.lonlat[:, 0], some.y)
    assert labels.first(None) is labels


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n", "n_classes"),
    [
        ("california", 20_640, 0), ("japan", 21_121, 0), ("temperature", 3_076, 0),
        ("precipitation", 3_076, 0), ("country", 29_010, 173), ("climate", 30_077, 31),
        ("elevation", 53_487, 0), ("forest", 53_359, 0), ("population", 45_704, 0),
    ],
)  # fmt: skip
def test_the_real_files_hold_what_is_said(name: str, n: int, n_classes: int) -> None:
    if not (SHARED / TASKS[name].file).exists():
        pytest.skip("the labels are not here")
    labels = TASKS[name].labels(SHARED)
    assert len(labels) == len(labels.lonlat) == n
    if n_classes:
        assert len(np.unique(labels.y)) == n_classes
    else:
        assert np.isfinite(labels.y).all()
