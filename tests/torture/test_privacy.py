"""R24 and R25: nothing that a photo says of its owner comes out, and what is erased is nowhere any more."""

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from served import JPEG, TRIPS, is_problem, picture, serving
from torture_faults import FAULTS
from torture_rows import Record
from torture_runs import Copy, load_tests, run_tests
from torture_scale import scaled

from placeprint.indexer.backup import back_up
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.restore import restore
from placeprint.indexer.settings import Settings

pytestmark = pytest.mark.slow


def test_r24_nothing_of_the_owner_comes_out(record: Record, copy: Copy) -> None:
    n = scaled(10, 100, 100)
    through = run_tests(
        f"tests/api/test_hostile.py::test_nothing_that_a_photo_says_of_itself_comes_out[{n}]", tree=copy.tree
    )
    record.figure("photos with secrets sent through a service", n)
    record.figure("tests of all that comes out", through.passed)
    through.require_passed()
    inside = run_tests("tests/encoders/test_uploads_process.py", "-k", "secret or quotes", tree=copy.tree)
    record.figure("tests of thumbnails, messages and the decoder's environment", inside.passed)
    inside.require_passed()
    record.figure("secrets found", through.failed + inside.failed)
    for name, fault in FAULTS["R24"].items():
        record.caught(name, int(copy.is_caught(fault)), 1)


def held(erasing: Any, folder: Path) -> set[int]:
    """Which of the erased photos some file still knows."""
    return {i for i in erasing.held(folder) if i % 3 == 0}


def test_r25_what_is_erased_is_nowhere(
    record: Record, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    erasing = load_tests("indexer/test_erasing.py")
    erasing.fill(settings)
    folder = settings.home / "galleries" / "trips"
    back_up("trips", tmp_path / "before.tar", settings=settings)
    assert held(erasing, folder), "there must be something to erase"
    started = time.monotonic()
    with Gallery.open("trips", settings=settings) as gallery:
        gallery.delete(erasing.GONE, is_erased=True)
    took = time.monotonic() - started
    erasing.check_erased(settings)
    places = {"at once": held(erasing, folder)}
    with Gallery.open("trips", settings=settings, is_rebuilt=True) as gallery:
        assert {photo.id for photo in gallery.find()} == erasing.KEPT
    places["after a rebuild"] = held(erasing, folder)
    back_up("trips", tmp_path / "after.tar", settings=settings)
    restore(tmp_path / "after.tar", "again", settings=settings)
    with Gallery.open("again", settings=settings) as gallery:
        assert {photo.id for photo in gallery.find()} == erasing.KEPT
    places["after a restore"] = held(erasing, settings.home / "galleries" / "again")
    shutil.rmtree(settings.home)

    def deaf(ledger: Ledger, ids: Any, *, until: int | None = None) -> int:
        return 0

    erasing.fill(settings)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "erase", deaf)
        with Gallery.open("trips", settings=settings) as gallery:
            gallery.delete(erasing.GONE, is_erased=True)
    record.caught("rows of the ledger are kept", len(held(erasing, folder)), len(erasing.GONE))
    record.figure("photos erased", len(erasing.GONE))
    record.figure("time", round(took, 2), "s")
    for when, found in places.items():
        record.figure(f"found {when}", len(found))
    n_kills = scaled("3", "60", "60")
    killed = run_tests("tests/indexer/test_erasing.py", "-k", f"any_step or (any_moment and {n_kills})")
    killed.require_passed()
    record.figure("tests of erasings that are killed", killed.passed)
    assert took <= 60 and not any(places.values()), places


def test_an_erased_photo_has_no_thumbnail(tmp_path: Path) -> None:
    """The fifth place, beside ledger, vectors, store and calibration: what the service shows of it."""
    from served import make_gallery

    with serving() as start:
        client = start(make_gallery(tmp_path))
        found = client.post(f"{TRIPS}/search/image?limit=1", content=picture("red"), headers=JPEG).json()
        id = found["neighbors"][0]["id"]
        assert client.delete(f"{TRIPS}/photos/{id}", params={"erase": "true"}).status_code == 200
        assert is_problem(client.get(f"{TRIPS}/photos/{id}"), 404)
        assert is_problem(client.get(f"{TRIPS}/photos/{id}/thumbnail"), 404)
