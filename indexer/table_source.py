"""Tables of any size, read a part at a time: CSV, Parquet, GeoParquet, GeoPackage, GeoJSON and more.

Of CSV every cell is text as it stands there: ``NA`` is Namibia, and ``007`` keeps its zeros. Types
are a matter of who writes the table (`table_columns`). Nothing here holds more than one part.
"""

import csv
import gzip
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ..encoders.coordinate_columns import Coordinates, check_columns, coordinate_columns, coordinates_of
from ..encoders.errors import UnreadableSource

TEXTS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
PARQUETS = (".parquet", ".geoparquet")
VECTORS = (".gpkg", ".geojson", ".geojsonl", ".fgb", ".shp")
READABLE = "a table (.csv, .tsv, either .gz, .parquet, .gpkg, .geojson, .fgb, .shp), or - for CSV from stdin"
BLOCK_BYTES = 1 << 22
ROWS_AT_A_TIME = 16_384


@dataclass(frozen=True)
class Geometry:
    """The column of a table that says where its rows lie, as WKB."""

    name: str
    crs: Any  # anything pyproj understands; None when the file does not say


@dataclass(frozen=True)
class TableSource:
    """A table that can be read from its beginning."""

    name: str
    schema: pa.Schema
    parts: Callable[[], Iterator[pa.Table]]  # of any length
    n_rows: int | None = None
    geometry: Geometry | None = None
    is_text: bool = False  # all columns are, as of CSV
    is_repeatable: bool = True  # stdin is not

    def rows(self, n: int, *, skip: int = 0) -> Iterator[pa.Table]:
        """The table in parts of n rows, the last one shorter, without the first `skip` rows."""
        held: list[pa.Table] = []
        n_held = 0
        for part in self.parts():
            if skip >= len(part):
                skip -= len(part)
                continue
            part, skip = part.slice(skip), 0
            held, n_held = [*held, part], n_held + len(part)
            while n_held >= n:
                table = pa.concat_tables(held)
                yield table.slice(0, n)
                held, n_held = [table.slice(n)], n_held - n
        if n_held:
            yield pa.concat_tables(held)

    def find_coordinates(self, lon: str | None, lat: str | None) -> Callable[[pa.Table], Coordinates]:
        """How to take the coordinates out of a part: from the columns named, or the geometry.

        Raises:
            UnknownColumns: it is not plain which columns hold them.
        """
        geometry = self.geometry
        if geometry is not None and lon is None and lat is None:
            return lambda part: _from_geometry(part.column(geometry.name), geometry.crs)
        names = coordinate_columns(self.schema.names, lon or "lon", lat or "lat", remedy="name it with --{}")
        return lambda part: check_columns(*(_plain(part.column(name)) for name in names))


