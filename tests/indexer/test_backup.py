"""Backup, wipe, restore: the same gallery again.

Claims (R7): ids, vectors and payloads are identical afterwards, also when photos were added by another
process meanwhile, and from an archive that an earlier release wrote; a gallery in use can be
backed up, and nothing in it is touched; an erasure that crosses a backup is in it whole or not at all;
damaged archives are refused and leave nothing behind; a full disk leaves neither half a backup nor half a
gallery; a restored gallery has a collection of its own.
"""

import hashlib
import io
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows

from placeprint.encoders.errors import DamagedLedger, PlaceprintError, UnknownGallery, UnwritableFile
from placeprint.indexer import backup as backup_module
from placeprint.indexer.archive import ArchiveWriter, DamagedArchive
from placeprint.indexer.backup import back_up
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.gallery_files import CALIBRATION, gallery_names
from placeprint.indexer.restore import restore, verify
from placeprint.indexer.settings import Settings

EARLIER = Path(__file__).parent / "backup_format_1.tar"
"""Written by release 0.1 of `make_earlier` below; each later format keeps its own."""


def fill(gallery: Gallery, n: int = 60, *, first: int = 0, seed: int = 1) -> None:
    rng = np.random.default_rng(seed + first)
    rows = unit_rows(rng, n)
    for start in range(0, n, 20):
        gallery.add(
            [
                record(
                    f"photo-{first + i}", rows[i],
                    lon=float(rng.uniform(-180, 180)), lat=float(rng.uniform(-90, 90)),
                    group=f"walk {i % 3}", payload=json.dumps({"camera": f"Ü-{i % 4}", "iso": i}),
                )
                for i in range(start, min(start + 20, n))
            ]
        )  # fmt: skip


def contents(gallery: Gallery) -> dict[str, tuple[str, Any]]:
    """Every id with the hash of its vector and all that is told of it."""
    photos = sorted(gallery.find(), key=lambda photo: photo.id)
    vectors = gallery.embeddings([photo.id for photo in photos])
    return {
        photo.id: (hashlib.sha256(vector.tobytes()).hexdigest(), photo)
        for photo, vector in zip(photos, vectors, strict=True)
    }


@pytest.fixture
def before(settings: Settings) -> dict[str, tuple[str, Any]]:
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        fill(gallery)
        gallery.delete([next(gallery.find()).id])
        gallery.keep(CALIBRATION, "{}")
        return contents(gallery)


def folders(settings: Settings) -> list[str]:
    return sorted(path.name for path in (settings.home / "galleries").iterdir())


