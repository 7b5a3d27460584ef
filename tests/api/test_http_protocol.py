"""A header or a body that comes a byte at a time holds no connection for long (raw sockets)."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from placeprint.api.serving.door import Door
from placeprint.api.serving.http_protocol import TimedProtocol

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Quick(TimedProtocol):
    header_within_s = 0.5


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and answers with its length."""
    if scope["type"] == "lifespan":
        for answer in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
            await receive()
            await send({"type": answer})
        return
    n_bytes, more = 0, True
    while more:
        message = await receive()
        n_bytes += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(n_bytes).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(
        Door(app, body_within_s=1.0), port=0, http=Quick, timeout_keep_alive=2, log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@pytest.fixture
def made(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as made:
        yield made


def read_all(made: socket.socket) -> bytes:
    """What comes until the other side has closed."""
    data = b""
    try:
        while more := made.recv(4096):
            data += more
    except ConnectionResetError:
        pass
    return data


def trickle(made: socket.socket, text: bytes) -> None:
    """Send a byte each 50 ms until it is over or the other side has had enough."""
    try:
        for i in range(len(text)):
            made.sendall(text[i : i + 1])
            time.sleep(0.05)
    except OSError:
        pass


def is_timeout(data: bytes) -> bool:
    head, _, body = data.partition(b"\r\n\r\n")
    return (
        head.startswith(b"HTTP/1.1 408 ")
        and b"application/problem+json" in head
        and json.loads(body)["status"] == 408
    )


def test_a_header_that_trickles_is_answered_408_and_closed(made: socket.socket) -> None:
    sender = threading.Thread(target=trickle, args=(made, HEAD + b"x" * 60))
    sender.start()
    assert is_timeout(read_all(made))
    sender.join()


def test_who_connects_and_says_nothing_is_let_go(made: socket.socket) -> None:
    assert read_all(made) == b""


def test_a_second_header_on_a_connection_has_its_time_too(made: socket.socket) -> None:
    made.sendall(HEAD)
    data = b""
    while not data.endswith(b"\r\n\r\n0"):
        data += made.recv(4096)
    time.sleep(0.8)  # at rest a connection may be longer than a header may take
    made.sendall(HEAD[:10])
    assert is_timeout(read_all(made))


def test_a_second_header_that_began_with_the_first_has_its_time_too(made: socket.socket) -> None:
    made.sendall(HEAD + HEAD[:10])
    data = read_all(made)
    first, second = data.index(b"HTTP/1.1 200"), data.index(b"HTTP/1.1 408")
    assert first < second


def test_a_slow_header_in_time_and_a_slow_body_in_time_are_answered(made: socket.socket) -> None:
    trickle(made, b"POST / H")
    made.sendall(b"TTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 14\r\n\r\n")
    trickle(made, b"x" * 14)  # longer than a header may take
    assert made.recv(4096).endswith(b"14")


def test_a_body_that_trickles_is_answered_408_and_closed(made: socket.socket) -> None:
    made.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n")
    sender = threading.Thread(target=trickle, args=(made, b"x" * 60))
    sender.start()
    assert is_timeout(read_all(made))
    sender.join()


def test_a_service_is_run_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    from placeprint.api import app as application

    class Enough(Exception):
        pass

    def config(*args: Any, **given: Any) -> None:
        assert given["http"] is TimedProtocol
        raise Enough

    monkeypatch.setattr(application, "Service", lambda settings: None)
    monkeypatch.setattr(application.uvicorn, "Config", config)
    with pytest.raises(Enough):
        application.run_server(home=tmp_path, qdrant_url=None)
