"""A server on this machine that speaks the documented forms of all four providers of pictures."""

import io
import json
import threading
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TOKEN = "MLY|1234|0a9f-secret-token"
GOOGLE_KEY = "AIza-secret-google-key"
SIGNING_SECRET = "vNIXE0xscrmjlyV-12Nj_BvUPaw="  # the example of Google's own documentation


def photo(seed: int, side_px: int = 96, format: str = "JPEG") -> bytes:
    """A picture with as much going on as in a photo, another one for each seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    content = io.BytesIO()
    coarse.resize((side_px, side_px * 3 // 4), Image.Resampling.BICUBIC).save(content, format)
    return content.getvalue()


def gray_card(shade: int = 228) -> bytes:
    """A gray picture with a line of text, as servers send it where they have none."""
    card = Image.new("RGB", (320, 320), (shade, shade - 1, shade - 5))
    text, font = "Sorry, we have no\nimagery here.", ImageFont.load_default(size=26)
    ImageDraw.Draw(card).text((50, 130), text, fill=(255 - shade,) * 3, font=font)
    content = io.BytesIO()
    card.save(content, "JPEG")
    return content.getvalue()


class Said(NamedTuple):
    """A scripted answer."""

    status: int = 200
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Asked(NamedTuple):
    """A request that came."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


@dataclass
class Shot:
    """A picture that the server has."""

    id: str
    lon: float
    lat: float
    heading: float | None = 0.0
    is_panorama: bool = False
    content: bytes | None = None  # by default a photo of its own
    content_type: str = "image/jpeg"


