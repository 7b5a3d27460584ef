"""Indexing ends in the same state however often it is cut off: by Ctrl-C, by kill -9, by a damaged shard."""

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
from ingest_fakes import contents, draw

from placeprint.encoders.errors import DamagedLedger
from placeprint.indexer import chunks
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import Report, index
from placeprint.indexer.interrupt import uninterrupted
from placeprint.indexer.record import Record
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

# --- interrupted -----------------------------------------------------------------------------------


def test_an_interruption_keeps_what_was_embedded(
    folder: Path, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(ColorEncoder):
        def embed_pixels(self, pixels):
            if self.n_embedded == 12:
                raise KeyboardInterrupt
            return super().embed_pixels(pixels)

    monkeypatch.setattr(chunks, "BATCH", 4)
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
from placeprint.indexer import chunks, ingest
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

chunks.BATCH = 4
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


# --- kill -9 ---------------------------------------------------------------------------------------

CASE = """
import time
from pathlib import Path
from fakes import ColorEncoder
from placeprint.indexer import chunks, ingest
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

class Slow(ColorEncoder):
    def embed_pixels(self, pixels):
        time.sleep(0.02)
        return super().embed_pixels(pixels)

chunks.COMMIT, chunks.BATCH = 16, 8

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
    monkeypatch.setattr(chunks, "COMMIT", 5)
    encoder = ColorEncoder()
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        index(list_source(folder), gallery, encoder)
        before, shard = contents(gallery), gallery.ledger.path(2)
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(DamagedLedger, match="doctor --repair"):
        Gallery.open("trips", settings=settings, is_rebuilt=True)
    shard.rename(shard.with_suffix(".damaged"))
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert len(gallery) == 15
        report: Report = index(list_source(folder), gallery, encoder)
        assert (report.n_embedded, report.n_unchanged) == (5, 15)
        assert contents(gallery) == before
