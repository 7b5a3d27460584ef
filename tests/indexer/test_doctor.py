"""The doctor finds every damaged file, mends what it can, and says what was lost."""

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from ingest_fakes import contents, draw

from placeprint.encoders.errors import PlaceprintError
from placeprint.indexer import chunks
from placeprint.indexer.backup import back_up
from placeprint.indexer.doctor import examine
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source


@pytest.fixture()
def photos(tmp_path: Path) -> Path:
    for n in range(12):
        draw(tmp_path / "photos" / f"{n:02d}.png", (20 * n, 10, 250 - 20 * n))
    return tmp_path / "photos"


@pytest.fixture()
def folder(photos: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a gallery with four shards of three photos."""
    monkeypatch.setattr(chunks, "COMMIT", 3)
    encoder = ColorEncoder()
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        index(list_source(photos), gallery, encoder)
        return gallery.folder


def all_of(settings: Settings) -> dict[str, tuple[object, ...]]:
    with Gallery.open("trips", settings=settings) as gallery:
        return contents(gallery)


def names(paths: list[str]) -> list[str]:
    return [Path(path).name for path in paths]


def test_a_gallery_that_is_well_is_left_alone(folder: Path, settings: Settings) -> None:
    before = {path: path.read_bytes() for path in folder.glob("ledger/*")}
    found = examine("trips", settings=settings)
    assert (found.shards, found.photos, found.findings, found.is_well) == (4, 12, [], True)
    assert {path: path.read_bytes() for path in folder.glob("ledger/*")} == before


def test_every_flipped_bit_of_a_shard_is_found(folder: Path, settings: Settings) -> None:
    shard = folder / "ledger" / "00000002.parquet"
    whole = shard.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        shard.write_bytes(damaged)
        (finding,) = examine("trips", settings=settings).findings
        assert finding.file == shard and not finding.is_mended
        assert names(finding.lost) == ["03.png", "04.png", "05.png"]
    shard.write_bytes(whole)
    assert examine("trips", settings=settings).is_well


@pytest.mark.parametrize("how", ["cut", "gone", "swapped", "another"])
def test_a_damaged_shard_alone_is_given_up(folder: Path, settings: Settings, photos: Path, how: str) -> None:
    before = all_of(settings)
    shard, other = folder / "ledger" / "00000002.parquet", folder / "ledger" / "00000003.parquet"
    n_lost = 3
    if how == "cut":
        shard.write_bytes(shard.read_bytes()[:-50])
    elif how == "gone":
        shard.unlink()
    elif how == "swapped":
        first, second = shard.read_bytes(), other.read_bytes()
        shard.write_bytes(second), other.write_bytes(first)
        n_lost = 6
    else:
        shard.write_bytes(b"PAR1")
    found = examine("trips", settings=settings)
    assert not found.is_well and sum(len(one.lost) for one in found.findings) == n_lost
    mended = examine("trips", settings=settings, is_mended=True)
    assert mended.is_well and mended.photos == 12 - n_lost
    assert [one.lost for one in mended.findings] == [one.lost for one in found.findings]
    assert examine("trips", settings=settings).findings == []
    encoder = ColorEncoder()
    with Gallery.open("trips", settings=settings) as gallery:
        assert index(list_source(photos), gallery, encoder).n_embedded == n_lost
        assert contents(gallery) == before


def test_the_last_shard_is_missed_too(folder: Path, settings: Settings) -> None:
    (folder / "ledger" / "00000004.parquet").unlink()
    (finding,) = examine("trips", settings=settings).findings
    assert "not there any more" in finding.what and len(finding.lost) == 3


def test_a_backup_brings_a_damaged_shard_back(folder: Path, settings: Settings, tmp_path: Path) -> None:
    before = all_of(settings)
    back_up("trips", tmp_path / "trips.tar", settings=settings)
    shard = folder / "ledger" / "00000002.parquet"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100])
    mended = examine("trips", settings=settings, is_mended=True, backup=tmp_path / "trips.tar")
    assert mended.is_well and mended.photos == 12 and mended.findings[0].lost == []
    assert shard.read_bytes() == whole
    assert all_of(settings) == before


def test_a_file_that_is_no_backup_is_refused(folder: Path, settings: Settings, tmp_path: Path) -> None:
    (folder / "ledger" / "00000002.parquet").write_bytes(b"")
    (tmp_path / "no.tar").write_bytes(b"no backup")
    with pytest.raises(PlaceprintError, match="cannot be read as a backup"):
        examine("trips", settings=settings, is_mended=True, backup=tmp_path / "no.tar")


def test_a_state_that_says_something_else_is_made_anew(folder: Path, settings: Settings) -> None:
    with sqlite3.connect(folder / "state.sqlite") as database:
        database.execute("UPDATE entries SET size_bytes = 1 WHERE n = 5")
    database.close()
    (finding,) = examine("trips", settings=settings).findings
    assert finding.file.name == "state.sqlite"
    assert examine("trips", settings=settings, is_mended=True).is_well
    assert examine("trips", settings=settings).findings == []


def test_a_store_with_another_vector_is_made_anew(folder: Path, settings: Settings) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        photo = next(gallery.find())
        gallery._index.store.set_vectors("image", [photo.id], np.array([[1.0, 0, 0, 0]], np.float32))
    (finding,) = examine("trips", settings=settings).findings
    assert photo.id in finding.what and finding.file.name == "index"
    assert examine("trips", settings=settings, is_mended=True).is_well
    assert examine("trips", settings=settings).findings == []


def test_a_store_that_does_not_open_is_made_anew(folder: Path, settings: Settings) -> None:
    shutil.rmtree(folder / "index" / "gen-0001" / "segments")
    (folder / "index" / "gen-0001" / "edge_config.json").write_text("{")
    assert not examine("trips", settings=settings).is_well
    assert examine("trips", settings=settings, is_mended=True).is_well
    assert examine("trips", settings=settings).photos == 12


def test_leftovers_do_not_hide_a_store_that_is_wrong(folder: Path, settings: Settings) -> None:
    with Gallery.open("trips", settings=settings) as gallery:
        gallery._index.store.delete([next(gallery.find()).id])
        gallery._index._note()
    (folder / "ledger" / "00000005.tmp").write_bytes(b"half")
    found = examine("trips", settings=settings)
    assert [finding.file.name for finding in found.findings] == ["index", "00000005.tmp"]
    assert not found.is_well and "holds 11 photos, and the ledger 12" in found.findings[0].what
    assert examine("trips", settings=settings, is_mended=True).is_well
    assert len(all_of(settings)) == 12


def test_leftovers_of_a_cut_off_commit_are_told(folder: Path, settings: Settings) -> None:
    (folder / "ledger" / "00000005.tmp").write_bytes(b"half")
    found = examine("trips", settings=settings)
    assert found.is_well and found.findings[0].file.name == "00000005.tmp"
