"""One method's answers against the truth, photo by photo, and the scores of single errors.

Distances are great-circle km. Letters: Q photos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoders.places import load_places
from ..encoders.sphere import great_circle_km
from .geolocate import GEOSCORE_KM, RADII_KM, Location
from .surface import Floats

Names = tuple[NDArray[np.object_], NDArray[np.object_]]


@dataclass(frozen=True, eq=False)
class Row:
    """One method, photo by photo; arrays are (Q,).

    Attributes:
        name: of the method.
        error_km: great-circle distance from its answer to the truth.
        geoscore: 5000 for no error.
        bits: log2 of its density at the truth, less the prior's; NaN where it states none.
        country_hit: whether it names the right country; so does `state_hit`.
    """

    name: str
    error_km: Floats
    geoscore: Floats
    bits: Floats
    country_hit: NDArray[np.bool_]
    state_hit: NDArray[np.bool_]

    def columns(self, *, is_inclusive: bool = True) -> dict[str, Floats]:
        """What is averaged over photos, by the name of the figure.

        Args:
            is_inclusive: whether an error of exactly a radius is within it.
        """
        within = {
            f"within_{radius:g}_km": is_within(self.error_km, radius, is_inclusive=is_inclusive)
            for radius in RADII_KM
        }
        return {name: hit.astype(np.float64) for name, hit in within.items()} | {
            "mean_km": self.error_km,
            "geoscore": self.geoscore,
            "country": self.country_hit.astype(np.float64),
            "state": self.state_hit.astype(np.float64),
            "bits": self.bits,
        }


def geoscore(error_km: Floats) -> Floats:
    """The game's score without its rounding, 5000 e^{−d/1492.7}: 0 km is 5000 points."""
    score: Floats = 5000.0 * np.exp(-np.asarray(error_km) / GEOSCORE_KM)
    return score


def is_within(error_km: Floats, radius_km: float, *, is_inclusive: bool = True) -> NDArray[np.bool_]:
    """Whether each error is of the radius or less; less, where the radius itself does not count."""
    error_km = np.asarray(error_km)
    return error_km <= radius_km if is_inclusive else error_km < radius_km


def share_within(error_km: Floats, radius_km: float, *, is_inclusive: bool = True) -> float:
    """Share of errors of `radius_km` or less; less, where the radius itself does not count."""
    return float(np.mean(is_within(error_km, radius_km, is_inclusive=is_inclusive)))


def row_of(name: str, truth: Floats, points: Floats, bits: Floats, names: Names | None = None) -> Row:
    """A method's row.

    Args:
        name: of the method.
        truth: places of the photos, (Q, 2).
        points: its answers, (Q, 2).
        bits: see `Row`, (Q,).
        names: countries and states it answers; by default those of its points.
    """
    country, state = names if names is not None else names_at(points)
    true_country, true_state = names_at(truth)
    error_km = great_circle_km(points, truth)
    return Row(name, error_km, geoscore(error_km), bits, country == true_country, state == true_state)


def names_at(lonlat: Floats) -> Names:
    """Country code, and code with state, of the place nearest to each point, (n, 2) -> (n,) each."""
    places = load_places()
    index = places.nearest(lonlat).index
    code = places.country_code[index]
    return code, np.array([f"{a} {b}" for a, b in zip(code, places.state[index], strict=True)], dtype=object)


def named_answers(locations: Sequence[Location]) -> Names:
    """The most probable country and state of each photo that are not the remote."""
    country = [next((share.code for share in one.countries if share.code), "") for one in locations]
    state = [
        next((f"{share.code} {share.name}" for share in one.states if share.code), "") for one in locations
    ]
    return np.array(country, dtype=object), np.array(state, dtype=object)
