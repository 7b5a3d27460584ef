"""Which columns of a table go along with the embeddings, and as what.

Texts of CSV become numbers in Parquet where the whole column is of numbers, which takes one pass
over the file beforehand: whoever guesses from the first rows meets a text in the last. In CSV every
cell stays as it was, and geometry becomes well-known text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..encoders.errors import UnknownColumns
from .table_source import TableSource

INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"
NUMBER = r"^-?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$"


@dataclass(frozen=True)
class KeptColumns:
    """The columns to keep, as they will be written."""

    schema: pa.Schema
    geometry_as_text: str | None = None  # name of the column

    @classmethod
    def of(cls, source: TableSource, names: Sequence[str], ending: str) -> tuple["KeptColumns", int | None]:
        """Columns for a file of some ending, and the number of rows where it is known.

        Args:
            source: read once from end to end if it is of text and the file is not.
            names: of the columns, as `kept_names` gives them.
            ending: ``.parquet``, ``.csv`` or ``.npy``; the last keeps none.
        """
        types = {name: source.schema.field(name).type for name in names}
        n_rows = source.n_rows
        geometry = source.geometry.name if source.geometry and source.geometry.name in types else None
        if ending == ".parquet" and source.is_text and source.is_repeatable:
            found, n_rows = column_types(source)
            types = {name: found[name] for name in names}
        if ending == ".csv" and geometry is not None:
            types[geometry] = pa.string()
        metadata = dict(source.schema.metadata or {})
        if list(names) != source.schema.names:
            metadata.pop(b"pandas", None)  # it tells of all columns
        if geometry is None:
            metadata.pop(b"geo", None)
        schema = pa.schema(list(types.items()) if ending != ".npy" else [], metadata=metadata)
        return cls(schema, geometry if ending == ".csv" else None), n_rows

    def take(self, part: pa.Table) -> pa.Table:
        """The columns of a part."""
        return pa.table({field.name: self._column(part, field) for field in self.schema}, schema=self.schema)

    def _column(self, part: pa.Table, field: pa.Field) -> pa.ChunkedArray:
        cells = part.column(field.name)
        if field.name == self.geometry_as_text:
            import shapely

            texts = shapely.to_wkt(shapely.from_wkb(cells.to_numpy()), rounding_precision=-1)
            return pa.chunked_array([pa.array(texts, pa.string())])
        if cells.type != field.type:  # a text, found to be a number
            cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
        return cells.cast(field.type)


def kept_names(source: TableSource, keep: Sequence[str] | None) -> list[str]:
    """Names of the columns to keep, in the order asked; all of them without a word.

    Raises:
        UnknownColumns: one is not there.
    """
    if keep is None:
        return list(source.schema.names)
    for name in keep:
        if name not in source.schema.names:
            raise UnknownColumns(f"--keep: no column {name!r}; there are {', '.join(source.schema.names)}")
    return list(dict.fromkeys(keep))


def column_types(source: TableSource) -> tuple[dict[str, pa.DataType], int]:
    """What the columns of a text table hold, and how many rows there are: one pass over the file.

    A column is of integers or of numbers when every filled cell is one. 007 is a text, and so is what
    has more digits than a number can hold: 19 digits are somebody's key.
    """
    names = source.schema.names
    integer, number, filled, n_rows = set(names), set(names), set[str](), 0
    for part in source.parts():
        n_rows += len(part)
        for name in number.copy():
            cells = part.column(name)
            cells = cells.filter(pc.not_equal(cells, ""))
            filled |= {name} if len(cells) else set()
            if name in integer and not _all_match(cells, INTEGER):
                integer.discard(name)
            if name not in integer and not _all_match(cells, NUMBER):
                number.discard(name)
    kinds = {name: pa.float64() for name in number & filled} | {name: pa.int64() for name in integer & filled}
    return {name: kinds.get(name, pa.string()) for name in names}, n_rows


def _all_match(cells: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern), min_count=0).as_py())
