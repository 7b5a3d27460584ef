"""Parquet files one behind the other become one that every reader understands."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from placeprint.indexer.parquet_footer import joined_footer, shift_offsets


def table(start: int, n: int) -> pa.Table:
    values = pa.array(np.arange(n * 4, dtype="f4") + start)
    is_missing = pa.array([row % 3 == 0 for row in range(n)], pa.bool_())
    return pa.table(
        {
            "id": [f"row {start + row}" for row in range(n)],
            "kind": pa.array(["a" if row % 2 else None for row in range(n)], pa.string()),
            "embedding": pa.FixedSizeListArray.from_arrays(values, 4, mask=is_missing),
        },
        metadata={"told": "once"},
    )


def joined(path: Path, tables: list[pa.Table], **options: Any) -> Path:
    ends = []
    with path.open("w+b") as file:
        for one in tables:
            buffer = io.BytesIO()
            pq.write_table(one, buffer, **options)
            file.seek(0, io.SEEK_END)
            file.write(buffer.getvalue())
            ends.append(file.tell())
        footer = joined_footer(file, ends)
        file.seek(0, io.SEEK_END)
        file.write(footer)
    return path


OPTIONS: list[dict[str, Any]] = [
    {},
    {"compression": "zstd", "use_dictionary": False},
    {"row_group_size": 7, "write_page_index": True, "write_page_checksum": True},
    {"data_page_version": "2.0", "store_schema": False},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_the_parts_read_as_one_table(tmp_path: Path, options: dict[str, Any]) -> None:
    tables = [table(0, 20), table(100, 1), table(200, 33)]
    found = pq.read_table(joined(tmp_path / "x.parquet", tables, **options), page_checksum_verification=True)
    whole = pa.concat_tables(tables)
    assert found.to_pylist() == whole.to_pylist()
    # Beside the same rows written at once, since Parquet names the elements of lists its own way.
    pq.write_table(whole, tmp_path / "whole.parquet", **options)
    assert found.equals(pq.read_table(tmp_path / "whole.parquet"), check_metadata=True)


def test_single_row_groups_and_columns_are_where_the_footer_says(tmp_path: Path) -> None:
    file = pq.ParquetFile(
        joined(tmp_path / "x.parquet", [table(0, 20), table(100, 5)], use_dictionary=["kind"])
    )
    assert file.num_row_groups == 2
    assert file.read_row_group(1, ["id"])["id"].to_pylist() == [f"row {100 + row}" for row in range(5)]
    # The bytes at the offset begin a page, not only some column: rows of one kind tell.
    column = file.metadata.row_group(1).column(1)
    assert column.dictionary_page_offset > file.metadata.row_group(0).total_byte_size


def test_a_shift_by_nothing_changes_nothing_and_shifts_add_up() -> None:
    buffer = io.BytesIO()
    pq.write_table(table(0, 50), buffer, row_group_size=10, write_page_index=True)
    data = buffer.getvalue()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    assert shift_offsets(footer, 0) == footer
    assert shift_offsets(shift_offsets(footer, 100), 1 << 40) == shift_offsets(footer, 100 + (1 << 40))
    assert shift_offsets(footer, 1) != footer


def test_no_rows_are_a_table_too(tmp_path: Path) -> None:
    assert pq.read_table(joined(tmp_path / "x.parquet", [table(0, 0)])).num_rows == 0


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Parquet file ends at byte 12"):
        joined_footer(io.BytesIO(b"not parquet."), [12])
    with pytest.raises(ValueError, match="no parts"):
        joined_footer(io.BytesIO(), [])
    with pytest.raises(ValueError, match="too early"):
        shift_offsets(b"\x15", 1)
    with pytest.raises(ValueError, match="behind"):
        shift_offsets(b"\x00\x00", 1)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises((ValueError, RuntimeError), match="schema"):
        joined(tmp_path / "x.parquet", [table(0, 3), table(0, 3).drop_columns(["kind"])])
