"""A grid that answers most points of a large batch by looking up one number.

A box of the grid through which no border passes has one answer throughout, and so have all boxes
that hang together without crossing a border: one question settles them all. Points in the boxes on
a border are asked the slow way. So the grid changes how long an answer takes, and never the answer.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]
UNKNOWN = -1
STEP_DEG = 0.125
POLAR_LAT = 80.0  # boxes beyond are asked the slow way, all of them: they are slivers
MARGIN_DEG = 1e-4
"""A straight line between two samples of a border leaves it by less than this."""


@dataclass(frozen=True)
class QuickGrid:
    """Numbers on a grid of lon, lat.

    Attributes:
        number: rows from the south, columns from the west; `UNKNOWN` where there may be several.
    """

    number: NDArray[np.int32]

    def answer(self, lonlat: _Floats, search: Callable[[_Floats], _Numbers]) -> _Numbers:
        """Numbers of points (n, 2) -> (n,): from the grid, else from `search`."""
        row, column = _box_of(lonlat)
        number = self.number[row, column].astype(np.intp)
        unknown = np.flatnonzero(number == UNKNOWN)
        if unknown.size:
            # Of points asked one after the other in this order, neighbors find the same in the cache.
            box = row[unknown].astype(np.int32) * self.number.shape[1] + column[unknown]
            order = unknown[np.argsort(box, kind="stable")]
            number[order] = search(lonlat[order])
        return number


def quick_grid(start: _Floats, end: _Floats, search: Callable[[_Floats], _Numbers]) -> QuickGrid:
    """The grid for borders that are made of short straight edges.

    Args:
        start: where each edge begins, (E, 2) degrees; no edge is longer than half a box in lon or
            lat, but for those beyond `POLAR_LAT`.
        end: where it ends, (E, 2).
        search: the slow way; its answer may change across an edge only.
    """
    shape = (round(180.0 / STEP_DEG), round(360.0 / STEP_DEG))
    is_border = np.zeros(shape, dtype=bool)
    for shift in (-MARGIN_DEG, MARGIN_DEG):
        for lift in (-MARGIN_DEG, MARGIN_DEG):
            row_a, column_a = _box_of(start + np.array([shift, lift]))
            row_b, column_b = _box_of(end + np.array([shift, lift]))
            # An edge of half a box may pass the corner of a box in which it neither begins nor ends.
            for row, column in ((row_a, column_a), (row_b, column_b), (row_a, column_b), (row_b, column_a)):
                is_border[row, column] = True
    polar = round((90.0 - POLAR_LAT) / STEP_DEG)
    is_border[:polar], is_border[-polar:] = True, True
    areas, n_areas = ndimage.label(~is_border)
    _, first = np.unique(areas, return_index=True)
    row, column = np.unravel_index(first[-n_areas:] if n_areas else first[:0], shape)
    middle = np.stack([(column + 0.5) * STEP_DEG - 180.0, (row + 0.5) * STEP_DEG - 90.0], axis=1)
    answers = np.concatenate([[UNKNOWN], search(middle)]).astype(np.int32)
    return QuickGrid(answers[areas])


def _box_of(lonlat: _Floats) -> tuple[_Numbers, _Numbers]:
    """Row and column of the box that each point lies in; columns go on around the Earth."""
    n_columns = round(360.0 / STEP_DEG)
    column = np.floor((lonlat[:, 0] + 180.0) / STEP_DEG).astype(np.intp) % n_columns
    row = np.floor((lonlat[:, 1] + 90.0) / STEP_DEG).astype(np.intp)
    return np.clip(row, 0, round(180.0 / STEP_DEG) - 1), column
