"""Google Street View, by the Street View Static API (https://developers.google.com/maps/documentation/streetview).

**Its terms forbid to store pictures and to train on them, unless Google permits it in writing.** Whoever
has that permission may fetch here; nobody else.

Form: ``GET /maps/api/streetview/metadata?location=lat,lon&radius=&source=outdoor&key=``, free of charge,
tells whether there is a panorama, its id, place, month and copyright; ``GET /maps/api/streetview?pano=
&heading=&fov=&size=&return_error_code=true&key=`` draws it and is paid for. Requests may carry a
``signature``: HMAC-SHA1 of path and query with the signing secret, both in URL-safe base64. The location
is written latitude first.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Any
from urllib.parse import urlencode, urlsplit

from ...encoders.errors import ImageryRefused, InvalidOption, NoImagery
from ..imagery_http import Params, PoliteClient
from .provider import Found, Terms

BASE_URL = "https://maps.googleapis.com"
METADATA, IMAGE = "/maps/api/streetview/metadata", "/maps/api/streetview"
PAUSE_S = 0.1  # 600 a minute, of 30,000 that are allowed
SIZE_PX = 640  # the largest that there is
FIELD_OF_VIEW_DEG = 90
DOLLARS_EACH = 0.007  # up to 100,000 a month, without the free part; seen in 2025
NONE_HERE = frozenset({"ZERO_RESULTS", "NOT_FOUND"})
REFUSED = frozenset({"REQUEST_DENIED", "OVER_QUERY_LIMIT"})


class StreetView:
    """Views cut from Google's panoramas, 640 pixels, in any direction.

    Args:
        key: of Google Maps Platform.
        signing_secret: to sign requests with, as the Cloud console shows it.
        base_url: of the API.

    Raises:
        InvalidOption: the secret is no base64.
    """

    name = "street-view"
    needs_key = True
    terms = Terms(
        "Google Street View: the terms of Google Maps Platform forbid to store its pictures, to index them "
        "and to train models on them. Fetch them only with Google's permission in writing; each is paid for.",
        "https://cloud.google.com/maps-platform/terms",
        needs_permission=True,
    )

    def __init__(self, key: str, *, signing_secret: str | None = None, base_url: str = BASE_URL) -> None:
        try:
            self._secret = base64.urlsafe_b64decode(signing_secret) if signing_secret else None
        except (binascii.Error, ValueError):
            raise InvalidOption(
                "PLACEPRINT_GOOGLE_MAPS_SIGNING_SECRET is no URL-safe base64; copy it anew"
            ) from None
        self._base_url, self._key = base_url.rstrip("/"), key
        self._http = PoliteClient({urlsplit(base_url).hostname or ""}, pause_s=PAUSE_S)

    def find(self, point: tuple[float, float], radius_m: float) -> list[Found]:
        """The panorama nearest to a point, if there is one: it can be seen in any direction."""
        lon, lat = point
        asked: Params = {
            "location": f"{lat:.7f},{lon:.7f}",
            "radius": max(1, round(radius_m)),
            "source": "outdoor",
        }
        told = self._http.json(self._address(METADATA, asked))
        status = str(told.get("status")) if isinstance(told, dict) else "no status"
        if status in NONE_HERE:
            return []
        if status in REFUSED:
            raise ImageryRefused(f"Google answered {status}: see the key, its restrictions and its quota")
        if status != "OK":
            raise NoImagery(f"Google answered {status}")
        return [_found(told)]

    def download(self, found: Found, max_bytes: int) -> bytes:
        """One view of a panorama; a panorama that is no more is an error, and no gray picture."""
        asked: Params = {
            "pano": found.id.rpartition("@")[0], "heading": f"{found.heading_deg or 0.0:.1f}", "pitch": 0,
            "fov": FIELD_OF_VIEW_DEG, "size": f"{SIZE_PX}x{SIZE_PX}", "return_error_code": "true",
        }  # fmt: skip
        return self._http.content(self._address(IMAGE, asked), max_bytes=max_bytes)

    def cost(self, n: int) -> float:
        """At the list price, without what is free each month."""
        return n * DOLLARS_EACH

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _address(self, path: str, asked: Params) -> str:
        """An address with the key, signed where there is a secret."""
        unsigned = f"{path}?{urlencode({**asked, 'key': self._key})}"
        signature = "" if self._secret is None else f"&signature={signature_of(unsigned, self._secret)}"
        return f"{self._base_url}{unsigned}{signature}"


def signature_of(path_and_query: str, secret: bytes) -> str:
    """The signature of a request, URL-safe base64.

    Args:
        path_and_query: all that follows the host.
        secret: the signing secret, decoded.
    """
    digest = hmac.new(secret, path_and_query.encode(), hashlib.sha1).digest()
    return base64.urlsafe_b64encode(digest).decode()


def _found(told: dict[str, Any]) -> Found:
    place = told.get("location") or {}
    try:
        lon, lat, id = float(place["lng"]), float(place["lat"]), str(told["pano_id"])
    except (KeyError, TypeError, ValueError):
        raise NoImagery("Google answered without a panorama's id and place") from None
    return Found(
        id=id, lon=lon, lat=lat, captured=str(told.get("date") or ""),
        attribution=str(told.get("copyright") or "© Google"), licence="Google Maps Platform terms",
        page_url=f"https://www.google.com/maps/@?api=1&map_action=pano&pano={id}", is_turnable=True,
    )  # fmt: skip
