"""Who holds a gallery, and what may be done with one that may not be written.

Claims: two processes do not hold it at once, whoever reads; what may not be written is searched and left
as it is; any thread lets it go.
"""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from copies import read_written
from fakes import fingerprint_of, record
from gallery_rows import E1

from placeprint.encoders.errors import (
    GalleryLocked,
    ReadOnlyGallery,
)
from placeprint.indexer import gallery as gallery_module
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.locator import Locator
from placeprint.indexer.record import photo_id
from placeprint.indexer.settings import Settings


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, read_written(path)) for path in files}


@pytest.mark.parametrize("is_stale", [False, True])
def test_a_gallery_that_may_not_be_written_is_searched_and_left_as_it_is(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch, is_stale: bool
) -> None:
    folder = settings.home / "galleries/trips"
    if is_stale:
        (folder / "index/gen-0001/applied.json").unlink()
    (folder / "lock.json").write_text("of someone who was killed")
    before = snapshot(folder)
    for path in (folder / "index").rglob("*"):
        path.chmod(path.stat().st_mode & ~0o222)
    monkeypatch.setattr(gallery_module, "is_writable", lambda path: False)
    with (
        Gallery.open("trips", settings=settings) as gallery,
        Gallery.open("trips", settings=settings) as same,
    ):
        assert gallery.nearest(filled[7], 1)[0].photo.image == "photo-7"
        assert len(same) == 40
        copies = list(gallery._index._generations.folder.rglob("*"))
        assert all(path.stat().st_mode & stat.S_IWUSR for path in copies)
        Locator(gallery)
        for write in (
            lambda: gallery.add([record("late", E1)]),
            lambda: gallery.delete([photo_id("sha-photo-1")]),
            gallery.optimize,
            lambda: gallery.remember_weights("x"),
        ):
            with pytest.raises(ReadOnlyGallery, match="not writable"):
                write()
    with pytest.raises(ReadOnlyGallery):
        Gallery.open("trips", settings=settings, is_rebuilt=True)
    with pytest.raises(ReadOnlyGallery):
        Gallery.open_or_create("trips", fingerprint_of(8), settings=settings)
    assert snapshot(folder) == before
    for path in (folder / "index").rglob("*"):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_who_reads_waits_for_who_writes_and_the_other_way_round(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first, second in ((True, False), (False, True)):
        monkeypatch.setattr(gallery_module, "is_writable", lambda path, first=first: first)
        with Gallery.open("trips", settings=settings):
            monkeypatch.setattr(gallery_module, "is_writable", lambda path, second=second: second)
            with pytest.raises(GalleryLocked):
                Gallery.open("trips", settings=settings)


@pytest.mark.parametrize("part", ["", "lock", "ledger", "index"])
def test_what_is_not_writable_in_part_is_not_written_at_all(
    filled: np.ndarray, settings: Settings, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    folder = settings.home / "galleries/trips"
    (folder / "lock").touch()
    assert gallery_module.is_writable(folder)
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder / part)
    assert not gallery_module.is_writable(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everything")
def test_a_folder_without_write_permission_is_known_as_such(filled: np.ndarray, settings: Settings) -> None:
    folder = settings.home / "galleries/trips"
    folder.chmod(0o500)
    try:
        with Gallery.open("trips", settings=settings) as gallery:
            assert gallery.is_read_only
            assert len(gallery) == 40
    finally:
        folder.chmod(0o700)


def test_a_gallery_is_let_go_from_another_thread_than_it_was_opened_in(settings: Settings) -> None:
    with ThreadPoolExecutor(1) as thread:
        gallery = Gallery.create("trips", fingerprint_of(8), settings=settings)
        with pytest.raises(GalleryLocked):
            thread.submit(Gallery.open, "trips", settings=settings).result()
        thread.submit(gallery.close).result()
        again = thread.submit(Gallery.open, "trips", settings=settings).result()
    assert len(again) == 0
    again.close()
    with Gallery.open("trips", settings=settings) as gallery:
        assert not gallery.is_read_only
