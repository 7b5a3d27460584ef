"""R15: bodies that do not end and bodies that do not come hold nothing up, and fill nothing."""

import socket
import threading
import time
from collections import Counter
from typing import Any

import pytest
from served import TRIPS
from torture_faults import FAULTS
from torture_rows import Record
from torture_runs import Copy
from torture_scale import scaled
from torture_server import Server, Watch, p99_ms

pytestmark = pytest.mark.slow

MB = 1_000_000
POST = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %b\r\n"
LOCATE = f"{TRIPS}/geolocate".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


class Memory:
    """The most memory that a server held meanwhile, over what it held before."""

    def __init__(self, server: Server) -> None:
        self._server, self._before, self._is_over = server, server.memory_mb, threading.Event()
        self.grown_mb = 0.0
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._is_over.wait(0.05):
            self.grown_mb = max(self.grown_mb, self._server.memory_mb - self._before)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()


def connected(server: Server, head: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    made.sendall(head)
    return made


def status_of(made: socket.socket) -> int:
    """Of the answer; 0 where the connection was closed without one."""
    data = b""
    try:
        while b"\r\n" not in data:
            if not (more := made.recv(4096)):
                return 0
            data += more
    except OSError:
        return 0  # closed while more was being sent, which takes the answer with it
    return int(data.split(b" ", 2)[1])


def poured(server: Server, head: bytes, chunk: bytes, n_bytes: int) -> tuple[int, int]:
    """Send until the server has had enough: the status of its answer, and how much it took."""
    n_sent = 0
    with connected(server, head) as made:
        try:
            for _ in range(n_bytes // len(chunk)):
                made.sendall(chunk)
                n_sent += len(chunk)
        except OSError:
            pass
        return status_of(made), n_sent


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


def endless(n_bytes: int) -> dict[str, tuple[bytes, bytes, int]]:
    """Requests that go on: head, what comes again and again, and bytes in all."""
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n\r\n' * 700
    form = b"multipart/form-data; boundary=x"
    search, header = f"{TRIPS}/search".encode(), b"X-Long: " + b"y" * 60_000 + b"\r\n"
    return {
        "a photo without end": (POST % (LOCATE, b"image/jpeg") + CHUNKED, chunk(bytes(65536)), n_bytes),
        "JSON without end": (POST % (search, b"application/json") + CHUNKED, chunk(b"[" * 65536), n_bytes),
        "a million parts": (POST % (LOCATE, form) + CHUNKED, chunk(part), n_bytes // 4),
        "headers without end": (POST % (LOCATE, b"image/jpeg"), header, n_bytes // 10),
    }  # fmt: skip


def trickled(server: Server, n: int, seconds: float) -> Counter[int]:
    """Bodies of which a byte comes in a second."""
    head = POST % (LOCATE, b"image/jpeg") + b"Content-Length: 1000\r\n\r\n"
    slow = [connected(server, head) for _ in range(n)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for made in slow:
            try:
                made.sendall(b"x")
            except OSError:
                pass
        time.sleep(1.0)
    statuses = Counter(status_of(made) for made in slow)
    for made in slow:
        made.close()
    return statuses


def test_r15_bodies_without_end(record: Record, server: Any, copy: Copy) -> None:
    n_bytes, statuses, taken = scaled(30, 1000, 1000) * MB, dict[str, int](), dict[str, float]()
    with Watch(server.url) as watch, Memory(server) as memory:
        for name, (head, again, total) in endless(n_bytes).items():
            statuses[name], n_sent = poured(server, head, again, total)
            taken[name] = n_sent / MB
        with connected(
            server, POST % (LOCATE, b"image/jpeg") + b"Content-Length: 1000000000\r\n\r\n"
        ) as made:
            statuses["a gigabyte announced"] = status_of(made)
        slow = trickled(server, scaled(10, 200, 200), 28.0)
        slow_after = scaled(10, 200, 200) - slow[408]
    for name, status in statuses.items():
        record.figure(f"{name}: answer", status)
    for name, megabytes in taken.items():
        record.figure(f"{name}: taken of {n_bytes // MB} MB", round(megabytes, 1), "MB")
    record.figure("bodies that trickled and were answered 408", slow[408])
    record.figure("more memory in the server", round(memory.grown_mb, 1), "MB")
    record.figure("p99 of /healthz", p99_ms(watch.seconds), "ms")
    record.figure("times it did not answer", watch.failures)
    record.note("an answer of 0: the connection was closed while more was being sent")
    for name, fault in FAULTS["R15"].items():
        record.caught(name, int(copy.is_caught(fault)), 1)
    assert all(status in (0, 400, 408, 413, 422, 431) for status in statuses.values()), statuses
    assert statuses["a gigabyte announced"] == 413
    assert all(megabytes < 60 for megabytes in taken.values()), taken
    assert slow_after == 0, slow
    assert watch.failures == 0 and server.is_well()
    assert memory.grown_mb <= 64
    assert p99_ms(watch.seconds) <= 100
