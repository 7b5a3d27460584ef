"""What a gallery of places is to hold.

A place is its coordinates, rounded to 6 decimals (0.1 m): from them come its key and, hashed, its id.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.sphere import as_lonlat
from .record import Record, photo_id, said_of

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
    first = first_of_each(places)
    return PlaceList(source, places[first], n_doubled=len(places) - len(first))


def first_of_each(places: _Floats) -> NDArray[np.intp]:
    """The first row of each place, in their order, of (n, 2) coordinates."""
    _, first = np.unique(places, axis=0, return_index=True)
    ordered: NDArray[np.intp] = np.sort(first)
    return ordered
