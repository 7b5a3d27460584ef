"""What a head asks of a partition of the Earth; `geocells.Geocells` is one, a test may be another."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidCells

_Floats = NDArray[np.float64]


class Partition(Protocol):
    """Cells by row, and the row of every point on Earth; the attributes are those of `Geocells`."""

    @property
    def cells_id(self) -> str:
        """The identity of the partition, which every head and every prototype carries."""

    @property
    def country(self) -> NDArray[Any]:
        """ISO code of each cell, (C,)."""

    @property
    def admin1_shares(self) -> Sequence[Mapping[str, float]]:
        """Share of a cell's points in each admin-1, C mappings; they sum to 1, or are empty."""

    @property
    def admin1(self) -> NDArray[Any]:
        """Admin-1 of most of its points, (C,)."""

    @property
    def center_lonlat(self) -> _Floats:
        """Degrees, (C, 2)."""

    @property
    def rms_km(self) -> _Floats:
        """Root of the mean squared distance of a cell's points from its center, (C,)."""

    @property
    def p95_km(self) -> _Floats:
        """Distance from the center within which 95 % of them lie, (C,)."""

    def assign(self, lonlat: ArrayLike) -> NDArray[np.intp]:
        """Row of the cell of each point, (n, 2) degrees -> (n,)."""

    def __len__(self) -> int:
        """C."""


def require_cells(found: str, wanted: str, what: str) -> None:
    """See that something was made for the partition at hand.

    Raises:
        InvalidCells: the identities differ.
    """
    if found != wanted:
        raise InvalidCells(
            f"{what} was made for the cells {found}, not for the cells at hand, {wanted}: use the file of "
            "cells it was trained with, or train it again"
        )