@dataclass
class StandIn:
    """The server; use it as a context. All providers have the same shots.

    Attributes:
        shots: what there is.
        script: by path, answers that come before the usual ones, one request each.
        asked: the requests, in order.
        delay_s: before each file.
        page: pictures on a page.
    """

    shots: list[Shot] = field(default_factory=list)
    script: dict[str, list[Said]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    delay_s: float = 0.0
    page: int = 100
    files_host: str = ""  # where files are said to be; by default here

    def __enter__(self) -> "StandIn":
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
                asked = Asked(parts.path, query, dict(self.headers.items()))
                stand_in.asked.append(asked)
                scripted = stand_in.script.get(parts.path)
                said = scripted.pop(0) if scripted else stand_in.answer(asked)
                self.send_response(said.status)
                for name, value in (*said.headers, ("Content-Length", str(len(said.body)))):
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self.wfile.write(said.body)
                except OSError:
                    pass  # whoever asked was killed

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def n_fetched(self) -> Counter[str]:
        """How often each file was asked for."""
        return Counter(
            one.path.removeprefix("/files/") for one in self.asked if one.path.startswith("/files/")
        )

    def answer(self, asked: Asked) -> Said:
        if asked.path == "/images":
            return self._mapillary(asked)
        if asked.path == "/2.0/photo/":
            return self._kartaview(asked)
        if asked.path == "/api/search":
            return self._panoramax(asked)
        if asked.path == "/maps/api/streetview/metadata":
            return self._metadata(asked)
        if asked.path == "/maps/api/streetview":
            return Said(body=photo(zlib.crc32(f"{asked.query['pano']} {asked.query['heading']}".encode())))
        time.sleep(self.delay_s)
        for number, shot in enumerate(self.shots):
            if asked.path == f"/files/{shot.id}":
                body = photo(number) if shot.content is None else shot.content
                return Said(200, body, (("Content-Type", shot.content_type),))
        return Said(404)

    def _file(self, shot: Shot) -> str:
        return f"{self.files_host or self.url}/files/{shot.id}?signed=for-a-while"

    def _in_box(self, bbox: str) -> list[Shot]:
        west, south, east, north = (float(edge) for edge in bbox.split(","))
        assert west <= east, "boxes are cut at the antimeridian"
        return [one for one in self.shots if west <= one.lon <= east and south <= one.lat <= north]

    def _mapillary(self, asked: Asked) -> Said:
        if asked.headers.get("Authorization") != f"OAuth {TOKEN}":
            return Said(401, b'{"error": {"message": "Invalid OAuth access token"}}')
        west, south, east, north = (float(edge) for edge in asked.query["bbox"].split(","))
        if (east - west) * (north - south) >= 0.01:
            return _json({"error": {"message": "bbox too large"}}, 400)
        rows = [
            {
                "id": shot.id,
                "geometry": {"type": "Point", "coordinates": [shot.lon + 1.0, shot.lat]},
                "computed_geometry": {"type": "Point", "coordinates": [shot.lon, shot.lat]},
                "compass_angle": 1.0, "computed_compass_angle": shot.heading,
                "captured_at": 1_538_395_200_000, "sequence": "drive-1", "is_pano": shot.is_panorama,
                "creator": {"username": "ana", "id": "7"}, "thumb_1024_url": self._file(shot),
            }
            for shot in self._in_box(asked.query["bbox"])
        ]  # fmt: skip
        return _json({"data": rows[: int(asked.query["limit"])]})

    def _kartaview(self, asked: Asked) -> Said:
        page = int(asked.query["page"]) - 1
        rows = [
            {
                "id": shot.id, "lat": str(shot.lat), "lng": str(shot.lon), "heading": str(shot.heading),
                "sequenceId": "42", "sequenceIndex": "3", "shotDate": "2018-10-01 12:00:00",
                "projection": "SPHERE" if shot.is_panorama else "PLANE", "fileurlProc": self._file(shot),
                "user": {"username": "bo"},
            }
            for shot in self.shots
        ]  # fmt: skip
        data = rows[page * self.page : (page + 1) * self.page]
        more = len(rows) > (page + 1) * self.page
        return _json({"status": {"apiCode": 600}, "result": {"data": data, "hasMoreData": more}})

    def _panoramax(self, asked: Asked) -> Said:
        page = int(asked.query.get("page", 0))
        features = [
            {
                "type": "Feature", "id": shot.id, "collection": "walk-9",
                "geometry": {"type": "Point", "coordinates": [shot.lon, shot.lat]},
                "properties": {
                    "datetime": "2018-10-01T12:00:00+00:00", "view:azimuth": shot.heading,
                    "license": "etalab-2.0", "geovisio:producer": "cy",
                    "pers:interior_orientation": {"field_of_view": 360 if shot.is_panorama else 70},
                },
                "assets": {"sd": {"href": self._file(shot)}, "hd": {"href": "https://elsewhere.example/x"}},
                "links": [{"rel": "self", "href": f"{self.url}/api/items/{shot.id}"}],
            }
            for shot in self._in_box(asked.query["bbox"])
        ]  # fmt: skip
        following = f"{self.url}/api/search?bbox={asked.query['bbox']}&page={page + 1}"
        has_more = len(features) > (page + 1) * self.page
        links = [{"rel": "next", "href": following}] if has_more else []
        shown = features[page * self.page : (page + 1) * self.page]
        return _json({"type": "FeatureCollection", "features": shown, "links": links})

    def _metadata(self, asked: Asked) -> Said:
        if asked.query["key"] != GOOGLE_KEY:
            return _json({"status": "REQUEST_DENIED", "error_message": "The provided API key is invalid."})
        lat, lon = (float(part) for part in asked.query["location"].split(","))
        nearest = min(self.shots, key=lambda one: abs(one.lon - lon) + abs(one.lat - lat), default=None)
        if nearest is None or abs(nearest.lon - lon) + abs(nearest.lat - lat) > 0.01:
            return _json({"status": "ZERO_RESULTS"})
        place = {"lat": nearest.lat, "lng": nearest.lon}
        told = {"status": "OK", "pano_id": nearest.id, "location": place, "date": "2019-05"}
        return _json({**told, "copyright": "© Google"})


def _json(told: Any, status: int = 200) -> Said:
    return Said(status, json.dumps(told).encode(), (("Content-Type", "application/json"),))
