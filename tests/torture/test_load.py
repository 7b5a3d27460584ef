"""R16 and R17: more ask than can be served. Whoever is answered is answered right, the others are told so."""

import asyncio
import base64
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served import COLORS, TRIPS, make_gallery, picture
from torture_rows import Record
from torture_scale import scaled
from torture_server import Server, Watch, p99_ms, served

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from http_load import Answer, Asker, load, post_json, request

pytestmark = pytest.mark.slow

KINDS = {"search": 0.7, "embed": 0.2, "locate": 0.1}
SLOW = "import time; quick = encoder.embed_pixels\n"
SLOW += "encoder.embed_pixels = lambda pixels: (time.sleep({seconds}), quick(pixels))[1]"
EXCHANGED = "quick = encoder.embed_pixels\n"
EXCHANGED += "encoder.embed_pixels = lambda pixels: quick(pixels)[::-1].copy()"
LOOPING = """
import time
from placeprint.api.serving.model_worker import ModelWorker
real = ModelWorker.submit
def blocking(self, *words, **given):
    time.sleep(0.2)
    return real(self, *words, **given)
ModelWorker.submit = blocking
"""


def questions() -> dict[str, list[bytes]]:
    """Of each kind, as they go over the wire."""
    photos = [picture(color) for color in COLORS]
    encoded = [base64.b64encode(photo).decode() for photo in photos]
    return {
        "search": [post_json(f"{TRIPS}/search", {"queries": [{"image": one}]}) for one in encoded],
        "embed": [request("POST", "/v1/embed/images", photo, "image/png") for photo in photos],
        "locate": [request("POST", f"{TRIPS}/geolocate", photo, "image/png") for photo in photos],
    }


def essence(kind: str, answer: Answer) -> Any:
    """What must be the same whoever else asks."""
    told = answer.json()
    if kind == "search":
        return [one["id"] for one in told["neighbors"]]
    if kind == "embed":
        return np.round(told["embeddings"][0], 4).tolist()
    return [one["name"] for one in told["countries"][:1]], round(told["lon"]), round(told["lat"])


