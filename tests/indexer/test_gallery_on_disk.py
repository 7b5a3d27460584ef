"""A gallery comes back as it was left.

Claims: after its process, from its ledger alone, and after its index was built; what is damaged is named;
where store and ledger are out of step the ledger wins; everything is on the disk before it is counted on;
what is erased is in no file.
"""

import json
import os
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from copies import read_written
from fakes import fingerprint_of, record, unit_rows
from gallery_rows import E1, images

from placeprint.encoders.errors import (
    DamagedGallery,
    FingerprintMismatch,
    GalleryLocked,
    PlaceprintError,
    UnknownGallery,
)
from placeprint.indexer import index as index_module
from placeprint.indexer.edge_store import EdgeStore
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.gallery_files import CALIBRATION, EVIDENCE, gallery_names
from placeprint.indexer.index import Index
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.locator import Locator
from placeprint.indexer.record import Record, photo_id
from placeprint.indexer.settings import Settings
from placeprint.indexer.state import State


def test_a_gallery_is_as_it_was_left(filled: np.ndarray, settings: Settings) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 40
        assert gallery.nearest(filled[7], 1)[0].photo.image == "photo-7"
    assert gallery_names(settings) == ["trips"]


def test_the_ledger_alone_makes_the_store_again(filled: np.ndarray, settings: Settings) -> None:
    folder = settings.home / "galleries" / "trips"
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.delete([photo_id("sha-photo-3")])
        before = {photo.id: photo for photo in gallery.find()}
    shutil.rmtree(folder / "index")
    with Gallery.open("trips", settings=settings) as gallery:
        assert {photo.id: photo for photo in gallery.find()} == before


def test_a_store_that_cannot_be_opened_is_rebuilt(filled: np.ndarray, settings: Settings) -> None:
    for file in (settings.home / "galleries/trips/index/gen-0001").rglob("*.json"):
        if file.name != "applied.json":
            file.write_text("damaged")
    with pytest.raises(PlaceprintError, match="placeprint rebuild"):
        Gallery.open("trips", settings=settings)
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 40


