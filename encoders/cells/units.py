"""Units of a hierarchy: the smallest named areas, of which cells are made.

A hierarchy answers for every point on Earth which unit it belongs to. A unit is what country,
admin-1 and admin-2 names tell apart; units stand in the order of these names, so that their
numbers are the same wherever the same hierarchy is read. Letters: U units, E pairs, S sites.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..places import Places

_Floats = NDArray[np.float64]
Names = NDArray[np.object_]

E7 = 1e7
"""Stored coordinates count steps of 1e-7 degrees, a centimeter; what is not stored is not used."""


@dataclass(frozen=True)
class Units:
    """Names, positions and neighbors of units.

    Attributes:
        country, admin1, admin2: (U,), sorted in this order; "" where there is no name.
        center: direction of the unit's middle, (U, 3) unit vectors.
        adjacent: pairs of units that touch, (E, 2), each once, the lower number first, sorted.
    """

    country: Names
    admin1: Names
    admin2: Names
    center: _Floats
    adjacent: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.country)


class Rule(Protocol):
    """A total function from points to numbers: of units, or of groups of them."""

    def number_of(self, lonlat: _Floats) -> NDArray[np.intp]:
        """The number each point belongs to, checked degrees (n, 2) -> (n,)."""
        ...

    def regrouped(self, group: NDArray[np.intp]) -> "Rule":
        """The same function followed by `group`, in which what no longer matters may be left out."""
        ...

    def columns(self, n: int) -> dict[str, list[Any]]:
        """What defines the function, a list for each of the n numbers it answers, to be stored."""
        ...


class Hierarchy(Protocol):
    """Where the units come from, and the places that name cells."""

    @property
    def units(self) -> Units:
        """The units."""
        ...

    @property
    def rule(self) -> Rule:
        """Which unit a point belongs to."""
        ...

    @property
    def places(self) -> Places:
        """The places that name cells."""
        ...

    def provenance(self) -> dict[str, Any]:
        """What a reader must know to make the same units again; JSON values."""
        ...


def rounded(lonlat: _Floats) -> _Floats:
    """Coordinates as they are stored, in whole steps of 1e-7 degrees, lon in [-180, 180)."""
    steps = np.round(lonlat * E7)
    steps[..., 0] = np.where(steps[..., 0] >= 180.0 * E7, steps[..., 0] - 360.0 * E7, steps[..., 0])
    places: _Floats = steps / E7
    return places


def normalized(vectors: _Floats, *, otherwise: _Floats | None = None) -> _Floats:
    """Unit vectors of sums (..., 3); where a sum has no direction, those of `otherwise`."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    has_direction = length > 1e-12
    spare = np.array([1.0, 0.0, 0.0]) if otherwise is None else otherwise
    unit: _Floats = np.where(has_direction, vectors / np.where(has_direction, length, 1.0), spare)
    return unit


def sums_of(vectors: _Floats, number: NDArray[np.intp], n: int) -> _Floats:
    """Sum the vectors (m, 3) of each number 0..n-1: (n, 3)."""
    return np.stack([np.bincount(number, vectors[:, axis], n) for axis in range(3)], axis=1)
