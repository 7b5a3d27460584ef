"""One photo located in a gallery of a million made-up photos, after its embedding.

    python tests/benchmarks/locate.py --folder DIR --out bench [--photos 1000000] [--dimension 256]

The gallery is filled once and kept under DIR, which takes most of an hour. Measured for photos that are
not in it: the whole answer of `Locator.locate` (neighbors, density, point, probabilities, countries and
thresholds of regions), its parts, and drawing the regions, which happens only when they are asked for.
Beside it, on the same neighbors' vectors in memory: a numpy scan of everything with the kNN density's mode
(Im2GPS's way). Orders alternate; the figure is the median, with the 90th percentile.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_gallery import SHARD
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from placeprint.encoders.fingerprint import Fingerprint
from placeprint.encoders.sphere import destination, uniform_on_sphere, unit_vectors
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.geolocate import locate
from placeprint.indexer.held_out import K
from placeprint.indexer.locator import Locator
from placeprint.indexer.record import Record
from placeprint.indexer.settings import Settings
from placeprint.indexer.surface import Mixture, kappa_of_km

NAME = "million"
N_TOWNS, N_LATENT, N_ASKED = 3000, 24, 40


def make(n: int, dimension: int, *, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64], list[str]]:
    """Unit embeddings (n, D) on a curved surface, places (n, 2) and towns: looks tell something of the town
    and of the latitude, and much that is neither."""
    world = np.random.default_rng(0)
    towns = uniform_on_sphere(N_TOWNS, world)
    looks = 0.5 * world.normal(size=(N_TOWNS, N_LATENT))
    looks[:, :3] += unit_vectors(towns)
    first = world.normal(size=(N_LATENT, 128)) / 5.0
    second = world.normal(size=(128, dimension)) / 11.0
    rng = np.random.default_rng(seed)
    town = rng.integers(0, N_TOWNS, n)
    lonlat = destination(towns[town], rng.uniform(0.0, 360.0, n), rng.exponential(20.0, n))
    raw = np.tanh((rng.normal(size=(n, N_LATENT)) + looks[town]) @ first) @ second
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    return vectors, lonlat, [f"town {one}" for one in town]


def filled(folder: Path, n: int, dimension: int, console: Console) -> Gallery:
    """The gallery, from the folder or made there."""
    settings = Settings(home=folder, qdrant_url=None)
    print_ = Fingerprint(name="made-up", weights_sha256="0", preprocessing="none", dimension=dimension)
    if (folder / "galleries" / NAME).exists() or any(folder.glob(f"**/{NAME}")):
        gallery = Gallery.open(NAME, settings=settings)
    else:
        gallery = Gallery.create(NAME, print_, settings=settings)
    started = time.monotonic()
    for start in range(len(gallery) // SHARD * SHARD, n, SHARD):
        size = min(SHARD, n - start)
        vectors, lonlat, towns = make(size, dimension, seed=1 + start // SHARD)
        gallery.add(
            [
                Record(
                    key=str(start + i), status="embedded", sha256=str(start + i), embedding=vectors[i],
                    lon=float(lonlat[i, 0]), lat=float(lonlat[i, 1]), group=f"{towns[i]} {(start + i) // 20}",
                )
                for i in range(size)
            ]
        )  # fmt: skip
        if start // SHARD % 10 == 0:
            console.print(f"{start + size:,} photos, {time.monotonic() - started:.0f} s", highlight=False)
    console.print("building the search index", highlight=False)
    gallery.optimize()
    console.print(f"ready after {time.monotonic() - started:.0f} s", highlight=False)
    return gallery


def by_scan(
    vectors: NDArray[np.float32], places: NDArray[np.float64], query: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The naive way: compare with all, then the mode of the kNN density."""
    similarity = vectors @ query
    near = np.argpartition(-similarity, K)[:K]
    weight = np.exp((similarity[near] - similarity[near].max()) / 0.05)
    centers = unit_vectors(places[near])
    density = Mixture(centers, np.full(K, kappa_of_km(100.0)), np.log(weight / weight.sum()))
    return centers[density.log_density_at(centers).argmax()]


