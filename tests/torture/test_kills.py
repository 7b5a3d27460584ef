"""R1 and R2: kill -9 at any moment loses nothing that was acknowledged, and leaves nothing that was not."""

import os
import random
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import Forked
from torture_photos import write_photos
from torture_rows import Record
from torture_scale import scaled

from placeprint.indexer.edge_store import EdgeStore
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import photo_id
from placeprint.indexer.settings import Settings

pytestmark = pytest.mark.slow

# --- R1: indexing ------------------------------------------------------------------------------------

INDEXING = """
import os, signal
from dataclasses import replace
from pathlib import Path
import numpy as np
from fakes import ColorEncoder
from torture_photos import decode_at_once
from placeprint.indexer import edge_store, ingest, ledger, noted_store
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

decode_at_once(setattr, commit=16, batch=8)

def killed_in(owner, name, before, at):
    real, calls = getattr(owner, name), []
    def cut(*args, **given):
        calls.append(name)
        if before and len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = real(*args, **given)
        if not before and len(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    setattr(owner, name, cut)

POINTS = {
    "embedded": (ColorEncoder, "embed_pixels", False), "before the ledger": (ledger.Ledger, "append", True),
    "shard written, not synced": (os, "fsync", True), "shard synced": (os, "fsync", False),
    "shard renamed": (Path, "replace", False), "in the ledger": (ledger.Ledger, "append", False),
    "in the store": (edge_store.EdgeStore, "upsert", False),
    "before the note": (noted_store.NotedStore, "note_applied", True),
    "noted": (noted_store.NotedStore, "note_applied", False),
}

def case(home, photos, acknowledged, fault, point, at):
    begin()
    if point is not None:
        owner, name, before = POINTS[point]
        killed_in(owner, name, before, at)
    encoder = ColorEncoder()
    with Gallery.open_or_create("trips", encoder.fingerprint, settings=Settings(home=Path(home))) as gallery:
        add, log = gallery.add, os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        def acknowledge(records):
            ids = [record.id for record in records if record.status == "embedded"]
            os.write(log, "".join(f"{id}\\n" for id in ids).encode())
        def adding(records):
            if fault == "photos acknowledged before the commit":
                acknowledge(records)
                add(records)
            elif fault == "a vector of zeros is stored" and records:
                zero = np.zeros(4, np.float32)
                gallery._index.append([replace(records[0], embedding=zero), *records[1:]])
                acknowledge(records)
            else:
                add(records)
                acknowledge(records)
        gallery.add = adding
        ingest.index(list_source(photos), gallery, encoder)
"""
POINTS = (
    "embedded", "before the ledger", "shard written, not synced", "shard synced", "shard renamed",
    "in the ledger", "in the store", "before the note", "noted",
)  # fmt: skip
N_PHOTOS = 160


