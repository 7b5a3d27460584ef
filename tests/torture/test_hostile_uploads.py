"""R11 to R14: files that no camera made cost only themselves, on a server that listens and in decoders."""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import damaged_photos as damaged
import httpx
import numpy as np
import psutil
import pytest
from served import JPEG, TRIPS, picture
from torture_faults import FAULTS
from torture_rows import Record
from torture_runs import Copy, run_tests
from torture_scale import scaled
from torture_server import p99_ms
from upload_fakes import GOOD, LIMITS, SMALL, scripted_pool

from placeprint.encoders.decoding import DecodePool
from placeprint.encoders.errors import TooManyPixels, UnreadableImage

pytestmark = pytest.mark.slow


class GoodRequests:
    """A client that sends good requests all the while, and knows how long each took."""

    def __init__(self, url: str) -> None:
        self._url, self._is_over = url, threading.Event()
        self.seconds: list[float] = []
        self.wrong = 0
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            while not self._is_over.wait(0.05):
                started = time.perf_counter()
                answer = client.post(f"{TRIPS}/search/image?limit=1", content=picture("red"), headers=JPEG)
                is_right = answer.status_code == 200
                is_right = is_right and answer.json()["neighbors"][0]["payload"]["city"] == "red"
                self.wrong += not is_right
                self.seconds.append(time.perf_counter() - started)

    def __enter__(self) -> "GoodRequests":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()


def plant_all(record: Record, copy: Copy) -> None:
    """Put the row's faults into the copy, one at a time, and see that each is caught."""
    for name, fault in FAULTS[record.row].items():
        record.caught(name, int(copy.is_caught(fault)), 1)


def test_r11_corrupted_uploads(record: Record, server: Any, copy: Copy, tmp_path: Path) -> None:
    n, routes = scaled(150, 1500, 10_000), ("search/image", "geolocate", "recognize")
    uploads = []
    # Made beforehand: whoever draws them in the thread beside keeps the good requests waiting here.
    for i, (name, content) in enumerate(damaged.damaged_photos(n, seed=41)):
        if content and len(content) <= 19_000_000:
            uploads.append((name, tmp_path / str(i)))
            uploads[-1][1].write_bytes(content)
    statuses, slowest, unexpected = Counter[int](), 0.0, list[str]()
    with GoodRequests(server.url), GoodRequests(server.url):  # by two at once, so that both decoders run
        time.sleep(2.0)
    with GoodRequests(server.url) as alone:
        time.sleep(scaled(2.0, 10.0, 30.0))
    with GoodRequests(server.url) as good, httpx.Client(base_url=server.url, timeout=60) as client:
        for i, (name, path) in enumerate(uploads):
            content = path.read_bytes()
            started = time.perf_counter()
            answer = client.post(f"{TRIPS}/{routes[i % 3]}", content=content, headers=JPEG)
            slowest = max(slowest, time.perf_counter() - started)
            statuses[answer.status_code] += 1
            if answer.status_code != 200 and not 400 <= answer.status_code < 500:
                unexpected.append(f"{name}: {answer.status_code}")
    record.figure("uploads", statuses.total())
    for status, count in sorted(statuses.items()):
        record.figure(f"answers {status}", count)
    record.figure("slowest answer", round(slowest, 2), "s")
    record.figure("good requests meanwhile", len(good.seconds))
    record.figure("good requests answered wrong", good.wrong + alone.wrong)
    beside = record.figure(
        "p99 of good requests", p99_ms(good.seconds), "ms", peer="before", theirs=p99_ms(alone.seconds)
    )
    plant_all(record, copy)
    assert unexpected == [] and good.wrong == alone.wrong == 0 and server.is_well()
    assert slowest <= 5.0
    assert beside <= 2.0 * p99_ms(alone.seconds), "good requests wait for the decoding of bad ones"


