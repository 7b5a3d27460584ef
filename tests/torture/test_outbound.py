"""R20 and R23: what is sent makes the service connect nowhere and run nothing."""

import asyncio
import contextlib
import io
import os
import pickle
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from served import TRIPS, make_gallery
from torture_faults import FAULTS
from torture_rows import Record
from torture_runs import Copy, run_tests
from torture_server import served

from placeprint.api.serving.refusals import UrlRefused
from placeprint.api.serving.url_fetch import UrlFetcher

pytestmark = pytest.mark.slow

CONNECTIONS = """
import socket
def note(event, words):
    if event == "socket.connect" and not (isinstance(words[1], tuple) and words[1][1] == 0):
        print("CONNECT", words[1], file=sys.stderr, flush=True)
    if event == "socket.getaddrinfo":
        print("RESOLVE", words[0], file=sys.stderr, flush=True)
sys.addaudithook(note)
"""


class Sentinel:
    """A listener on this machine that must never be connected to."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.n_seen = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                made, _ = self._socket.accept()
                self.n_seen += 1
                made.close()

    def close(self) -> None:
        self._socket.close()


HOSTS = (
    "127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "127.1", "127.0.1", "0",
    "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "169.254.169.254", "[fe80::1%25lo]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "10.0.0.1", "192.168.0.1",
    "localhost.", "LOCALHOST", "127.0.0.1.", "①②⑦.0.0.1", "photos.example.org@127.0.0.1", "127。0。0。1",
)  # fmt: skip


def forms(port: int) -> list[str]:
    """Ways to write an address that leads to this machine or to one nearby."""
    ways = ("http://{}:{}/a.jpg", "https://{}:{}/a.jpg", "https://{}/a.jpg")
    urls = [way.format(host, port) for host in HOSTS for way in ways]
    others = (
        "file:///etc/passwd",
        f"gopher://127.0.0.1:{port}/_",
        f"ftp://127.0.0.1:{port}/a",
        "dict://127.0.0.1/",
    )
    return [*urls, *others]


class Rebinding:
    """A resolver that gives a public address at first, and one of this machine ever after."""

    def __init__(self) -> None:
        self.n_asked = 0

    async def resolve(self, host: str, port: int) -> list[str]:
        self.n_asked += 1
        return ["93.184.216.34"] if self.n_asked == 1 else ["127.0.0.1"]


def fetched_from(url: str) -> list[str]:
    """To which addresses a host that is allowed leads, when its name is bound to another one meanwhile."""
    seen = list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.host)
        return httpx.Response(302, headers={"location": "https://127.0.0.1/"})

    rebinding = Rebinding()
    fetcher = UrlFetcher(
        ["photos.example.org"],
        max_bytes=1000,
        resolve=rebinding.resolve,
        transport=httpx.MockTransport(answer),
    )
    for _ in range(3):
        with pytest.raises(UrlRefused):
            asyncio.run(fetcher.fetch(url))
    return seen


def test_r20_nothing_is_fetched_from_elsewhere(record: Record, copy: Copy, tmp_path: Path) -> None:
    sentinel, refused = Sentinel(), 0
    urls = forms(sentinel.port)
    allowed = [
        host.strip("[]").lower().rstrip(".") for host in HOSTS
    ]  # as if the operator had named them all
    for url in urls:
        with contextlib.suppress(UrlRefused):
            asyncio.run(UrlFetcher(allowed, max_bytes=1000).fetch(url))
            continue
        refused += 1
    rebound = fetched_from("https://photos.example.org/a.jpg")
    with served(make_gallery(tmp_path / "home"), CONNECTIONS) as server:
        for url in urls:
            body = {"queries": [{"image_url": url}]}
            answer = httpx.post(f"{server.url}{TRIPS}/search", json=body, timeout=30)
            refused += 400 <= answer.status_code < 500
        log = server.log.read_text()
    sentinel.close()
    connects = [line for line in log.splitlines() if line.startswith(("CONNECT", "RESOLVE"))]
    record.figure("forms of addresses", len(urls))
    record.figure(
        "questions, to a service without a list of hosts and to one with all of these", 2 * len(urls)
    )
    record.figure("of these refused", refused)
    record.figure("connections seen by a listener", sentinel.n_seen)
    record.figure(
        "connections to another address than the one that was checked", len(set(rebound) - {"93.184.216.34"})
    )
    record.figure("connections and look-ups by a service without a list of hosts", len(connects))
    run_tests("tests/api/test_url_fetch.py", tree=copy.tree).require_passed()
    for name, fault in FAULTS["R20"].items():
        record.caught(name, int(copy.is_caught(fault)), 1)
    assert refused == 2 * len(urls)
    assert rebound == ["93.184.216.34"]
    assert sentinel.n_seen == 0 and connects == []


# --- R23 ---------------------------------------------------------------------------------------------


def poisoned(mark: Path) -> dict[str, bytes]:
    """Files that leave a mark when they are unpickled, by kind."""
    import joblib
    import torch

    class Canary:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
            return os.system, (f"touch {mark}",)

    array, checkpoint, model = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(array, np.array([Canary()], dtype=object), allow_pickle=True)
    torch.save({"state_dict": {"weight": torch.zeros(2)}, "hyper_parameters": Canary()}, checkpoint)
    joblib.dump(Canary(), model)
    return {
        "pickle": pickle.dumps(Canary()), "npy": array.getvalue(), "ckpt": checkpoint.getvalue(),
        "joblib": model.getvalue(),
    }  # fmt: skip


def unpickling(path: Path) -> Any:
    """The fault: a loader that trusts what it reads."""
    import joblib
    import torch

    content = path.read_bytes()
    if content.startswith(b"PK"):
        return torch.load(path, weights_only=False)
    if content.startswith(b"\x93NUMPY"):
        return np.load(path, allow_pickle=True)
    return joblib.load(path)


def loaders(folder: Path) -> dict[str, Callable[[Path], Any]]:
    """All that loads a file which somebody may have put there."""
    from placeprint.encoders.catalog import load_encoder
    from placeprint.encoders.location_catalog import load_location_encoder
    from placeprint.encoders.weights import load_safetensors
    from placeprint.indexer.gallery import Gallery
    from placeprint.indexer.restore import restore
    from placeprint.indexer.settings import Settings

    settings = Settings(home=folder / "home", qdrant_url=None)
    gallery = make_gallery(settings.home) / "galleries" / "trips"

    def in_gallery(name: str) -> Callable[[Path], Any]:
        def load(path: Path) -> None:
            target = gallery / name
            before = target.read_bytes() if target.exists() else None
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
            try:
                Gallery.open("trips", settings=settings).close()
            finally:
                target.write_bytes(before) if before is not None else target.unlink(missing_ok=True)

        return load

    kept = ("calibration.json", "evidence.safetensors", "counts.json", "gallery.json", "places.json",
            "index/CURRENT", "ledger/00000001.parquet", "index/gen-0001/applied.json")  # fmt: skip
    return {
        "weights of a photo encoder": lambda path: load_safetensors(None, path),  # type: ignore[arg-type]
        "encoder of the demonstration": lambda path: load_encoder("demonstration", weights=path),
        "backbone of timm": lambda path: load_encoder("timm:mobilenetv2_100", weights=path),
        "open_clip": lambda path: load_encoder("open_clip:ViT-B-32", weights=path),
        "location encoder": lambda path: load_location_encoder(str(path)),
        "satclip": lambda path: load_location_encoder(f"satclip:{path}"),
        "geoclip": lambda path: load_location_encoder(f"geoclip:{path}"),
        "backup": lambda path: restore(path, "again", settings=settings),
        **{f"{name} of a gallery": in_gallery(name) for name in kept},
    }


def test_r23_no_file_that_is_loaded_runs(record: Record, tmp_path: Path) -> None:
    mark, n_loaded, marked = tmp_path / "mark", 0, list[str]()
    files = poisoned(mark)
    for kind, content in files.items():
        for what, load in loaders(tmp_path / kind).items():
            for suffix in (".safetensors", ".pt"):
                path = tmp_path / f"canary{suffix}"
                path.write_bytes(content)
                with contextlib.suppress(Exception):  # each refuses in its own way
                    load(path)
                n_loaded += 1
                if mark.exists():
                    marked.append(f"{what}: {kind}")
                    mark.unlink()
    planted = 0
    for content in files.values():
        (tmp_path / "canary").write_bytes(content)
        with contextlib.suppress(Exception):
            unpickling(tmp_path / "canary")
        planted += mark.exists()
        mark.unlink(missing_ok=True)
    record.figure("files loaded", n_loaded)
    record.figure("that were run", len(marked))
    record.caught("a loader that unpickles", planted, len(files))
    assert marked == []