def test_shards_that_the_store_missed_are_applied_on_opening(
    filled: np.ndarray, settings: Settings, rng: np.random.Generator
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        # As if killed between the commit to the ledger and the store.
        gallery.ledger.append(
            [record("late", E1), Record(key="photo-0", status="removed", sha256="sha-photo-0")]
        )
    with Gallery.open("trips", settings=settings) as gallery:
        assert gallery.nearest(E1, 1)[0].photo.image == "late"
        assert len(gallery) == 40


def test_another_encoder_is_refused_with_the_remedy(filled: np.ndarray, settings: Settings) -> None:
    with pytest.raises(FingerprintMismatch, match=r"made-up.*--encoder"):
        Gallery.open("trips", fingerprint=fingerprint_of(8, "other"), settings=settings)
    with Gallery.open("trips", fingerprint=fingerprint_of(8), settings=settings) as gallery:
        assert len(gallery) == 40


def test_an_unknown_gallery_says_which_there_are(filled: np.ndarray, settings: Settings) -> None:
    with pytest.raises(UnknownGallery, match=r"trips.*placeprint index"):
        Gallery.open("tirps", settings=settings)
    with pytest.raises(UnknownGallery, match="lower-case"):
        Gallery.create("../x", fingerprint_of(8), settings=settings)


def test_two_do_not_hold_it_at_once(filled: np.ndarray, settings: Settings) -> None:
    with Gallery.open("trips", settings=settings):
        with pytest.raises(GalleryLocked, match=r"process \d+"):
            Gallery.open("trips", settings=settings)
    Gallery.open("trips", settings=settings).close()


def test_searches_and_writes_go_on_while_the_index_is_built(
    settings: Settings, rng: np.random.Generator
) -> None:
    vectors = unit_rows(rng, 12_000, 64)
    waits_s: list[float] = []
    with Gallery.create("big", fingerprint_of(64), settings=settings) as gallery:
        gallery.add([record(f"photo-{i}", vector) for i, vector in enumerate(vectors)])
        builder = threading.Thread(target=gallery.optimize)
        builder.start()
        while builder.is_alive():
            started = time.perf_counter()
            assert len(gallery.nearest(vectors[5], 3)) == 3
            waits_s.append(time.perf_counter() - started)
            if len(waits_s) == 3:
                gallery.add([record("late", vectors[5])])
                gallery.delete([photo_id("sha-photo-0")])
            builder.join(0.02)  # the builder, a process, has most of the processor
        found = {neighbor.photo.image for neighbor in gallery.nearest(vectors[5], 2)}
        assert found == {"late", "photo-5"}
        assert len(gallery) == 12_000
        assert len(waits_s) > 10
        assert [path.name for path in (gallery.folder / "index").glob("gen-*")] == ["gen-0002"]
    with Gallery.open("big", settings=settings) as gallery:
        assert len(gallery) == 12_000
        assert isinstance(gallery._index.store, EdgeStore)


def test_a_flipped_bit_in_the_ledger_is_an_error_that_names_the_shard(
    filled: np.ndarray, settings: Settings
) -> None:
    shard = settings.home / "galleries/trips/ledger/00000001.parquet"
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(PlaceprintError, match=r"00000001.parquet: damaged.*index the same"):
        Gallery.open("trips", settings=settings, is_rebuilt=True)


def test_leftovers_of_a_killed_commit_are_cleared(filled: np.ndarray, settings: Settings) -> None:
    leftover = settings.home / "galleries/trips/ledger/00000002.tmp"
    leftover.write_bytes(b"half a shard")
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 40
    assert not leftover.exists()


def test_a_moved_file_of_weights_is_remembered(
    filled: np.ndarray, settings: Settings, tmp_path: Path
) -> None:
    fingerprint = fingerprint_of(8)
    for place in ("one.safetensors", "two.safetensors"):
        Gallery.open_or_create("trips", fingerprint, weights=tmp_path / place, settings=settings).close()
        with Gallery.open("trips", settings=settings) as gallery:
            assert gallery.weights == str(tmp_path / place)
    Gallery.open_or_create("trips", fingerprint, settings=settings).close()
    with Gallery.open("trips", settings=settings) as gallery:
        assert gallery.weights == str(tmp_path / "two.safetensors")
    with pytest.raises(FingerprintMismatch):
        Gallery.open_or_create("trips", fingerprint_of(8, "other"), weights=tmp_path / "x", settings=settings)
    with Gallery.open("trips", settings=settings) as gallery:
        assert gallery.weights == str(tmp_path / "two.safetensors")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"format": 1}', '{"format": 1, "fingerprint": {"name": "x"}}', '{"format": []}'],
)
def test_a_damaged_description_is_named(filled: np.ndarray, settings: Settings, content: str) -> None:
    path = settings.home / "galleries/trips/gallery.json"
    path.write_text(content)
    with pytest.raises(DamagedGallery, match=r"gallery.json: damaged.*backup"):
        Gallery.open("trips", settings=settings)


def test_a_gallery_of_a_later_version_is_left_alone(filled: np.ndarray, settings: Settings) -> None:
    (settings.home / "galleries/trips/gallery.json").write_text('{"format": 2, "all": "different"}')
    with pytest.raises(PlaceprintError, match="update Placeprint"):
        Gallery.open("trips", settings=settings)


# --- the store and the ledger out of step ----------------------------------------------------------


@pytest.mark.parametrize("note", ["", "null", "[1]", '{"shards": "many"}'])
def test_without_a_readable_note_the_store_is_brought_up_to_date(
    filled: np.ndarray, settings: Settings, note: str
) -> None:
    (settings.home / "galleries/trips/index/gen-0001/applied.json").write_text(note)
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 40


def test_an_unreadable_pointer_to_the_store_is_named_and_rebuilt(
    filled: np.ndarray, settings: Settings
) -> None:
    (settings.home / "galleries/trips/index/CURRENT").write_text("")
    with pytest.raises(PlaceprintError, match=r"CURRENT: damaged.*placeprint rebuild"):
        Gallery.open("trips", settings=settings)
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 40


@pytest.mark.parametrize("kind", ["behind", "behind an early note", "overtaken"])
def test_a_ledger_from_a_backup_wins_over_the_store(
    filled: np.ndarray, settings: Settings, tmp_path: Path, kind: str
) -> None:
    ledger = settings.home / "galleries/trips/ledger"
    shutil.copytree(ledger, tmp_path / "backup")
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.add([record("later", E1)])
        gallery.delete([photo_id("sha-photo-3")])
    shutil.rmtree(ledger)
    shutil.copytree(tmp_path / "backup", ledger)
    if kind == "behind an early note":
        (settings.home / "galleries/trips/index/gen-0001/applied.json").write_text('{"shards": 3}')
    if kind == "overtaken":  # as many shards as the store knows, but others
        other = Ledger(ledger, fingerprint=fingerprint_of(8).id, dimension=8)
        other.append([record("another", E1)])
        other.append([record("a third", E1)])
    with Gallery.open("trips", settings=settings) as gallery:
        others = {"another", "a third"} if kind == "overtaken" else set()
        wanted = {f"photo-{i}" for i in range(40)} | others
        assert images(gallery, Filter()) == wanted


