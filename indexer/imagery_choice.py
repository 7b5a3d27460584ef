"""Which of the pictures around a point shows the view that is wanted."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..encoders.sphere import great_circle_km
from .imagery_providers.provider import Found
from .imagery_views import View


@dataclass(frozen=True)
class Reach:
    """How far a picture may be from what is wanted.

    Attributes:
        radius_m: between its place and the point.
        max_turn_deg: between its heading and the one wanted.
        with_panoramas: whether panoramas are taken, which show every heading, bent.
    """

    radius_m: float = 50.0
    max_turn_deg: float = 45.0
    with_panoramas: bool = False


@dataclass(frozen=True)
class Choice:
    """A picture, and how far it is from what is wanted."""

    found: Found
    distance_m: float
    turn_deg: float


def choices(view: View, found: Iterable[Found], reach: Reach) -> list[Choice]:
    """The pictures within reach of a view, the best first.

    Distance and turn count alike, each as a share of the most that is allowed. A picture that tells no
    heading counts as turned as far as is allowed: it comes after those that are known to fit.
    """
    wanted = []
    for one in found:
        if one.is_panorama and not reach.with_panoramas:
            continue
        seen = one.facing(view.heading_deg) if one.is_turnable else one
        place, point = np.array([seen.lon, seen.lat]), np.array([view.lon, view.lat])
        choice = Choice(seen, 1000.0 * float(great_circle_km(place, point)), _turn_deg(view, seen, reach))
        if choice.distance_m <= reach.radius_m and choice.turn_deg <= reach.max_turn_deg:
            wanted.append(choice)
    return sorted(
        wanted,
        key=lambda one: (one.distance_m / reach.radius_m + one.turn_deg / reach.max_turn_deg, one.found.id),
    )


def _turn_deg(view: View, found: Found, reach: Reach) -> float:
    """The angle between the heading wanted and the one that a picture has, [0, 180]."""
    if view.heading_deg is None or found.is_panorama:
        return 0.0
    if found.heading_deg is None:
        return reach.max_turn_deg
    turn = abs(view.heading_deg - found.heading_deg) % 360.0
    return min(turn, 360.0 - turn)
