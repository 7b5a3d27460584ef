"""R28: many write and read the same photos at once, and each answer could be that of one after another.

Every call and its answer are noted with their times. A read is wrong where what it found had been
overwritten, by a write that was acknowledged before the read began, or had not been written before the
read ended; the state at the end must be that of one of the last writes.
"""

import json
import multiprocessing
import random
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows
from torture_rows import Record
from torture_scale import scaled

from placeprint.indexer.edge_store import EdgeStore
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import photo_id
from placeprint.indexer.settings import Settings

pytestmark = pytest.mark.slow

N_IDS, ABSENT = 24, -1
VECTORS = unit_rows(np.random.default_rng(2), N_IDS)


@dataclass(frozen=True)
class Call:
    """One call on one photo: what it wrote or found, and when it began and ended."""

    kind: str
    value: int
    began: float
    ended: float


class History:
    """Calls by photo, each list in the order in which they ended."""

    def __init__(self) -> None:
        self.calls: list[list[Call]] = [[] for _ in range(N_IDS)]
        self._lock = threading.Lock()

    def note(self, photo: int, kind: str, value: int, began: float) -> None:
        with self._lock:
            self.calls[photo].append(Call(kind, value, began, time.monotonic()))

    @property
    def n_calls(self) -> int:
        return sum(map(len, self.calls))

    def stale_reads(self) -> int:
        """Reads of what was overwritten before they began, or written after they ended."""
        return sum(_stale(calls) for calls in self.calls)

    def lost_updates(self, final: list[int]) -> int:
        """Photos whose state in the end was overwritten by a later write."""
        return sum(
            not _could_be(value, _writes(calls), np.inf)
            for value, calls in zip(final, self.calls, strict=True)
        )


def _writes(calls: list[Call]) -> list[Call]:
    return [Call("write", ABSENT, -1.0, -1.0), *(call for call in calls if call.kind == "write")]


def _could_be(value: int, writes: list[Call], began: float, ended: float = np.inf) -> bool:
    """Whether a read between two moments may find a value."""
    for write in writes:
        if write.value == value and write.began <= ended:
            if not any(write.ended < other.began and other.ended < began for other in writes):
                return True
    return False


def _stale(calls: list[Call]) -> int:
    writes = _writes(calls)
    return sum(
        not _could_be(call.value, writes, call.began, call.ended) for call in calls if call.kind == "read"
    )


def worker(gallery: Gallery, history: History, seed: int, n: int) -> None:
    """Write, delete, search and look up, by chance."""
    chance = random.Random(seed)
    for step in range(n):
        photo, what = chance.randrange(N_IDS), chance.random()
        id, began = photo_id(f"sha-{photo}"), time.monotonic()
        if what < 0.06:
            value = 1 + seed * 1_000_000 + step
            payload = json.dumps({"version": value})
            gallery.add([record(str(photo), VECTORS[photo], group="all", payload=payload)])
            history.note(photo, "write", value, began)
        elif what < 0.08:
            gallery.delete([id])
            history.note(photo, "write", ABSENT, began)
        elif what < 0.54:
            found = gallery.get([id])
            value = int(found[0].payload["version"]) if found else ABSENT
            history.note(photo, "read", value, began)
        else:
            nearest = {one.photo.id: one.photo for one in gallery.nearest(VECTORS[photo], N_IDS, exact=True)}
            value = int(nearest[id].payload["version"]) if id in nearest else ABSENT
            history.note(photo, "read", value, began)


def run(settings: Settings, name: str, n_threads: int, n_each: int) -> tuple[History, list[int], list[int]]:
    """What happened, what the gallery says in the end, and what it says when it is opened again."""
    history = History()
    with Gallery.create(name, fingerprint_of(8), settings=settings) as gallery:
        threads = [
            threading.Thread(target=worker, args=(gallery, history, seed, n_each))
            for seed in range(n_threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        last = values(gallery)
    with Gallery.open(name, settings=settings) as gallery:
        return history, last, values(gallery)


def values(gallery: Gallery) -> list[int]:
    found = {photo.id: int(photo.payload["version"]) for photo in gallery.find()}
    return [found.get(photo_id(f"sha-{photo}"), ABSENT) for photo in range(N_IDS)]


class Lazy:
    """The fault: a store whose writes come a moment after they were acknowledged."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        real: Any = EdgeStore.upsert

        def write(store: EdgeStore, *words: Any) -> None:
            with suppress(Exception):  # the engine's own, where the gallery was closed meanwhile
                real(store, *words)

        def later(store: EdgeStore, *words: Any) -> None:
            timer = threading.Timer(0.3, write, (store, *words))
            timer.daemon = True
            timer.start()

        patch.setattr(EdgeStore, "upsert", later)


def adding(home: str, first: int, n: int, failed: Any) -> None:
    """Add photos one at a time, each time opening the gallery anew, in a process of its own."""
    settings = Settings(home=Path(home), qdrant_url=None, lock_timeout_s=120.0)
    for i in range(first, first + n):
        with Gallery.open("shared", settings=settings) as gallery:
            gallery.add([record(f"photo-{i}", VECTORS[i % N_IDS])])
            if len(gallery) < i - first + 1:
                failed.value += 1


def together(settings: Settings, n_processes: int, n_each: int) -> tuple[int, int]:
    """Photos that are there after several processes wrote at once, and how many should be."""
    Gallery.create("shared", fingerprint_of(8), settings=settings).close()
    context = multiprocessing.get_context("spawn")
    failed = context.Value("i", 0)
    processes = [
        context.Process(target=adding, args=(str(settings.home), 1000 * number, n_each, failed))
        for number in range(n_processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0] * n_processes and failed.value == 0
    with Gallery.open("shared", settings=settings) as gallery:
        return len(gallery), n_processes * n_each


def test_r28_writers_of_the_same_photos(
    record: Record, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_threads, n_each = 8, scaled(150, 2_500, 12_500)
    history, last, reopened = run(settings, "right", n_threads, n_each)
    record.figure("operations", history.n_calls)
    record.figure("threads", n_threads)
    record.figure("reads of what was overwritten", history.stale_reads())
    record.figure("lost updates", history.lost_updates(last))
    record.figure(
        "photos that are others after opening again", sum(a != b for a, b in zip(last, reopened, strict=True))
    )
    found, wanted = together(settings, scaled(2, 4, 8), scaled(3, 15, 50))
    record.figure("photos added by processes at once", wanted)
    record.figure("of these lost", wanted - found)
    with monkeypatch.context() as patch:
        Lazy(patch)
        wrong, _, _ = run(settings, "wrong", n_threads, scaled(100, 300, 300))
        time.sleep(1.0)
    record.caught("writes reach the store later", wrong.stale_reads(), wrong.n_calls)
    assert history.stale_reads() == 0 and history.lost_updates(last) == 0
    assert last == reopened and found == wanted
