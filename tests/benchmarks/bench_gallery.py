"""A gallery of 100,000 made-up photos beside a numpy scan and qdrant-client's local mode.

    python tests/benchmarks/bench_gallery.py --out bench

Measured: adding, reopening, the median search time and recall@10 against the exact answer, without
a filter, within 50 km and within 2,000 km, and the recall under filters of every size. The peers
get the same vectors, places and queries in the same run. Data: 24 latent dimensions through a
random network to 512, places of 300 towns and a fifth anywhere, weakly tied to the looks.
"""

import argparse
import json
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from placeprint.encoders.areas import Circle
from placeprint.encoders.fingerprint import Fingerprint
from placeprint.encoders.sphere import destination, great_circle_km, uniform_on_sphere
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import Record
from placeprint.indexer.settings import Settings

DIMENSION, K = 512, 10
RADII_KM = (50.0, 200.0, 1000.0, 2000.0, 5000.0)
SHARD = 8192


def make_photos(n: int, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Unit embeddings (n, 512) on a curved 24-d surface, and places (n, 2)."""
    towns = uniform_on_sphere(300, rng)
    town = rng.integers(0, 300, n)
    lonlat = destination(towns[town], rng.uniform(0, 360, n), rng.exponential(30.0, n))
    anywhere = rng.random(n) < 0.2
    lonlat[anywhere] = uniform_on_sphere(int(anywhere.sum()), rng)
    latent = rng.normal(size=(n, 24)) + 0.5 * rng.normal(size=(300, 24))[town]
    first, second = rng.normal(size=(24, 128)) / 5.0, rng.normal(size=(128, DIMENSION)) / 11.0
    raw = np.tanh(latent @ first) @ second
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32), lonlat


def exact(
    vectors: NDArray[np.float32], query: NDArray[np.float32], mask: NDArray[np.bool_] | None
) -> set[int]:
    """The K nearest rows by a scan of everything."""
    similarity = vectors @ query
    if mask is not None:
        similarity = np.where(mask, similarity, -np.inf)
    best = np.argpartition(-similarity, K)[:K]
    return {int(row) for row in best if np.isfinite(similarity[row])}


def median_ms(calls: list[Callable[[], Any]]) -> tuple[float, list[Any]]:
    """Median time of the calls, and their answers."""
    times, answers = [], []
    for call in calls:
        started = time.perf_counter()
        answers.append(call())
        times.append(time.perf_counter() - started)
    return 1000.0 * float(np.median(times)), answers


def recall(found: list[set[int]], wanted: list[set[int]]) -> float:
    """Mean share of the wanted rows that were found; nothing wanted counts as found."""
    return float(np.mean([len(f & w) / len(w) if w else 1.0 for f, w in zip(found, wanted, strict=True)]))


class Ours:
    """Placeprint's gallery on Qdrant Edge."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder / "ours", qdrant_url=None)
        print_ = Fingerprint(name="made-up", weights_sha256="0", preprocessing="none", dimension=DIMENSION)
        self.gallery = Gallery.create("bench", print_, settings=self.settings)

    def add(self, vectors: NDArray[np.float32], lonlat: NDArray[np.float64]) -> None:
        for start in range(0, len(vectors), SHARD):
            rows = range(start, min(start + SHARD, len(vectors)))
            self.gallery.add(
                [
                    Record(
                        key=str(i), status="embedded", sha256=str(i), embedding=vectors[i],
                        lon=float(lonlat[i, 0]), lat=float(lonlat[i, 1]),
                    )
                    for i in rows
                ]
            )  # fmt: skip

    def optimize(self) -> None:
        self.gallery.optimize()

    def reopen(self) -> None:
        self.gallery.close()
        started = time.perf_counter()
        self.gallery = Gallery.open("bench", settings=self.settings)
        self.reopen_s = time.perf_counter() - started

    def search(self, query: NDArray[np.float32], circle: Circle | None) -> set[int]:
        filter = Filter(within=circle) if circle else None
        return {int(one.photo.image) for one in self.gallery.nearest(query, K, filter=filter)}


class LocalMode:
    """The peer: qdrant-client's local mode with a folder."""

    def __init__(self, folder: Path) -> None:
        from qdrant_client import QdrantClient, models

        self.models, self.folder = models, folder / "local"
        self.client = QdrantClient(path=str(self.folder))
        params = models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        self.client.create_collection("bench", vectors_config=params)

    def add(self, vectors: NDArray[np.float32], lonlat: NDArray[np.float64]) -> None:
        for start in range(0, len(vectors), 512):
            rows = range(start, min(start + 512, len(vectors)))
            places = [{"place": {"lon": float(lonlat[i, 0]), "lat": float(lonlat[i, 1])}} for i in rows]
            batch = self.models.Batch(ids=list(rows), vectors=vectors[list(rows)].tolist(), payloads=places)
            self.client.upsert("bench", batch)

    def reopen(self) -> None:
        from qdrant_client import QdrantClient

        self.client.close()
        started = time.perf_counter()
        self.client = QdrantClient(path=str(self.folder))
        self.reopen_s = time.perf_counter() - started

    def search(self, query: NDArray[np.float32], circle: Circle | None) -> set[int]:
        m = self.models
        condition = circle and m.Filter(
            must=[
                m.FieldCondition(
                    key="place",
                    geo_radius=m.GeoRadius(
                        center=m.GeoPoint(lon=circle.lon, lat=circle.lat), radius=1000.0 * circle.radius_km
                    ),
                )
            ]
        )
        answer = self.client.query_points("bench", query=query.tolist(), query_filter=condition, limit=K)
        return {int(point.id) for point in answer.points}


def measure(n: int, n_queries: int, seed: int, *, with_local: bool) -> dict[str, Any]:
    """Everything, as one plain dictionary."""
    rng = np.random.default_rng(seed)
    vectors, lonlat = make_photos(n, rng)
    chosen = rng.choice(n, n_queries, replace=False)
    noisy = vectors[chosen] + 0.02 * rng.normal(size=(n_queries, DIMENSION)).astype(np.float32)
    queries = noisy / np.linalg.norm(noisy, axis=1, keepdims=True)
    centers = lonlat[rng.choice(n, n_queries)]
    result: dict[str, Any] = {"n": n, "dimension": DIMENSION, "queries": n_queries, "seed": seed}
    circles: dict[str, list[Circle | None]] = {"no filter": [None] * n_queries}
    circles |= {f"within {r:g} km": [Circle(*c.tolist(), radius_km=r) for c in centers] for r in RADII_KM}
    wanted, result["scan"] = {}, {}
    for name, areas in circles.items():

        def scan(i: int, areas: list[Circle | None] = areas) -> set[int]:
            area = areas[i]
            mask = None
            if area is not None:
                mask = great_circle_km(lonlat, np.array([area.lon, area.lat])) <= area.radius_km
            return exact(vectors, queries[i], mask)

        ms, wanted[name] = median_ms([lambda i=i, scan=scan: scan(i) for i in range(n_queries)])
        result["scan"][name] = {"p50_ms": ms}
    folder = Path(tempfile.mkdtemp())
    try:
        contenders: dict[str, Any] = {"ours": Ours(folder)}
        if with_local:
            contenders["local mode"] = LocalMode(folder)
        for title, store in contenders.items():
            figures: dict[str, Any] = {}
            started = time.perf_counter()
            store.add(vectors, lonlat)
            figures["add_s"] = time.perf_counter() - started
            figures["add_per_s"] = n / figures["add_s"]
            if title == "ours":
                ms, _ = median_ms([partial(store.search, query, None) for query in queries])
                figures["before optimize, no filter p50_ms"] = ms
                started = time.perf_counter()
                store.optimize()
                figures["optimize_s"] = time.perf_counter() - started
            store.reopen()
            figures["reopen_s"] = store.reopen_s
            n_asked = n_queries if title == "ours" else min(n_queries, 20)  # a second each
            for name, areas in circles.items():
                asked = zip(queries[:n_asked], areas[:n_asked], strict=True)
                calls = [partial(store.search, query, area) for query, area in asked]
                calls[0]()
                ms, found = median_ms(calls)
                figures[name] = {"p50_ms": ms, "recall_at_10": recall(found, wanted[name][:n_asked])}
            result[title] = figures
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def table_of(result: dict[str, Any]) -> Table:
    """The figures side by side."""
    titles = [title for title in ("ours", "local mode") if title in result]
    table = Table("", *titles, "numpy scan", title=f"{result['n']:,} × {DIMENSION}, top {K}")
    for name in ("add_per_s", "optimize_s", "reopen_s"):
        table.add_row(name, *(f"{result[t][name]:,.1f}" if name in result[t] else "" for t in titles), "")
    for name, scan in result["scan"].items():
        figures = [result[title][name] for title in titles]
        cells = [f"{one['p50_ms']:.2f} ms, recall {one['recall_at_10']:.3f}" for one in figures]
        table.add_row(name, *cells, f"{scan['p50_ms']:.2f} ms")
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-local", action="store_true", help="leave out the slow peer")
    parser.add_argument("--out", type=Path, default=Path("bench"))
    chosen = parser.parse_args()
    result = measure(chosen.n, chosen.queries, chosen.seed, with_local=not chosen.no_local)
    result["machine"] = {"python": platform.python_version(), "processor": platform.machine()}
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "gallery.json").write_text(json.dumps(result, indent=1))
    Console().print(table_of(result))
