"""R7 and R8: what was backed up comes back, and the ledger makes the index again, to the last bit."""

import hashlib
import json
import multiprocessing
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows
from torture_faults import FAULTS
from torture_rows import Record
from torture_runs import Copy, load_tests, run_tests
from torture_scale import scaled

from placeprint.indexer.backup import back_up
from placeprint.indexer.edge_store import EdgeStore
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.restore import restore, verify
from placeprint.indexer.settings import Settings

pytestmark = pytest.mark.slow

DIMENSION = 32


def rows(first: int, n: int) -> list[Any]:
    rng = np.random.default_rng(first)
    return [
        record(
            f"photo-{first + i}", vector, lon=float(rng.uniform(-180, 180)), lat=float(rng.uniform(-90, 90)),
            group=f"walk {i % 9}", payload=json.dumps({"camera": f"Ü-{i % 4}", "iso": i}),
        )
        for i, vector in enumerate(unit_rows(rng, n, DIMENSION))
    ]  # fmt: skip


def contents(gallery: Gallery) -> dict[str, tuple[str, Any]]:
    """Every id with the hash of its vector and all that is told of it."""
    photos = list(gallery.find())
    vectors = gallery.embeddings([photo.id for photo in photos])
    return {
        photo.id: (hashlib.sha256(vector.tobytes()).hexdigest(), photo)
        for photo, vector in zip(photos, vectors, strict=True)
    }


def contents_of(name: str, settings: Settings) -> dict[str, tuple[str, Any]]:
    with Gallery.open(name, settings=settings) as gallery:
        return contents(gallery)


def differing(one: dict[str, Any], other: dict[str, Any]) -> int:
    """Ids whose vector or facts are not the same in both."""
    return sum(one.get(id) != other.get(id) for id in one.keys() | other.keys())


def writing(home: str, started: Any, seconds: float) -> None:
    """Add photos for some time, in a process of its own."""
    with Gallery.open("trips", settings=Settings(home=Path(home), qdrant_url=None)) as gallery:
        end, first = time.monotonic() + seconds, 1_000_000
        while time.monotonic() < end:
            gallery.add(rows(first, 50))
            first += 50
            started.set()


