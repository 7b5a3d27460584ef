"""Photos as the gallery gives them, and as payloads of points in its store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import h3

from .record import Record
from .store import Found
from .store_words import CAPTURED_AT, GROUP, PLACE

H3_RESOLUTIONS = (3, 5, 7)  # cells of about 12,000, 250 and 5 km²


@dataclass(frozen=True, kw_only=True)
class Photo:
    """One indexed photo."""

    id: str
    image: str  # the key it was indexed under, usually a path
    lon: float | None = None
    lat: float | None = None
    captured_at: datetime | None = None
    group: str | None = None  # photos of one place, walk or series
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_placed(self) -> bool:
        """Whether it is known where the photo was taken."""
        return self.lon is not None


def payload_of(record: Record) -> dict[str, Any]:
    """What the store keeps of a ledger's row beside the embedding."""
    payload: dict[str, Any] = json.loads(record.payload)
    # Edge finds no booleans; as texts they are found on every store.
    payload = {
        key: str(v).lower() if isinstance(v, bool) else v
        for key, v in payload.items()
        if not key.startswith("_")  # such names are ours
    }
    payload["_image"] = record.key
    if record.captured_at is not None:
        payload[CAPTURED_AT] = record.captured_at.isoformat()
        payload.setdefault("year", record.captured_at.year)
        payload.setdefault("month", record.captured_at.month)
    group = record.group
    if record.lon is not None and record.lat is not None:
        payload[PLACE] = {"lon": record.lon, "lat": record.lat}
        for resolution in H3_RESOLUTIONS:
            payload[f"_h3_{resolution}"] = h3.latlng_to_cell(record.lat, record.lon, resolution)
        group = group or group_at(record.lon, record.lat)
    if group is not None:
        payload[GROUP] = group
    return payload


def group_at(lon: float, lat: float) -> str:
    """The group of a photo whose source names none: the H3 cell of some 250 km² around its place."""
    return str(h3.latlng_to_cell(lat, lon, 5))


def group_or_itself(photo: Photo) -> str:
    """The group that its source names stands for a photo, such as a walk; without one the photo itself."""
    if photo.group is None or photo.lon is None or photo.lat is None:
        return photo.group or photo.id
    is_ours = photo.group == group_at(photo.lon, photo.lat)  # the area around, where nothing was named
    return photo.id if is_ours else photo.group


def photo_of(point: Found) -> Photo:
    """A point of the store as a photo."""
    payload = point.payload
    place = payload.get(PLACE) or {}
    captured_at = payload.get(CAPTURED_AT)
    return Photo(
        id=point.id,
        image=payload.get("_image", ""),
        lon=place.get("lon"),
        lat=place.get("lat"),
        captured_at=datetime.fromisoformat(captured_at) if captured_at else None,
        group=payload.get(GROUP),
        payload={key: value for key, value in payload.items() if not key.startswith("_")},
    )
