"""A list of places out of a table."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.coordinate_columns import coordinate_columns
from ..encoders.errors import UnreadableSource
from .place_list import PlaceList, first_of_each, rounded
from .record import encode_payload
from .table_columns import KeptColumns
from .table_source import ROWS_AT_A_TIME, open_table


def read_place_list(path: Path) -> PlaceList:
    """The places of a .csv, .parquet, .geojson, … file; its other columns become their payloads.

    Raises:
        UnreadableSource: no such file, a damaged one, or no row with a place.
        UnknownColumns: it is not plain which columns hold the coordinates.
        InvalidCoordinate: most rows have lon and lat exchanged.
    """
    if not path.is_file():
        raise UnreadableSource(f"{path}: no such file; a list of places is a table with columns lon and lat")
    table = open_table(str(path))
    coordinates_of = table.find_coordinates(None, None)
    own = {table.geometry.name} if table.geometry else set(coordinate_columns(table.schema.names))
    kept, _ = KeptColumns.of(table, [name for name in table.schema.names if name not in own], ".parquet")
    lonlat: list[NDArray[np.float64]] = []
    payloads: list[str] = []
    n_without = 0
    for part in table.rows(ROWS_AT_A_TIME):
        coordinates = coordinates_of(part)
        coordinates.refuse_exchanged()
        placed = np.flatnonzero(coordinates.is_placed)
        n_without += len(part) - len(placed)
        lonlat.append(coordinates.lonlat[placed])
        if kept.schema.names:
            payloads += [encode_payload(_told(row)) for row in kept.take(part).take(placed).to_pylist()]
        else:
            payloads += ["{}"] * len(placed)
    if not payloads:
        raise UnreadableSource(f"{path}: no row has a place on Earth (columns lon and lat, degrees)")
    places = rounded(np.concatenate(lonlat))
    first = first_of_each(places)
    chosen = [payloads[row] for row in first.tolist()]
    return PlaceList(
        str(path), places[first], chosen, n_without_place=n_without, n_doubled=len(places) - len(first)
    )


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if value is not None
        and value != ""
        and not (isinstance(value, float) and not math.isfinite(value))
        and not isinstance(value, bytes | bytearray)
    }
