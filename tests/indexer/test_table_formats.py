"""What is written is read back as it was: names, texts, every bit of a float."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from placeprint.encoders.errors import UnreadableSource, UnwritableFile
from placeprint.indexer.table_formats import CsvFormat, NpyFormat, ParquetFormat, format_for, wide_names

TEXTS = ["NA", "", 'say "hi", twice', "two\nlines", "back\rhere", "ünï", "007", "a;b"]
FACTS = {"encoder": "globe", "dimension": 3}


@pytest.fixture
def kept() -> pa.Table:
    return pa.table({'odd, "name"': TEXTS, "n": pa.array([*range(7), None])})


@pytest.fixture
def embeddings(rng: np.random.Generator) -> np.ndarray:
    """Numbers of every size, and one row without an embedding."""
    found = (rng.normal(size=(8, 3)) * 10.0 ** rng.integers(-40, 38, (8, 3))).astype(np.float32)
    found[2] = np.nan
    return found


def written(path: Path, form, parts) -> Path:  # type: ignore[no-untyped-def]
    with path.open("w+b") as file:
        file.write(form.head())
        ends, n_rows = [], 0
        for kept, embeddings in parts:
            file.write(form.part(kept, embeddings))
            ends.append(file.tell())
            n_rows += len(embeddings)
        form.close(file, ends, n_rows)
    return path


def halves(kept: pa.Table, embeddings: np.ndarray) -> list[tuple[pa.Table, np.ndarray]]:
    return [(kept.slice(0, 5), embeddings[:5]), (kept.slice(5), embeddings[5:])]


def test_parquet_holds_lists_of_fixed_size(tmp_path: Path, kept: pa.Table, embeddings: np.ndarray) -> None:
    form = ParquetFormat(kept.schema, FACTS, 3)
    found = pq.read_table(written(tmp_path / "x.parquet", form, halves(kept, embeddings)))
    assert found.select(kept.column_names).equals(kept)
    assert found.schema.field("embedding").type == pa.list_(pa.float32(), 3)
    column = found["embedding"].combine_chunks()
    assert column.is_null().to_pylist() == [row == 2 for row in range(8)]
    there = np.array([row for row in column.to_pylist() if row], dtype=np.float32)
    np.testing.assert_array_equal(there, embeddings[[0, 1, 3, 4, 5, 6, 7]])
    assert json.loads(found.schema.metadata[b"placeprint"]) == FACTS
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2


def test_parquet_may_hold_a_column_for_each_number(
    tmp_path: Path, kept: pa.Table, embeddings: np.ndarray
) -> None:
    form = ParquetFormat(kept.schema, FACTS, 3, is_wide=True)
    found = pq.read_table(written(tmp_path / "x.parquet", form, halves(kept, embeddings)))
    assert found.column_names[2:] == ["e000", "e001", "e002"]
    assert found["e001"].null_count == 1
    matrix = np.stack([found[name].to_numpy() for name in found.column_names[2:]], axis=1)
    np.testing.assert_array_equal(matrix, embeddings)
    assert matrix.dtype == np.float32


def test_csv_holds_texts_as_they_are_and_floats_to_the_last_bit(
    tmp_path: Path, kept: pa.Table, embeddings: np.ndarray
) -> None:
    path = written(tmp_path / "x.csv", CsvFormat(kept.schema, 3), halves(kept, embeddings))
    # Universal newlines would turn the carriage return inside a cell into a line feed.
    found = pd.read_csv(io.StringIO(path.read_bytes().decode(), newline=""), dtype=str, keep_default_na=False)
    assert found['odd, "name"'].tolist() == TEXTS
    assert found["n"].tolist() == ["0", "1", "2", "3", "4", "5", "6", ""]
    assert (found.loc[2, ["e000", "e001", "e002"]] == "").all()
    rows = [0, 1, 3, 4, 5, 6, 7]
    numbers = found.loc[rows, ["e000", "e001", "e002"]].astype(np.float64).to_numpy().astype(np.float32)
    np.testing.assert_array_equal(numbers, embeddings[rows])
    options = pacsv.ParseOptions(newlines_in_values=True)
    assert pacsv.read_csv(path, parse_options=options).num_rows == 8


def test_csv_quotes_only_where_it_must(tmp_path: Path) -> None:
    kept = pa.table({"a": ["x", "y,z"], "b": ["1", "2"]})
    form = CsvFormat(kept.schema, 1)
    assert form.head() == b"a,b,e000\n"
    part = form.part(kept, np.array([[0.1], [-1.0]], dtype=np.float32))
    assert part == b'x,1,0.1\n"y,z",2,-1\n'


def test_an_array_is_what_numpy_loads(tmp_path: Path, embeddings: np.ndarray) -> None:
    none = pa.table({})
    path = written(tmp_path / "x.npy", NpyFormat(3), [(none, embeddings[:5]), (none, embeddings[5:])])
    found = np.load(path, allow_pickle=False)
    np.testing.assert_array_equal(found, embeddings)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(np.load(path, mmap_mode="r"), embeddings)


def test_the_header_of_an_array_has_room_for_any_number_of_rows() -> None:
    form = NpyFormat(256)
    assert len(form._header(0)) == len(form._header(10**15)) == len(form.head())


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npy"])
def test_no_rows_are_a_file_too(tmp_path: Path, kept: pa.Table, ending: str) -> None:
    form = format_for(ending, kept.schema, FACTS, 3, is_wide=False)
    path = written(tmp_path / f"x{ending}", form, [])
    if ending == ".parquet":
        assert pq.read_table(path).column_names == [*kept.column_names, "embedding"]
    elif ending == ".csv":
        assert path.read_text() == '"odd, ""name""",n,e000,e001,e002\n'
    else:
        assert np.load(path).shape == (0, 3)


def test_names_of_columns_sort_as_their_numbers() -> None:
    assert wide_names(2) == ["e000", "e001"]
    names = wide_names(1500)
    assert names == sorted(names)
    assert names[-1] == "e1499"


def test_a_column_of_that_name_is_refused() -> None:
    taken = pa.schema([("embedding", pa.string()), ("e001", pa.string())])
    with pytest.raises(UnwritableFile, match="'embedding' already; choose the columns to keep with --keep"):
        format_for(".parquet", taken, FACTS, 3, is_wide=False)
    for ending in (".csv", ".parquet"):
        with pytest.raises(UnwritableFile, match="'e001' already"):
            format_for(ending, taken, FACTS, 3, is_wide=True)
    format_for(".npy", taken, FACTS, 3, is_wide=False)


@pytest.mark.parametrize("kind", [pa.list_(pa.int8()), pa.binary(), pa.struct([("a", pa.int8())])])
def test_what_csv_cannot_hold_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(UnreadableSource, match=r"column 'tags' .* cannot be written to CSV.*--keep"):
        format_for(".csv", pa.schema([("tags", kind)]), FACTS, 3, is_wide=False)


def test_another_ending_is_refused() -> None:
    with pytest.raises(UnwritableFile, match=r"'.xlsx' names no format; write .parquet, .csv or .npy"):
        format_for(".xlsx", pa.schema([]), FACTS, 3, is_wide=False)


def test_times_and_categories_go_into_csv(tmp_path: Path) -> None:
    kept = pa.table(
        {"when": pa.array([0], pa.timestamp("s", "UTC")), "kind": pa.array(["a"]).dictionary_encode()}
    )
    part = CsvFormat(kept.schema, 1).part(kept, np.zeros((1, 1), dtype=np.float32))
    assert part == b"1970-01-01 00:00:00Z,a,0\n"
