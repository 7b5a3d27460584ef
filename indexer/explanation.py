"""Which geocells decided where a photo was located: those that gained most over the prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.geocells import Geocells, default_geocells
from .geolocate import Location
from .prior import Prior
from .surface import Mixture

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


def cell_shares(density: Mixture, cells: Geocells | None = None) -> NDArray[np.float64]:
    """How probable each cell is under a density, counted in samples: (C,)."""
    cells = cells or default_geocells()
    counts = np.bincount(cells.assign(density.sample(_N_SAMPLES)), minlength=len(cells))
    shares: NDArray[np.float64] = counts / _N_SAMPLES
    return shares


def decisive_cells(
    location: Location,
    prior: Prior,
    *,
    n: int = 5,
    cells: Geocells | None = None,
    before: NDArray[np.float64] | None = None,
) -> list[DecisiveCell]:
    """The cells that gained most, at most n of them, the foremost first.

    Args:
        location: the answer.
        prior: of the gallery.
        n: how many cells.
        cells: a partition; the shipped one by default.
        before: `cell_shares` of the prior, for those who ask often.
    """
    cells = cells or default_geocells()
    after = cell_shares(location.surface, cells)
    before = cell_shares(prior.mixture, cells) if before is None else before
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
