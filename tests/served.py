"""A service to ask in tests: a gallery of three places in three colors, and a client of its application."""

import atexit
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import httpx
import numpy as np
from copies import copy_folder
from fakes import ColorEncoder, record
from fastapi.testclient import TestClient
from PIL import Image

from placeprint.api.app import create_app
from placeprint.api.serving.locate_process import tell_here
from placeprint.api.serving.service import Service
from placeprint.api.serving.service_settings import ServiceSettings
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import encode_payload
from placeprint.indexer.settings import Settings

PLACES = {"red": (139.77, 35.68), "green": (2.35, 48.86), "blue": (-43.2, -22.9)}
COLORS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
JPEG = {"Content-Type": "image/jpeg"}
TRIPS = "/v1/galleries/trips"

Serve = Callable[..., TestClient]


def picture(color: str, size: int = 64) -> bytes:
    """A file of one color."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), COLORS[color]).save(file, "PNG")
    return file.getvalue()


def ids(answer: Any) -> list[str]:
    return [neighbor["id"] for neighbor in answer.json()["neighbors"]]


def is_problem(answer: Any, status: int) -> bool:
    kind = answer.headers["content-type"]
    return (answer.status_code, kind, answer.json()["status"]) == (status, "application/problem+json", status)


def make_gallery(home: Path, name: str = "trips") -> Path:
    """A gallery of three places in three colors; its payload says where files lie and streets are."""
    copy_folder(_prepared(name) / "galleries" / name, home / "galleries" / name)
    return home


@cache
def _prepared(name: str) -> Path:
    """A home with the gallery, to be copied; it goes with the process."""
    home = Path(mkdtemp(prefix="placeprint-tests-"))
    atexit.register(rmtree, home, ignore_errors=True)
    encoder, records = ColorEncoder(), []
    for color, (lon, lat) in PLACES.items():
        for i in range(4):
            shade = (np.array(COLORS[color]) * (1.0 - 0.1 * i)).astype(np.uint8)
            embedding = encoder.embed_pixels(np.tile(shade, (1, 16, 16, 1)))[0]
            payload = {"city": color, "street": f"{color} street", "note": f"from holiday-{color}-{i}.jpg"}
            facts = {"lon": lon + 0.1 * i, "lat": lat, "payload": encode_payload(payload)}
            records.append(record(f"/secret/holiday-{color}-{i}.jpg", embedding, **facts))
    with Gallery.create(name, encoder.fingerprint, settings=Settings(home=home, qdrant_url=None)) as made:
        made.add(records)
    return home


def settings_at(home: Path, **given: Any) -> ServiceSettings:
    """Settings of a service for tests: an embedded store, no rate."""
    return ServiceSettings(
        **{
            "home": home,
            "qdrant_url": None,
            "lock_timeout_s": 1.0,
            "rate_per_minute": 0,
            "megapixels_per_minute": 0,
            **given,
        }
    )


def open_service(settings: ServiceSettings, encoder: ColorEncoder | None = None) -> Service:
    encoder = encoder or ColorEncoder()
    encoders = {"color": encoder, encoder.fingerprint.name: encoder}
    return Service(settings, encoders, tell_here)  # a process for each service of the tests would take long


class Carried(httpx.BaseTransport):
    """Carries the client's requests to an application in this process."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode()
        headers = {"content-type": request.headers.get("content-type", "application/json")}
        answer = self.client.request(request.method, path, content=request.read(), headers=headers)
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)


@contextmanager
def serving() -> Iterator[Callable[..., TestClient]]:
    """A function that starts services over homes, and gives clients of them."""
    with ExitStack() as stack:

        def start(home: Path, encoder: ColorEncoder | None = None, **given: Any) -> TestClient:
            settings = settings_at(home, **given)
            app = create_app(settings, open_service(settings, encoder))
            client = TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False)
            return stack.enter_context(client)

        yield start