def test_r07_backups_come_back(record: Record, settings: Settings, tmp_path: Path, copy: Copy) -> None:
    n = scaled(300, 10_000, 100_000)
    with Gallery.create("trips", fingerprint_of(DIMENSION), settings=settings) as gallery:
        for first in range(0, n, 1000):
            gallery.add(rows(first, min(1000, n - first)))
        gallery.delete([photo.id for photo in gallery.find(limit=n // 50)])
        before = contents(gallery)
    started = time.monotonic()
    made = back_up("trips", tmp_path / "idle.tar", settings=settings)
    record.figure("photos", made.photos)
    record.figure("time to back up", round(time.monotonic() - started, 2), "s")

    process = multiprocessing.get_context("spawn")
    begun = process.Event()
    writer = process.Process(target=writing, args=(str(settings.home), begun, scaled(1.0, 5.0, 30.0)))
    writer.start()
    assert begun.wait(60)
    during, n_backups = [], 0
    while writer.is_alive():
        n_backups += 1
        target = tmp_path / f"during-{n_backups}.tar"
        during.append(back_up("trips", target, settings=settings))
    writer.join(60)
    assert writer.exitcode == 0
    after = contents_of("trips", settings)
    shutil.rmtree(settings.home)

    started = time.monotonic()
    restore(tmp_path / "idle.tar", "trips", settings=settings)
    record.figure("time to restore", round(time.monotonic() - started, 2), "s")
    idle = differing(before, contents_of("trips", settings))
    torn = 0
    for i in {1, (n_backups + 1) // 2, n_backups}:
        verify(tmp_path / f"during-{i}.tar")
        restore(tmp_path / f"during-{i}.tar", f"during-{i}", settings=settings)
        found = contents_of(f"during-{i}", settings)
        torn += not (before.items() <= found.items() <= after.items()) or len(found) != during[i - 1].photos
    earlier = load_tests("indexer/test_backup.py")
    restore(earlier.EARLIER, "earlier", settings=settings)
    with Gallery.create("expected", fingerprint_of(8), settings=settings) as gallery:
        earlier.fill(gallery, 25)
    old = differing(contents_of("earlier", settings), contents_of("expected", settings))
    record.figure("photos that differ, backed up idle", idle)
    record.figure("backups during an ingest", n_backups)
    record.figure("of those restored, torn", torn)
    record.figure("photos that differ, of the earlier format", old)
    run_tests("tests/indexer/test_backup.py", tree=copy.tree).require_passed()
    for name, fault in FAULTS["R7"].items():
        record.caught(name, int(copy.is_caught(fault)), 1)
    assert (idle, torn, old) == (0, 0, 0)


def recalls(gallery: Gallery, queries: np.ndarray) -> list[set[str]]:
    return [{one.photo.id for one in gallery.nearest(query, 10)} for query in queries]


def rebuilt(settings: Settings) -> tuple[dict[str, tuple[str, Any]], list[set[str]], float]:
    """Delete the index and make it again: what is found then, and how long it took."""
    shutil.rmtree(settings.home / "galleries" / "trips" / "index")
    started = time.monotonic()
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        took = time.monotonic() - started
        gallery.optimize()
        found = stored(gallery)
        return found, recalls(gallery, unit_rows(np.random.default_rng(77), 50, DIMENSION)), took


def stored(gallery: Gallery) -> dict[str, tuple[str, Any]]:
    """As the store has it, and not the ledger: ids, vectors to five digits, payloads."""
    photos = {photo.id: photo for photo in gallery.find()}
    points = gallery._index.store.retrieve(list(photos), with_vectors=True)
    return {
        point.id: (np.asarray(point.vector, float).round(5).tobytes().hex(), photos[point.id])
        for point in points
    }


def test_r08_the_index_is_rebuilt(
    record: Record, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = scaled(500, 20_000, 100_000)
    queries = unit_rows(np.random.default_rng(77), 50, DIMENSION)
    with Gallery.create("trips", fingerprint_of(DIMENSION), settings=settings) as gallery:
        for first in range(0, n, 2000):
            gallery.add(rows(first, min(2000, n - first)))
        gallery.delete([photo.id for photo in gallery.find(limit=n // 50)])
        gallery.optimize()
        before, found_before = stored(gallery), recalls(gallery, queries)
        exact = [{one.photo.id for one in gallery.nearest(q, 10, exact=True)} for q in queries]
        n_placed = gallery.count(Filter(is_placed=True))
    after, found_after, took = rebuilt(settings)
    recall = [
        sum(len(a & b) for a, b in zip(found, exact, strict=True)) / (10 * len(exact))
        for found in (found_before, found_after)
    ]
    record.figure("photos", n_placed)
    record.figure("photos that differ", differing(before, after))
    record.figure("recall@10 after", recall[1], "", peer="before", theirs=recall[0])
    record.figure("time to rebuild", round(took, 2), "s")

    real: Callable[..., None] = EdgeStore.upsert

    def exchanged(store: EdgeStore, ids: Any, vectors: Any, payloads: Any) -> None:
        real(store, ids, [*vectors[1:], vectors[0]], payloads)

    def without(store: EdgeStore, ids: Any, vectors: Any, payloads: Any) -> None:
        real(store, ids, vectors, [{**payloads[0], "iso": None}, *payloads[1:]])

    for name, fault in {"vectors exchanged between photos": exchanged, "a payload left out": without}.items():
        with monkeypatch.context() as patch:
            patch.setattr(EdgeStore, "upsert", fault)
            record.caught(name, int(differing(before, rebuilt(settings)[0]) > 0), 1)
    assert differing(before, after) == 0
    assert abs(recall[0] - recall[1]) <= 0.005
