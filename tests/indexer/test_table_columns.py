"""Columns go along as they are, but for whole columns of numbers and for geometry."""

from pathlib import Path

import geopandas
import pandas as pd
import pyarrow as pa
import pytest
import shapely

from placeprint.encoders.errors import UnknownColumns
from placeprint.indexer.table_columns import KeptColumns, column_types, kept_names
from placeprint.indexer.table_source import open_table

CELLS = {
    "integer": ["1", "-20", "", "0"],
    "number": ["1", "2.5", "-.5e-3", "3."],
    "zeros": ["007", "8", "9", "10"],
    "country": ["NA", "JP", "", "NL"],
    "nan": ["1.5", "NaN", "", "2"],
    "empty": ["", "", "", ""],
    "huge": ["1234567890123456789", "1", "2", "3"],
    "long": ["1234567890123456", "1.5", "2", "3"],
}


@pytest.fixture
def source(tmp_path: Path):
    pd.DataFrame(CELLS).to_csv(tmp_path / "x.csv", index=False)
    return open_table(str(tmp_path / "x.csv"))


def test_a_column_is_of_numbers_when_every_filled_cell_is_one(source) -> None:
    types, n_rows = column_types(source)
    assert n_rows == 4
    assert {name: str(kind) for name, kind in types.items()} == {
        "integer": "int64", "number": "double", "zeros": "string", "country": "string",
        "nan": "string", "empty": "string", "huge": "string", "long": "string",
    }  # fmt: skip


def test_numbers_become_numbers_in_parquet_and_empty_ones_null(source) -> None:
    kept, n_rows = KeptColumns.of(source, source.schema.names, ".parquet")
    (part,) = source.rows(9)
    told = kept.take(part).to_pydict()
    assert told["integer"] == [1, -20, None, 0]
    assert told["number"] == [1.0, 2.5, -0.0005, 3.0]
    assert (told["country"], told["zeros"]) == (CELLS["country"], CELLS["zeros"])
    assert n_rows == 4


def test_in_csv_every_cell_stays(source) -> None:
    kept, n_rows = KeptColumns.of(source, ["number", "country"], ".csv")
    (part,) = source.rows(9)
    assert kept.take(part).to_pydict() == {name: CELLS[name] for name in ("number", "country")}
    assert n_rows is None  # to know would take a pass of its own


def test_an_array_keeps_no_columns(source) -> None:
    kept, _ = KeptColumns.of(source, source.schema.names, ".npy")
    (part,) = source.rows(9)
    assert kept.take(part).column_names == []


def test_a_text_in_the_last_row_makes_a_column_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placeprint.indexer.table_source.BLOCK_BYTES", 64)
    (tmp_path / "x.csv").write_text("a,b\n" + "1,2\n" * 100 + "x,2.5\n")
    types, n_rows = column_types(open_table(str(tmp_path / "x.csv")))
    assert (types, n_rows) == ({"a": pa.string(), "b": pa.float64()}, 101)


def test_geometry_is_text_in_csv_and_stays_geometry_in_parquet(tmp_path: Path) -> None:
    place = shapely.Point(139.76712345678901, 35.1)
    frame = geopandas.GeoDataFrame({"id": [1, 2]}, geometry=[place, None], crs=3857)
    frame.to_parquet(tmp_path / "x.parquet")
    source = open_table(str(tmp_path / "x.parquet"))
    (part,) = source.rows(9)
    text, _ = KeptColumns.of(source, source.schema.names, ".csv")
    told = text.take(part)["geometry"].to_pylist()
    assert shapely.equals_exact(shapely.from_wkt(told[0]), place)
    assert told[1] is None
    kept, _ = KeptColumns.of(source, source.schema.names, ".parquet")
    assert kept.schema.metadata[b"geo"] == source.schema.metadata[b"geo"]
    without, _ = KeptColumns.of(source, ["id"], ".parquet")
    assert not {b"geo", b"pandas"} & set(without.schema.metadata or {})


def test_columns_to_keep_must_be_there(source) -> None:
    assert kept_names(source, None) == list(CELLS)
    assert kept_names(source, ["country", "zeros", "country"]) == ["country", "zeros"]
    with pytest.raises(UnknownColumns, match="--keep: no column 'name'; there are integer, number"):
        kept_names(source, ["name"])
