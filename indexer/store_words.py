"""A filter in the words of a store, which each store has of its own.

Qdrant's traps are closed here: polygons come cut where the map ends and keep what lies on that edge;
boxes and circles keep their edges, which Qdrant's own do not, and wide circles lose nothing.
"""

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

import shapely

from ..encoders.areas import Area, Box, Circle
from ..encoders.errors import InvalidFilter
from ..encoders.sphere import EARTH_RADIUS_KM
from .filters import Filter

PLACE, CAPTURED_AT, GROUP = "_place", "_captured_at", "_group"
WIDE_KM = 200.0
"""Radius above which a circle is not left to the engine's index of places (Qdrant Edge 0.9).

Of 98,304 photos it lost 12 in all within 4 of about 580 circles of 1,000 to 6,000 km, and none within 300
circles of up to 500 km.
"""


class Words(Protocol):
    """What a filter is put into; conditions are of the store's own types."""

    filter: Any
    """Made of ``must``, ``should`` and ``must_not``, lists of conditions."""

    def is_empty(self, key: str) -> Any:
        """A field is missing."""

    def any_of(self, key: str, values: Sequence[Any]) -> Any:
        """A field has one of some values."""

    def equals(self, key: str, value: Any) -> Any:
        """A field has a value."""

    def between(self, key: str, low: float | None, high: float | None) -> Any:
        """A number lies between two, or is one of them."""

    def during(self, key: str, start: datetime | None, end: datetime | None) -> Any:
        """A moment from one on, and before another."""

    def has_id(self, ids: Sequence[str]) -> Any:
        """The point is one of some."""

    def radius(self, key: str, lon: float, lat: float, radius_m: float) -> Any:
        """A place is nearer than so many meters."""

    def polygon(self, key: str, exterior: Sequence[Any], holes: Sequence[Sequence[Any]]) -> Any:
        """A place lies in a polygon of (lon, lat) rings."""


def translate(filter: Filter, words: Words) -> Any:
    """A filter in a store's own words; None when it lets everything through."""
    if filter.is_empty:
        return None
    must = [_equal(words, key, value) for key, value in filter.where.items()]
    must_not: list[Any] = []
    if filter.within is not None:
        must.append(_inside(words, filter.within))
    if filter.near is not None:
        must.append(_inside(words, filter.near))
    if filter.captured_from or filter.captured_until:
        must.append(words.during(CAPTURED_AT, filter.captured_from, filter.captured_until))
    if filter.is_placed is not None:
        (must_not if filter.is_placed else must).append(words.is_empty(PLACE))
    if filter.groups is not None:
        must.append(words.any_of(GROUP, sorted(filter.groups)))
    if filter.exclude_ids:
        must_not.append(words.has_id(sorted(filter.exclude_ids)))
    if filter.exclude_groups:
        must_not.append(words.any_of(GROUP, sorted(filter.exclude_groups)))
    if filter.exclude_within is not None:
        must_not.append(_inside(words, filter.exclude_within))
    return words.filter(must=must or None, must_not=must_not or None)


def _equal(words: Words, key: str, value: Any) -> Any:
    if key.startswith("_"):
        raise InvalidFilter(f"--where {key}: names that begin with an underscore are the store's own")
    if not re.fullmatch(r"\w+", key):
        raise InvalidFilter(f"--where {key}: a field's name has letters, digits and _ only")
    values = [value] if isinstance(value, str | int | float) else list(value)
    if any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in values):
        raise InvalidFilter(f"--where {key}: {value} is beyond 64 bits; put it in quotes to compare texts")
    conditions = [condition for v in values for condition in _same(words, key, v)]
    return conditions[0] if len(conditions) == 1 else words.filter(should=conditions)


def _same(words: Words, key: str, value: Any) -> list[Any]:
    """Conditions of which one holds: 12 may be stored as 12, as 12.0 or as the text 12."""
    if isinstance(value, bool):  # kept as texts: Edge finds no booleans
        return [words.equals(key, str(value).lower())]
    if isinstance(value, str):
        return [words.equals(key, value)]
    as_number = words.between(key, float(value), float(value))
    return (
        [as_number]
        if isinstance(value, float)
        else [words.equals(key, value), as_number, words.equals(key, str(value))]
    )


