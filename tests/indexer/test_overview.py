"""The numbers of a gallery are told without opening it, and are those of the open gallery."""

from pathlib import Path

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows

from placeprint.encoders.errors import DamagedGallery, DamagedLedger, UnknownGallery
from placeprint.indexer import overview as overview_module
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.overview import overview
from placeprint.indexer.record import Record, photo_id
from placeprint.indexer.settings import Settings


@pytest.fixture
def ledger(settings: Settings, rng: np.random.Generator) -> Path:
    """Of a gallery with everything that can become of a photo."""
    with Gallery.create("trips", fingerprint_of(8), encoder="by name", settings=settings) as gallery:
        rows = unit_rows(rng, 6)
        gallery.add([record(f"{i}", row, lon=1.0, lat=2.0) for i, row in enumerate(rows[:4])])
        gallery.add([record(f"{i}", row) for i, row in enumerate(rows[4:], 4)])
        gallery.add([Record(key="copy", status="seen", sha256="sha-4", lon=1.0, lat=2.0)])
        gallery.add([Record(key="bad", status="failed", sha256="x", error="damaged")])
        gallery.add([Record(key="0", status="removed", sha256="sha-0")])
        gallery.delete([photo_id("sha-1")])
        gallery.add([Record(key="4", status="removed", sha256="sha-4")])  # its copy has a place
        return gallery.ledger.folder


def test_the_numbers_are_those_of_the_open_gallery(ledger: Path, settings: Settings) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        (ledger.parent / "counts.json").unlink()
        told = overview("trips", settings)  # though someone has it open
        assert (told.photos, told.placed) == (len(gallery), gallery.count(Filter(is_placed=True))) == (4, 3)
    assert (told.name, told.encoder, told.store) == ("trips", "by name", "folder")


def test_the_numbers_are_those_left_behind_while_they_hold(
    ledger: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, counts = overview("trips", settings), ledger.parent / "counts.json"
    with monkeypatch.context() as patch:
        patch.setattr(overview_module, "_counted", None)
        assert overview("trips", settings) == told
    for left in ('{"ledger": "6 6 x", "photos": 99, "placed": 99}', "", "[]", '{"photos": 3}', None):
        counts.unlink()
        if left is not None:
            counts.write_text(left)
        assert overview("trips", settings) == told
        Gallery.open("trips", settings=settings).close()
        assert overview_module.read_counts(ledger.parent) is not None


def test_looking_touches_nothing(ledger: Path, settings: Settings) -> None:
    half = ledger / "00000008.tmp"
    half.write_bytes(b"what someone is about to commit")
    overview("trips", settings)
    assert half.exists()


def test_what_cannot_be_told_is_named(ledger: Path, settings: Settings) -> None:
    with pytest.raises(UnknownGallery, match="tirps"):
        overview("tirps", settings)
    shard = ledger / "00000001.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    (ledger.parent / "counts.json").unlink()
    with pytest.raises(DamagedLedger, match=r"00000001.parquet"):
        overview("trips", settings)
    (ledger.parent / "gallery.json").write_text("")
    with pytest.raises(DamagedGallery, match=r"gallery.json"):
        overview("trips", settings)
