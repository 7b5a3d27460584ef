"""A gallery's store moves from its folder to a server and back.

Claims: the ledger, and with it every embedding, stays byte by byte; the answers are the same; named vectors,
deleted photos and payloads come along; cut off anywhere, the same command goes on, without beginning again;
nothing stays where it was; the gallery's description changes last.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows
from program import run_program
from qdrant_fakes import FakeQdrant, Fault, fake_qdrant

from placeprint.encoders.errors import GalleryLocked, PlaceprintError, ReadOnlyGallery, UnknownGallery
from placeprint.encoders.fingerprint import Fingerprint
from placeprint.indexer import filling, moving, server_calls
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.moving import move
from placeprint.indexer.named_vectors import VectorCard
from placeprint.indexer.noted_store import NotedStore
from placeprint.indexer.record import photo_id
from placeprint.indexer.server_store import ServerStore
from placeprint.indexer.settings import Settings
from placeprint.indexer.store import StoreUnavailable

N, EACH = 60, 10
OTHER = Fingerprint(name="o", weights_sha256="0" * 64, preprocessing="none", dimension=6, architecture="x")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeQdrant]:
    monkeypatch.setattr(server_calls, "FIRST_WAIT_S", 0.001)
    with fake_qdrant() as fake:
        yield fake


@pytest.fixture
def filled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A gallery of a few shards, one photo deleted, and with named vectors, in its folder."""
    vectors = unit_rows(np.random.default_rng(0), N)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        for start in range(0, N, EACH):
            gallery.add(
                [record(f"photo-{i}", vectors[i], lon=float(i), lat=1.0, payload=json.dumps({"n": i}))
                 for i in range(start, start + EACH)]
            )  # fmt: skip
        gallery.vectors.begin(VectorCard(name="map", fingerprint=OTHER, encoder="map:o"))
        sha256 = [f"sha-photo-{i}" for i in range(0, N, 2)]
        gallery.vectors.add("map", sha256, unit_rows(np.random.default_rng(1), len(sha256), 6))
        gallery.delete([photo_id("sha-photo-5")])
    monkeypatch.setattr(filling, "CHUNK", EACH)
    monkeypatch.setattr(filling, "NOTED_EVERY", EACH)
    return settings.model_copy(update={"qdrant_retries": 1})


def answers(settings: Settings) -> dict[str, object]:
    """All that can be asked of the gallery, and the bytes of its ledger."""
    queries = unit_rows(np.random.default_rng(2), 5)
    with Gallery.open("trips", settings=settings) as gallery:
        ids = sorted(photo.id for photo in gallery.find())
        return {
            "near": [[n.photo for n in gallery.nearest(query, N)] for query in queries],
            "named": [
                n.photo.id
                for n in gallery.nearest(unit_rows(np.random.default_rng(3), 1, 6)[0], N, using="map")
            ],
            "embeddings": gallery.embeddings(ids).tobytes(),
            "ledger": [path.read_bytes() for path in sorted((gallery.folder / "ledger").glob("*"))],
            "count": len(gallery),
        }


def test_to_a_server_and_back_with_every_bit(filled: Settings, server: FakeQdrant) -> None:
    folder = filled.home / "galleries/trips"
    before = answers(filled)
    assert move("trips", server.url, settings=filled) == (N - 1, True)
    assert answers(filled) == before
    [collection] = server.collections
    assert set(server.aliases.values()) == {collection}
    assert not list((folder / "index").glob("gen-*")) and not (folder / "moving.json").exists()
    assert move("trips", server.url, settings=filled) == (N - 1, False)
    assert move("trips", None, settings=filled) == (N - 1, True)
    assert answers(filled) == before
    assert not server.collections and not server.aliases
    assert not (folder / "index/applied.json").exists() and not (folder / "moving.json").exists()


def test_a_collection_is_linked_only_when_all_is_in(filled: Settings, server: FakeQdrant) -> None:
    move("trips", server.url, settings=filled)
    [made] = server.sent("PUT", "/collections/[^/]+")
    assert made.body.hnsw_config.m == 0
    [linked] = server.sent("PATCH", "/collections/[^/]+")
    assert linked.body.hnsw_config.m == 16
    writes = [i for i, r in enumerate(server.requests) if r.path.endswith("/points")]
    assert server.requests.index(linked) > writes[-1]