def _inside(words: Words, area: Area) -> Any:
    if isinstance(area, Circle):
        # Qdrant's circle is open, ours is closed: a millimeter, and the rounding of its own radius.
        radius_m = 1000.0 * area.radius_km * (1 + 1e-12) + 1e-3
        circle = words.radius(PLACE, area.lon, area.lat, radius_m)
        return circle if area.radius_km <= WIDE_KM else _inside_wide(words, area, circle)
    if isinstance(area, Box):
        return _inside_box(words, area)
    parts = [part for piece in area.pieces for part in _halves(piece)]
    pieces = [
        words.polygon(PLACE, _ring(part.exterior), [_ring(hole) for hole in part.interiors]) for part in parts
    ]
    return words.filter(should=pieces + [edge for part in parts for edge in _outer_edges(words, part)])


def _inside_wide(words: Words, circle: Circle, inside: Any) -> Any:
    """A wide circle, for which the engine's index of places loses some that lie in it.

    The box around it is looked up instead. What is denied twice is no condition by which the engine looks
    anything up: it measures the distance of each place in the box.
    """
    nearly = words.filter(must_not=[words.filter(must_not=[inside])])
    return words.filter(must=[_inside_box(words, _box_around(circle)), nearly])


def _box_around(circle: Circle) -> Box:
    """The box of a circle's places, a little wider; around the world where a pole is among them."""
    angle = circle.radius_km / EARTH_RADIUS_KM + 1e-9
    south, north = circle.lat - math.degrees(angle), circle.lat + math.degrees(angle)
    if south <= -90.0 or north >= 90.0:
        return Box(-180.0, max(south, -90.0), 180.0, min(north, 90.0))
    widest = math.asin(min(1.0, math.sin(angle) / math.cos(math.radians(circle.lat))))
    half = math.degrees(widest) + 1e-6
    return Box(circle.lon - half, south, circle.lon + half, north)


def _halves(piece: shapely.Polygon) -> list[shapely.Polygon]:
    """A polygon that spans all longitudes as two; Qdrant takes one from -180 to 180 for empty."""
    west, _, east, _ = piece.bounds
    if east - west < 360.0:
        return [piece]
    sides = [shapely.box(-180.0, -90.0, 0.0, 90.0), shapely.box(0.0, -90.0, 180.0, 90.0)]
    halves = shapely.get_parts([shapely.intersection(piece, side) for side in sides])
    return [half for half in halves if half.geom_type == "Polygon"]


def _ring(ring: shapely.LinearRing) -> list[tuple[float, float]]:
    """Corners as lon, lat; those at the north pole 0.1 mm short of it, or Qdrant finds nothing."""
    return [(lon, min(lat, 90.0 - 1e-9)) for lon, lat in ring.coords]


def _outer_edges(words: Words, part: shapely.Polygon) -> list[Any]:
    """Where the map ends, not the polygon: its edges along the antimeridian, and the poles it holds."""
    west, south, east, north = part.bounds
    edges = [words.between("_place.lat", pole, pole) for pole in (south, north) if abs(pole) == 90.0]
    for meridian in {west, east} & {-180.0, 180.0}:
        line = shapely.LineString([(meridian, -90.0), (meridian, 90.0)])
        for stretch in shapely.get_parts(shapely.intersection(part, line)):
            _, low, _, high = stretch.bounds
            seam = words.between("_place.lon", -180.0, -180.0)
            edges.append(words.filter(must=[seam, words.between("_place.lat", low, high)]))
    return edges


def _inside_box(words: Words, box: Box) -> Any:
    """A box as ranges of lon and lat: closed, and right at the poles and the antimeridian."""
    sides = [words.between("_place.lon", west, east) for west, east in box.spans]
    if any(east == 180.0 for _, east in box.spans):
        sides.append(words.between("_place.lon", -180.0, -180.0))  # the same meridian, as it is stored
    sides += [words.between("_place.lat", pole, pole) for pole in (box.south, box.north) if abs(pole) == 90.0]
    return words.filter(must=[words.between("_place.lat", box.south, box.north), words.filter(should=sides)])
