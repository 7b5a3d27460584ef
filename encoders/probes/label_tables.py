"""Labels at places out of a table: which rows have both, and what the others lack.

A label is missing where the cell is empty, None or NaN; ``NA`` is Namibia. Rows that lack a label or a
place are left out and counted, in the words of someone who looks at the file: rows count from 1, the
line of column names aside.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..coordinate_columns import Coordinates, check_columns, coordinate_columns
from ..errors import InvalidProbe

Floats = NDArray[np.float64]


def read_table(
    path: Path, target: str, places: tuple[str, str], *, is_log: bool, is_class: bool, scale: float
) -> tuple[Floats, NDArray[Any], tuple[str, ...]]:
    """Places (N, 2), labels (N,), and notes of what was left out; `tasks.read_labels` says more.

    Args:
        path: a CSV (also .gz) or Parquet file.
        target: column of the labels.
        places: columns of longitude and latitude.
        is_log: take natural logarithms.
        is_class: labels are names.
        scale: divide values by it.
    """
    table = _table(path)
    labels = table[_column(table, target, path)]
    coordinates = _coordinates(table, *places)
    coordinates.refuse_exchanged()
    y, is_labeled = _names(labels) if is_class else _values(labels, path, scale)
    if is_log and (y[is_labeled] <= 0.0).any():
        row = int(np.flatnonzero(is_labeled & (y <= 0.0))[0])
        raise InvalidProbe(
            f"{path}: {target} has values that are not positive and have no logarithm,"
            f" such as {y[row]:g} in row {row + 1}"
        )
    kept = is_labeled & coordinates.is_placed
    if not kept.any():
        raise InvalidProbe(f"{path}: none of {len(table)} rows has both a place and a label in {target!r}")
    y = np.log(y[kept]) if is_log else y[kept]
    return coordinates.lonlat[kept], y, _notes(path, target, is_labeled, coordinates)


def _notes(
    path: Path, target: str, is_labeled: NDArray[np.bool_], coordinates: Coordinates
) -> tuple[str, ...]:
    """A line for each kind of row that was left out."""
    notes = []
    if len(unplaced := coordinates.rows_without_place):
        first = int(unplaced[0])
        notes.append(
            f"{path.name}: {_share(len(unplaced), len(is_labeled))} without a place left out, the first of"
            f" them row {first + 1}: {coordinates.complaint(first)}"
        )
    if n := int((~is_labeled & coordinates.is_placed).sum()):
        row = int(np.flatnonzero(~is_labeled & coordinates.is_placed)[0]) + 1
        left_out = _share(n, len(is_labeled))
        notes.append(
            f"{path.name}: {left_out} without a label in {target!r} left out, the first of them row {row}"
        )
    return tuple(notes)


def _share(n: int, total: int) -> str:
    return f"{n:,} of {total:,} row{'' if total == 1 else 's'}"


def _column(table: pd.DataFrame, target: str, path: Path) -> Any:
    if (name := _spelled(table, target)) not in table.columns:
        raise InvalidProbe(f"{path}: no column {target!r}; there are {', '.join(map(str, table.columns))}")
    return name


def _coordinates(table: pd.DataFrame, lon: str, lat: str) -> Coordinates:
    asked = [name if name in ("lon", "lat") else _spelled(table, name) for name in (lon, lat)]
    names = coordinate_columns(list(table.columns), *asked, remedy="name it with --{}")
    return check_columns(*(table[name].to_numpy() for name in names))


def _spelled(table: pd.DataFrame, asked: str) -> Any:
    """A column's name in the case of letters that it has, or what was asked."""
    found = [name for name in table.columns if str(name).lower() == asked.lower()]
    return asked if asked in found or not found else found[0]


def _names(labels: pd.Series[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Names of classes, (n,) texts of any length, and whether there is one."""
    texts = ["" if missing else str(cell) for cell, missing in zip(labels, labels.isna(), strict=True)]
    # The longest decides on the width: of numpy's own choice a missing cell would cut them all.
    names = np.array(texts, dtype=f"U{max(1, *map(len, texts))}" if texts else "U1")
    return names, np.char.strip(names) != ""


def _values(labels: pd.Series[Any], path: Path, scale: float) -> tuple[Floats, NDArray[np.bool_]]:
    """Numbers (n,), and whether they are finite; an empty cell is NaN."""
    is_text = labels.dtype == object or str(labels.dtype) == "str"
    cells = labels.map(lambda cell: None if str(cell).strip() == "" else cell) if is_text else labels
    try:
        values = pd.to_numeric(cells).to_numpy(np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise InvalidProbe(f"{path}: column {labels.name!r} is not numeric: {error}") from error
    return values / scale, np.isfinite(values)


def _table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            return pd.read_parquet(path)
        return pd.read_csv(path, sep=_delimiter(path), keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InvalidProbe(f"{path}: no such file") from error
    except Exception as error:  # pandas and pyarrow have an error family each
        raise InvalidProbe(f"{path}: not a CSV or Parquet table: {error}") from error


def _delimiter(path: Path) -> str:
    """What stands between the names of the columns; semicolons only where there is no comma."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        head = file.readline().decode("utf-8-sig")
    return "\t" if "\t" in head else ";" if ";" in head and "," not in head else ","