def test_the_same_gallery_comes_back(before: dict[str, Any], settings: Settings, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = back_up("trips", tmp_path / "trips.tar", settings=settings, progress=lambda *now: told.append(now))
    assert (made.photos, made.placed, made.shards) == (59, 59, 4)
    assert told[-1][0] == told[-1][1] > 0
    assert (tmp_path / "trips.tar").stat().st_mode & 0o077 == 0
    shutil.rmtree(settings.home)
    assert verify(tmp_path / "trips.tar") == made
    assert restore(tmp_path / "trips.tar", "trips", settings=settings) == made
    with Gallery.open("trips", settings=settings) as gallery:
        assert contents(gallery) == before
        assert (gallery.folder / CALIBRATION).read_text() == "{}"
        assert gallery.nearest(gallery.embeddings([next(iter(before))])[0], 1)[0].photo.id == next(
            iter(before)
        )
        fill(gallery, 5, first=900)
        assert len(gallery) == 64
    assert folders(settings) == ["trips"]


def test_a_gallery_in_use_is_backed_up_and_left_as_it_is(
    before: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        stranger = gallery.folder / "ledger" / "00000009.tmp"  # another process is writing it just now
        stranger.write_bytes(b"half")
        back_up("trips", tmp_path / "trips.tar", settings=settings)
        assert stranger.read_bytes() == b"half"
        stranger.unlink()
        restore(tmp_path / "trips.tar", "again", settings=settings)
        with Gallery.open("again", settings=settings) as again:
            assert contents(again) == contents(gallery) == before


def _ingest(home: str, started: Any, seconds: float) -> None:
    settings = Settings(home=Path(home), qdrant_url=None)
    with Gallery.open("trips", settings=settings) as gallery:
        end, first = time.monotonic() + seconds, 1000
        while time.monotonic() < end:
            fill(gallery, 20, first=first)
            first += 20
            started.set()


def test_photos_may_be_added_by_another_process_meanwhile(
    before: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    fork = multiprocessing.get_context("spawn")
    started = fork.Event()
    writer = fork.Process(target=_ingest, args=(str(settings.home), started, 2.0))
    writer.start()
    try:
        assert started.wait(60)
        n_backups = 0
        while writer.is_alive() and n_backups < 8:
            made = back_up("trips", tmp_path / f"{n_backups}.tar", settings=settings)
            n_backups += 1
            assert made.photos >= len(before) + 20
    finally:
        writer.join(60)
    assert writer.exitcode == 0
    with Gallery.open("trips", settings=settings) as gallery:
        after = contents(gallery)
    restored = restore(tmp_path / "0.tar", "again", settings=settings)
    with Gallery.open("again", settings=settings) as gallery:
        found = contents(gallery)
    assert len(found) == restored.photos
    assert before.items() <= found.items() <= after.items()  # a moment in between, none torn


def test_an_erasure_is_in_a_backup_whole_or_not_at_all(
    before: dict[str, Any], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, n_copied = list(before)[:10], 0
    add = ArchiveWriter.add

    def added(self: ArchiveWriter, name: str, source: Any, n_bytes: int) -> None:
        nonlocal n_copied
        add(self, name, source, n_bytes)
        n_copied += name.startswith("ledger/")
        if n_copied == 2:
            with Gallery.open("trips", settings=settings) as gallery:
                gallery.delete(gone, is_erased=True)
            n_copied += 1

    monkeypatch.setattr(ArchiveWriter, "add", added)
    back_up("trips", tmp_path / "trips.tar", settings=settings)
    restore(tmp_path / "trips.tar", "again", settings=settings)
    with Gallery.open("again", settings=settings) as gallery:
        assert contents(gallery) == {id: told for id, told in before.items() if id not in gone}
        rows = [row for number in gallery.ledger.numbers() for row in gallery.ledger.records(number)]
        erased = [row for row in rows if row.id in gone]
        assert len(erased) >= len(gone)
        assert all(row.embedding is None and row.lon is None and row.payload == "{}" for row in erased)


def test_a_pipe_that_an_erasure_crosses_ends_without_a_manifest(
    before: dict[str, Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = io.BytesIO()
    stamp, n_calls = backup_module._stamp, 0

    def changing(found: os.stat_result) -> tuple[int, int, int]:
        nonlocal n_calls
        n_calls += 1
        return (*stamp(found)[:2], n_calls // 12)  # four shards are listed and copied, and then changed

    monkeypatch.setattr(backup_module, "_stamp", changing)
    with pytest.raises(PlaceprintError, match="again"):
        back_up("trips", pipe, settings=settings)
    with pytest.raises(DamagedArchive, match="cut off"):
        verify(io.BytesIO(pipe.getvalue()))


def test_pipes_will_do(before: dict[str, Any], settings: Settings) -> None:
    pipe = io.BytesIO()
    back_up("trips", pipe, settings=settings)
    restore(io.BytesIO(pipe.getvalue()), "again", settings=settings)
    with Gallery.open("again", settings=settings) as gallery:
        assert contents(gallery) == before


def test_damaged_backups_are_refused_and_leave_nothing(
    before: dict[str, Any], settings: Settings, tmp_path: Path, rng: np.random.Generator
) -> None:
    back_up("trips", tmp_path / "trips.tar", settings=settings)
    whole = (tmp_path / "trips.tar").read_bytes()
    damaged = [whole[:end] for end in np.linspace(0, len(whole) - 1, 40).astype(int).tolist()]
    for place in rng.integers(len(whole), size=120).tolist():
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        damaged.append(bytes(altered))
    for content in damaged:
        with pytest.raises(DamagedArchive, match="Nothing was restored"):
            restore(io.BytesIO(content), "again", settings=settings)
    assert folders(settings) == ["trips"]


@pytest.mark.parametrize(
    "facts", [{}, {"kind": "placeprint gallery"}, {"kind": "placeprint gallery", "format": "x"}]
)
def test_archives_that_are_no_backups_are_refused(facts: dict[str, Any], settings: Settings) -> None:
    file = io.BytesIO()
    ArchiveWriter(file).finish(facts)
    with pytest.raises(DamagedArchive):
        restore(io.BytesIO(file.getvalue()), "again", settings=settings)
    assert gallery_names(settings) == []


def test_a_later_format_asks_for_an_update(settings: Settings) -> None:
    file = io.BytesIO()
    ArchiveWriter(file).finish({"kind": "placeprint gallery", "format": 99, "placeprint": "9.0"})
    with pytest.raises(DamagedArchive, match="update"):
        verify(io.BytesIO(file.getvalue()))


def test_a_manifest_that_miscounts_is_refused(
    before: dict[str, Any], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "counted", lambda *_: {"photos": 60, "placed": 59})
    back_up("trips", tmp_path / "trips.tar", settings=settings)
    monkeypatch.undo()
    with pytest.raises(DamagedArchive, match="60 photos and holds 59"):
        restore(tmp_path / "trips.tar", "again", settings=settings)
    assert folders(settings) == ["trips"]


def test_a_damaged_shard_is_not_backed_up(before: dict[str, Any], settings: Settings, tmp_path: Path) -> None:
    shard = settings.home / "galleries" / "trips" / "ledger" / "00000002.parquet"
    content = bytearray(shard.read_bytes())
    content[400] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DamagedLedger, match="no backup was made"):
        back_up("trips", tmp_path / "trips.tar", settings=settings)
    assert list(tmp_path.glob("trips.tar*")) == []


def test_names_that_are_taken_stay_as_they_are(
    before: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    back_up("trips", tmp_path / "trips.tar", settings=settings)
    first = (tmp_path / "trips.tar").read_bytes()
    with pytest.raises(UnwritableFile, match="--overwrite"):
        back_up("trips", tmp_path / "trips.tar", settings=settings)
    with pytest.raises(PlaceprintError, match="exists already"):
        restore(tmp_path / "trips.tar", "trips", settings=settings)
    with pytest.raises(UnknownGallery):
        restore(tmp_path / "trips.tar", "../trips", settings=settings)
    with pytest.raises(UnknownGallery, match="trips"):
        back_up("nobody", tmp_path / "nobody.tar", settings=settings)
    assert (tmp_path / "trips.tar").read_bytes() == first
    with Gallery.open("trips", settings=settings) as gallery:
        assert contents(gallery) == before
    back_up("trips", tmp_path / "trips.tar", settings=settings, is_overwritten=True)


def test_a_restored_gallery_has_a_collection_of_its_own(
    before: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    back_up("trips", tmp_path / "trips.tar", settings=settings)
    on_server = settings.model_copy(update={"qdrant_url": ":memory:"})
    restore(tmp_path / "trips.tar", "again", settings=on_server)
    configs = {
        name: json.loads((settings.home / "galleries" / name / "gallery.json").read_text())
        for name in ("trips", "again")
    }
    assert configs["again"]["qdrant_url"] == ":memory:"
    assert configs["trips"]["qdrant_url"] is None
    assert configs["again"]["collection"] != configs["trips"]["collection"]
    with Gallery.open("again", settings=on_server) as gallery:
        found = contents(gallery)
        assert {id: one[0] for id, one in found.items()} == {id: one[0] for id, one in before.items()}
        # The client in memory rounds coordinates in their last bit.
        assert all(one[1].payload == before[id][1].payload for id, one in found.items())


def _limited(action: Callable[[], None], max_bytes: int) -> None:
    """Do something where files cannot grow beyond a size, as on a full disk; exit with 7 where it says so."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    try:
        action()
    except UnwritableFile as error:
        sys.exit(7 if "nothing was left" in str(error) else 1)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of file sizes")
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_full_disk_leaves_no_half(
    before: dict[str, Any], settings: Settings, tmp_path: Path, share: float
) -> None:
    back_up("trips", tmp_path / "trips.tar", settings=settings)
    largest = max(path.stat().st_size for path in (settings.home / "galleries").rglob("*.parquet"))
    whole = (tmp_path / "trips.tar").stat().st_size
    fork = multiprocessing.get_context("fork")
    actions: list[tuple[Callable[[], object], int]] = [
        (lambda: back_up("trips", tmp_path / "new.tar", settings=settings), int(share * whole)),
        (lambda: restore(tmp_path / "trips.tar", "again", settings=settings), int(share * largest)),
    ]
    for action, max_bytes in actions:
        child = fork.Process(target=_limited, args=(action, max_bytes))
        child.start()
        child.join(60)
        assert child.exitcode == 7
    assert list(tmp_path.glob("new*")) == []
    assert folders(settings) == ["trips"]


def test_a_backup_that_was_killed_is_not_there(
    before: dict[str, Any], settings: Settings, tmp_path: Path
) -> None:
    command = (
        "import os, signal, sys; from pathlib import Path; from placeprint.indexer import archive, backup;"
        "from placeprint.indexer.settings import Settings;"
        "archive.ArchiveWriter.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL);"
        "backup.back_up('trips', Path(sys.argv[1]), settings=Settings(home=sys.argv[2], qdrant_url=None))"
    )
    target = tmp_path / "trips.tar"
    child = subprocess.run([sys.executable, "-c", command, target, settings.home], check=False)
    assert child.returncode == -signal.SIGKILL
    assert not target.exists()
    (partial,) = tmp_path.glob("trips.tar.*.partial")
    with pytest.raises(DamagedArchive, match="cut off"):
        verify(partial)


def make_earlier(home: Path) -> None:  # pragma: no cover
    """How `EARLIER` was made."""
    settings = Settings(home=home, qdrant_url=None)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        fill(gallery, 25)
    back_up("trips", EARLIER, settings=settings)


def test_a_backup_of_an_earlier_release_is_restored(settings: Settings) -> None:
    restore(EARLIER, "trips", settings=settings)
    with Gallery.create("same", fingerprint_of(8), settings=settings) as gallery:
        fill(gallery, 25)
        expected = contents(gallery)
    with Gallery.open("trips", settings=settings) as gallery:
        assert contents(gallery) == expected
