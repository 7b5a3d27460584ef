"""What is known of places without looking: the facts that captions are made of, for many at once."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..places import load_places
from ..sphere import as_lonlat
from .climates import climate_classes
from .countries import spoken_country, without_article
from .driving import Side, driving_side

TOWN_KM = 50.0
"""A town farther away is not said to be near; our choice."""


class Known(NamedTuple):
    """The facts of one place; "" stands for none.

    `country`, `region`, `town` and `side` are empty at a remote place, whose nearest town says nothing
    about it; `climate` is a Köppen–Geiger class, empty on the open sea.
    """

    lon: float
    lat: float
    country_code: str
    country: str
    region: str
    town: str
    climate: str
    side: Side | None


@dataclass(frozen=True, eq=False)
class Facts:
    """The facts of n places, as arrays (n,); see `Known`.

    Attributes:
        lonlat: degrees, (n, 2).
        country_code, country, region, town, climate: texts, "" for none.
    """

    lonlat: NDArray[np.float64]
    country_code: NDArray[np.object_]
    country: NDArray[np.object_]
    region: NDArray[np.object_]
    town: NDArray[np.object_]
    climate: NDArray[np.str_]

    @classmethod
    def of(cls, lonlat: ArrayLike) -> "Facts":
        """Look the places up.

        Args:
            lonlat: degrees, longitude first, (n, 2).

        Raises:
            InvalidCoordinate: a point is not on Earth; NaN is none.
        """
        points = as_lonlat(lonlat).reshape(-1, 2)
        places = load_places()
        nearest = places.nearest(points)
        index, is_near = nearest.index, ~nearest.is_remote
        spoken = {
            str(code): spoken_country(code, listed)
            for code, listed in set(zip(places.country_code[index], places.country[index], strict=True))
        }
        code = np.where(is_near, places.country_code[index], "")
        country = np.array([spoken.get(one, "") for one in code], dtype=object)
        return cls(
            points,
            code,
            country,
            np.where(is_near, places.state[index], ""),
            np.where(nearest.distance_km <= TOWN_KM, places.city[index], ""),
            climate_classes(points),
        )

    def __len__(self) -> int:
        return len(self.lonlat)

    def __getitem__(self, row: int) -> Known:
        return self._rows[row]

    def take(self, rows: NDArray[np.intp]) -> "Facts":
        """Some of the places, by index."""
        return Facts(
            self.lonlat[rows],
            self.country_code[rows],
            self.country[rows],
            self.region[rows],
            self.town[rows],
            self.climate[rows],
        )

    @cached_property
    def _rows(self) -> list[Known]:
        columns = (self.country_code, self.country, self.region, self.town, self.climate.tolist())
        rows = zip(self.lonlat.tolist(), *columns, strict=True)
        return [
            Known(
                lon=lon,
                lat=lat,
                country_code=code,
                country=country,
                region=_unless_said(region, country),
                town=_unless_said(town, country),
                climate=climate,
                side=driving_side(code) if code else None,
            )
            for (lon, lat), code, country, region, town, climate in rows
        ]


def _unless_said(name: str, country: str) -> str:
    """A name, but not the country's over again: Singapore lies in Singapore."""
    return "" if name == without_article(country) else name
