"""P7: what it costs to run again where everything is done, beside doing it.

    python tests/benchmarks/resume.py --out bench --photos 1000000

Files are empty and the gallery knows them all, so that a run opens the gallery, lists the folder, looks
each file up, and ends. Beside it stands what embedding as many photos takes, from 256 drawn ones that were
embedded just before with the demonstration encoder, the quickest there is.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from row_script import arguments, begin, command, finish
from scoreboard_rows import Figure, Row

from placeprint.api.demo import draw_scenes
from placeprint.encoders.catalog import load_encoder
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.record import SAID_NOTHING, Record
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

A_FOLDER, A_COMMIT, N_DRAWN, LEAST = 1000, 8192, 256, 100.0


def empty_files(folder: Path, n: int) -> None:
    """So many files, a thousand in a folder."""
    for start in range(0, n, A_FOLDER):
        inner = folder / f"{start // A_FOLDER:05d}"
        inner.mkdir(parents=True)
        for number in range(start, min(start + A_FOLDER, n)):
            os.close(os.open(inner / f"{number:08d}.jpg", os.O_CREAT | os.O_WRONLY))


def records(folder: Path, dimension: int) -> Iterator[Record]:
    """A row of the ledger for each file, as if it had been embedded."""
    vector = np.eye(1, dimension, dtype=np.float32)[0]
    for item in list_source(folder):
        sha256 = hashlib.sha256(item.key.encode()).hexdigest()
        yield Record(
            key=item.key, status="embedded", source=item.source, sha256=sha256, size_bytes=item.size_bytes,
            mtime_ns=item.mtime_ns, said=SAID_NOTHING, embedding=vector,
        )  # fmt: skip


def measure(n: int, runs: int, folder: Path) -> tuple[float, float, int]:
    """Seconds of a run with nothing to do, seconds to embed as many, and how many were passed over."""
    encoder, settings = load_encoder("demonstration"), Settings(home=folder / "home", qdrant_url=None)
    draw_scenes(N_DRAWN, folder / "drawn", seed=0)
    with Gallery.create("cold", encoder.fingerprint, settings=settings) as gallery:
        report = index(list_source(folder / "drawn" / "photos"), gallery, encoder)
        cold_s = report.seconds / report.n_embedded * n
    empty_files(folder / "photos", n)
    with Gallery.create("done", encoder.fingerprint, settings=settings) as gallery:
        some: list[Record] = []
        for record in records(folder / "photos", encoder.fingerprint.dimension):
            some.append(record)
            if len(some) == A_COMMIT:
                gallery.add(some)
                some = []
        gallery.add(some)
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        with Gallery.open("done", settings=settings) as gallery:
            report = index(list_source(folder / "photos"), gallery, encoder)
        times.append(time.perf_counter() - started)
    return min(times), cold_s, report.n_unchanged


if __name__ == "__main__":
    parser = arguments(__doc__)
    parser.add_argument("--photos", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    asked = begin(parser)
    with tempfile.TemporaryDirectory() as made:
        resumed_s, embedded_s, n_unchanged = measure(asked.photos, asked.runs, Path(made))
    if n_unchanged != asked.photos:
        raise SystemExit(f"{n_unchanged} of {asked.photos} files were passed over")
    figure = Figure(
        f"{asked.photos:,} photos, nothing to do", resumed_s, "s", "embedding them", embedded_s,
        ratio=embedded_s / resumed_s, target=LEAST,
    )  # fmt: skip
    finish(
        Row(
            "P7", "Resuming where a million are done", "at most 1 % of a cold run",
            "reached" if figure.ratio and figure.ratio >= LEAST else "short", command(),
            f"the quickest of {asked.runs} runs; the cold run is {N_DRAWN} photos, multiplied", [figure],
        ),
        asked.out,
    )  # fmt: skip