class Indexed:
    """A folder of photos whose vectors are known, and a gallery of it that is killed time and again."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        self.home, self.photos, self.log = folder / "home", folder / "photos", folder / "acknowledged"
        self.fault, self.longest_s = fault, 0.4
        self.expected = write_photos(self.photos, N_PHOTOS)

    def begin_anew(self) -> None:
        for path in sorted(self.home.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.log.unlink(missing_ok=True)

    def run(self, process: Forked, point: str | None, at: int, kill_after_s: float | None) -> int:
        words = (str(self.home), str(self.photos), str(self.log), self.fault, point, at)
        return process.run(*words, kill_after_s=kill_after_s)

    def faults(self) -> dict[str, int]:
        """What is wrong with the gallery, by kind; all must be 0."""
        log = self.log.read_text().splitlines() if self.log.exists() else []
        acknowledged = {id for id in log if len(id) == 36}
        if not (self.home / "galleries" / "trips" / "gallery.json").exists():
            return {"lost": len(acknowledged)}
        with Gallery.open("trips", settings=Settings(home=self.home)) as gallery:
            rows = [row for number in gallery.ledger.numbers() for row in gallery.ledger.records(number)]
            embedded = [row.id for row in rows if row.status == "embedded"]
            found = {photo.id for photo in gallery.find()}
            points = gallery._index.store.retrieve(sorted(found), with_vectors=True)
            wrong = sum(
                not np.allclose(point.vector, self.expected[point.id], atol=1e-6)
                for point in points
                if point.id in self.expected and point.vector is not None
            )
            empty = sum(point.vector is None or not np.any(point.vector) for point in points)
        return {
            "lost": len(acknowledged - set(embedded)) + len(acknowledged - found),
            "doubled": len(embedded) - len(set(embedded)),
            "phantoms": len((found | set(embedded)) - self.expected.keys()) + len(found ^ set(embedded)),
            "vectors without direction": empty,
            "wrong vectors": wrong,
        }

    @property
    def is_complete(self) -> bool:
        with Gallery.open("trips", settings=Settings(home=self.home)) as gallery:
            return {photo.id for photo in gallery.find()} == self.expected.keys()


def killed(
    indexed: Indexed, process: Forked, n_kills: int, *, points: bool = True
) -> tuple[int, dict[str, int]]:
    """Kill it so often; in how many cases something was wrong, and what in all."""
    moments, total, n_caught, n_killed = random.Random(n_kills), dict[str, int](), 0, 0
    while n_killed < n_kills:
        is_named = points and n_killed % 2 == 0
        point = POINTS[(n_killed // 2) % len(POINTS)] if is_named else None
        wait_s = None if is_named else moments.uniform(0.0, indexed.longest_s)
        started = time.monotonic()
        end = indexed.run(process, point, moments.randint(1, 4), wait_s)
        assert end in (0, -signal.SIGKILL), end
        n_killed += end != 0
        found = indexed.faults()
        for kind, n in found.items():
            total[kind] = total.get(kind, 0) + n
        if any(found.values()):
            n_caught += 1
            indexed.begin_anew()
        elif end == 0:  # begun again, so that every kill has something to interrupt
            assert indexed.is_complete
            indexed.longest_s = max(0.1, time.monotonic() - started)
            indexed.begin_anew()
    return n_caught, total


def test_r01_indexing_is_killed(record: Record, tmp_path: Path) -> None:
    n_kills = scaled(20, 200, 1000)
    with Forked(INDEXING) as process:
        indexed = Indexed(tmp_path / "right")
        started = time.monotonic()
        n_caught, total = killed(indexed, process, n_kills)
        per_minute = 60 * n_kills / (time.monotonic() - started)
        assert indexed.run(process, None, 0, None) == 0 and indexed.is_complete
        record.figure("kills", n_kills)
        record.figure("kills a minute", round(per_minute, 1))
        for kind, n in total.items():
            record.figure(f"photos {kind}", n)
        for fault, n, least in (
            ("photos acknowledged before the commit", scaled(20, 100, 100), scaled(1, 5, 5)),
            ("a vector of zeros is stored", 10, 1),
        ):
            n_found, _ = killed(Indexed(tmp_path / fault[:9], fault), process, n)
            record.caught(fault, n_found, n, at_least=least)
    assert n_caught == 0 and not any(total.values()), total


# --- R2: the store -----------------------------------------------------------------------------------

STORING = """
import os, random
import numpy as np
from fakes import fingerprint_of, record
from pathlib import Path
from placeprint.indexer import edge_store
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.record import photo_id

