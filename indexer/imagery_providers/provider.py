"""What all providers of pictures offer, and what they tell of a picture.

No address that needs or carries a key is ever kept: `Found.page_url` is for people to look at, and
`Found.picture_url` lives no longer than the run.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ...encoders.areas import Box
from ...encoders.errors import InvalidCoordinate
from ...encoders.sphere import EARTH_RADIUS_KM, as_lonlat
from ..imagery_http import PoliteClient


@dataclass(frozen=True, kw_only=True)
class Found:
    """A picture that a provider has."""

    id: str  # the provider's
    lon: float
    lat: float
    heading_deg: float | None = None  # clockwise from north, [0, 360); None: not told
    captured: str = ""  # ISO 8601 as far as it is told: a moment in UTC, or a month such as 2019-05
    sequence: str = ""  # the drive or walk that it belongs to
    attribution: str = ""  # whom to name
    licence: str = ""
    page_url: str = ""  # where people look at it
    picture_url: str = ""  # where its bytes are, for now
    is_panorama: bool = False  # all 360 degrees in one picture
    is_turnable: bool = False  # the provider draws it in any direction that is asked for

    def facing(self, heading_deg: float | None) -> "Found":
        """A turnable picture as it is seen in one direction, north where none is asked for."""
        heading_deg = (heading_deg or 0.0) % 360.0
        return replace(self, id=f"{self.id}@{heading_deg:.1f}", heading_deg=heading_deg, is_turnable=False)


@dataclass(frozen=True)
class Terms:
    """What one may do with a provider's pictures.

    Attributes:
        text: in a few words, for whoever is about to fetch some.
        url: of the terms themselves.
        needs_permission: whether storing them takes more than keeping to a licence.
    """

    text: str
    url: str
    needs_permission: bool = False


class Provider(Protocol):
    """A source of pictures. `find` and `download` raise `NoImagery`, and `ImageryRefused` to end a run."""

    name: str
    terms: Terms
    needs_key: bool

    def find(self, point: tuple[float, float], radius_m: float) -> list[Found]:
        """The pictures around a point (lon, lat), in any order; some may lie beyond the radius."""
        ...

    def download(self, found: Found, max_bytes: int) -> bytes:
        """The file of a picture just found."""
        ...

    def cost(self, n: int) -> float:
        """What n downloads cost, US dollars at the list price."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class OpenImagery:
    """What providers have in common whose pictures cost nothing and lie where `find` said.

    Args:
        hosts: that may be asked, and that pictures may come from.
        pause_s: between two requests, seconds.
    """

    def __init__(self, hosts: Iterable[str], *, pause_s: float) -> None:
        self._http = PoliteClient(set(hosts), pause_s=pause_s)

    def download(self, found: Found, max_bytes: int) -> bytes:
        """The file of a picture just found."""
        return self._http.content(found.picture_url, max_bytes=max_bytes)

    def cost(self, n: int) -> float:
        """Nothing."""
        return 0.0

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def told_pictures(
    rows: Iterable[dict[str, Any]], read: Callable[[dict[str, Any]], Found | None]
) -> list[Found]:
    """The pictures that rows of an answer tell of; rows that tell of none that can be used are passed over.

    Args:
        rows: as the server sent them, whatever that is.
        read: makes a picture of one; None where it lacks a place or a file.
    """
    found = []
    for row in rows:
        try:
            picture = read(row)
            if picture is not None:
                as_lonlat([picture.lon, picture.lat])
                found.append(picture)
        except (AttributeError, InvalidCoordinate, KeyError, OverflowError, TypeError, ValueError):
            continue  # one odd row must not cost the others
    return found


def boxes_around(point: tuple[float, float], radius_m: float) -> list[tuple[float, float, float, float]]:
    """The box around a circle, cut at the antimeridian: one or two of west, south, east, north.

    Args:
        point: (lon, lat) of the center.
        radius_m: along great circles. A circle that holds a pole gets a box all around it.
    """
    lon, lat = point
    angle_deg = float(np.rad2deg(radius_m / 1000.0 / EARTH_RADIUS_KM))
    south, north = max(-90.0, lat - angle_deg), min(90.0, lat + angle_deg)
    if abs(lat) + angle_deg >= 90.0:
        return [(-180.0, south, 180.0, north)]
    # The circle is widest nearer to the pole than its center: there sin(turn) = sin(angle) / cos(lat).
    turn = np.sin(np.deg2rad(angle_deg)) / np.cos(np.deg2rad(lat))
    turn_deg = float(np.rad2deg(np.arcsin(min(1.0, turn))))
    box = Box(lon - turn_deg, south, lon + turn_deg, north)
    return [(west, south, east, north) for west, east in box.spans]