def test_cut_off_while_filling_it_goes_on_where_it_was(filled: Settings, server: FakeQdrant) -> None:
    before = answers(filled)
    writes = ".*/points"
    server.faults = [Fault(503, "PUT", writes, times=0)]

    def stage(what: str) -> None:
        server.faults[0].times = 0

    real, calls = NotedStore.note_applied, []

    def count(store: NotedStore, *noted: object) -> None:
        real(store, *noted)  # type: ignore[arg-type]
        calls.append(noted[1])
        if len(calls) == 4:
            server.faults[0].times = 99

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NotedStore, "note_applied", count)
        with pytest.raises(StoreUnavailable, match="503"):
            move("trips", server.url, settings=filled, stage=stage)
    assert answers(filled) == before  # the gallery is where it was
    server.faults.clear()
    n_written = sum(len(r.body.points) for r in server.sent("PUT", writes))
    move("trips", server.url, settings=filled)
    again = sum(len(r.body.points) for r in server.sent("PUT", writes)) - n_written
    assert again == N - 4 * EACH  # of the shards that were not noted
    assert answers(filled) == before and len(server.collections) == 1


@pytest.mark.parametrize("point", ["write_config", "_remove"])
@pytest.mark.parametrize("is_back", [False, True])
def test_cut_off_at_the_end_it_leaves_nothing_behind(
    filled: Settings, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch, point: str, is_back: bool
) -> None:
    before = answers(filled)
    target = server.url
    if is_back:
        move("trips", server.url, settings=filled)
        target = None
    with monkeypatch.context() as patch:
        patch.setattr(moving, point, lambda *how: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            move("trips", target, settings=filled)
    assert answers(filled) == before
    move("trips", target, settings=filled)
    assert answers(filled) == before
    folder = filled.home / "galleries/trips"
    if is_back:
        assert not server.collections
    else:
        assert len(server.collections) == 1 and not list((folder / "index").glob("gen-*"))
    assert not (folder / "moving.json").exists()


def test_a_move_may_be_given_up_for_another(filled: Settings, server: FakeQdrant) -> None:
    before = answers(filled)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moving, "write_config", lambda *how: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            move("trips", server.url, settings=filled)
    with fake_qdrant() as second:
        move("trips", second.url, settings=filled)
        assert answers(filled) == before
        assert not server.collections and len(second.collections) == 1
        move("trips", None, settings=filled)


def test_a_store_that_lacks_photos_is_not_gone_over_to(
    filled: Settings, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answers(filled)
    real = ServerStore.count
    with monkeypatch.context() as patch:
        patch.setattr(ServerStore, "count", lambda store, condition: real(store, condition) - 1)
        with pytest.raises(StoreUnavailable, match=f"{N - 2} photos and the ledger {N - 1}"):
            move("trips", server.url, settings=filled)
    assert answers(filled) == before


def test_only_who_holds_and_may_write_it_moves_a_gallery(
    filled: Settings, server: FakeQdrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownGallery):
        move("nothing", server.url, settings=filled)
    with Gallery.open("trips", settings=filled), pytest.raises(GalleryLocked):
        move("trips", server.url, settings=filled)
    monkeypatch.setattr(moving, "is_writable", lambda folder: False)
    with pytest.raises(ReadOnlyGallery):
        move("trips", server.url, settings=filled)
    assert not server.collections


def test_a_damaged_note_is_told(filled: Settings, server: FakeQdrant) -> None:
    (filled.home / "galleries/trips/moving.json").write_text("[1]")
    with pytest.raises(PlaceprintError, match=r"damaged.*move again"):
        move("trips", server.url, settings=filled)


def test_the_verb_says_what_it_did(filled: Settings, server: FakeQdrant, tmp_path: Path) -> None:
    words = ("move", "--gallery", "trips", "--to")
    told = run_program(tmp_path, *words, server.url, home=filled.home)
    assert told.returncode == 0 and f"moved to {server.url}, {N - 1} photos" in told.stdout
    told = run_program(tmp_path, *words, "folder", "--json", home=filled.home)
    assert json.loads(told.stdout.splitlines()[-1])["photos"] == N - 1
    told = run_program(tmp_path, *words, "folder", home=filled.home)
    assert "is already in its folder" in told.stdout
    told = run_program(tmp_path, *words, "elsewhere", home=filled.home)
    assert told.returncode == 2 and "--to elsewhere" in told.stderr
