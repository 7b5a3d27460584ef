"""Conditions in the words of a Qdrant server's client."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .store_words import Words


def server_words(models: Any) -> Words:
    """The words of a client.

    Args:
        models: of the client, ``qdrant_client.models``, which takes two seconds to import.
    """
    return _ServerWords(models)


class _ServerWords:
    def __init__(self, models: Any) -> None:
        self._models = models
        self.filter = models.Filter

    def _field(self, key: str, **condition: Any) -> Any:
        return self._models.FieldCondition(key=key, **condition)

    def is_empty(self, key: str) -> Any:
        return self._models.IsEmptyCondition(is_empty=self._models.PayloadField(key=key))

    def any_of(self, key: str, values: Sequence[Any]) -> Any:
        return self._field(key, match=self._models.MatchAny(any=list(values)))

    def equals(self, key: str, value: Any) -> Any:
        return self._field(key, match=self._models.MatchValue(value=value))

    def between(self, key: str, low: float | None, high: float | None) -> Any:
        return self._field(key, range=self._models.Range(gte=low, lte=high))

    def during(self, key: str, start: datetime | None, end: datetime | None) -> Any:
        return self._field(key, range=self._models.DatetimeRange(gte=start, lt=end))

    def has_id(self, ids: Sequence[str]) -> Any:
        return self._models.HasIdCondition(has_id=list(ids))

    def radius(self, key: str, lon: float, lat: float, radius_m: float) -> Any:
        center = self._models.GeoPoint(lon=lon, lat=lat)
        return self._field(key, geo_radius=self._models.GeoRadius(center=center, radius=radius_m))

    def polygon(self, key: str, exterior: Sequence[Any], holes: Sequence[Sequence[Any]]) -> Any:
        rings = [
            self._models.GeoLineString(points=[self._models.GeoPoint(lon=lon, lat=lat) for lon, lat in ring])
            for ring in (exterior, *holes)
        ]
        polygon = self._models.GeoPolygon(exterior=rings[0], interiors=rings[1:] or None)
        return self._field(key, geo_polygon=polygon)