def case(home, log, seed, first, fault, url):
    chance, file = random.Random(seed), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def note(*words):
        os.write(file, (" ".join(map(str, words)) + "\\n").encode())
    if fault == "a point of each upsert is dropped":
        upsert = edge_store.EdgeStore.upsert
        edge_store.EdgeStore.upsert = lambda store, ids, *rest: upsert(
            store, ids[1:], *(part[1:] for part in rest)) if len(ids) > 1 else None
    if fault == "deletions do not reach the store":
        edge_store.EdgeStore.delete = lambda store, ids: None
    settings = Settings(home=Path(home), qdrant_url=url)
    with Gallery.open_or_create("trips", fingerprint_of(8), settings=settings) as gallery:
        begin()
        live = [i for i in range(first) if gallery.knows(photo_id(f"sha-{i}"))]
        for step in range(20):
            if step % 4 == 3 and live:
                gone = [live.pop(chance.randrange(len(live))) for _ in range(min(3, len(live)))]
                note("try-delete", *gone)
                gallery.delete([photo_id(f"sha-{i}") for i in gone])
                note("deleted", *gone)
            else:
                some = list(range(first, first + 5))
                first += 5
                rows = [record(str(i), np.random.default_rng(i).normal(size=8).astype("f4") + 0.01,
                               group=f"g{i % 7}") for i in some]
                note("try-add", *some)
                gallery.add(rows)
                note("added", *some)
                live += some
            gallery.nearest(np.ones(8), 5)
