"""Places as they go over HTTP: pairs of numbers, or anything found with a place of its own."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from ..encoders.errors import InvalidCoordinate
from ..encoders.sphere import as_lonlat


@runtime_checkable
class Placed(Protocol):
    """Something with a place, such as a place that was found."""

    @property
    def lon(self) -> float | None:
        """Degrees east."""
        ...

    @property
    def lat(self) -> float | None:
        """Degrees north."""
        ...


PlaceLike: TypeAlias = tuple[float, float] | Placed
"""(lon, lat) degrees, or something with ``lon`` and ``lat``."""


def places_json(places: PlaceLike | Sequence[PlaceLike]) -> list[dict[str, float]]:
    """One place or several, as JSON.

    Raises:
        InvalidCoordinate: one that is not on Earth, or has no place.
    """
    given: Any = places
    is_pair = isinstance(given, tuple) and len(given) == 2 and all(isinstance(x, int | float) for x in given)
    several = [given] if is_pair or isinstance(given, Placed) else list(given)
    return [_place(one) for one in several]


def _place(one: Any) -> dict[str, float]:
    pair: Any = (one.lon, one.lat) if isinstance(one, Placed) else one
    if None in tuple(pair):
        raise InvalidCoordinate(
            "this place has no coordinates; under a coarse cap a service does not tell them"
        )
    lon, lat = as_lonlat(pair).tolist()
    return {"lon": lon, "lat": lat}
