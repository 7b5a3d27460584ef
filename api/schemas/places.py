"""Places and areas over HTTP. All coordinates are degrees, WGS84."""

from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
import shapely
from pydantic import Field, Strict, model_validator

from ...encoders.areas import Area, Box, Circle, Polygon
from ...encoders.errors import InvalidFilter
from .base import Answer, Request

Lon: TypeAlias = Annotated[float, Field(ge=-360.0, le=360.0, examples=[139.767])]
Lat: TypeAlias = Annotated[float, Field(ge=-90.0, le=90.0, examples=[35.681])]
ExactLon: TypeAlias = Annotated[Lon, Strict()]
ExactLat: TypeAlias = Annotated[Lat, Strict()]
"""In JSON, where a coordinate is a number: a text or ``true`` in its place is a mistake, and not 12 or 1."""

MAX_VERTICES = 5_000
MAX_TANGLED = 60
"""Vertices of rings that may cross themselves; a bow-tie drawn by hand has some ten."""


class Place(Request):
    """A point on the Earth."""

    lon: ExactLon
    """Degrees east."""
    lat: ExactLat
    """Degrees north."""


class CircleArea(Place):
    """All places within a distance of a center."""

    kind: Literal["circle"] = "circle"
    radius_km: Annotated[float, Field(gt=0.0, le=20_020.0, examples=[25.0])]
    """Along great circles, kilometers."""

    def area(self) -> Area:
        """The area itself."""
        return Circle(self.lon, self.lat, self.radius_km)


class BoxArea(Request):
    """From west eastward to east, and from south up to north; across the antimeridian where west > east."""

    kind: Literal["box"] = "box"
    west: ExactLon
    south: ExactLat
    east: ExactLon
    north: ExactLat

    def area(self) -> Area:
        """The area itself."""
        return Box(self.west, self.south, self.east, self.north)


class PolygonArea(Request):
    """Polygons as GeoJSON (RFC 7946); an edge goes the short way around the Earth."""

    kind: Literal["polygon"] = "polygon"
    geojson: dict[str, Any]
    """A Polygon, a MultiPolygon, or a Feature or collection of them; 5,000 vertices at most."""

    @model_validator(mode="after")
    def _is_not_endless(self) -> "PolygonArea":
        if count_vertices(self.geojson) > MAX_VERTICES:
            raise ValueError(f"the polygon has more than {MAX_VERTICES:,} vertices; simplify it")
        return self

    def area(self) -> Area:
        """The area itself. It may take a while: call it beside the event loop."""
        if _n_tangled(self.geojson) > MAX_TANGLED:
            raise InvalidFilter("geojson: its rings cross themselves in many places; simplify them")
        try:
            return Polygon.from_geojson(self.geojson)
        except (TypeError, AttributeError, KeyError, RecursionError):
            raise InvalidFilter("geojson: not a GeoJSON polygon") from None


AnyArea: TypeAlias = Annotated[CircleArea | BoxArea | PolygonArea, Field(discriminator="kind")]


class PlaceOut(Answer):
    """A point on the Earth."""

    lon: float
    """Degrees east."""
    lat: float
    """Degrees north."""


def _n_tangled(geojson: Any) -> int:
    """Vertices of rings that cross themselves: to mend them takes time that grows with their square."""
    n, waiting = 0, [geojson]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            if item and all(isinstance(one, list) and _is_position(one) for one in item):
                ring = np.array([one[:2] for one in item], np.float64)
                ring[:, 0] = np.unwrap(ring[:, 0], period=360.0)
                if len(ring) > 3 and not shapely.is_simple(shapely.LineString(ring)):
                    n += len(ring)
            else:
                waiting += item
    return n


def _is_position(item: list[Any]) -> bool:
    return len(item) >= 2 and all(isinstance(one, int | float) and abs(one) < 1e6 for one in item[:2])


def count_vertices(geojson: Any) -> int:
    """Pairs of numbers in a GeoJSON object, whatever it is; without recursion, for it is not trusted."""
    n, waiting = 0, [geojson]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list):
            if item and isinstance(item[0], int | float):
                n += 1
            else:
                waiting += item
    return n
