"""Panoramax, by its STAC API (STAC API 1.0, item search; https://docs.panoramax.fr).

Form: ``GET {base}/api/search?bbox=west,south,east,north&limit=…``, an answer that is a GeoJSON
FeatureCollection with the next page under ``links``, ``rel`` "next". There are many servers, so the user
names one: https://api.panoramax.xyz knows of the pictures of all of them. A picture's heading is
``view:azimuth``, its author ``geovisio:producer``, its licence the one of the item or its collection; a
panorama has a field of view of 360 degrees. Of its files ``sd`` is taken, 2048 pixels wide.
"""

from typing import Any
from urllib.parse import urlsplit

from ...encoders.errors import InvalidOption, NoImagery
from ...encoders.photo import parse_time
from ..imagery_http import Params
from .provider import Found, OpenImagery, Terms, boxes_around, told_pictures

PICTURE_HOSTS = (
    ".panoramax.xyz", "panoramax.ign.fr", "panoramax.openstreetmap.fr", ".panoramax.openstreetmap.fr",
)  # fmt: skip
PAUSE_S = 0.5
PAGE = 100
MAX_PAGES = 20
EXAMPLE = "https://api.panoramax.xyz"


class Panoramax(OpenImagery):
    """Pictures of one Panoramax server, or of all that it knows.

    Args:
        base_url: of the server, without /api.
        picture_hosts: more hosts that its pictures may come from.

    Raises:
        InvalidOption: no server is named.
    """

    name = "panoramax"
    needs_key = False
    terms = Terms(
        "Panoramax: each picture has its own licence, mostly CC BY-SA 4.0 or Licence Ouverte 2.0; it is in "
        "the manifest, with the author to name.",
        "https://docs.panoramax.fr",
    )

    def __init__(self, *, base_url: str, picture_hosts: tuple[str, ...] = ()) -> None:
        self._base_url = base_url.rstrip("/").removesuffix("/api")
        host = urlsplit(base_url).hostname
        if not host:
            raise InvalidOption(f"Panoramax is many servers: name one with --base-url, such as {EXAMPLE}")
        super().__init__({host, *PICTURE_HOSTS, *picture_hosts}, pause_s=PAUSE_S)

    def find(self, point: tuple[float, float], radius_m: float) -> list[Found]:
        """The pictures in the box around a circle, page by page."""
        features: list[dict[str, Any]] = []
        for box in boxes_around(point, radius_m):
            features += self._in_box(",".join(f"{edge:.7f}" for edge in box))
        return told_pictures(features, _found)

    def _in_box(self, bbox: str) -> list[dict[str, Any]]:
        features: list[dict[str, Any]] = []
        url = f"{self._base_url}/api/search"
        asked: Params | None = {"bbox": bbox, "limit": PAGE}
        for _ in range(MAX_PAGES):
            answer = self._http.json(url, asked)
            rows = answer.get("features") if isinstance(answer, dict) else None
            if not isinstance(rows, list):
                raise NoImagery(f"{urlsplit(url).hostname} answered without a list of pictures")
            features += [row for row in rows if isinstance(row, dict)]
            following = _next_page(answer)
            if following is None or not rows:
                break
            url, asked = following, None  # the link holds the question already
        return features


def _next_page(answer: dict[str, Any]) -> str | None:
    links = [link for link in answer.get("links") or [] if isinstance(link, dict)]
    return next((str(link["href"]) for link in links if link.get("rel") == "next" and link.get("href")), None)


def _found(feature: dict[str, Any]) -> Found | None:
    """An item of an answer; None where it lacks a place or a file."""
    told = feature.get("properties") or {}
    lonlat = (feature.get("geometry") or {}).get("coordinates")
    assets = feature.get("assets") or {}
    url = (assets.get("sd") or assets.get("hd") or {}).get("href")
    if not isinstance(lonlat, list) or len(lonlat) < 2 or not url or not feature.get("id"):
        return None
    moment, heading = parse_time(told.get("datetime")), told.get("view:azimuth")
    view_deg = (told.get("pers:interior_orientation") or {}).get("field_of_view") or 0
    pages = {link.get("rel"): link.get("href") for link in feature.get("links") or []}
    author = told.get("geovisio:producer") or "a contributor"
    return Found(
        id=str(feature["id"]),
        lon=float(lonlat[0]),
        lat=float(lonlat[1]),
        heading_deg=None if heading is None else float(heading) % 360.0,
        captured="" if moment is None else moment.isoformat(),
        sequence=str(feature.get("collection") or ""),
        attribution=f"{author}, Panoramax",
        licence=str(told.get("license") or "see its collection"),
        page_url=str(pages.get("self") or ""),
        picture_url=str(url),
        is_panorama=float(view_deg) >= 360.0,
    )
