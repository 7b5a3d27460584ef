"""Photos that a table lists: CSV, Parquet, GeoParquet, GeoPackage."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..encoders.errors import UnreadableSource
from ..encoders.sphere import looks_swapped
from .listing import Item
from .photo_fields import LAT_COLUMNS, LON_COLUMNS, column_of, number_or_none, photo_fields
from .picture_files import picture_item

IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name", "filepath")


def items_of_table(path: Path, group_column: str | None) -> list[Item]:
    """The rows that name a picture.

    Args:
        path: of the table.
        group_column: which column says what belongs together; by default one of `GROUP_COLUMNS`.

    Raises:
        UnreadableSource: it is damaged, names no pictures, or has lon and lat exchanged.
    """
    try:
        table = _read_table(path)
    except Exception as error:  # pandas, pyarrow and GDAL have an error family each
        raise UnreadableSource(f"{path}: cannot be read as a table ({error})") from None
    columns = {str(name).lower(): str(name) for name in table.columns}
    image = column_of(columns, IMAGE_COLUMNS)
    if image is None:
        raise UnreadableSource(
            f"{path}: no column with the pictures' paths; name one of {', '.join(IMAGE_COLUMNS)}. "
            f"There are {', '.join(map(str, table.columns))}"
        )
    if group_column is not None and group_column not in table.columns:
        raise UnreadableSource(f"{path}: no column {group_column!r}; there are {', '.join(table.columns)}")
    rows: list[dict[str, Any]] = [dict(row) for row in table.rename(columns=str).to_dict("records")]  # type: ignore[arg-type]
    _refuse_swapped(path, rows, columns)
    return [_row(path, row, image, columns, group_column) for row in rows if str(row[image]).strip()]


def _read_table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        # Everything as text and nothing as missing: NA is Namibia.
        separator = "\t" if suffix == ".tsv" else ","
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return table.apply(_typed)
    if suffix == ".gpkg" or _has_geometry(path):
        import geopandas  # half a second to import, for these two formats only

        located = geopandas.read_file(path) if suffix == ".gpkg" else geopandas.read_parquet(path)
        if located.crs is not None and located.crs.to_epsg() != 4326:
            located = located.to_crs(4326)
        points = located.geometry.representative_point()
        table = pd.DataFrame(located.drop(columns=located.geometry.name))
        return table.assign(lon=points.x, lat=points.y)
    return pd.read_parquet(path)


def _has_geometry(path: Path) -> bool:
    import pyarrow.parquet as pq

    return b"geo" in (pq.read_schema(path).metadata or {})


def _typed(column: "pd.Series[str]") -> "pd.Series[Any]":
    """A text column as integers or floats where every filled cell is one; 007 stays a text."""
    filled = column[column != ""]
    if len(filled) and filled.str.fullmatch(r"-?(0|[1-9]\d{0,17})").all():
        return column.map(lambda text: int(text) if text else None).astype(object)
    if len(filled) and filled.str.fullmatch(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?").all():
        return column.map(lambda text: float(text) if text else None).astype(object)
    return column


def _refuse_swapped(path: Path, rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> None:
    lon, lat = column_of(columns, LON_COLUMNS), column_of(columns, LAT_COLUMNS)
    if lon is None or lat is None:
        return
    pairs = [(number_or_none(row[lon]), number_or_none(row[lat])) for row in rows]
    known = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
    if len(known) and (share := looks_swapped(known)) > 0.5:
        raise UnreadableSource(
            f"{path}: {share:.0%} of the rows lie on Earth only with lon and lat exchanged; "
            "rename the columns"
        )


def _row(
    path: Path, row: dict[str, Any], image: str, columns: dict[str, str], group_column: str | None
) -> Item:
    told = photo_fields({key: value for key, value in row.items() if key != image}, group_column)
    return picture_item(_plain((path.parent / str(row[image])).absolute()), str(path), **told)


def _plain(path: Path) -> Path:
    """A path without ``..``, by which other sources name the same file too; links are left alone."""
    plain = Path(os.path.normpath(path))
    return plain if plain == path or (plain.exists() and plain.samefile(path)) else path
