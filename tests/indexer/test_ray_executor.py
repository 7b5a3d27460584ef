"""A Ray of two processes does what this process does alone, also when one is killed on the way."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from ingest_fakes import draw
from ray_fakes import KilledAlways, KilledOnce

from placeprint.encoders.errors import FingerprintMismatch, PlaceprintError
from placeprint.indexer import ray_executor
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.ray_executor import RayExecutor, is_among, known_hashes
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

ray = pytest.importorskip("ray")
N = 2100  # nine commits


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("photos")
    for n in range(N):
        draw(folder / f"{n:04d}.png", (n % 250, n // 250 * 25, n % 7 * 30))
    (folder / "0100.png").write_bytes(b"no picture")
    (folder / "2000.png").write_bytes((folder / "0003.png").read_bytes())  # in another commit
    return folder


@pytest.fixture(autouse=True)
def _reachable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers find the encoders of these tests where we found them."""
    tests = str(Path(__file__).resolve().parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    yield
    ray.shutdown()


def shards(gallery: Gallery) -> list[bytes]:
    return [gallery.ledger.path(number).read_bytes() for number in gallery.ledger.numbers()]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_same_ledger_to_the_byte_though_a_worker_is_killed(
    photos: Path, settings: Settings, tmp_path: Path
) -> None:
    encoder = ColorEncoder()
    with Gallery.create("alone", encoder.fingerprint, settings=settings) as alone:
        index(list_source(photos), alone, encoder)
        expected = shards(alone)
    mark = tmp_path / "killed"
    executor = RayExecutor(partial(KilledOnce, mark), encoder.fingerprint, actors=2)
    with Gallery.create("many", encoder.fingerprint, settings=settings) as many:
        report = index(list_source(photos), many, encoder, executor=executor)
        assert mark.exists(), "no worker was killed"
        assert (report.n_embedded, report.n_known, report.n_failed) == (N - 2, 1, 1)
        assert shards(many) == expected and len(expected) == 9
        assert index(list_source(photos), many, encoder, executor=executor).n_unchanged == N - 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_photos_that_end_every_worker_are_named_and_nothing_is_lost(photos: Path, settings: Settings) -> None:
    encoder = ColorEncoder()
    executor = RayExecutor(KilledAlways, encoder.fingerprint, actors=1)
    with Gallery.create("many", encoder.fingerprint, settings=settings) as gallery:
        with pytest.raises(PlaceprintError, match=r"0000\.png to .*0255\.png: 4 workers were lost"):
            index(list_source(photos), gallery, encoder, executor=executor)
        assert len(gallery) == 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_worker_with_another_encoder_is_refused(photos: Path, settings: Settings) -> None:
    encoder = ColorEncoder()
    executor = RayExecutor(partial(ColorEncoder, "other"), encoder.fingerprint, actors=1)
    with Gallery.create("many", encoder.fingerprint, settings=settings) as gallery:
        with pytest.raises(FingerprintMismatch, match="same weights"):
            index(list_source(photos), gallery, encoder, executor=executor)


def test_what_is_known_is_told_in_eight_bytes_a_photo(
    photos: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ColorEncoder()
    some = list_source(photos)[:20]
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        index(some, gallery, encoder)
        gone = next(gallery.find())
        gallery.delete([gone.id], is_erased=True)
        sha256s = [entry.sha256 for entry in gallery.state.entries.values()]
        known = known_hashes(gallery.state, undelete=False)
        assert known.dtype == np.uint64 and len(known) == 20
        assert all(is_among(sha256, known) for sha256 in sha256s)
        assert not is_among("f" * 64, known) and not is_among("0" * 64, known)
        erased = gallery.state.entries[gone.image].sha256
        assert not is_among(erased, known_hashes(gallery.state, undelete=True))


def test_chunks_come_in_order_however_late_they_are_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Ray whose workers finish the last chunk first, and never hold more than a few."""

    class Late:
        most = 0

        @staticmethod
        def wait(refs: list[int], num_returns: int) -> tuple[list[int], list[int]]:
            Late.most = max(Late.most, len(refs))
            return [max(refs)], []

        @staticmethod
        def get(ref: int) -> list[int]:
            return [ref]

    class Actor:
        class rows:
            @staticmethod
            def remote(chunk: list[int], known: None) -> int:
                return chunk[0] // 10

    monkeypatch.setattr(ray_executor.chunks, "COMMIT", 10)
    taken: list[int] = []
    items = (taken.append(n) or n for n in range(1000))
    given = []
    for rows in ray_executor._in_order(Late, [Actor, Actor], items, None):
        given += rows
        assert len(taken) <= 10 * (len(given) + ray_executor.WINDOW * 2 + 1)
    assert given == list(range(100))
    assert Late.most == 2