def open_table(path: str, *, layer: str | None = None) -> TableSource:
    """Open a table.

    Args:
        path: of a file; its ending tells the format. ``-`` is CSV from stdin.
        layer: of a file that holds several tables.

    Raises:
        UnreadableSource: no such file, of no format known here, damaged, or with two columns of
            one name.
    """
    if path == "-":
        return _of_text("stdin", lambda: sys.stdin.buffer, is_repeatable=False)
    file = Path(path).expanduser()
    if not file.is_file():
        raise UnreadableSource(f"{path}: no such file; embed takes {READABLE}")
    ending = "".join(file.suffixes[-2:]) if file.suffix.lower() == ".gz" else file.suffix
    if ending.lower() in TEXTS:
        return _of_text(path, lambda: _open_bytes(file))
    if ending.lower() in PARQUETS:
        return _of_parquet(path, file)
    if ending.lower() in VECTORS:
        return _of_vectors(path, file, layer)
    raise UnreadableSource(f"{path}: not a table known here; embed takes {READABLE}")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Errors of the libraries that read files, as ours."""
    try:
        yield
    except pa.ArrowException as error:
        hint = "; save it as UTF-8" if "UTF8" in str(error) else ""
        raise UnreadableSource(f"{name}: cannot be read ({error}){hint}") from None
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError) as error:
        raise UnreadableSource(f"{name}: cannot be read ({error}); it must be CSV in UTF-8") from None


def _open_bytes(file: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(file)) if file.suffix.lower() == ".gz" else file.open("rb")


def _check_names(name: str, columns: list[str]) -> None:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise UnreadableSource(f"{name}: two columns are called {twice!r}; rename one")


# --- CSV -------------------------------------------------------------------------------------------


def _of_text(name: str, open_file: Callable[[], IO[bytes]], *, is_repeatable: bool = True) -> TableSource:
    with _told(name), open_file() if is_repeatable else nullcontext(open_file()) as first:
        columns, delimiter = _header(name, first)
    _check_names(name, columns)
    schema = pa.schema([(column, pa.string()) for column in columns])

    def parts() -> Iterator[pa.Table]:
        with _told(name), open_file() as file:
            if is_repeatable:
                _header(name, file)
            if not file.peek(1):  # type: ignore[attr-defined]  # pyarrow refuses a table of no rows
                return
            reader = pacsv.open_csv(
                file,
                pacsv.ReadOptions(column_names=columns, block_size=BLOCK_BYTES, use_threads=False),
                pacsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                pacsv.ConvertOptions(column_types=schema, strings_can_be_null=False),
            )
            for batch in reader:
                yield pa.Table.from_batches([batch])

    return TableSource(name, schema, parts, is_text=True, is_repeatable=is_repeatable)


def _header(name: str, file: IO[bytes]) -> tuple[list[str], str]:
    """The names of the columns and what stands between them; the file is left at the first row."""
    line = file.readline()
    while line.count(b'"') % 2 and (more := file.readline()):
        line += more
    text = line.decode("utf-8-sig").rstrip("\r\n")
    if not text:
        raise UnreadableSource(f"{name}: empty; the first line must name the columns")
    delimiter = "\t" if "\t" in text else ";" if ";" in text and "," not in text else ","
    return next(csv.reader(io.StringIO(text), delimiter=delimiter)), delimiter


def _plain(column: Any) -> Any:
    """A column as an array: of numbers if all of it is, else of whatever it holds."""
    try:
        return column.cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        return column.to_numpy()


# --- Parquet, and what GDAL reads ------------------------------------------------------------------


def _of_parquet(name: str, path: Path) -> TableSource:
    with _told(name):
        file = pq.ParquetFile(path)
        schema = file.schema_arrow
    _check_names(name, schema.names)
    told = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    geometry = None
    if primary := told.get("primary_column"):
        column = told["columns"][primary]
        if column.get("encoding") != "WKB":
            raise UnreadableSource(f"{name}: geometry as {column.get('encoding')}; write it as WKB")
        geometry = Geometry(primary, column.get("crs", "OGC:CRS84"))

    def parts() -> Iterator[pa.Table]:
        with _told(name), pq.ParquetFile(path, pre_buffer=False) as opened:
            for batch in opened.iter_batches(ROWS_AT_A_TIME):
                yield pa.Table.from_batches([batch], schema)

    return TableSource(name, schema, parts, file.metadata.num_rows, geometry)


def _of_vectors(name: str, path: Path, layer: str | None) -> TableSource:
    import pyogrio

    try:
        layers = [str(row[0]) for row in pyogrio.list_layers(path)]
        if layer is None and len(layers) > 1:
            raise UnreadableSource(f"{name}: {len(layers)} layers; choose with --layer: {', '.join(layers)}")
        if layer is not None and layer not in layers:
            raise UnreadableSource(f"{name}: no layer {layer!r}; there are {', '.join(layers)}")
        n_rows = int(pyogrio.read_info(path, layer=layer)["features"])
        with pyogrio.raw.open_arrow(path, layer=layer, use_pyarrow=True) as (meta, reader):
            schema = _named(reader.schema, meta)
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise UnreadableSource(f"{name}: cannot be read ({error})") from None
    _check_names(name, schema.names)
    geometry = Geometry(meta["geometry_name"] or "geometry", meta["crs"]) if meta["geometry_type"] else None
    if geometry is not None:
        schema = schema.with_metadata({b"geo": json.dumps(_geo_metadata(geometry)).encode()})

    def parts() -> Iterator[pa.Table]:
        options = {"layer": layer, "batch_size": ROWS_AT_A_TIME, "use_pyarrow": True}
        with _told(name), pyogrio.raw.open_arrow(path, **options) as (_, batches):
            for batch in batches:
                yield pa.Table.from_batches([batch]).rename_columns(schema.names).cast(schema)

    return TableSource(name, schema, parts, n_rows if n_rows >= 0 else None, geometry)


def _named(schema: pa.Schema, meta: dict[str, Any]) -> pa.Schema:
    """Columns as plain types; GDAL calls a geometry without a name wkb_geometry."""
    unnamed = {"wkb_geometry": "geometry"} if not meta["geometry_name"] else {}
    return pa.schema([(unnamed.get(field.name, field.name), field.type) for field in schema])


def _geo_metadata(geometry: Geometry) -> dict[str, Any]:
    """What makes a Parquet file with this column a GeoParquet file (version 1.0.0)."""
    import pyproj

    crs = None if geometry.crs is None else pyproj.CRS(geometry.crs).to_json_dict()
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": [], "crs": crs}
    return {"version": "1.0.0", "primary_column": geometry.name, "columns": {geometry.name: column}}


def _from_geometry(column: Any, crs: Any) -> Coordinates:
    import geopandas

    return coordinates_of(geopandas.GeoSeries.from_wkb(column.to_numpy(), crs=crs))