@pytest.mark.parametrize("is_behind", [False, True])
@pytest.mark.parametrize("change", ["a stranger", "nothing left"])
def test_a_store_that_was_changed_by_others_is_made_anew(
    filled: np.ndarray, settings: Settings, change: str, is_behind: bool
) -> None:
    """As a collection on a server that went on, when the gallery's folder comes back from a backup."""
    with Gallery.open("trips", settings=settings) as gallery:
        if change == "a stranger":
            gallery._index.store.upsert([photo_id("stranger")], [{"image": E1}], [{"_image": "stranger"}])
        else:
            gallery._index.store.delete([photo_id(f"sha-photo-{i}") for i in range(40)])
        if is_behind:  # as if killed before the store took a commit in
            gallery.ledger.append([record("late", E1)])
    with Gallery.open("trips", settings=settings) as gallery:
        wanted = {f"photo-{i}" for i in range(40)} | ({"late"} if is_behind else set())
        assert images(gallery, Filter()) == wanted


def test_a_store_killed_in_the_middle_of_a_commit_is_not_made_anew(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.ledger.append([record("late", E1), record("later", E1)])
        gallery._index.store.upsert([photo_id("sha-late")], [{"image": E1}], [{"_image": "late"}])
    monkeypatch.setattr(Index, "_start_anew", None)
    with Gallery.open("trips", settings=settings) as gallery:
        assert len(gallery) == 42


# --- what is on the disk, and when -----------------------------------------------------------------


def test_a_shard_is_on_the_disk_before_it_has_its_name_and_the_store_before_it_is_noted(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is forced to disk before it is renamed, every folder after; the ledger comes first."""
    events: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        events.append(f"sync {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        real_fsync(handle)

    def replace(self: Path, target: Path) -> Path:
        events.append(f"rename {self.name} {Path(target).name}")
        return real_replace(self, target)

    with Gallery.open("trips", settings=settings) as gallery:
        real_flush = gallery._index.store.flush

        def flush() -> None:
            events.append("flush the store")
            real_flush()

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(Path, "replace", replace)
        monkeypatch.setattr(gallery._index.store, "flush", flush)
        monkeypatch.setattr(index_module, "COMMITS_A_NOTE", 2)
        gallery.add([record("early", E1)])
        assert events == ["sync 00000002.tmp", "rename 00000002.tmp 00000002.parquet", "sync ledger"]
        events.clear()
        gallery.add([record("late", E1)])
        assert events == [
            "sync 00000003.tmp",
            "rename 00000003.tmp 00000003.parquet",
            "sync ledger",
            "flush the store",
            "sync applied.json.tmp",
            "rename applied.json.tmp applied.json",
            "sync gen-0001",
        ]


def test_what_is_deleted_is_decided_while_nobody_else_writes(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        looked: list[bool] = []
        real = Index.state

        def look() -> None:
            looked.append(gallery._index.writing.acquire(blocking=False))
            if looked[-1]:
                gallery._index.writing.release()

        def state(index: Index) -> State:
            other = threading.Thread(target=look)
            other.start()
            other.join()
            return real.fget(index)

        monkeypatch.setattr(Index, "state", property(state))
        gallery.delete([photo_id("sha-photo-3")])
        assert set(looked) == {False}


def test_erased_photos_leave_the_files(settings: Settings, rng: np.random.Generator) -> None:
    vectors = unit_rows(rng, 6, 64)
    rows = [
        record(
            f"photo-{i}", vector, lon=10.0 + i, lat=20.0,
            payload=json.dumps({"note": f"secret-{i}-{rng.integers(1 << 60)}"}),
        )
        for i, vector in enumerate(vectors)
    ]  # fmt: skip
    with Gallery.create("trips", fingerprint_of(64), settings=settings) as gallery:
        gallery.add(rows[:4])
        gallery.add(
            [*rows[4:], Record(key="copy-1", status="seen", sha256="sha-photo-1", payload=rows[1].payload)]
        )
        Locator(gallery)
        gallery.keep(EVIDENCE, b"learned from all of them")
        before = {photo.id: photo for photo in gallery.find()}
    kept, gone = photo_id("sha-photo-0"), [photo_id("sha-photo-1"), photo_id("sha-photo-5")]
    assert all(_is_in_files(settings, gone_row) for gone_row in (rows[1], rows[5]))
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.delete([gone[0]])  # erased though it was deleted before
        assert gallery.delete(gone, is_erased=True) == 2
        assert not (gallery.folder / CALIBRATION).exists()  # it weighs where they were
        assert not (gallery.folder / EVIDENCE).exists()  # it was learned from them
        assert gallery.get([*gone, kept]) == [before[kept]]
        assert gallery.delete([photo_id("unknown")], is_erased=True) == 0
    for row in rows:
        assert _is_in_files(settings, row) == (row.key not in ("photo-1", "photo-5"))
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert {photo.id for photo in gallery.find()} == before.keys() - set(gone)
        assert gallery.state.deleted == set(gone)
        np.testing.assert_array_equal(gallery.embeddings([kept])[0], vectors[0])
        with pytest.raises(KeyError):
            gallery.embeddings(gone)


def _is_in_files(settings: Settings, row: Record) -> bool:
    """Whether some file of the gallery has a row's embedding or payload, also packed in Parquet."""
    note = json.loads(row.payload)["note"].encode()
    marks = [row.embedding[:8].tobytes(), note, f"{row.lon!r}, 20.0".encode()]  # type: ignore[index]
    for path in (settings.home / "galleries/trips").rglob("*"):
        if path.is_file():
            content = read_written(path)
            if path.suffix == ".parquet":
                table = pq.read_table(path, partitioning=None)
                content += repr(table.drop_columns(["embedding"]).to_pylist()).encode()
                flat = table.column("embedding").combine_chunks().flatten()
                content += flat.to_numpy(zero_copy_only=False).astype("f4").tobytes()
            if any(mark in content for mark in marks):
                return True
    return False


def test_erasing_cut_off_in_the_middle_goes_on(
    settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = unit_rows(rng, 2)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        for i, vector in enumerate(vectors):
            gallery.add([record(f"photo-{i}", vector)])
        real = Ledger._write

        def cut(self: Ledger, number: int, *args: object) -> None:
            if number == 2:
                raise OSError(28, "No space left on device")
            real(self, number, *args)

        monkeypatch.setattr(Ledger, "_write", cut)
        ids = [photo_id(f"sha-photo-{i}") for i in range(2)]
        with pytest.raises(OSError, match="No space"):
            gallery.ledger.erase(ids)
        monkeypatch.setattr(Ledger, "_write", real)
        assert gallery.ledger.erase(ids) == 1
        assert gallery.ledger.erase(ids) == 0


def test_nothing_is_begun_on_a_disk_that_is_nearly_full(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memory-mapped file with a hole that finds no room ends the process, without a word."""
    usage = shutil.disk_usage(settings.home)
    with Gallery.open("trips", settings=settings) as gallery:
        before = len(gallery.ledger)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=50_000_000))
        row = Record(key="new", status="embedded", sha256="new", embedding=filled[0])
        with pytest.raises(OSError, match="only 50 MB are free on its disk, and 268 MB are needed"):
            gallery.add([row])
        assert len(gallery.ledger) == before
        monkeypatch.undo()
        gallery.add([row])
        assert len(gallery.ledger) == before + 1


def test_what_was_not_noted_when_the_process_ended_is_given_to_the_store_again(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        noted = gallery._index._live.n_applied
        gallery.add([record("late", E1)])
        assert gallery._index._live.n_applied == noted
        monkeypatch.setattr(gallery._index, "_n_unnoted", 0)  # as if the end had come before the last note
    touched: list[str] = []
    real = EdgeStore.upsert
    monkeypatch.setattr(
        EdgeStore, "upsert", lambda self, ids, *rest: touched.extend(ids) or real(self, ids, *rest)
    )
    with Gallery.open("trips", settings=settings) as gallery:
        assert touched == [record("late", E1).id] and len(gallery) == len(filled) + 1
    touched.clear()
    with Gallery.open("trips", settings=settings):
        assert not touched
