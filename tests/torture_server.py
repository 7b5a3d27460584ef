"""A service in a process of its own, to be tortured, and times of its answers."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import psutil
from served import JPEG, TRIPS, picture

SERVER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch, uvicorn
from fakes import ColorEncoder
from served import settings_at
from placeprint.api.app import create_app
from placeprint.api.serving import door
from placeprint.api.serving.http_protocol import TimedProtocol
from placeprint.api.serving.service import Service
torch.set_num_threads(1)
sys.setswitchinterval(0.001)
encoder = ColorEncoder()
{change}
settings = settings_at(Path({home!r}), precision="exact", **{settings!r})
encoders = {{"color": encoder, encoder.fingerprint.name: encoder}}
uvicorn.run(create_app(settings, Service(settings, encoders)), port={port}, log_level="warning",
            access_log=False, http=TimedProtocol, limit_concurrency=512)
"""


class Server(NamedTuple):
    """A server in a process of its own."""

    url: str
    port: int
    process: psutil.Process
    log: Path

    @property
    def memory_mb(self) -> float:
        """Of the process itself, without its decoders."""
        return float(self.process.memory_info().rss / 1e6)

    def is_well(self) -> bool:
        """Whether it still lives and gives right answers."""
        answer = httpx.post(
            f"{self.url}{TRIPS}/search/image?limit=1", content=picture("red"), headers=JPEG, timeout=30
        )
        return answer.status_code == 200 and answer.json()["neighbors"][0]["payload"]["city"] == "red"


@contextmanager
def served(home: Path, change: str = "", **settings: object) -> Iterator[Server]:
    """A service of the gallery in a home.

    Args:
        home: made by `served.make_gallery`.
        change: code that is run in its process before it begins, such as a fault.
        settings: of the service.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    code = SERVER.format(
        tests=str(Path(__file__).parent), home=str(home), port=port, change=change, settings=settings
    )
    log = home / "server.log"
    with log.open("wb") as out:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=out, stderr=out, cwd=home)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 240
    try:
        while True:
            try:
                if httpx.get(f"{url}/readyz", timeout=10).status_code == 200:
                    break
            except httpx.TransportError:
                pass
            assert time.monotonic() < end and child.poll() is None, log.read_text()
            time.sleep(0.1)
        server = Server(url, port, psutil.Process(child.pid), log)
        assert server.is_well()
        yield server
    finally:
        child.terminate()
        child.wait(30)


class Watch:
    """Asks /healthz all the while, and knows how long each answer took."""

    def __init__(self, url: str, *, every_s: float = 0.05) -> None:
        self._url, self._every_s, self._is_over = url, every_s, threading.Event()
        self.seconds: list[float] = []
        self.failures = 0
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=20) as client:
            client.get("/healthz")  # to connect is no part of the answer
            while not self._is_over.wait(self._every_s):
                started = time.perf_counter()
                try:
                    self.failures += client.get("/healthz").status_code != 200
                except httpx.HTTPError:
                    self.failures += 1
                self.seconds.append(time.perf_counter() - started)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()


def p99_ms(seconds: Sequence[float]) -> float:
    """The 99th percentile, milliseconds."""
    return round(1e3 * float(np.quantile(seconds, 0.99)), 2)