class Judge:
    """Compares answers with those of an idle service."""

    def __init__(self, port: int, asked: dict[str, list[bytes]]) -> None:
        self.known: dict[tuple[str, int], Any] = {}
        self.statuses: Counter[int] = Counter()
        self.wrong, self.without_retry_after = 0, 0

        async def ask() -> None:
            asker = Asker(port)
            for kind, some in asked.items():
                for number, one in enumerate(some):
                    answer = await asker.ask(one)
                    assert answer.status == 200, answer.body[:300]
                    self.known[kind, number] = essence(kind, answer)
            asker.close()

        asyncio.run(ask())

    def check(self, kind: str, number: int, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        if answer.status == 503:
            self.without_retry_after += not answer.headers.get("retry-after", "").isdigit()
        elif answer.status == 200:
            self.wrong += essence(kind, answer) != self.known[kind, number]

    @property
    def n_failed(self) -> int:
        return sum(n for status, n in self.statuses.items() if status not in (200, 503))


def mixed(asked: dict[str, list[bytes]]) -> Callable[[np.random.Generator], tuple[str, int, bytes]]:
    kinds, shares = list(KINDS), list(KINDS.values())

    def draw(rng: np.random.Generator) -> tuple[str, int, bytes]:
        kind = kinds[rng.choice(len(kinds), p=shares)]
        number = int(rng.integers(len(asked[kind])))
        return kind, number, asked[kind][number]

    return draw


def honoring(answer: Answer, rng: np.random.Generator) -> float:
    return float(answer.headers["retry-after"]) * (1 + rng.random()) if answer.status == 503 else 0.0


class MemoryCurve:
    """Memory of a server over time, and how much it grows a minute."""

    def __init__(self, server: Server, after_s: float) -> None:
        self._server, self._after_s, self._is_over = server, after_s, threading.Event()
        self._seen: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        started = time.monotonic()
        while not self._is_over.wait(0.25):
            if (now := time.monotonic() - started) > self._after_s:
                self._seen.append((now / 60.0, self._server.memory_mb))

    def __enter__(self) -> "MemoryCurve":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()

    @property
    def mb_per_minute(self) -> float:
        return float(np.polyfit(*np.array(self._seen).T, 1)[0])


def test_r16_mixed_load(record: Record, tmp_path: Path) -> None:
    seconds, clients = scaled(4.0, 60.0, 600.0), scaled(8, 16, 100)
    asked = questions()
    with served(make_gallery(tmp_path / "right")) as server:
        judge = Judge(server.port, asked)
        draw = mixed(asked)
        alone = load(server.port, draw, clients=1, seconds=scaled(2.0, 10.0, 30.0), check=judge.check)
        with MemoryCurve(server, seconds / 3) as curve:
            found = load(
                server.port, draw, clients=clients, seconds=seconds, pause_s=honoring, check=judge.check
            )
        before = judge.statuses[503]
        burst = load(
            server.port, draw, clients=10 * clients, seconds=scaled(2.0, 10.0, 60.0), check=judge.check,
            pause_s=lambda answer, rng: 0.05 if answer.status == 503 else 0.0,
        )  # fmt: skip
        assert server.is_well()
    record.figure("clients", clients)
    record.figure("answers", judge.statuses.total())
    record.figure("answered wrong", judge.wrong)
    record.figure("neither 200 nor 503", judge.n_failed)
    record.figure("503 without Retry-After", judge.without_retry_after)
    record.figure("503 in the burst", judge.statuses[503] - before)
    record.figure("a second", round(found.per_second, 1), "1/s")
    record.figure("a second in the burst", round(burst.per_second, 1), "1/s")
    record.figure(
        "p99 of a search", round(float(np.quantile(found.ms("search"), 0.99)), 1), "ms",
        peer="alone", theirs=round(float(np.quantile(alone.ms("search"), 0.99)), 1),
    )  # fmt: skip
    record.figure("memory a minute", round(curve.mb_per_minute, 2), "MB/min")
    record.note("a fake encoder; the times with a real one are a benchmark's (service_load.py)")
    with served(make_gallery(tmp_path / "wrong"), EXCHANGED) as server:
        wrong = Judge(server.port, asked)
        load(server.port, mixed(asked), clients=8, seconds=2.0, check=wrong.check)
    record.caught("answers of a batch are exchanged", wrong.wrong, wrong.statuses[200])
    assert judge.wrong == judge.n_failed == judge.without_retry_after == 0
    assert judge.statuses[503] > before, "the burst never filled the queue"
    if seconds >= 60:
        assert curve.mb_per_minute <= 1.0


def polled(server: Server, clients: int, seconds: float) -> tuple[Watch, Counter[int]]:
    """Ask for embeddings by so many at once, and for /healthz all the while."""
    judged: Counter[int] = Counter()
    asked = questions()["embed"]

    def note(kind: str, number: int, answer: Answer) -> None:
        judged[answer.status] += 1

    with Watch(server.url, every_s=0.02) as watch:
        load(
            server.port, lambda rng: ("embed", 0, asked[0]), clients=clients, seconds=seconds, check=note,
            pause_s=lambda answer, rng: 0.1 if answer.status == 503 else 0.0,
        )  # fmt: skip
    return watch, judged


def test_r17_health_is_told_while_the_queue_is_full(record: Record, tmp_path: Path) -> None:
    seconds, clients = scaled(3.0, 20.0, 60.0), 64
    with served(make_gallery(tmp_path / "right"), SLOW.format(seconds=0.3), max_waiting=8) as server:
        watch, statuses = polled(server, clients, seconds)
    record.figure("questions meanwhile", statuses.total())
    record.figure("of these sent away (503)", statuses[503])
    record.figure("times /healthz was asked", len(watch.seconds))
    record.figure("p99 of /healthz", p99_ms(watch.seconds), "ms")
    record.figure("times it did not answer", watch.failures)
    with served(make_gallery(tmp_path / "wrong"), LOOPING) as server:
        wrong, _ = polled(server, 8, 3.0)
    slow = sum(one > 0.1 for one in wrong.seconds)
    record.caught("the model computes on the loop that answers", slow, len(wrong.seconds))
    assert statuses[503] > 0, "the queue was never full"
    assert set(statuses) <= {200, 503}, json.dumps(statuses)
    assert watch.failures == 0 and p99_ms(watch.seconds) <= 100