"""


class Stored:
    """A gallery whose writer is killed, and what it said that it has done."""

    def __init__(self, folder: Path, fault: str = "", url: str | None = None) -> None:
        folder.mkdir()
        self.home, self.log, self.fault, self.url = folder / "home", folder / "log", fault, url
        self.opened_s: list[float] = []
        self.n_confirmed = 0

    def told(self) -> tuple[set[int], set[int], int]:
        """Photos that must be there, that may be, and how many were ever begun."""
        must, open_ = set[int](), set[int]()
        most = 0
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            kind, *numbers = line.split()
            some = {int(number) for number in numbers}
            if kind == "try-add":
                most = max(most, *some) + 1
                open_ |= some
            elif kind == "added":
                must, open_ = must | some, open_ - some
            elif kind == "try-delete":
                must, open_ = must - some, open_ | some
            else:
                open_ -= some
        self.n_confirmed = len(must)
        return must, open_, most

    def faults(self) -> dict[str, int]:
        """By the oracle of crash tests: what was confirmed, phantoms, counts, facets, vectors."""
        must, may, _ = self.told()
        ids = {photo_id(f"sha-{i}") for i in must}
        allowed = ids | {photo_id(f"sha-{i}") for i in may}
        started = time.monotonic()
        with Gallery.open("trips", settings=Settings(home=self.home, qdrant_url=self.url)) as gallery:
            self.opened_s.append(time.monotonic() - started)
            found = [photo.id for photo in gallery.find()]
            points = gallery._index.store.retrieve(found, with_vectors=True)
            groups = [point.payload.get("_group") for point in points]
            facet = gallery.facet("group")
            counts = {group: gallery.count(Filter(groups=frozenset([group]))) for group in set(groups)}
            uncounted = sum(counts[group] != groups.count(group) for group in counts)
            uncounted += len(found) != gallery.count()
        return {
            "confirmed and lost": len(ids - set(found)),
            "phantoms": len(set(found) - allowed),
            "doubled": len(found) - len(set(found)),
            "without a vector": sum(point.vector is None or not np.any(point.vector) for point in points),
            "without a payload": sum(not point.payload.get("_image") for point in points),
            "counted differently": uncounted + (facet != {g: groups.count(g) for g in set(groups)}),
        }


def raw_faults(stored: Stored) -> int:
    """What was confirmed and the store itself does not say, before anything is reconciled."""
    must, may, _ = stored.told()
    current = next((stored.home / "galleries" / "trips" / "index").glob("gen-*"), None)
    if current is None:
        return len(must)
    store = EdgeStore(current)
    try:
        found = {point.id for point in store.scroll(None, 1_000_000)}
        wanted = {photo_id(f"sha-{i}") for i in must}
        return len(wanted - found) + len(found - wanted - {photo_id(f"sha-{i}") for i in may})
    finally:
        store.close()


def storing_killed(stored: Stored, process: Forked, n_kills: int) -> tuple[int, dict[str, int], int]:
    """In how many cases something was wrong, what in all, and what the bare store had lost."""
    moments, total, n_caught, n_raw = random.Random(9), dict[str, int](), 0, 0
    whole_s = 0.0
    for trial in range(n_kills + 1):
        words = (str(stored.home), str(stored.log), trial, stored.told()[2], stored.fault, stored.url)
        started = time.monotonic()
        # The first one is let be, to know how long it takes here and now.
        end = process.run(*words, kill_after_s=moments.uniform(0.0, whole_s) if trial else None)
        whole_s = whole_s or time.monotonic() - started
        assert end in (0, -signal.SIGKILL)
        raw = raw_faults(stored) if stored.url is None else 0
        found = stored.faults()
        n_raw += raw
        n_caught += bool(raw) or any(found.values())
        for kind, n in found.items():
            total[kind] = total.get(kind, 0) + n
    return n_caught, total, n_raw


def test_r02_the_store_is_killed(record: Record, tmp_path: Path) -> None:
    n_kills, n_controls = scaled(10, 100, 1000), scaled(4, 20, 50)
    with Forked(STORING) as process:
        stored = Stored(tmp_path / "right")
        n_caught, total, n_raw = storing_killed(stored, process, n_kills)
        record.figure("kills", n_kills)
        record.figure("points confirmed in the end", stored.n_confirmed)
        record.figure("longest until open", round(max(stored.opened_s), 3), "s")
        record.figure("confirmed changes that the bare store lacks", n_raw)
        for kind, n in total.items():
            record.figure(f"points {kind}", n)
        for fault in ("a point of each upsert is dropped", "deletions do not reach the store"):
            n_found, _, _ = storing_killed(Stored(tmp_path / fault[:8], fault), process, n_controls)
            record.caught(fault, n_found, n_controls + 1)  # one of them is let be
    record.note("over the store in a folder; the form with a server to kill needs one (-m server)")
    assert n_caught == 0 and n_raw == 0 and max(stored.opened_s) <= 30.0, total


@pytest.fixture
def server() -> Iterator[tuple[str, Any]]:
    """A Qdrant server that may be killed: its address, and what starts it again."""
    url, command = os.environ.get("QDRANT_URL"), os.environ.get("PLACEPRINT_TORTURE_QDRANT")
    if not url or not command:
        pytest.skip("QDRANT_URL and PLACEPRINT_TORTURE_QDRANT (a command that starts the server) are not set")
    import httpx

    running: list[subprocess.Popen[bytes]] = []

    def restart() -> float:
        for child in running:
            child.kill()
            child.wait()
        started = time.monotonic()
        running[:] = [subprocess.Popen(shlex.split(command), stdout=subprocess.DEVNULL)]
        while time.monotonic() - started < 60:
            try:
                if httpx.get(f"{url}/readyz").status_code == 200:
                    return time.monotonic() - started
            except httpx.TransportError:
                time.sleep(0.1)
        raise TimeoutError("the server did not start within a minute")

    restart()
    yield url, restart
    for child in running:
        child.kill()
        child.wait()


@pytest.mark.server
def test_a_server_is_killed_under_the_same_oracle(server: tuple[str, Any], tmp_path: Path) -> None:
    url, restart = server
    stored, started_s = Stored(tmp_path / "server", url=url), []
    code = STORING.replace("def case(", "def steps(") + (
        "\ndef case(*words):\n    try:\n        steps(*words)\n"
        "    except Exception as error:  # the server is gone\n        pass\n"
    )
    with Forked(code) as process:
        for trial in range(scaled(5, 50, 200)):
            words = (str(stored.home), str(stored.log), trial, stored.told()[2], "", url)
            threading.Timer(random.Random(trial).uniform(0.2, 2.0), restart).start()
            assert process.run(*words) == 0
            started_s.append(restart())
            assert not any(stored.faults().values())
    assert max(started_s) <= 30.0