def test_r12_bombs_are_refused_from_their_headers(record: Record, server: Any, copy: Copy) -> None:
    slowest, grown, n = 0.0, 0.0, 0
    with DecodePool(SMALL, workers=1, limits=LIMITS) as pool:
        pool.decode(GOOD)
        process = psutil.Process(next(iter(pool._processes)).pid)
        before, server_before = process.memory_info().rss, server.memory_mb
        for content in damaged.header_bombs().values():
            for _ in range(scaled(2, 10, 50)):
                started = time.perf_counter()
                with pytest.raises(TooManyPixels):
                    pool.decode(content)
                slowest, n = max(slowest, time.perf_counter() - started), n + 1
            grown = max(grown, (process.memory_info().rss - before) / 1e6)
            answer = httpx.post(f"{server.url}{TRIPS}/geolocate", content=content, headers=JPEG, timeout=30)
            assert answer.status_code == 413, answer.text
        limit = psutil.Process(process.pid).rlimit(psutil.RLIMIT_AS)[0]
    record.figure("bombs", n)
    record.figure("slowest refusal", round(1e3 * slowest, 2), "ms")
    record.figure("more memory in the decoder", round(grown, 2), "MB")
    record.figure("more memory in the server", round(server.memory_mb - server_before, 2), "MB")
    record.figure("address space of the decoder", limit / 2**30, "GiB")
    plant_all(record, copy)
    assert slowest <= 0.050 and grown <= 32 and server.memory_mb - server_before <= 32 and limit <= 1 << 30


@contextmanager
def started_programs(pid: int, folder: Path) -> Iterator[list[str]]:
    """Programs that a process and its children start meanwhile, as the system sees it."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log, found = folder / "execve", list[str]()
    command = ["strace", "-f", "-s", "200", "-e", "trace=execve", "-o", str(log), "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watcher:
        assert watcher.stderr is not None
        first = watcher.stderr.readline()
        if "attached" not in first:
            watcher.wait(10)
            pytest.skip(f"the server cannot be watched: {first.strip()}")
        yield found
        watcher.send_signal(signal.SIGINT)
        watcher.wait(30)
    found += [line for line in log.read_text().splitlines() if "execve(" in line]


def test_r13_formats_that_are_not_taken(record: Record, server: Any, copy: Copy, tmp_path: Path) -> None:
    statuses = Counter[int]()
    with started_programs(server.process.pid, tmp_path) as programs:
        for _ in range(scaled(1, 5, 20)):
            for content in filter(None, damaged.foreign_formats().values()):
                for route in ("geolocate", "search/image"):
                    answer = httpx.post(
                        f"{server.url}{TRIPS}/{route}", content=content, headers=JPEG, timeout=30
                    )
                    statuses[answer.status_code] += 1
    foreign = [line for line in programs if "decode_worker" not in line]
    record.figure("uploads", statuses.total())
    record.figure("answered 415", statuses[415])
    record.figure("programs started", len(foreign))
    plant_all(record, copy)
    assert set(statuses) == {415} and foreign == [] and server.is_well()


def test_r14_the_decoder_is_confined(record: Record, copy: Copy) -> None:
    respawns, script = list[float](), "import ctypes; b'EVIL' in content and ctypes.string_at(0)"
    n = scaled(2, 20, 100)
    with scripted_pool(script) as pool:
        expected = pool.decode(GOOD)[0]
        for trial in range(n):
            if trial % 2:
                process = next(iter(pool._processes))
                os.kill(process.pid, signal.SIGKILL)
                while process.is_running:
                    time.sleep(0.001)
            else:
                with pytest.raises(UnreadableImage):
                    pool.decode(GOOD + b"EVIL")
            started = time.monotonic()
            np.testing.assert_array_equal(pool.decode(GOOD)[0], expected)
            respawns.append(time.monotonic() - started)
        assert pool.n_processes == 1
    ran = run_tests(
        "tests/encoders/test_sandbox.py", "tests/encoders/test_uploads_process.py", tree=copy.tree
    )
    record.figure("decoders crashed and killed", n)
    record.figure("slowest new decoder", round(max(respawns), 3), "s")
    record.figure("tests of ways out and of what is lost", ran.passed)
    record.figure("of those failed", ran.failed)
    ran.require_passed()
    plant_all(record, copy)
    assert max(respawns) <= 1.0
