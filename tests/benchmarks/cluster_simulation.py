"""A cluster of a hundred million photos in small: who holds what, who is asked, and what a loss costs.

    python tests/benchmarks/cluster_simulation.py --out bench

Photos are drawn with embeddings and places: towns weighed by how many live there, places tied to looks a
little, data sets as uneven as data sets are (Zipf). Three ways to route photos to shards are compared: by
a hash of the id, by data set, and by area (H3 cells). Told for each: how uneven shards, nodes and their
load are, how many shards a search must ask, what becomes of a search when nodes are lost, and how long a
search waits for the slowest of the shards that it asks. Nothing here is a cluster: what a network adds, and
what an engine does while it moves shards, is not in it.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h3
import matplotlib
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from placeprint.encoders.places import load_places

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DIMENSION, K = 64, 10
ROUTES = ("hash of the id", "data set", "area")
AREA_RESOLUTION = 2  # H3: cells of some 87,000 km²
Array = NDArray[Any]


@dataclass(frozen=True)
class Cluster:
    """What is simulated.

    Attributes:
        photos: drawn here; their number does not matter to shares.
        nodes: machines.
        shards: of the collection.
        replicas: of each shard, on nodes of their own.
        data_sets: as which photos came.
        queries: asked, of which half are about one area.
    """

    photos: int = 200_000
    nodes: int = 12
    shards: int = 48
    replicas: int = 2
    data_sets: int = 200
    queries: int = 400


@dataclass(frozen=True)
class Photos:
    """Drawn photos: unit embeddings (n, D), places (n, 2) lon, lat in degrees, data sets and cells (n,)."""

    embeddings: NDArray[np.float32]
    lonlat: NDArray[np.float64]
    data_set: NDArray[np.int64]
    cell: NDArray[np.str_]


def draw(cluster: Cluster, rng: np.random.Generator) -> Photos:
    """Photos where people are, in data sets of Zipf's sizes that each come from a few towns."""
    places = load_places()
    weight = np.sqrt(np.maximum(places.population, 100.0))  # large towns have more photos, not in proportion
    towns = rng.choice(len(weight), 3000, p=weight / weight.sum())
    sizes = 1.0 / np.arange(1, cluster.data_sets + 1)
    data_set = rng.choice(cluster.data_sets, cluster.photos, p=sizes / sizes.sum())
    towns_of = rng.choice(towns, (cluster.data_sets, 40))
    town = towns_of[data_set, rng.integers(0, 40, cluster.photos)]
    lonlat = places.lonlat[town] + rng.normal(0.0, 0.1, (cluster.photos, 2))
    lonlat[:, 1] = lonlat[:, 1].clip(-89.9, 89.9)
    looks = rng.normal(size=(cluster.photos, DIMENSION))
    looks += 0.5 * rng.normal(size=(len(weight), DIMENSION))[town]
    looks += 0.5 * rng.normal(size=(cluster.data_sets, DIMENSION))[data_set]
    embeddings = (looks / np.linalg.norm(looks, axis=1, keepdims=True)).astype(np.float32)
    cell = np.array([h3.latlng_to_cell(lat, lon, AREA_RESOLUTION) for lon, lat in lonlat])
    return Photos(embeddings, lonlat, data_set, cell)


def route(photos: Photos, how: str, cluster: Cluster, rng: np.random.Generator) -> NDArray[np.int64]:
    """The shard of each photo, (n,)."""
    if how == "hash of the id":
        return rng.integers(0, cluster.shards, len(photos.data_set))
    names = photos.data_set if how == "data set" else np.unique(photos.cell, return_inverse=True)[1]
    # Largest first to the emptiest shard: better than hashing names, and what an operator could do at best.
    sizes = np.bincount(names)
    held, shard_of = np.zeros(cluster.shards), np.zeros(len(sizes), np.int64)
    for name in np.argsort(-sizes, kind="stable"):
        shard_of[name] = held.argmin()
        held[shard_of[name]] += sizes[name]
    return shard_of[names]


