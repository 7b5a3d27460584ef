"""R33: the clock on the wall is put back and forth. What waits goes on, and what is done stays done."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import ColorEncoder
from served import JPEG, TRIPS, make_gallery, picture, serving
from torture_photos import decode_at_once, write_photos
from torture_rows import Record

from placeprint.api import client_transport
from placeprint.api.serving import rate
from placeprint.api.serving.keys import KeyRing
from placeprint.api.serving.pixels import PixelBudget
from placeprint.api.serving.refusals import TooManyRequests
from placeprint.indexer import imagery_http, ingest
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

pytestmark = pytest.mark.slow

JUMPS_S = (-86_400.0, -3_600.0, -61.0, -1.0, 1.0, 61.0, 3_600.0, 86_400.0, 1e9)


class Wall:
    """The clock on the wall, which somebody sets; the one that only counts seconds goes on as it did."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._real, self.off_s = time.time, 0.0
        patch.setattr(time, "time", lambda: self._real() + self.off_s)
        patch.setattr(time, "time_ns", lambda: int((self._real() + self.off_s) * 1e9))


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wall]:
    yield Wall(monkeypatch)


def longest_shut_out_s(wall: Wall, jump_s: float) -> float:
    """How long a caller who had all of a rate must wait after the clock was set."""
    wall.off_s = 0.0
    requests, pixels, waits = rate.RequestRate(5), PixelBudget(10.0), [0.0]
    for _ in range(5):
        requests.take("a caller")
    pixels.take("a caller", 10.0)
    wall.off_s = jump_s
    for take in (lambda: requests.take("a caller"), lambda: pixels.take("a caller", 10.0)):
        try:
            take()
            waits.append(-1.0)  # let in too early
        except TooManyRequests as refused:
            waits.append(float(refused.retry_after_s))
    return min(waits[1:]) if min(waits[1:]) < 0 else max(waits)


def test_r33_the_clock_jumps(
    record: Record, wall: Wall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = {jump_s: longest_shut_out_s(wall, jump_s) for jump_s in JUMPS_S}
    with monkeypatch.context() as patch:
        patch.setattr(rate, "time", SimpleNamespace(monotonic=lambda: time.time()))
        planted = [not 0.0 <= longest_shut_out_s(wall, jump_s) <= 62.0 for jump_s in JUMPS_S]
    record.figure("jumps of the clock", len(JUMPS_S))
    record.figure("longest that a caller is shut out", max(waits.values()), "s")
    record.figure("callers let in too early", sum(wait < 0 for wait in waits.values()))
    record.caught("rates counted by the clock on the wall", sum(planted), len(planted))

    decode_at_once(monkeypatch.setattr)
    write_photos(tmp_path / "photos", 12)
    encoder, settings = ColorEncoder(), Settings(home=tmp_path / "home", qdrant_url=None, lock_timeout_s=1.0)
    again = 0
    for jump_s in (0.0, *JUMPS_S):
        wall.off_s = jump_s
        started = time.monotonic()
        with Gallery.open_or_create("trips", encoder.fingerprint, settings=settings) as gallery:
            again += ingest.index(list_source(tmp_path / "photos"), gallery, encoder).n_embedded
            assert len(gallery) == 12
        assert time.monotonic() - started < 30.0
    record.figure("photos embedded again", again - 12)

    wrong = 0
    home = make_gallery(tmp_path / "served")
    key = KeyRing(home / "keys.json").create("museum", "read")
    headers = {"Authorization": f"Bearer {key}"}
    with serving() as start:
        wall.off_s = 0.0
        client = start(home, rate_per_minute=10_000, megapixels_per_minute=1000.0, precision="exact")
        for jump_s in (0.0, *JUMPS_S, *reversed(JUMPS_S)):
            wall.off_s = jump_s
            answers = [
                client.get("/readyz"), client.get("/healthz"), client.get("/v1/galleries", headers=headers),
                client.post(f"{TRIPS}/search/image", content=picture("red"), headers={**headers, **JPEG}),
                client.get(f"{TRIPS}/facets/city", headers=headers),
            ]  # fmt: skip
            wrong += sum(answer.status_code != 200 for answer in answers)
    record.figure("answers of a service that were not 200", wrong)

    later = datetime.fromtimestamp(time.time() + 30, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    for jump_s in JUMPS_S:
        wall.off_s = jump_s
        for seconds in (client_transport._seconds(later), imagery_http.retry_after_s(later)):
            assert seconds is not None and seconds >= 0.0
    assert all(0.0 <= wait <= 62.0 for wait in waits.values()), waits
    assert again == 12 and wrong == 0
