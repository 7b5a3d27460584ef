"""R5 and R29: what is done costs nothing to go on from, and indexing more takes no more memory."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torture_photos import write_photos
from torture_rows import Record
from torture_scale import scaled

pytestmark = pytest.mark.slow

INDEXING = """
import json, os, resource, signal, sys, threading, time
sys.path.insert(0, {tests!r})
import numpy as np
from pathlib import Path
from fakes import ColorEncoder, record
from torture_photos import decode_at_once
from placeprint.encoders.preprocessing import Preprocessing
from placeprint.indexer import ingest
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

given = json.loads(sys.argv[1])
settings = Settings(home=Path(given["home"]), qdrant_url=None)
decode_at_once(setattr)
encoder, kept = ColorEncoder(), []
if given.get("fault") == "every picture is kept":
    encoder.preprocessing = Preprocessing(size=64)
    embed = encoder.embed_pixels
    def keeping(pixels):
        kept.append(pixels.copy())
        return embed(pixels)
    encoder.embed_pixels = keeping
if given.get("fault") == "what is done is not remembered":
    ingest.pending = lambda items, state, choice, report: iter(items)
if given.get("kill_after"):
    embed = encoder.embed_pixels
    def killed(pixels):
        if encoder.n_embedded >= given["kill_after"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return embed(pixels)
    encoder.embed_pixels = killed

most = {{"RssAnon": 0, "VmRSS": 0}}
def look():
    while True:
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in most:
                most[name] = max(most[name], int(value.split()[0]))
        time.sleep(0.02)
threading.Thread(target=look, daemon=True).start()

first_s, started = None, time.perf_counter()
def progress(report, total):
    global first_s
    if first_s is None and report.n_embedded:
        first_s = time.perf_counter() - started
with Gallery.open_or_create("trips", encoder.fingerprint, settings=settings) as gallery:
    opened_s = time.perf_counter() - started
    for first in range(0, given.get("n_done", 0), 5000):
        rows = []
        for i in range(first, min(first + 5000, given["n_done"])):
            vector = np.array([1 + i % 97, i % 89, i % 83, 1], "f4")
            rows.append(record(f"/done/{{i:08d}}.jpg", vector / np.linalg.norm(vector), source="/done"))
        gallery.add(rows)
    if given.get("photos"):
        report = ingest.index(list_source(given["photos"]), gallery, encoder, progress=progress)
        print(json.dumps({{
            "opened_s": opened_s, "first_s": first_s, "read": report.n_done, "embedded": encoder.n_embedded,
            "seconds": time.perf_counter() - started, "shown": len(gallery),
            "anonymous_mb": most["RssAnon"] / 1024, "resident_mb": most["VmRSS"] / 1024,
        }}), flush=True)
"""


def indexing(home: Path, **given: Any) -> dict[str, Any] | None:
    """Index in a process of its own: what it told, or None where it was killed."""
    code = INDEXING.format(tests=str(Path(__file__).parents[1]))
    words = json.dumps({"home": str(home), **given}, default=str)
    done = subprocess.run([sys.executable, "-c", code, words], capture_output=True, text=True, timeout=3000)
    assert done.returncode in (0, -9), done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout.strip() else None


def resumed(folder: Path, n_done: int, n_new: int, fault: str = "") -> dict[str, Any]:
    """Do so many, begin with others, be killed half way, and go on: what the last run told."""
    photos, home = folder / "photos", folder / "home"
    write_photos(photos, n_new)
    indexing(home, n_done=n_done)
    assert indexing(home, photos=photos, kill_after=n_new // 2) is None
    told = indexing(home, photos=photos, fault=fault)
    assert told is not None
    return told


def test_r05_going_on_costs_nothing(record: Record, tmp_path: Path) -> None:
    n_done, n_new, commit = scaled(3_000, 100_000, 1_000_000), scaled(1024, 4096, 20_480), 256
    told = resumed(tmp_path / "right", n_done, n_new)
    n_again = told["read"] - n_new // 2
    record.figure("photos done before", n_done)
    record.figure("photos embedded again", max(0, n_again))
    record.figure("time to open", round(told["opened_s"], 2), "s")
    record.figure("first new photo committed after", round(told["first_s"], 2), "s")
    record.figure("whole run", round(told["seconds"], 2), "s")
    record.note("with a fake encoder and no decoding; from the opening of the gallery to the first commit")
    wrong = resumed(tmp_path / "wrong", 500, 1024, "what is done is not remembered")
    record.caught("what is done is not remembered", int(wrong["read"] - 512 > commit), 1)
    assert told["shown"] == n_done + n_new
    assert n_again <= commit
    assert told["first_s"] <= 2.0


def test_r29_memory_does_not_grow(record: Record, tmp_path: Path) -> None:
    # Of fewer, buffers are not full yet: what is read ahead, and SQLite's pages.
    few, many = scaled(5_000, 5_000, 10_000), scaled(30_000, 30_000, 1_000_000)
    write_photos(tmp_path / "few", few)
    write_photos(tmp_path / "many", many)
    small = indexing(tmp_path / "home-few", photos=tmp_path / "few")
    large = indexing(tmp_path / "home-many", photos=tmp_path / "many")
    assert small is not None and large is not None and large["shown"] == many
    record.figure("photos", many, peer="few", theirs=few)
    record.figure(
        "peak of its own memory",
        round(large["anonymous_mb"], 1),
        "MB",
        peer="few",
        theirs=round(small["anonymous_mb"], 1),
    )
    record.figure(
        "peak with mapped files",
        round(large["resident_mb"], 1),
        "MB",
        peer="few",
        theirs=round(small["resident_mb"], 1),
    )
    ratio = record.figure("ratio of its own memory", round(large["anonymous_mb"] / small["anonymous_mb"], 3))
    record.note(
        "vectors of 4 numbers; pages of the store's files, which the system may take back, are not its own"
    )
    kept = [
        indexing(tmp_path / f"kept-{n}", photos=tmp_path / n, fault="every picture is kept")
        for n in ("few", "many")
    ]
    assert kept[0] is not None and kept[1] is not None
    grown = kept[1]["anonymous_mb"] / kept[0]["anonymous_mb"]
    record.caught("every picture is kept", int(grown > 1.05), 1)
    assert large["resident_mb"] <= 2048
    assert ratio <= 1.05
