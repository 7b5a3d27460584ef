"""What the benchmarks of the service share: servers in processes of their own, and a cheap way to ask them.

Requests are prepared as bytes, answers taken apart by hand over keep-alive connections: on two cores the
one who asks must leave them to the one who answers. What asking costs is measured, see `Load.cpu_s`.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import ArrayLike, NDArray
from PIL import Image

HOST = "127.0.0.1"
SHARED = Path(__file__).resolve().parents[3] / "shared"
SERVE = [sys.executable, "-c", "from placeprint.api.cli import main; main()", "serve", "--port", "0"]


@dataclass
class Server:
    """A process that serves, with those that it started."""

    port: int
    process: "subprocess.Popen[str]"

    @property
    def cpu_s(self) -> float:
        """CPU seconds of all of them so far."""
        family = [top := psutil.Process(self.process.pid), *top.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in family)


@contextmanager
def served(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server that says at which address it listens, from when it does until the end of the block."""
    process = subprocess.Popen(
        list(command), env={**os.environ, **(environment or {})}, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if (found := re.search(rf"http://{HOST}:(\d+)", line)) is not None:
                yield Server(int(found[1]), process)
                return
        raise SystemExit(f"the server ended without a word on its address: {' '.join(command)}")
    finally:
        process.terminate()
        process.wait(timeout=60)


def service_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a service that tells everything to anyone on this machine."""
    told = {"home": str(home), "precision": "exact", "rate_per_minute": "0", "qdrant_url": "", **more}
    return {f"PLACEPRINT_{name.upper()}": value for name, value in told.items() if value or name == "home"}


@dataclass(frozen=True)
class Answer:
    """What came back, and what it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Asker:
    """One connection, opened again when the server closes it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes) -> Answer:
        """Send a request as it is, and read the answer; the time is from the first byte to the last."""
        started = time.perf_counter()
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(HOST, self._port, limit=1 << 20)
        assert self._reader is not None
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split(" ")[1]), headers, body, time.perf_counter() - started)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def request(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    """A request as it goes over the wire."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def post_json(path: str, body: Any) -> bytes:
    return request("POST", path, json.dumps(body).encode())


def ask_all(port: int, requests: Sequence[bytes]) -> list[Answer]:
    """Answers to requests, one after the other over one connection."""

    async def run() -> list[Answer]:
        asker = Asker(port)
        answers = [await asker.ask(one) for one in requests]
        asker.close()
        return answers

    return asyncio.run(run())


@dataclass
class Load:
    """What became of a load: answers in the time that was measured, and what asking cost."""

    seconds: float
    answers: list[tuple[str, int, Answer]] = field(default_factory=list)  # kind, number of request, answer
    cpu_s: float = 0.0
    n_served: int = 0  # answers with status 200 of the whole time, with what came before and after

    @property
    def per_second(self) -> float:
        """Answers with status 200."""
        return sum(answer.status == 200 for _, _, answer in self.answers) / self.seconds

    def ms(self, kind: str) -> NDArray[np.float64]:
        """Times of the answers of a kind that hold what was asked for."""
        found = [1e3 * one.seconds for name, _, one in self.answers if name == kind and one.status == 200]
        return np.array(found)


def load(
    port: int,
    next_request: Callable[[np.random.Generator], tuple[str, int, bytes]],
    *,
    clients: int,
    seconds: float,
    warm_s: float = 1.0,
    pause_s: Callable[[Answer, np.random.Generator], float] = lambda answer, rng: 0.0,
    check: Callable[[str, int, Answer], None] = lambda kind, number, answer: None,
    seed: int = 0,
) -> Load:
    """So many clients, each of which asks again when it has its answer.

    Args:
        port: of the server.
        next_request: kind, number and bytes of a client's next request.
        clients: that ask at the same time.
        seconds: that are measured.
        warm_s: before them.
        pause_s: seconds that a client waits after an answer.
        check: looks at each answer, and raises where it is wrong.
        seed: of what the clients ask.
    """

    async def run() -> Load:
        found = Load(seconds)
        begin = time.perf_counter() + warm_s
        end, cpu_s = begin + seconds, 0.0

        async def client(number: int) -> None:
            nonlocal cpu_s
            rng, asker = np.random.default_rng([seed, number]), Asker(port)
            while (now := time.perf_counter()) < end:
                if not cpu_s and now >= begin:
                    cpu_s = time.process_time()
                kind, which, sent = next_request(rng)
                answer = await asker.ask(sent)
                check(kind, which, answer)
                found.n_served += answer.status == 200
                if begin <= time.perf_counter() <= end:
                    found.answers.append((kind, which, answer))
                if (pause := pause_s(answer, rng)) > 0.0:
                    await asyncio.sleep(pause)
            asker.close()

        await asyncio.gather(*(client(number) for number in range(clients)))
        found.cpu_s = time.process_time() - cpu_s
        return found

    return asyncio.run(run())


def ratio(ours: ArrayLike, theirs: ArrayLike, *, seed: int = 0) -> tuple[float, float, float]:
    """Geometric mean of paired ratios (n,), with the 95 % interval of a bootstrap over the pairs."""
    logs = np.log(np.asarray(ours, float)) - np.log(np.asarray(theirs, float))
    rows = np.random.default_rng(seed).integers(0, len(logs), (10_000, len(logs)))
    low, high = np.quantile(logs[rows].mean(axis=1), [0.025, 0.975]).tolist()
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def median(values: ArrayLike, *, share: float = 0.5, seed: int = 0) -> tuple[float, float, float]:
    """Median (or another quantile) of values (n,), with the 95 % interval of a bootstrap."""
    each = np.asarray(values, float)
    rows = np.random.default_rng(seed).integers(0, len(each), (2000, len(each)))
    low, high = np.quantile(np.quantile(each[rows], share, axis=1), [0.025, 0.975]).tolist()
    return float(np.quantile(each, share)), low, high


def photos(n: int, *, side_px: int = 500, seed: int = 0) -> list[bytes]:
    """JPEGs whose longer side has `side_px`: photos where there are any, else drawn scenes."""
    from io import BytesIO

    rng = np.random.default_rng(seed)
    files = sorted((SHARED / "data" / "photos").glob("*/images/*.jpg"))
    pictures: Iterator[Image.Image]
    if files:
        pictures = (Image.open(files[i]).convert("RGB") for i in rng.permutation(len(files))[:n])
    else:
        pictures = drawn(n, rng)
    contents = []
    for picture in pictures:
        scale = side_px / max(picture.size)
        file = BytesIO()
        picture.resize((round(picture.width * scale), round(picture.height * scale))).save(
            file, "JPEG", quality=85
        )
        contents.append(file.getvalue())
    return contents


def drawn(n: int, rng: np.random.Generator) -> Iterator[Image.Image]:
    """Scenes of the demonstration's world."""
    from placeprint.encoders.places import load_places
    from placeprint.encoders.scenes.painting import draw
    from placeprint.encoders.scenes.scene import cues_of, sample_places

    table = load_places()
    for place in sample_places(n, rng, lonlat=table.lonlat, population=table.population):
        lon, lat = table.lonlat[place].tolist()
        scene = cues_of(lon, lat, table.country_code[place], int(table.population[place]), rng)
        yield draw(scene, size=(500, 375))


def machine() -> dict[str, Any]:
    """What a figure was measured on, and how busy that was."""
    return {
        "cores": os.cpu_count(),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "python": sys.version.split()[0],
        "at": time.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def write(out: Path, name: str, results: dict[str, Any]) -> None:
    """Results as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(results, indent=1))
