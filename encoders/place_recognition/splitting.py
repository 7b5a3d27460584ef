"""Which photos are held out: whole regions, and not those within sight of a training photo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..csp_sampling import hold_out, regions
from ..errors import TooFewPairs
from ..sphere import chord_of_km, unit_vectors
from .photos import PlacePhotos
from .settings import PlaceRun

BLOCKS_DEG = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Sides of regions to choose from; 0.001 degrees are 111 m of latitude."""

N_REGIONS, LARGEST = 12, 0.25
"""Regions that there should be, and the share of the photos that one of them may have."""


@dataclass(frozen=True, eq=False)
class PlaceSplit:
    """Rows of the photos to learn from, and of those by which the epoch is chosen; each ascending."""

    train: NDArray[np.intp]
    held_out: NDArray[np.intp]
    block_deg: float

    @classmethod
    def of(cls, photos: PlacePhotos, run: PlaceRun) -> "PlaceSplit":
        """Deal regions out. Held-out photos within the negative distance of a training photo are dropped.

        Raises:
            TooFewPairs: no photos, or all in one region.
        """
        if len(photos) < 2:
            raise TooFewPairs(f"{len(photos)} photo(s): there is nothing to tell apart")
        if run.held_out_share == 0.0:
            return cls(np.arange(len(photos)), np.zeros(0, np.intp), 0.0)
        alone = np.arange(len(photos)).astype(np.str_)
        block_deg = run.block_deg or _fitting(photos.lonlat, alone)
        region = regions(photos.lonlat, alone, block_deg)
        try:
            part = hold_out(region, [run.held_out_share], seed=run.seed)
        except TooFewPairs:
            raise TooFewPairs(
                f"{len(photos)} photos in {int(region.max()) + 1} region(s) of {block_deg:g}° leave none to "
                "hold out; give photos of more places, or --held-out-share 0 to learn from all"
            ) from None
        train, held_out = np.flatnonzero(part == 0), np.flatnonzero(part == 1)
        vectors = unit_vectors(photos.lonlat)
        chord, _ = cKDTree(vectors[train]).query(vectors[held_out])
        return cls(train, held_out[chord > chord_of_km(run.nearness.negative_from_m / 1000.0)], block_deg)


def _fitting(lonlat: NDArray[np.float64], alone: NDArray[np.str_]) -> float:
    """The largest side that leaves regions enough; the smallest where none does."""
    for block_deg in BLOCKS_DEG:
        size = np.bincount(regions(lonlat, alone, block_deg))
        if len(size) >= N_REGIONS and size.max() <= LARGEST * len(lonlat):
            return block_deg
    return BLOCKS_DEG[-1]