def placed(cluster: Cluster, rng: np.random.Generator) -> NDArray[np.int64]:
    """Nodes of each shard's replicas, (shards, replicas): no two on one node, nodes as even as can be."""
    held, nodes = np.zeros(cluster.nodes), np.empty((cluster.shards, cluster.replicas), np.int64)
    for shard in range(cluster.shards):
        order = np.lexsort((rng.random(cluster.nodes), held))
        nodes[shard] = order[: cluster.replicas]
        held[nodes[shard]] += 1
    return nodes


def uneven(counts: Array) -> float:
    """How many times the mean the largest is."""
    return float(counts.max() / counts.mean())


def asked_shards(
    photos: Photos, shard: Array, cluster: Cluster, rng: np.random.Generator
) -> tuple[list[Array], list[int]]:
    """Shards that hold an answer's candidates, for searches everywhere and for searches of one area."""
    chosen = rng.choice(len(shard), cluster.queries)
    shards = [np.unique(shard)] * (cluster.queries // 2)
    for one in chosen[cluster.queries // 2 :]:
        ring = h3.grid_disk(photos.cell[one], 1)
        shards.append(np.unique(shard[np.isin(photos.cell, ring)]))
    return shards, chosen.tolist()


def loads(shards: list[Array], nodes: Array, cluster: Cluster, rng: np.random.Generator) -> Array:
    """Requests that reach each node: each shard is asked on the less busy of its replicas."""
    load = np.zeros(cluster.nodes)
    for asked in shards:
        for shard in asked:
            node = min(rng.permutation(nodes[shard]), key=load.__getitem__)
            load[node] += 1
    return load


def lost(
    photos: Photos, shard: Array, nodes: Array, chosen: list[int], cluster: Cluster, n_lost: int,
    rng: np.random.Generator, trials: int = 200,
) -> dict[str, float]:  # fmt: skip
    """What random losses of nodes cost: photos out of reach, and recall@10 of searches everywhere."""
    queries = photos.embeddings[chosen[: cluster.queries // 2]]
    nearest = np.argsort(-(queries @ photos.embeddings.T), axis=1)[:, 1 : K + 1]  # the photo itself aside
    held = np.bincount(shard, minlength=cluster.shards)
    unreachable, recalls = [], []
    for _ in range(trials):
        gone = rng.choice(cluster.nodes, n_lost, replace=False)
        is_gone = np.isin(nodes, gone).all(axis=1)
        unreachable.append(held[is_gone].sum() / held.sum())
        recalls.append(1.0 - is_gone[shard[nearest]].mean())
    return {
        "nodes lost": n_lost,
        "trials with photos out of reach": float(np.mean(np.array(unreachable) > 0)),
        "photos out of reach, mean": float(np.mean(unreachable)),
        "photos out of reach, worst": float(np.max(unreachable)),
        "recall@10, mean": float(np.mean(recalls)),
        "recall@10, worst": float(np.min(recalls)),
    }


def slowest_ms(n_shards: int, p50_ms: float, p99_ms: float, rng: np.random.Generator) -> dict[str, float]:
    """How long a search waits that asks so many shards, each of a lognormal time of its own."""
    spread = np.log(p99_ms / p50_ms) / 2.326  # the normal quantile of 0.99
    waits = (p50_ms * np.exp(spread * rng.normal(size=(20_000, n_shards)))).max(axis=1)
    return {"shards": n_shards, "p50_ms": float(np.median(waits)), "p99_ms": float(np.quantile(waits, 0.99))}


def simulate(cluster: Cluster, p50_ms: float, p99_ms: float, seed: int) -> dict[str, Any]:
    """All figures, as one dictionary."""
    rng = np.random.default_rng(seed)
    photos = draw(cluster, rng)
    found: dict[str, Any] = {"cluster": asdict(cluster), "seed": seed, "routes": {}}
    for how in ROUTES:
        shard = route(photos, how, cluster, rng)
        nodes = placed(cluster, rng)
        shards, chosen = asked_shards(photos, shard, cluster, rng)
        half = cluster.queries // 2
        held = np.bincount(shard, minlength=cluster.shards)
        on_nodes = np.zeros(cluster.nodes)
        np.add.at(on_nodes, nodes, held[:, None].repeat(cluster.replicas, axis=1))
        found["routes"][how] = {
            "largest shard / mean": uneven(held),
            "fullest node / mean": uneven(on_nodes),
            "shards asked, everywhere": float(np.mean([len(one) for one in shards[:half]])),
            "shards asked, one area": float(np.mean([len(one) for one in shards[half:]])),
            "busiest node / mean, everywhere": uneven(loads(shards[:half], nodes, cluster, rng)),
            "busiest node / mean, areas": uneven(loads(shards[half:], nodes, cluster, rng)),
            "busiest node / mean, one area in the news": uneven(
                loads([shards[half]] * half, nodes, cluster, rng)
            ),
            "losses": [lost(photos, shard, nodes, chosen, cluster, n, rng) for n in (1, 2, 3)],
        }
    found["waits"] = [slowest_ms(n, p50_ms, p99_ms, rng) for n in (1, 4, 12, 24, 48)]
    return found


def table_of(found: dict[str, Any]) -> Table:
    """The figures side by side."""
    cluster = found["cluster"]
    title = "{shards} shards, {replicas} replicas, {nodes} nodes".format(**cluster)
    table = Table("", *ROUTES, title=title)
    rows = [name for name in found["routes"][ROUTES[0]] if name != "losses"]
    for name in rows:
        table.add_row(name, *(f"{found['routes'][how][name]:.2f}" for how in ROUTES))
    for place, n in enumerate((1, 2, 3)):
        for name in ("photos out of reach, mean", "photos out of reach, worst", "recall@10, worst"):
            figures = (found["routes"][how]["losses"][place][name] for how in ROUTES)
            table.add_row(f"{n} lost: {name}", *(f"{100 * figure:.1f} %" for figure in figures))
    return table


def picture(found: dict[str, Any], path: Path) -> None:
    """Unevenness, and what losses cost, side by side."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    names = [name for name in found["routes"][ROUTES[0]] if name.endswith("mean") or "/ mean" in name]
    for place, how in enumerate(ROUTES):
        values = [found["routes"][how][name] for name in names]
        left.barh(np.arange(len(names)) + 0.27 * (place - 1), values, 0.25, label=how)
        losses = found["routes"][how]["losses"]
        right.plot(
            [0, *(one["nodes lost"] for one in losses)],
            [100, *(100 * one["recall@10, mean"] for one in losses)], "o-", label=f"{how}, mean",
        )  # fmt: skip
        right.plot(
            [0, *(one["nodes lost"] for one in losses)],
            [100, *(100 * one["recall@10, worst"] for one in losses)], "x:",
            color=right.lines[-1].get_color(), label=f"{how}, worst",
        )  # fmt: skip
    left.set_yticks(range(len(names)), names)
    left.axvline(1.0, color="gray", linewidth=0.8)
    left.set_xlabel("times the mean")
    left.legend()
    right.set_xlabel("nodes lost")
    right.set_ylabel("recall@10 of searches everywhere, %")
    right.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=Cluster.photos)
    parser.add_argument("--nodes", type=int, default=Cluster.nodes)
    parser.add_argument("--shards", type=int, default=Cluster.shards)
    parser.add_argument("--replicas", type=int, default=Cluster.replicas)
    parser.add_argument("--p50-ms", type=float, default=2.0, help="of a search in one shard")
    parser.add_argument("--p99-ms", type=float, default=6.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    asked = parser.parse_args()
    simulated = simulate(
        Cluster(photos=asked.photos, nodes=asked.nodes, shards=asked.shards, replicas=asked.replicas),
        asked.p50_ms, asked.p99_ms, asked.seed,
    )  # fmt: skip
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "cluster_simulation.json").write_text(json.dumps(simulated, indent=1))
    picture(simulated, asked.out / "cluster_simulation.png")
    Console().print(table_of(simulated))
