"""Several mosaic files as one map, with whom to credit, and what it knows of a place.

Letters: B places.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from .areas import Box
from .errors import InvalidOption
from .map_learning.crop_source import Patchwork
from .mosaics.legend import NODATA

if TYPE_CHECKING:  # it brings GDAL, which only maps need
    from .mosaics.mosaic import Mosaic

LEAST_KNOWN = 0.5
"""Share of a crop that must have data: map encoders are trained on crops that have."""

_LOOK_PX = 16  # pixels along a side; enough to see how much of a crop has data


class MapFiles:
    """Mosaics, each place cut from the first one whose box it lies in. Implements `CropSource`.

    Args:
        mosaics: opened, in order of preference, at least one.
    """

    def __init__(self, mosaics: Sequence["Mosaic"]) -> None:
        if not mosaics:
            raise InvalidOption("no mosaic was given: name one or several with --mosaic FILE")
        self._mosaics = tuple(mosaics)
        self._all = Patchwork([(one.bounds, one) for one in mosaics])

    @classmethod
    def open(cls, paths: Sequence[str | Path]) -> Self:
        """Open mosaic files.

        Raises:
            UnreadableSource: no such file, no mosaic, or a damaged one.
            InvalidOption: no file at all.
        """
        from .mosaics.mosaic import Mosaic

        return cls([Mosaic.open(path) for path in paths])

    @property
    def credit(self) -> tuple[str, ...]:
        """Whom to name wherever a picture of these maps is shown, each once."""
        return tuple(dict.fromkeys(name for one in self._mosaics for name in one.about.credit))

    @property
    def boxes(self) -> tuple[Box, ...]:
        """What each mosaic covers; not all of a box need have data."""
        return tuple(one.bounds for one in self._mosaics)

    @property
    def finest_zoom(self) -> int:
        """Of the finest level that any of them has."""
        return max(one.zooms[-1] for one in self._mosaics)

    @property
    def facts(self) -> list[dict[str, Any]]:
        """Box, date and sources of each mosaic, as JSON."""
        return [
            {"box": list(one.about.box), "date": one.about.date, "sources": list(one.about.sources)}
            for one in self._mosaics
        ]

    def crops(
        self,
        lonlat: NDArray[np.float64],
        *,
        ground_m: float | NDArray[np.float64],
        angle_rad: float | NDArray[np.float64] = 0.0,
        px: int,
    ) -> NDArray[np.uint8]:
        """Cut crops, (B, px, px) class ids; see `CropSource`."""
        return self._all.crops(lonlat, ground_m=ground_m, angle_rad=angle_rad, px=px)

    def knows(
        self, lonlat: NDArray[np.float64], *, ground_m: float, least_known: float = LEAST_KNOWN
    ) -> NDArray[np.bool_]:
        """Whether the map has data around places.

        Args:
            lonlat: degrees, longitude first, (B, 2).
            ground_m: width of the crop that must have data, meters.
            least_known: share of its pixels; with 0 a single pixel is enough.

        Returns:
            (B,).
        """
        inside = np.zeros(len(lonlat), np.bool_)
        for box in self.boxes:
            inside |= box.contains(lonlat)
        found = np.zeros(len(lonlat), np.bool_)
        rows = np.flatnonzero(inside)
        for start in range(0, len(rows), 1024):
            some = rows[start : start + 1024]
            share = (self.crops(lonlat[some], ground_m=ground_m, px=_LOOK_PX) != NODATA).mean(axis=(1, 2))
            found[some] = (share >= least_known) & (share > 0.0)
        return found
