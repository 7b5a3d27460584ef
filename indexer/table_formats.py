"""How a table with embeddings is written: Parquet, CSV, or the bare array as .npy.

Each format makes bytes that are appended to a file, one part after the other, and knows what the
file needs at its beginning and end. None reads what it has written but for Parquet's footers. All
are exact: the same parts are the same bytes, and a float32 is read back as it was.
"""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..encoders.errors import UnreadableSource, UnwritableFile
from .parquet_footer import joined_footer

COLUMN = "embedding"
KEY = b"placeprint"
"""Under this key a Parquet file's metadata hold the facts of its embeddings, as JSON."""


class TableFormat(Protocol):
    """A way to write a growing table."""

    has_room_for_facts: bool  # else they go to a file beside it

    def head(self) -> bytes:
        """What the file begins with."""
        ...

    def part(self, kept: pa.Table, embeddings: NDArray[np.float32]) -> bytes:
        """Rows to append: columns kept, and embeddings (n, D), NaN where there is none."""
        ...

    def close(self, file: BinaryIO, ends: Sequence[int], n_rows: int) -> None:
        """Complete a file, open for reading and writing, whose parts end at `ends`."""
        ...


def format_for(
    ending: str, kept: pa.Schema, facts: Mapping[str, Any], dimension: int, *, is_wide: bool
) -> TableFormat:
    """The format that a file's ending asks for.

    Args:
        ending: ``.parquet``, ``.csv`` or ``.npy``.
        kept: the columns that go with the embeddings; none go into .npy.
        facts: of the embeddings: encoder, fingerprint, ...; JSON values.
        dimension: D.
        is_wide: D columns e000, e001, … instead of one of lists; CSV always is.

    Raises:
        UnwritableFile: another ending, or a column that would be there twice.
        UnreadableSource: a column that the format cannot hold.
    """
    new = wide_names(dimension) if is_wide or ending == ".csv" else [COLUMN]
    if ending != ".npy" and (taken := [name for name in new if name in kept.names]):
        raise UnwritableFile(
            f"the table has a column {taken[0]!r} already; choose the columns to keep with --keep, without it"
        )
    if ending == ".parquet":
        return ParquetFormat(kept, facts, dimension, is_wide=is_wide)
    if ending == ".csv":
        return CsvFormat(kept, dimension)
    if ending == ".npy":
        return NpyFormat(dimension)
    raise UnwritableFile(f"the ending {ending!r} names no format; write .parquet, .csv or .npy")


def wide_names(dimension: int) -> list[str]:
    """e000, e001, … with as many digits as the last one needs, at least three."""
    digits = max(3, len(str(dimension - 1)))
    return [f"e{number:0{digits}d}" for number in range(dimension)]


class ParquetFormat:
    """Each part is a row group; embeddings are lists of fixed size, or a column for each number."""

    has_room_for_facts = True

    def __init__(
        self, kept: pa.Schema, facts: Mapping[str, Any], dimension: int, *, is_wide: bool = False
    ) -> None:
        self._kept, self._dimension, self._is_wide = kept, dimension, is_wide
        told = {KEY: json.dumps(dict(facts), sort_keys=True).encode()}
        new = (
            [pa.field(name, pa.float32()) for name in wide_names(dimension)]
            if is_wide
            else [pa.field(COLUMN, pa.list_(pa.float32(), dimension))]
        )
        self._schema = pa.schema([*kept, *new], metadata={**(kept.metadata or {}), **told})

    def head(self) -> bytes:
        """Nothing: a part is a Parquet file."""
        return b""

    def part(self, kept: pa.Table, embeddings: NDArray[np.float32]) -> bytes:
        """A Parquet file of one row group."""
        is_missing = np.isnan(embeddings).any(axis=1)
        if self._is_wide:
            new = [pa.array(column, from_pandas=True) for column in np.ascontiguousarray(embeddings.T)]
        else:
            flat = pa.array(np.ascontiguousarray(embeddings).reshape(-1), pa.float32())
            mask = pa.array(is_missing, pa.bool_())
            new = [pa.FixedSizeListArray.from_arrays(flat, self._dimension, mask=mask)]
        table = pa.Table.from_arrays([*kept.cast(self._kept).columns, *new], schema=self._schema)
        buffer = io.BytesIO()
        # Floats of an embedding neither repeat nor compress; to try would only take time.
        pq.write_table(
            table, buffer, row_group_size=max(1, len(table)), use_dictionary=self._kept.names,
            compression=self._compression(), write_statistics=self._kept.names,
        )  # fmt: skip
        return buffer.getvalue()

    def close(self, file: BinaryIO, ends: Sequence[int], n_rows: int) -> None:
        """Append the footer that makes the parts one file."""
        if not ends:
            none = self.part(self._kept.empty_table(), np.empty((0, self._dimension), dtype=np.float32))
            file.seek(0, io.SEEK_END)
            file.write(none)
            ends = [file.tell()]
        footer = joined_footer(file, ends)
        file.seek(0, io.SEEK_END)
        file.write(footer)

    def _compression(self) -> dict[str, str]:
        embedding = wide_names(self._dimension) if self._is_wide else [f"{COLUMN}.list.element"]
        return {name: "zstd" for name in self._kept.names} | {name: "none" for name in embedding}


