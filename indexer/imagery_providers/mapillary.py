"""Mapillary, by its Graph API v4 (https://www.mapillary.com/developer/api-documentation).

Form: ``GET /images?bbox=west,south,east,north&fields=…&limit=…``, the token in the header
``Authorization: OAuth …``, an answer ``{"data": [{…}]}``. A box must be smaller than 0.01 square degrees,
and of a box with more pictures than the limit only some are told: such a box is asked about in
quarters. Of the two positions and headings of a picture the computed one is taken where there is
one; ``captured_at`` is in milliseconds since 1970. Addresses of pictures hold for some hours only.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from ...encoders.errors import NoImagery
from ..imagery_http import Params
from .provider import Found, OpenImagery, Terms, boxes_around, told_pictures

BASE_URL = "https://graph.mapillary.com"
PICTURE_HOSTS = (".fbcdn.net", ".mapillary.com")
FIELDS = (
    "id", "geometry", "computed_geometry", "compass_angle", "computed_compass_angle", "captured_at",
    "sequence", "is_pano", "creator", "thumb_1024_url",
)  # fmt: skip
PAUSE_S = 0.1  # far below the 10,000 searches a minute that an application may make
LIMIT = 2000
BOX_DEG2 = 0.009  # below the 0.01 that are refused
SMALLEST_DEG = 2e-4  # 22 m: a box that holds too many pictures even then is taken as it is

BoxDeg = tuple[float, float, float, float]


class Mapillary(OpenImagery):
    """Pictures of Mapillary's contributors, 1024 pixels wide."""

    name = "mapillary"
    needs_key = True
    licence = "CC-BY-SA-4.0"
    terms = Terms(
        "Mapillary: pictures are CC BY-SA 4.0; name Mapillary and the author, and share what you make of "
        "them alike.",
        "https://www.mapillary.com/terms",
    )

    def __init__(self, token: str, *, base_url: str = BASE_URL) -> None:
        self._base_url = base_url.rstrip("/")
        host = urlsplit(base_url).hostname or ""
        super().__init__({host, *PICTURE_HOSTS}, pause_s=PAUSE_S)
        self._headers = {"Authorization": f"OAuth {token}"}

    def find(self, point: tuple[float, float], radius_m: float) -> list[Found]:
        """The pictures in the box around a circle."""
        rows = {
            str(row.get("id")): row
            for box in boxes_around(point, radius_m)
            for part in _small_enough(box)
            for row in self._in_box(part)
        }
        return told_pictures(rows.values(), _found)

    def _in_box(self, box: BoxDeg) -> list[dict[str, Any]]:
        asked: Params = {
            "bbox": ",".join(f"{edge:.7f}" for edge in box),
            "fields": ",".join(FIELDS),
            "limit": LIMIT,
        }
        answer = self._http.json(f"{self._base_url}/images", asked, headers=self._headers)
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise NoImagery("Mapillary answered without a list of pictures")
        if len(rows) < LIMIT or min(box[2] - box[0], box[3] - box[1]) < SMALLEST_DEG:
            return [row for row in rows if isinstance(row, dict)]
        return [row for quarter in _quarters(box) for row in self._in_box(quarter)]


def _found(row: dict[str, Any]) -> Found | None:
    """A row of an answer; None where it lacks a place or a file."""
    geometry = row.get("computed_geometry") or row.get("geometry") or {}
    lonlat, url = geometry.get("coordinates"), row.get("thumb_1024_url")
    if not isinstance(lonlat, list) or len(lonlat) < 2 or not url:
        return None
    computed, told = row.get("computed_compass_angle"), row.get("compass_angle")
    heading = computed if computed is not None else told
    moment, creator = row.get("captured_at"), row.get("creator") or {}
    author = creator.get("username") or "a contributor"
    return Found(
        id=str(row["id"]),
        lon=float(lonlat[0]),
        lat=float(lonlat[1]),
        heading_deg=None if heading is None else float(heading) % 360.0,
        captured="" if moment is None else datetime.fromtimestamp(moment / 1000.0, UTC).isoformat(),
        sequence=str(row.get("sequence") or ""),
        attribution=f"{author}, Mapillary",
        licence=Mapillary.licence,
        page_url=f"https://www.mapillary.com/app/?pKey={row['id']}",
        picture_url=str(url),
        is_panorama=bool(row.get("is_pano")),
    )


def _small_enough(box: BoxDeg) -> Iterator[BoxDeg]:
    """A box in parts that Mapillary answers about."""
    if (box[2] - box[0]) * (box[3] - box[1]) < BOX_DEG2:
        yield box
        return
    for quarter in _quarters(box):
        yield from _small_enough(quarter)


def _quarters(box: BoxDeg) -> list[BoxDeg]:
    """The two halves of a long box, or the four quarters of a square one."""
    west, south, east, north = box
    middle_lon, middle_lat = (west + east) / 2.0, (south + north) / 2.0
    columns = (
        [(west, middle_lon), (middle_lon, east)] if east - west >= (north - south) / 2.0 else [(west, east)]
    )
    rows = (
        [(south, middle_lat), (middle_lat, north)]
        if north - south >= (east - west) / 2.0
        else [(south, north)]
    )
    return [(left, bottom, right, top) for bottom, top in rows for left, right in columns]
