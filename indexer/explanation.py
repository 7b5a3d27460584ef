"""Which geocells decided where a photo was located: those that gained most over the prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..encoders.geocells import Geocells, default_geocells
from .geolocate import Location
from .prior import Prior

_N_SAMPLES = 2048


class DecisiveCell(NamedTuple):
    """A geocell with its probability, before the photo was looked at and after.

    `lon` and `lat` are of the cell's center; `bits` is its part of the photo's information,
    p log₂(p / prior).
    """

    cell_id: str
    name: str
    lon: float
    lat: float
    probability: float
    prior_probability: float
    bits: float


def decisive_cells(
    location: Location, prior: Prior, *, n: int = 5, cells: Geocells | None = None
) -> list[DecisiveCell]:
    """The cells that gained most, at most n of them, the foremost first.

    Args:
        location: the answer.
        prior: of the gallery.
        n: how many cells.
        cells: a partition; the shipped one by default.
    """
    cells = cells or default_geocells()
    after, before = (
        np.bincount(cells.assign(density.sample(_N_SAMPLES)), minlength=len(cells)) / _N_SAMPLES
        for density in (location.surface, prior.mixture)
    )
    # What no sample of the prior met counts as half a sample.
    floor = np.maximum(before, 0.5 / _N_SAMPLES)
    bits = after * np.log2(np.maximum(after, 1e-12) / floor)
    best = [row for row in np.argsort(-bits, kind="stable")[:n].tolist() if bits[row] > 0.0]
    return [
        DecisiveCell(
            str(cells.cell_id[row]), str(cells.name[row]), lon, lat,
            float(after[row]), float(before[row]), float(bits[row]),
        )
        for row, (lon, lat) in zip(best, cells.center_lonlat[best].tolist(), strict=True)
    ]  # fmt: skip