class CsvFormat:
    """UTF-8, commas, quotes where they are needed; a missing embedding is empty cells."""

    has_room_for_facts = False

    def __init__(self, kept: pa.Schema, dimension: int) -> None:
        self._names = [*kept.names, *wide_names(dimension)]
        for field in kept:
            if not _is_writable(field.type):
                raise UnreadableSource(
                    f"column {field.name!r} ({field.type}) cannot be written to CSV: write .parquet, or "
                    "choose the columns to keep with --keep, without it"
                )

    def head(self) -> bytes:
        """The names of the columns."""
        return ",".join(_quoted(pa.array(self._names)).to_pylist()).encode() + b"\n"

    def part(self, kept: pa.Table, embeddings: NDArray[np.float32]) -> bytes:
        """Lines of text; floats have as many digits as tell them from their neighbors."""
        cells = [_quoted(_as_text(column)) for column in kept.columns]
        for column in np.ascontiguousarray(embeddings.T):
            cells.append(pc.fill_null(pa.array(column, from_pandas=True).cast(pa.string()), ""))
        lines = pc.binary_join_element_wise(*cells, ",").to_pylist()
        return "".join(f"{line}\n" for line in lines).encode()

    def close(self, file: BinaryIO, ends: Sequence[int], n_rows: int) -> None:
        """Nothing is left to do."""


class NpyFormat:
    """The array (n, D), float32, and nothing else; NaN where there is no embedding."""

    has_room_for_facts = False

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension

    def head(self) -> bytes:
        """A header with room for any number of rows."""
        return self._header(0)

    def part(self, kept: pa.Table, embeddings: NDArray[np.float32]) -> bytes:
        """The numbers, little-endian."""
        return embeddings.astype("<f4").tobytes()

    def close(self, file: BinaryIO, ends: Sequence[int], n_rows: int) -> None:
        """Write the number of rows into the header."""
        file.seek(0)
        file.write(self._header(n_rows))

    def _header(self, n_rows: int) -> bytes:
        buffer = io.BytesIO()
        described = {"descr": "<f4", "fortran_order": False, "shape": (n_rows, self._dimension)}
        np.lib.format.write_array_header_1_0(buffer, described)  # numpy leaves room for n to grow
        return buffer.getvalue()


def _is_writable(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return False  # pyarrow would take the bytes for text
    try:
        pa.array([], kind).cast(pa.string())
    except pa.ArrowException:
        return False
    return True


def _as_text(column: Any) -> Any:
    """A column as text; missing is empty."""
    return pc.fill_null(column.cast(pa.string()), "")


def _quoted(cells: Any) -> Any:
    """Cells in quotes where one holds a comma, a quote or the end of a line."""
    needs_quotes = pc.match_substring_regex(cells, '[,"\r\n]')
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(cells, '"', '""'), '"', "")
    return pc.if_else(needs_quotes, quoted, cells)
