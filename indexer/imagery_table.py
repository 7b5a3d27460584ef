"""Tables that a plan of imagery is made from: rows with places, in .csv, .tsv or .parquet."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..encoders.coordinate_columns import coordinates_of
from ..encoders.errors import InvalidCoordinate, UnknownColumns, UnreadableSource


def read_placed_table(path: Path) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """A table whose rows all have a place, and the places: (n, 2), degrees, longitude first.

    Raises:
        UnreadableSource: no such file, or no table.
        UnknownColumns: no columns of coordinates.
        InvalidCoordinate: a row that is nowhere on Earth.
    """
    table = _read_table(path)
    try:
        told = coordinates_of(table)
        told.refuse_exchanged()
        return table, told.require_all()
    except (InvalidCoordinate, UnknownColumns) as error:
        raise type(error)(f"{path}: {error}") from None


def _read_table(path: Path) -> pd.DataFrame:
    """A .csv, .tsv or .parquet table; of texts every cell is as it stands there: NA is Namibia."""
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            return pd.read_parquet(path)
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise UnreadableSource(f"{path}: no such file") from None
    except Exception as error:  # pandas and pyarrow have an error family each
        raise UnreadableSource(f"{path}: cannot be read as a table ({error})") from None
