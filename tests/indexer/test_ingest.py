"""Indexing ends in the same state however often it is cut off, and embeds a photo once.

The encoder is that of mean colors, so that the right photo can be told from the wrong one.
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from forked import Forked
from PIL import Image

from placeprint.encoders.errors import DamagedLedger, UnreadableSource
from placeprint.encoders.image import embed_images
from placeprint.indexer import ingest
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import Report, index
from placeprint.indexer.interrupt import uninterrupted
from placeprint.indexer.record import Record
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import Listing, list_source


def draw(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (24, 24), color).save(path)


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    for i, color in enumerate(rng.integers(0, 255, (20, 3)).tolist()):
        draw(tmp_path / "photos" / f"{i:02d}.png", tuple(color))
    return tmp_path / "photos"


@pytest.fixture
def gallery(settings: Settings, encoder: ColorEncoder):
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as opened:
        yield opened


def contents(gallery: Gallery) -> dict[str, tuple[object, ...]]:
    """All that a gallery knows, by photo."""
    photos = list(gallery.find())
    embeddings = gallery.embeddings([photo.id for photo in photos])
    return {
        p.id: (p.image, p.lon, p.lat, p.group, e.tobytes()) for p, e in zip(photos, embeddings, strict=True)
    }


def test_red_finds_red(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    draw(folder / "red.png", (250, 5, 5))
    index(list_source(folder), gallery, encoder)
    red = embed_images(encoder, [np.full((9, 9, 3), (255, 0, 0), np.uint8)])[0]
    assert Path(gallery.nearest(red, 1)[0].photo.image).name == "red.png"
    assert Path(gallery.nearest(encoder.embed_texts(["red"])[0], 1)[0].photo.image).name == "red.png"


def test_the_report_counts_what_happened(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "empty.jpg").write_bytes(b"")
    shutil.copy(folder / "00.png", folder / "zz-copy.png")
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_listed, report.n_embedded, report.n_known) == (23, 20, 1)
    assert {Path(key).name: reason for key, reason in report.failures.items()}["empty.jpg"] == "an empty file"
    assert report.n_without_place == 21
    assert len(gallery) == 20
    with (gallery.folder / "failures.csv").open() as file:
        assert [Path(row["image"]).name for row in csv.DictReader(file)] == ["bad.jpg", "empty.jpg"]


def test_unchanged_files_are_not_even_read(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(list_source(folder), gallery, encoder)
    monkeypatch.setattr(ingest, "_decode", None)
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_unchanged, report.n_embedded, encoder.n_embedded) == (20, 0, 20)


def test_a_moved_file_keeps_its_identity(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(list_source(folder), gallery, encoder)
    before = {id: values[-1] for id, values in contents(gallery).items()}
    (folder / "new").mkdir()
    (folder / "05.png").rename(folder / "new" / "five.png")
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_embedded, report.n_known, encoder.n_embedded) == (0, 1, 20)
    assert {id: values[-1] for id, values in contents(gallery).items()} == before
    assert "five.png" in {Path(photo.image).name for photo in gallery.find()}
    assert str(folder / "05.png") not in gallery.state.entries


def test_a_removed_file_stays_until_it_is_pruned(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    (folder / "05.png").unlink()
    index(list_source(folder), gallery, encoder)
    assert len(gallery) == 20
    assert index(list_source(folder), gallery, encoder, prune=True).n_removed == 1
    assert len(gallery) == 19


def test_pruning_one_source_leaves_the_others(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, tmp_path: Path
) -> None:
    draw(tmp_path / "other" / "x.png", (1, 2, 3))
    index(list_source(tmp_path / "other"), gallery, encoder)
    index(list_source(folder), gallery, encoder, prune=True)
    assert len(gallery) == 21


def test_a_changed_file_is_embedded_again(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(list_source(folder), gallery, encoder)
    draw(folder / "05.png", (255, 255, 255))
    os.utime(folder / "05.png", (1, 1))
    assert index(list_source(folder), gallery, encoder).n_embedded == 1
    assert len(gallery) == 20


def test_failures_are_tried_again_when_asked_or_changed(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    bad = folder / "bad.png"
    bad.write_bytes(b"no picture")
    os.utime(bad, (1, 1))
    assert len(index(list_source(folder), gallery, encoder).failures) == 1
    assert index(list_source(folder), gallery, encoder).n_failed_before == 1
    assert len(index(list_source(folder), gallery, encoder, retry_failed=True).failures) == 1
    draw(bad, (9, 9, 9))
    assert index(list_source(folder), gallery, encoder).n_embedded == 1
    assert not (gallery.folder / "failures.csv").exists()


def test_a_table_told_anew_changes_the_photo_without_embedding_it(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    table = folder / "photos.csv"
    table.write_text("image,lon,lat,country\n00.png,139.76,35.67,JP\n")
    index(list_source(table), gallery, encoder)
    table.write_text("image,lon,lat,country\n00.png,17.08,-22.56,NA\n")
    report = index(list_source(table), gallery, encoder)
    (photo,) = gallery.find()
    assert (report.n_embedded, encoder.n_embedded) == (0, 1)
    assert (photo.lon, photo.lat, photo.payload["country"]) == (17.08, -22.56, "NA")


def test_a_table_wins_over_exif(tmp_path: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (10.0, 0.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)})
    for i, name in enumerate(("a.jpg", "b.jpg")):
        Image.new("RGB", (9, 9), (i, 99, 99)).save(tmp_path / name, exif=exif)
    (tmp_path / "photos.csv").write_text("image,lon,lat\na.jpg,1.5,2.5\nb.jpg,,\n")
    index(list_source(tmp_path / "photos.csv"), gallery, encoder)
    places = {Path(photo.image).name: (photo.lon, photo.lat) for photo in gallery.find()}
    assert places == {"a.jpg": (1.5, 2.5), "b.jpg": (20.0, 10.0)}


def test_what_the_table_refuses_is_a_failure_with_its_reason(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    rows = "".join(f"{i:02d}.png,{i},{i}\n" for i in range(9))
    (folder / "photos.csv").write_text(f"image,lon,lat\n{rows}10.png,3,95\nnowhere.png,1,1\n")
    report = index(list_source(folder / "photos.csv"), gallery, encoder)
    reasons = {Path(key).name: reason for key, reason in report.failures.items()}
    assert "95" in reasons["10.png"]
    assert "No such file" in reasons["nowhere.png"]
    assert len(gallery) == 9


def test_an_embedding_that_is_not_finite_is_a_failure(folder: Path, gallery: Gallery) -> None:
    class Broken(ColorEncoder):
        def embed_pixels(self, pixels):
            embeddings = super().embed_pixels(pixels)
            embeddings[3:4] *= np.nan if self.n_embedded == len(pixels) else 1.0  # in the first batch
            return embeddings

    report = index(list_source(folder), gallery, Broken())
    assert list(report.failures.values()) == ["the encoder gave no embedding with a direction"]
    assert len(gallery) == 19


def test_a_zero_embedding_of_doubled_bytes_fails_them_both(folder: Path, gallery: Gallery) -> None:
    class Zero(ColorEncoder):
        def embed_pixels(self, pixels):
            return super().embed_pixels(pixels) * 0.0

    shutil.copy(folder / "00.png", folder / "00-copy.png")
    assert len(index(list_source(folder), gallery, Zero()).failures) == 21
    assert len(gallery) == 0


def test_a_shard_that_others_rest_on_can_be_taken_away(
    folder: Path, settings: Settings, encoder: ColorEncoder
) -> None:
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        index(list_source(folder), gallery, encoder)
        shutil.copy(folder / "00.png", folder / "zz.png")
        index(list_source(folder), gallery, encoder)
        gallery.ledger.path(1).unlink()
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 0
        index(list_source(folder), gallery, encoder)
        assert len(gallery) == 20


def test_a_planted_module_is_not_imported(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "PIL").mkdir()
    (folder / "PIL" / "__init__.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(folder)
    assert index(list_source(folder), gallery, encoder).n_embedded == 20


def test_progress_ends_at_the_total(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    seen: list[tuple[int, int]] = []
    index(
        list_source(folder),
        gallery,
        encoder,
        progress=lambda report, total: seen.append((report.n_done, total)),
    )
    assert seen[0] == (0, 20)
    assert seen[-1] == (20, 20)


def test_commits_and_batches_cut_anywhere_change_nothing(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    shutil.copy(folder / "03.png", folder / "zz.png")
    results = []
    for name, batch, commit in (("large", 32, 256), ("small", 3, 7), ("ones", 1, 1)):
        monkeypatch.setattr(ingest, "BATCH", batch)
        monkeypatch.setattr(ingest, "COMMIT", commit)
        encoder = ColorEncoder()
        with Gallery.create(name, encoder.fingerprint, settings=settings) as gallery:
            report = index(list_source(folder), gallery, encoder)
            assert (report.n_embedded, encoder.n_embedded) == (20, 20)
            results.append(contents(gallery))
    assert results[0] == results[1] == results[2]


def test_a_full_disk_loses_nothing(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "COMMIT", 8)
    real, calls = os.fsync, 0

    def failing(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space left"):
        index(list_source(folder), gallery, encoder)
    monkeypatch.setattr(os, "fsync", real)
    n_before = encoder.n_embedded
    report = index(list_source(folder), gallery, encoder)
    assert len(gallery) == 20
    assert report.n_unchanged >= 8
    assert encoder.n_embedded - n_before <= 12


def test_a_photo_without_a_place_is_found_as_such(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    assert gallery.count(Filter(is_placed=False)) == 20


# --- interrupted -----------------------------------------------------------------------------------


def test_an_interruption_keeps_what_was_embedded(
    folder: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(ColorEncoder):
        def embed_pixels(self, pixels):
            if self.n_embedded == 12:
                raise KeyboardInterrupt
            return super().embed_pixels(pixels)

    monkeypatch.setattr(ingest, "BATCH", 4)
    with pytest.raises(KeyboardInterrupt):
        index(list_source(folder), gallery, Impatient())
    assert len(gallery) == 12
    encoder = ColorEncoder()
    assert index(list_source(folder), gallery, encoder).n_unchanged == 12
    assert (len(gallery), encoder.n_embedded) == (20, 8)


@pytest.fixture
def interruptible():
    """Ctrl-C as a program on a terminal has it; a job in the background may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_commit_is_not_cut_in_the_middle() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the commit")
    assert done == ["the rest of the commit"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_while_it_commits_loses_nothing(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gallery.ledger.append

    def interrupted(records: list[Record]) -> int:
        signal.raise_signal(signal.SIGINT)
        return real(records)

    monkeypatch.setattr(gallery.ledger, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index(list_source(folder), gallery, encoder)
    assert len(gallery) == 20


CONTROL_C = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits none
sys.path.insert(0, sys.argv[3])
from fakes import ColorEncoder
from placeprint.indexer import ingest
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

class Slow(ColorEncoder):
    def embed_pixels(self, pixels):
        embeddings = super().embed_pixels(pixels)
        if self.n_embedded == 12:
            print("now", flush=True)
            for _ in range(300):  # a signal just before a sleep does not end it
                time.sleep(0.1)
        return embeddings

ingest.BATCH = 4
encoder = Slow()
home = Settings(home=Path(sys.argv[1]))
with Gallery.open_or_create("trips", encoder.fingerprint, settings=home) as gallery:
    try:
        ingest.index(list_source(sys.argv[2]), gallery, encoder, workers=2)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="process groups")
def test_control_c_fails_no_photo(folder: Path, settings: Settings) -> None:
    tests = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-c", CONTROL_C, str(settings.home), str(folder), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "now\n"
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does it: to all that run in it
        assert child.stdout.read() == "interrupted\n"
    with Gallery.open("trips", settings=settings) as gallery:
        assert [entry.status for entry in gallery.state.entries.values()] == ["embedded"] * 8


# --- two sources, one file -------------------------------------------------------------------------


def tell(table: Path, *rows: str) -> Listing:
    table.write_text("\n".join(["image,lon,lat,note", *rows]) + "\n")
    return list_source(table)


def notes(gallery: Gallery) -> dict[str, object]:
    return {Path(photo.image).name: photo.payload.get("note") for photo in gallery.find()}


def test_sources_that_share_files_do_not_take_turns(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    first = tell(folder / "a.csv", "00.png,1,1,from a", "01.png,1,1,from a")
    second = tell(folder / "b.csv", "01.png,2,2,from b", "02.png,2,2,from b")
    sources = [first, second, list_source(folder)]
    for source in sources:
        index(source, gallery, encoder)
    n_shards, told = len(gallery.ledger), notes(gallery)
    assert {told[name] for name in ("00.png", "01.png")} == {"from a"}
    assert (told["02.png"], told["03.png"]) == ("from b", None)
    reports = [index(source, gallery, encoder) for source in sources * 2]
    assert (len(gallery.ledger), notes(gallery)) == (n_shards, told)
    assert [report.elsewhere for report in reports[1:3]] == [
        {first.source: 1},
        {first.source: 2, second.source: 1},
    ]
    assert not any(report.is_partly_failed for report in reports)


def test_a_table_takes_over_from_a_folder_which_says_nothing(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    table = tell(folder / "a.csv", "00.png,1,1,from a")
    assert index(table, gallery, encoder).n_known == 1
    assert notes(gallery)["00.png"] == "from a"
    assert index(list_source(folder), gallery, encoder).elsewhere == {table.source: 1}
    assert encoder.n_embedded == 20


def test_what_belongs_to_a_source_that_is_gone_may_be_taken(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(tell(folder / "a.csv", "00.png,1,1,from a"), gallery, encoder)
    other = tell(folder / "b.csv", "00.png,2,2,from b")
    assert index(other, gallery, encoder).n_known == 0
    (folder / "a.csv").unlink()
    assert index(other, gallery, encoder).n_known == 1
    assert notes(gallery) == {"00.png": "from b"}


def test_a_claim_takes_over(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(tell(folder / "a.csv", "00.png,1,1,from a"), gallery, encoder)
    index(tell(folder / "b.csv", "00.png,2,2,from b"), gallery, encoder, claim=True)
    assert notes(gallery) == {"00.png": "from b"}
    assert index(list_source(folder / "a.csv"), gallery, encoder).n_known == 0


def test_a_row_with_a_fault_takes_nothing_over_and_is_named(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    bad = tell(folder / "a.csv", "00.png,1,north,not on earth")
    for _ in range(2):
        assert list(index(bad, gallery, encoder).failures) == [str(folder / "00.png")]
    assert len(gallery) == 20


def test_of_doubled_bytes_the_one_that_is_told_of_counts(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, tmp_path: Path
) -> None:
    index(list_source(folder), gallery, encoder)
    (tmp_path / "copies").mkdir()
    shutil.copy(folder / "00.png", tmp_path / "copies" / "copy.png")
    index(tell(tmp_path / "copies" / "a.csv", "copy.png,1,1,from a"), gallery, encoder)
    assert len(gallery) == 20
    assert notes(gallery)["copy.png"] == "from a"


# --- deleted ---------------------------------------------------------------------------------------


def id_of(gallery: Gallery, name: str) -> str:
    return next(photo.id for photo in gallery.find() if Path(photo.image).name == name)


def test_a_deleted_photo_does_not_come_back(folder: Path, gallery: Gallery, encoder: ColorEncoder) -> None:
    index(list_source(folder), gallery, encoder)
    gallery.delete([id_of(gallery, "05.png")])
    n_shards = len(gallery.ledger)
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_deleted, report.n_unchanged, len(gallery.ledger)) == (1, 19, n_shards)
    (folder / "05.png").rename(folder / "moved.png")
    shutil.copy(folder / "moved.png", folder / "copied.png")
    report = index(list_source(folder), gallery, encoder)
    assert (report.n_deleted, report.n_done, len(gallery)) == (2, 2, 19)
    (folder / "copied.png").unlink()
    index(list_source(folder), gallery, encoder, prune=True)
    n_shards = len(gallery.ledger)
    assert index(list_source(folder), gallery, encoder).n_deleted == 1
    assert (len(gallery), len(gallery.ledger), encoder.n_embedded) == (19, n_shards, 20)


def test_a_deleted_photo_comes_back_when_asked_for(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    shutil.copy(folder / "05.png", folder / "zz.png")
    index(list_source(folder), gallery, encoder)
    before = contents(gallery)
    gallery.delete([id_of(gallery, "05.png")])
    report = index(list_source(folder), gallery, encoder, undelete=True)
    assert (report.n_known, report.n_deleted, encoder.n_embedded) == (2, 0, 20)
    assert contents(gallery) == before
    assert index(list_source(folder), gallery, encoder).n_unchanged == 21


def test_other_bytes_under_the_path_of_a_deleted_photo_are_another_photo(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    gallery.delete([id_of(gallery, "05.png")])
    draw(folder / "05.png", (255, 255, 255))
    os.utime(folder / "05.png", (1, 1))
    assert index(list_source(folder), gallery, encoder).n_embedded == 1
    assert len(gallery) == 20


def test_an_erased_photo_is_embedded_anew_when_asked_for(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    index(list_source(folder), gallery, encoder)
    before = contents(gallery)
    gallery.delete([id_of(gallery, "05.png")], is_erased=True)
    assert index(list_source(folder), gallery, encoder).n_deleted == 1
    assert index(list_source(folder), gallery, encoder, undelete=True).n_embedded == 1
    assert contents(gallery) == before


# --- a source without photos -----------------------------------------------------------------------


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_source_without_a_photo_left_is_pruned_when_that_is_said(
    folder: Path, gallery: Gallery, encoder: ColorEncoder, tmp_path: Path, is_gone: bool
) -> None:
    draw(tmp_path / "other" / "x.png", (1, 2, 3))
    index(list_source(tmp_path / "other"), gallery, encoder)
    index(list_source(folder), gallery, encoder)
    shutil.rmtree(folder)
    if not is_gone:
        folder.mkdir()
    with pytest.raises(UnreadableSource, match="no such file" if is_gone else "--prune-everything"):
        list_source(folder)
    report = index(list_source(folder, may_be_empty=True), gallery, encoder, prune=True)
    assert (report.n_removed, len(gallery)) == (20, 1)


def test_pruning_a_folder_ends_what_is_gone_from_it_whoever_listed_it(
    folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    draw(folder / "deep" / "x.png", (1, 2, 3))
    index(list_source(folder / "deep"), gallery, encoder)
    index(list_source(folder), gallery, encoder)
    (folder / "deep" / "x.png").unlink()
    assert index(list_source(folder), gallery, encoder, prune=True).n_removed == 1
    assert len(gallery) == 20


@pytest.mark.real
def test_of_the_damaged_files_exactly_the_openable_ones_are_indexed(
    damaged_folder: Path, gallery: Gallery, encoder: ColorEncoder
) -> None:
    with (damaged_folder / "manifest.csv").open() as file:
        rows = {row["file"]: row["pillow_status"] for row in csv.DictReader(file)}
    report = index(list_source(damaged_folder), gallery, encoder)
    assert {Path(key).name for key in report.failures} == {f for f, status in rows.items() if status != "ok"}
    assert all(report.failures.values())
    assert report.n_embedded + report.n_known == 130


# --- kill -9 ---------------------------------------------------------------------------------------

CASE = """
import time
from pathlib import Path
from fakes import ColorEncoder
from placeprint.indexer import ingest
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

class Slow(ColorEncoder):
    def embed_pixels(self, pixels):
        time.sleep(0.02)
        return super().embed_pixels(pixels)

ingest.COMMIT, ingest.BATCH = 16, 8

def case(home, photos):
    encoder = Slow()
    begin()
    settings = Settings(home=Path(home))
    with Gallery.open_or_create("trips", encoder.fingerprint, settings=settings) as gallery:
        ingest.index(list_source(photos), gallery, encoder, workers=1)
"""


@pytest.mark.parametrize("n_kills", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_ends_as_if_undisturbed(
    tmp_path: Path, rng: np.random.Generator, n_kills: int
) -> None:
    photos = tmp_path / "photos"
    for i, color in enumerate(rng.integers(0, 255, (240, 3)).tolist()):
        draw(photos / f"{i:03d}.png", tuple(color))
    (photos / "050-bad.png").write_bytes(b"no picture")
    shutil.copy(photos / "007.png", photos / "200-copy.png")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    moments = random.Random(7)
    with Forked(CASE) as indexing:
        assert indexing.run(str(whole), str(photos)) == 0
        for _ in range(n_kills):
            end = indexing.run(str(cut), str(photos), kill_after_s=moments.uniform(0.0, 1.6))
            assert end in (0, -signal.SIGKILL)
            if end == 0:  # start again, so that every kill has something to interrupt
                assert state_of(cut) == state_of(whole)
                shutil.rmtree(cut)
        assert indexing.run(str(cut), str(photos)) == 0
    assert state_of(cut) == state_of(whole)


def state_of(home: Path) -> tuple[object, ...]:
    """Ledger and store, whole; and that no photo was embedded in two shards."""
    with Gallery.open("trips", settings=Settings(home=home)) as gallery:
        rows = [record for number in gallery.ledger.numbers() for record in gallery.ledger.records(number)]
        embedded = [record.id for record in rows if record.status == "embedded"]
        assert len(embedded) == len(set(embedded)) == 240
        ledger = sorted((record.key, record.status, record.sha256, str(record.error)) for record in rows)
        return ledger, contents(gallery), json.dumps(sorted(gallery.state.entries))


def test_a_damaged_shard_moved_away_is_made_good_by_indexing_again(
    folder: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "COMMIT", 5)
    encoder = ColorEncoder()
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        index(list_source(folder), gallery, encoder)
        before, shard = contents(gallery), gallery.ledger.path(2)
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(DamagedLedger, match="Move it away"):
        Gallery.open("trips", settings=settings, is_rebuilt=True)
    shard.rename(shard.with_suffix(".damaged"))
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 15
        report: Report = index(list_source(folder), gallery, encoder)
        assert (report.n_embedded, report.n_unchanged) == (5, 15)
        assert contents(gallery) == before