def timed(calls: dict[str, Callable[[int], Any]]) -> dict[str, dict[str, float]]:
    """Milliseconds of each call over the photos asked: median and 90th percentile, order alternating."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for row in range(-3, N_ASKED):
        names = list(calls) if row % 2 else list(calls)[::-1]
        for name in names:
            started = time.perf_counter()
            calls[name](max(row, 0))
            if row >= 0:
                times[name].append(1000.0 * (time.perf_counter() - started))
    return {
        name: {"p50_ms": float(np.median(one)), "p90_ms": float(np.quantile(one, 0.9))}
        for name, one in times.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True, help="Keeps the gallery.")
    parser.add_argument("--out", type=Path, required=True, help="Folder for locate.json.")
    parser.add_argument("--photos", type=int, default=1_000_000)
    parser.add_argument("--dimension", type=int, default=256)
    asked = parser.parse_args()
    console = Console()
    gallery = filled(asked.folder, asked.photos, asked.dimension, console)
    started = time.monotonic()
    locator = Locator(gallery, stage=lambda what: console.print(f"fitting: {what}", highlight=False))
    fit_s = time.monotonic() - started
    queries, _, _ = make(N_ASKED, asked.dimension, seed=10**6)
    parts = [make(SHARD, asked.dimension, seed=1 + part) for part in range(-(-asked.photos // SHARD))]
    vectors = np.concatenate([part[0] for part in parts])[: asked.photos]
    places = np.concatenate([part[1] for part in parts])[: asked.photos]
    del parts
    near = [gallery.locate_neighbors(query, K) for query in queries]
    answers = [locator.locate(query)[0] for query in queries]

    def rest(row: int) -> None:
        heard = locator.fitted.heard(queries[row])
        locate(near[row].similarity, near[row].lonlat, locator.prior, locator.model, heard=heard)

    figures = timed(
        {
            "ours, the whole answer": lambda row: locator.locate(queries[row]),
            "ours, its neighbors": lambda row: gallery.locate_neighbors(queries[row], K),
            "ours, density and answer": rest,
            "numpy scan and kNN mode": lambda row: by_scan(vectors, places, queries[row]),
        }
    )
    drawn = []
    for answer in answers[:10]:
        started = time.perf_counter()
        _ = answer.regions
        drawn.append(1000.0 * (time.perf_counter() - started))
    exact = [set(np.argpartition(-(vectors @ query), 10)[:10].tolist()) for query in queries]
    found = [{int(photo.image) for photo in one.photos[:10]} for one in near]
    results = {
        "photos": len(gallery), "dimension": asked.dimension, "fit_s": fit_s, "rows": figures,
        "evidence": [source.name for source in locator.fitted.evidence.sources]
        if locator.fitted.evidence else [],
        "regions_drawn_p50_ms": float(np.median(drawn)),
        "recall_at_10": float(np.mean([len(a & b) / 10 for a, b in zip(exact, found, strict=True)])),
        "machine": f"{platform.machine()}, {platform.python_version()}",
    }  # fmt: skip
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "locate.json").write_text(json.dumps(results, indent=1))
    table = Table(title=f"{len(gallery):,} × {asked.dimension}, {N_ASKED} photos")
    for column in ("", "median ms", "90 % ms"):
        table.add_column(column, justify="left" if not column else "right")
    for name, row in figures.items():
        table.add_row(name, f"{row['p50_ms']:.0f}", f"{row['p90_ms']:.0f}")
    console.print(table)
    console.print(
        f"recall@10 {results['recall_at_10']:.3f}; regions drawn when asked for {np.median(drawn):.0f} ms; "
        f"fit {fit_s:.0f} s; evidence: {', '.join(results['evidence']) or 'none'}"
    )
    gallery.close()


if __name__ == "__main__":
    main()
