"""Sensitive areas: shelters, breeding grounds, homes, whatever an operator will not have pointed at.

Photos within such an area have no place as far as the service is concerned: they are in no search by
place, on no map, and speak for no location. An answer that leads into one is told by country alone.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...encoders.areas import Area, Polygon, load_area
from ...encoders.errors import InvalidFilter, PlaceprintError
from ...indexer.filters import Filter
from ...indexer.geolocate import Location
from .service_settings import InvalidSettings

MOST_SHARE = 0.05
"""Of the probability that may lie within sensitive areas before an answer is told by country alone."""

_N_SAMPLES = 1024


class SensitiveAreas:
    """Areas of which the service does not speak.

    Args:
        path: of their GeoJSON file; None for no areas.

    Raises:
        InvalidSettings: the file cannot be read.
    """

    def __init__(self, path: Path | None) -> None:
        try:
            self.area: Polygon | None = None if path is None else load_area(path)
        except PlaceprintError as error:
            raise InvalidSettings(f"PLACEPRINT_SENSITIVE_AREAS: {error}") from None

    def holds(self, lon: float | None, lat: float | None) -> bool:
        """Whether a place lies within one."""
        if self.area is None or lon is None or lat is None:
            return False
        return bool(self.area.contains(np.array([lon, lat])))

    def hidden(self, filter: Filter) -> Filter:
        """A filter of photos by place that passes over those within.

        Only photos of known place pass what is made here; use it where places are asked for.
        """
        if self.area is None:
            return filter
        return replace(filter, exclude_within=_united(self.area, filter.exclude_within))

    def is_led_to(self, location: Location) -> bool:
        """Whether an answer points into one."""
        if self.area is None:
            return False
        points = [(location.lon, location.lat), location.mode, location.geoscore_point, location.median_point]
        if self.area.contains(np.array(points)).any():
            return True
        samples = location.surface.sample(_N_SAMPLES)
        return float(self.area.contains(samples).mean()) > MOST_SHARE


def _united(area: Polygon, other: Area | None) -> Polygon:
    if other is None:
        return area
    both: dict[str, Any] = {
        "type": "GeometryCollection",
        "geometries": [area.to_geojson(), other.to_geojson()],
    }
    try:
        return Polygon.from_geojson(both)
    except PlaceprintError as error:
        raise InvalidFilter(f"exclude_within: {error}") from None
