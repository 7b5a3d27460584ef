"""What training asks of a map: square crops of class ids around places, and places to train on."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..areas import Box
from ..errors import InvalidOption, TooFewPairs
from ..mosaics.legend import NODATA
from ..sphere import wrap_lon


class CropSource(Protocol):
    """Anything that cuts crops out of a map; `mosaics.mosaic.Mosaic` is one.

    The same arguments must give the same crop, alone or in any batch, from any thread: training
    resumes to the bit only then.
    """

    def crops(
        self,
        lonlat: NDArray[np.float64],
        *,
        ground_m: float | NDArray[np.float64],
        angle_rad: float | NDArray[np.float64] = 0.0,
        px: int,
    ) -> NDArray[np.uint8]:
        """Cut square crops, rotated by sampling the map and not by turning a picture.

        Args:
            lonlat: centers, degrees, longitude first, (B, 2), checked before.
            ground_m: width of a crop on the ground, meters, one for all or (B,).
            angle_rad: rotation about the center, radians, one for all or (B,).
            px: pixels along a side.

        Returns:
            Class ids of the legend, (B, px, px); 0 where the map has no data.
        """
        ...


class Patchwork:
    """Several sources as one: each place is cut from the first whose box it lies in.

    A crop is cut from one source whole, also where another has what it lacks at its rim; a place in
    no box is cut from the first source, which has no data there.

    Args:
        sources: with the boxes they cover, in order of preference, at least one.
    """

    def __init__(self, sources: Sequence[tuple[Box, CropSource]]) -> None:
        if not sources:
            raise InvalidOption("a patchwork of no maps: give at least one")
        self.sources = tuple(sources)

    def owners(self, lonlat: NDArray[np.float64]) -> NDArray[np.intp]:
        """Number of the source that each place is cut from: (B, 2) -> (B,)."""
        found = np.zeros(len(lonlat), np.intp)
        for number in reversed(range(len(self.sources))):
            found[self.sources[number][0].contains(lonlat)] = number
        return found

    def crops(
        self,
        lonlat: NDArray[np.float64],
        *,
        ground_m: float | NDArray[np.float64],
        angle_rad: float | NDArray[np.float64] = 0.0,
        px: int,
    ) -> NDArray[np.uint8]:
        """Cut crops; see `CropSource`."""
        out = np.zeros((len(lonlat), px, px), np.uint8)
        width, angle = (np.broadcast_to(one, len(lonlat)) for one in (ground_m, angle_rad))
        owners = self.owners(lonlat)
        for number in np.unique(owners).tolist():
            rows = owners == number
            source = self.sources[number][1]
            out[rows] = source.crops(lonlat[rows], ground_m=width[rows], angle_rad=angle[rows], px=px)
        return out


def places_in(
    source: CropSource, box: Box, n: int, *, ground_m: float, seed: int, least_known: float = 0.5
) -> NDArray[np.float64]:
    """Draw places of a box, even by area, whose crops the map covers.

    Args:
        source: of the crops.
        box: where.
        n: how many.
        ground_m: width of a crop, meters.
        seed: of the draw.
        least_known: share of a crop's pixels that must have data.

    Returns:
        (n, 2) degrees, longitude first.

    Raises:
        TooFewPairs: less than a fiftieth of the box is covered.
    """
    rng = np.random.default_rng(seed)
    width = sum(east - west for west, east in box.spans)
    south, north = np.sin(np.deg2rad([box.south, box.north]))
    found: list[NDArray[np.float64]] = []
    n_found = n_drawn = 0
    while n_found < n:
        if n_drawn > 50 * n:
            raise TooFewPairs(
                f"the map covers only {n_found} of {n_drawn} places drawn in {box}: is it of another area? "
                "Choose a smaller --area, or fewer --places"
            )
        lon = wrap_lon(box.west + rng.uniform(0.0, width, n))
        lat = np.rad2deg(np.arcsin(rng.uniform(south, north, n)))
        drawn = np.stack([lon, np.clip(lat, box.south, box.north)], axis=-1)
        known = (source.crops(drawn, ground_m=ground_m, px=16) != NODATA).mean(axis=(1, 2)) >= least_known
        found.append(drawn[known])
        n_found, n_drawn = n_found + int(known.sum()), n_drawn + n
    return np.concatenate(found)[:n]
