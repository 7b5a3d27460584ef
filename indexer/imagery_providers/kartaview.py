"""KartaView, by version 2 of its API (https://doc.kartaview.org).

Form: ``GET /2.0/photo/?lat=&lng=&radius=&page=&itemsPerPage=&join=sequence``, the radius in meters, an
answer ``{"status": {"apiCode": 600}, "result": {"data": [{…}], "hasMoreData": true}}``. A refusal comes
with HTTP status 200 and another ``apiCode``, 401 where the server wants a login. Numbers come as texts,
and ``shotDate`` has no time zone: it is taken as UTC, and may be hours off.
"""

from typing import Any
from urllib.parse import urlsplit

from ...encoders.errors import ImageryRefused, NoImagery
from ...encoders.photo import parse_time
from ..imagery_http import Params
from .provider import Found, OpenImagery, Terms, told_pictures

BASE_URL = "https://api.openstreetcam.org"
PICTURE_HOSTS = (".openstreetcam.org", ".kartaview.org")
PAUSE_S = 1.0  # nothing is published about how often one may ask
PAGE = 200
MAX_PAGES = 20
DONE, NEEDS_LOGIN = "600", ("401", "403")


class KartaView(OpenImagery):
    """Pictures of KartaView's contributors, as the server has processed them."""

    name = "kartaview"
    needs_key = False
    licence = "CC-BY-SA-4.0"
    terms = Terms(
        "KartaView: pictures are CC BY-SA 4.0; name KartaView and its contributors, and share what you make "
        "of them alike.",
        "https://kartaview.org/terms",
    )

    def __init__(self, *, base_url: str = BASE_URL) -> None:
        self._base_url = base_url.rstrip("/")
        host = urlsplit(base_url).hostname or ""
        super().__init__({host, *PICTURE_HOSTS}, pause_s=PAUSE_S)

    def find(self, point: tuple[float, float], radius_m: float) -> list[Found]:
        """The pictures within a radius, page by page."""
        lon, lat = point
        rows: list[dict[str, Any]] = []
        for page in range(1, MAX_PAGES + 1):
            asked: Params = {
                "lat": f"{lat:.7f}", "lng": f"{lon:.7f}", "radius": max(1, round(radius_m)), "page": page,
                "itemsPerPage": PAGE, "join": "sequence",
            }  # fmt: skip
            result = self._result(asked)
            data = result.get("data")
            if not isinstance(data, list):
                raise NoImagery("KartaView answered without a list of pictures")
            rows += [row for row in data if isinstance(row, dict)]
            if not result.get("hasMoreData") or not data:
                break
        return told_pictures(rows, _found)

    def _result(self, asked: Params) -> dict[str, Any]:
        answer = self._http.json(f"{self._base_url}/2.0/photo/", asked)
        status = answer.get("status") if isinstance(answer, dict) else None
        code = str(status.get("apiCode")) if isinstance(status, dict) else "no apiCode"
        if code in NEEDS_LOGIN:
            raise ImageryRefused(f"KartaView answers only to those who have logged in (apiCode {code})")
        result = answer.get("result") if code == DONE else None
        if not isinstance(result, dict):
            raise NoImagery(f"KartaView answered without pictures (apiCode {code})")
        return result


def _found(row: dict[str, Any]) -> Found | None:
    """A row of an answer; None where it lacks a place or a file."""
    lon, lat = _number(row.get("lng")), _number(row.get("lat"))
    url = row.get("fileurlProc") or row.get("fileurlLTh")
    if lon is None or lat is None or not url or not row.get("id"):
        return None
    sequence = row.get("sequence") or {}
    user = row.get("user") or sequence.get("user") or {}
    sequence_id = str(row.get("sequenceId") or sequence.get("id") or "")
    heading, moment = _number(row.get("heading")), parse_time(row.get("shotDate"))
    author = user.get("username") or "a contributor"
    return Found(
        id=str(row["id"]),
        lon=lon,
        lat=lat,
        heading_deg=None if heading is None else heading % 360.0,
        captured="" if moment is None else moment.isoformat(),
        sequence=sequence_id,
        attribution=f"{author}, KartaView",
        licence=KartaView.licence,
        page_url=f"https://kartaview.org/details/{sequence_id}/{row.get('sequenceIndex') or 0}/track-info",
        picture_url=str(url),
        is_panorama=str(row.get("projection") or "PLANE").upper() != "PLANE",
    )


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
