"""Where a photo was taken, worked out from its neighbors, as it may be told.

The costly part of a geolocation, apart from any store: `locate_process` has it done elsewhere.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...encoders.places import describe
from ...indexer.explanation import cell_shares, decisive_cells
from ...indexer.fitted_locator import FittedLocator
from ...indexer.geolocate import Location
from ...indexer.reference import PriorName
from . import precision
from .precision import Precision
from .sensitive import SensitiveAreas
from .surface_cells import surface_cells


@dataclass(frozen=True, eq=False)
class LocationQuestion:
    """What is to be told of one photo, or of several of one place.

    Attributes:
        similarity: to its neighbors, (K,).
        lonlat: their places, coarse already where the cap asks for it, (K, 2).
        embedding: of the photo, or the sum of several, (D,).
        prior: what counts before the photo is looked at.
        with_surface: also tell the density, by cells.
    """

    similarity: NDArray[np.float64]
    lonlat: NDArray[np.float64]
    embedding: NDArray[np.float32]
    prior: PriorName
    with_surface: bool


class LocationTeller:
    """Answers questions by what was fitted to one gallery.

    Args:
        locator: what was fitted.
        cap: how precisely places are told.
        sensitive: areas of which nothing is told.
    """

    def __init__(self, locator: FittedLocator, cap: Precision, sensitive: SensitiveAreas) -> None:
        self._locator, self._cap, self._sensitive = locator, cap, sensitive
        self._before: NDArray[np.float64] | None = None  # the prior's share of each geocell

    def tell(self, asked: LocationQuestion) -> dict[str, Any]:
        """The answer as plain JSON types, without its evidence; `precision` is the cap it is told under."""
        location = self._locator.locate(asked.similarity, asked.lonlat, asked.embedding, prior=asked.prior)
        cap: Precision = "country" if self._sensitive.is_led_to(location) else self._cap
        is_pointed = cap in ("25km", "exact")
        told = precision.coarse_location(location.to_dict() if is_pointed else _bare(location), cap)
        told["precision"] = cap
        if cap != self._cap:
            told["notes"] = ["this leads into an area of which places are told by country alone here"]
        if is_pointed:
            place = describe([told["lon"], told["lat"]])[0]
            told["near"] = None if place.is_remote else place.full_name
            told["cells"] = self._decisive_cells(location)
            if asked.with_surface:
                told["surface_resolution"], told["surface"] = surface_cells(location, cap)
        return told

    def _decisive_cells(self, location: Location) -> list[dict[str, Any]]:
        prior = self._locator.prior
        if self._before is None:
            self._before = cell_shares(prior.mixture)
        return [cell._asdict() for cell in decisive_cells(location, prior, before=self._before)]


def _bare(location: Location) -> dict[str, Any]:
    """An answer without regions, which take time to draw and may not be told."""
    return {
        "countries": [share._asdict() for share in location.countries],
        "states": [share._asdict() for share in location.states],
        "p_within_km": {f"{radius:g}": p for radius, p in location.p_within_km.items()},
        "information_bits": location.information_bits,
        "prior_share": location.prior_share,
        "abstain": location.abstain,
        "abstain_reason": location.abstain_reason,
        "is_calibrated": location.is_calibrated,
    }
