"""How quickly ready vectors get into a Qdrant server: the store's uploads beside the client's own.

    QDRANT_URL=http://localhost:6333 python tests/benchmarks/upload_speed.py --out bench

Ours waits for every batch and sends several at a time; the client's `upload_points` is measured as it comes.
Counts are compared after each. The server must be nobody's: collections are made and removed.
"""

import argparse
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from growth_data import DIMENSION, make_photos
from turns import verdict_of

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a script sees its own folder only

from scoreboard_rows import Figure, Row, write_row

from placeprint.indexer.server_options import ServerOptions
from placeprint.indexer.server_store import ServerStore
from placeprint.indexer.store import VECTOR, VectorKind

COMMAND = "QDRANT_URL=http://localhost:6333 python tests/benchmarks/upload_speed.py --out bench"
TARGET = "at least as fast as the client's upload with one stream, 1.5 times with tuned batches and streams"
TUNED = {"one stream": {"streams": 1, "batch": 64}, "tuned": {"streams": 3, "batch": 128}}


def upload(options: ServerOptions, write: Callable[[ServerStore, Any], None], points: Any) -> float:
    """Seconds of a load into a new collection; all of it is there in the end."""
    store = ServerStore(options, {VECTOR: VectorKind(DIMENSION)})
    try:
        began = time.perf_counter()
        write(store, points)
        spent = time.perf_counter() - began
        n_there = store.count(None)
        if n_there != len(points[0]):
            raise RuntimeError(f"{n_there} of {len(points[0])} points are there")
        return spent
    finally:
        store.drop()
        store.close()


def ours(store: ServerStore, points: Any) -> None:
    ids, vectors, payloads = points
    for start in range(0, len(ids), 1024):
        rows = slice(start, start + 1024)
        store.upsert(ids[rows], vectors[rows], payloads[rows])


def clients(store: ServerStore, points: Any) -> None:
    from qdrant_client import models

    ids, vectors, payloads = points
    structs = (
        models.PointStruct(id=id, vector={VECTOR: vector[VECTOR].tolist()}, payload=payload)
        for id, vector, payload in zip(ids, vectors, payloads, strict=True)
    )
    store._call.client.upload_points(store._name, structs, wait=True)


def measure(url: str, n: int, blocks: int) -> dict[str, list[float]]:
    vectors, lonlat = next(make_photos(n, 0))
    payloads = [
        {"_place": {"lon": lon, "lat": lat}, "_image": str(i)} for i, (lon, lat) in enumerate(lonlat.tolist())
    ]
    points = [str(uuid.uuid4()) for _ in vectors], [{VECTOR: vector} for vector in vectors], payloads
    ways: dict[str, tuple[dict[str, int], Any]] = {name: (how, ours) for name, how in TUNED.items()}
    ways["the client's"] = ({}, clients)
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(blocks):
        for names in (list(ways), list(ways)[::-1]):
            for name in names:
                how, write = ways[name]
                alias = f"upload-{uuid.uuid4().hex[:8]}"
                spent[name].append(upload(ServerOptions(url, alias, **how), write, points))
    return spent


def row_of(spent: dict[str, list[float]], n: int) -> Row:
    theirs, figures, reached = np.array(spent["the client's"]), [], []
    for name, target in (("one stream", 1.0), ("tuned", 1.5)):
        mine = np.array(spent[name])
        ratios = theirs.reshape(-1, 2).sum(axis=1) / mine.reshape(-1, 2).sum(axis=1)
        draws = np.random.default_rng(0).integers(0, len(ratios), (4000, len(ratios)))
        low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
        ratio = float(np.median(ratios))
        reached.append(ratio >= target)
        figures.append(
            Figure(
                f"{n:,} vectors, {name}", n / float(np.median(mine)), "points/s", "upload_points",
                n / float(np.median(theirs)), ratio, float(low), float(high),
                float(theirs.min() / mine.min()), target=target,
            )
        )  # fmt: skip
    why = "vectors of 512 numbers over HTTP, every batch waited for, counts equal"
    return Row(
        "P8", "ready vectors into a Qdrant server", TARGET, verdict_of(*reached), COMMAND, why, figures
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    options = parser.parse_args()
    url = os.environ.get("QDRANT_URL")
    if not url:
        sys.exit("QDRANT_URL is not set: there is no server to measure")
    row = row_of(measure(url, options.n, options.blocks), options.n)
    for figure in row.figures:
        print(
            f"{figure.name}: {figure.ours:,.0f} /s, upload_points {figure.theirs:,.0f} /s, {figure.ratio:.2f}"
        )
    write_row(options.out, row)
