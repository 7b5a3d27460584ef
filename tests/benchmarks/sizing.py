"""How many machines a collection takes, computed from what was measured: ``deploy/SIZING.md``.

    python tests/benchmarks/sizing.py --growth bench/growth.json --rows bench

A collection is divided into parts of a million photos, the largest that was measured, so that nothing is
extrapolated but the number of parts. What was not measured here, a GPU above all, is named as such.
"""

import argparse
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader

PART = 1_000_000
GB = 1e9
HOURS = 3600.0
SIZES = (1_000_000, 10_000_000, 100_000_000)


@dataclass(frozen=True)
class Measured:
    """What one part of a million photos of 512 dimensions was measured to take.

    Attributes:
        ledger_bytes: of its shards.
        store_bytes: of the vector store on disk, after it was optimized and closed.
        memory_bytes: of memory that cannot be given back, after searches.
        resident_bytes: of memory in all, most of it files that the system may drop.
        add_s: to commit ready vectors to ledger and store.
        optimize_s: to build the search index.
        p50_ms: of a search without a filter.
        p99_ms: of it.
        recall: at 10, beside an exact search.
        cores: of the machine.
    """

    ledger_bytes: float
    store_bytes: float
    memory_bytes: float
    resident_bytes: float
    add_s: float
    optimize_s: float
    p50_ms: float
    p99_ms: float
    recall: float
    cores: int


@dataclass(frozen=True)
class Wanted:
    """What is asked of a cluster.

    Attributes:
        photos: in all.
        replicas: of each part.
        searches_per_s: at the same time.
        photos_per_s: that one machine embeds.
        embedding_machines: at work at the same time.
        node_memory_bytes: of a machine of the store.
        node_cores: of it.
    """

    photos: int
    photos_per_s: float
    replicas: int = 2
    searches_per_s: float = 50.0
    embedding_machines: int = 1
    node_memory_bytes: float = 64 * GB
    node_cores: int = 16


def measured_of(growth: dict[str, Any], storage: str, cores: int) -> Measured:
    """The figures of the largest size in ``growth.json``, per million photos."""
    size = max((int(n) for n, found in growth.items() if f"measure {storage}" in found), default=0)
    if not size:
        raise SystemExit(f"no size was measured with {storage}; run tests/benchmarks/growth.py first")
    found, share = growth[str(size)], PART / size
    search = found[f"measure {storage}"]
    return Measured(
        ledger_bytes=search["ledger_bytes"] * share,
        store_bytes=search["disk_bytes"] * share,
        memory_bytes=search["searched_anonymous_bytes"] * share,
        resident_bytes=search["searched_rss_bytes"] * share,
        add_s=found["add"]["add_s"] * share,
        optimize_s=found[f"optimize {storage}"]["optimize_s"] * share,
        p50_ms=search["alone"]["p50_ms"],
        p99_ms=search["alone"]["p99_ms"],
        recall=search["alone"]["recall"],
        cores=cores,
    )


def plan(wanted: Wanted, part: Measured) -> dict[str, float]:
    """Machines, room and time for a collection."""
    parts = math.ceil(wanted.photos / PART)
    copies = parts * wanted.replicas
    core_s_per_search = parts * part.p50_ms / 1000.0  # each part is asked, by one core each
    by_memory = math.ceil(copies * part.memory_bytes / (0.7 * wanted.node_memory_bytes))
    by_load = math.ceil(wanted.searches_per_s * core_s_per_search / (0.5 * wanted.node_cores))
    return {
        "photos": wanted.photos,
        "parts": parts,
        "embedding, hours": wanted.photos / wanted.photos_per_s / wanted.embedding_machines / HOURS,
        "ledger, GB": parts * part.ledger_bytes / GB,
        "store on disk, GB": copies * part.store_bytes / GB,
        "memory held, GB": copies * part.memory_bytes / GB,
        "memory with all files in it, GB": copies * part.resident_bytes / GB,
        "committing, core hours": parts * part.add_s / HOURS,
        "building, machine hours": copies * part.optimize_s / HOURS,
        "nodes by memory": by_memory,
        "nodes by load": by_load,
        "nodes": max(by_memory, by_load, wanted.replicas + (wanted.replicas > 1)),
    }


def page(
    growth: dict[str, Any], rates: dict[str, float], simulation: dict[str, Any] | None, cores: int
) -> str:
    """The page, as Markdown; its words are in ``sizing.md.jinja``."""
    storages = sorted({key[8:] for one in growth.values() for key in one if key.startswith("measure ")})
    rows = [
        {**growth[str(size)], **growth[str(size)][f"measure {storage}"]}
        | {"optimize_s": growth[str(size)][f"optimize {storage}"]["optimize_s"]}
        | {"size": size, "storage": storage}
        for size in sorted(map(int, growth))
        for storage in storages
        if f"measure {storage}" in growth[str(size)]
    ]
    best = "int8" if "int8" in storages else storages[0]
    part, fastest = measured_of(growth, best, cores), max(rates, key=lambda name: rates[name])
    rate = rates[fastest]
    words = Environment(loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True)
    return words.get_template("sizing.md.jinja").render(
        cores=cores, rows=rows, best=best, part=part, million=PART, sizes=SIZES, rates=rates,
        plans=[plan(Wanted(photos=n, photos_per_s=rate), part) for n in SIZES],
        hours_per_million=PART / rate / HOURS, fastest=fastest, simulation=simulation,
        figure=_figure, days=_days,
    )  # fmt: skip


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 or value == int(value) else f"{value:.1f}"


def _days(seconds: float) -> str:
    return f"{seconds / HOURS:,.1f} h" if seconds < 48 * HOURS else f"{seconds / 24 / HOURS:,.0f} days"


def rates_of(rows: Path) -> dict[str, float]:
    """Photos a second, by who embeds them, from the rows of the scoreboard; ready pixels alone, and files."""
    rates = {}
    for name, what in (("P1", "{}, ready pixels"), ("P3", "MobileNetV2, {}")):
        path = rows / "rows" / f"{name}.json"
        if path.exists():
            for figure in json.loads(path.read_text())["figures"]:
                is_ours = not figure["name"].startswith(("trick", "beside"))  # what was tried, not what runs
                if is_ours and figure["unit"] == "photos/s":
                    rates[what.format(figure["name"])] = float(figure["ours"])
    return rates


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--growth", type=Path, default=Path("bench/growth.json"))
    parser.add_argument("--rows", type=Path, default=Path("bench"))
    parser.add_argument("--simulation", type=Path, default=Path("bench/cluster_simulation.json"))
    parser.add_argument("--page", type=Path, default=Path("deploy/SIZING.md"))
    asked = parser.parse_args()
    simulated = json.loads(asked.simulation.read_text()) if asked.simulation.exists() else None
    rates = rates_of(asked.rows)
    if not rates:
        raise SystemExit(f"{asked.rows}/rows: no row P1 or P3; run tests/benchmarks/scoreboard.py first")
    grown = json.loads(asked.growth.read_text())
    asked.page.write_text(page(grown, rates, simulated, os.cpu_count() or 1))
    print(f"written: {asked.page}")
