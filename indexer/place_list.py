"""What a gallery of places is to hold: a grid, or the rows of a table.

A place is its coordinates, rounded to 6 decimals (0.1 m): from them come its key and, hashed, its id.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.coordinate_columns import coordinate_columns
from ..encoders.errors import UnreadableSource
from ..encoders.sphere import as_lonlat
from .record import Record, encode_payload, photo_id, said_of
from .table_columns import KeptColumns
from .table_source import ROWS_AT_A_TIME, open_table

DECIMALS = 6

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PlaceList:
    """Places to embed.

    Attributes:
        source: what the ledger calls where they come from.
        lonlat: degrees, rounded, (n, 2).
        payloads: what else is said of each, as JSON; None for nothing.
        n_without_place: rows of the source without coordinates.
        n_doubled: rows of a place that an earlier row has already.
    """

    source: str
    lonlat: _Floats
    payloads: Sequence[str] | None = None
    n_without_place: int = 0
    n_doubled: int = 0

    def __len__(self) -> int:
        return len(self.lonlat)

    def record(self, row: int) -> Record:
        """The row that the ledger is to have for a place, without its embedding."""
        lon, lat = self.lonlat[row].tolist()
        payload = "{}" if self.payloads is None else self.payloads[row]
        key = place_key(lon, lat)
        return Record(
            key=key, status="embedded", source=self.source, sha256=place_sha256(key), lon=lon, lat=lat,
            payload=payload, said=said_of(lon, lat, None, None, payload),
        )  # fmt: skip


def rounded(lonlat: ArrayLike) -> _Floats:
    """Coordinates as a gallery of places has them: 6 decimals, lon in [-180, 180), 0 at a pole.

    Raises:
        InvalidCoordinate: a place that is not on Earth.
    """
    places = as_lonlat(np.round(as_lonlat(lonlat), DECIMALS))
    places[..., 0] = np.where(np.abs(places[..., 1]) == 90.0, 0.0, places[..., 0])
    return places + 0.0  # -0.0 becomes 0.0


def place_key(lon: float, lat: float) -> str:
    """The key of a place that was rounded by `rounded`."""
    return f"place {lon:.{DECIMALS}f},{lat:.{DECIMALS}f}"


def place_sha256(key: str) -> str:
    """What stands for the bytes that a photo would have."""
    return hashlib.sha256(key.encode()).hexdigest()


def place_id(lon: float, lat: float) -> str:
    """The id of a place anywhere on Earth."""
    lon, lat = rounded([lon, lat]).tolist()
    return photo_id(place_sha256(place_key(lon, lat)))


def listed(lonlat: _Floats, source: str) -> PlaceList:
    """Places alone, such as those of a grid; each once."""
    places = rounded(lonlat)
    first = _first_of_each(places)
    return PlaceList(source, places[first], n_doubled=len(places) - len(first))


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
    lonlat: list[_Floats] = []
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
    first = _first_of_each(places)
    chosen = [payloads[row] for row in first.tolist()]
    return PlaceList(
        str(path), places[first], chosen, n_without_place=n_without, n_doubled=len(places) - len(first)
    )


def _first_of_each(places: _Floats) -> NDArray[np.intp]:
    _, first = np.unique(places, axis=0, return_index=True)
    ordered: NDArray[np.intp] = np.sort(first)
    return ordered


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if value is not None
        and value != ""
        and not (isinstance(value, float) and not math.isfinite(value))
        and not isinstance(value, bytes | bytearray)
    }
