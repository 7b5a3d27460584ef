"""Labels of the benchmark.

Claims: tables are read with the country code NA, other spellings of the columns, empty cells left out;
what cannot be read is named; a missing file says where it comes from; the real files hold what is said.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from placeprint.encoders.errors import InvalidCoordinate, InvalidProbe, MissingLabels
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
    (tmp_path / "swapped.csv").write_text("lon,lat,v\n35.7,139.7,1\n")
    with pytest.raises(InvalidCoordinate, match="the other way round"):
        read_labels(tmp_path / "swapped.csv", "v")


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
