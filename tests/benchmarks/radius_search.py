"""Searches within a circle: what the store does, beside two other ways to say the same.

    python tests/benchmarks/radius_search.py --work bench/growth/100000 --out bench

The gallery is one that `growth.py` made. Each circle is asked for as the gallery does (the engine's index of
places, or for a wide circle the box around it and the distance of each place), by the engine's index alone,
and by cells of the H3 grid: those inside are looked up, in those on the rim distances are measured too. Ours
is `find_nearest`, the others are exact queries; every answer is first compared with a scan.
"""

import argparse
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import h3
import numpy as np
from growth_data import SELECTIVITIES, K
from growth_stores import NAME, settings_of
from rich.console import Console
from rich.table import Table
from turns import take_turns

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a script sees its own folder only

from scoreboard_rows import Row, write_row

from placeprint.encoders.areas import Circle
from placeprint.encoders.sphere import cap_area_km2, great_circle_km
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.store import find_nearest
from placeprint.indexer.store_words import PLACE, translate

CELL_AREA_KM2 = {7: 5.16, 5: 252.9, 3: 12_393.0}
LONGEST_EDGE_KM = {7: 1.9, 5: 13.3, 3: 93.0}  # with the grid's distortion
SHORTEST_STEP_KM = {7: 1.7, 5: 11.8, 3: 82.0}
MOST_CELLS = 400
N_CIRCLES = 8
OURS = "as the gallery says"


@lru_cache(maxsize=1024)
def cover(circle: Circle) -> tuple[int, list[str], list[str]]:
    """Resolution, cells wholly inside a circle, and cells that its rim may pass through."""
    for resolution in CELL_AREA_KM2:
        reach_km = LONGEST_EDGE_KM[resolution]
        if cap_area_km2(circle.radius_km + reach_km) / CELL_AREA_KM2[resolution] <= MOST_CELLS:
            break
    steps = int((circle.radius_km + reach_km) / SHORTEST_STEP_KM[resolution]) + 2
    cells = h3.grid_disk(h3.latlng_to_cell(circle.lat, circle.lon, resolution), steps)
    centers = np.array([h3.cell_to_latlng(cell)[::-1] for cell in cells])
    km = great_circle_km(np.array([circle.lon, circle.lat]), centers)
    inner = [cell for cell, far in zip(cells, km, strict=True) if far + reach_km <= circle.radius_km]
    rim = [cell for cell, far in zip(cells, km, strict=True) if abs(far - circle.radius_km) < reach_km]
    return resolution, inner, rim


def engine_words(circle: Circle, words: Any) -> Any:
    radius_m = 1000.0 * circle.radius_km * (1 + 1e-12) + 1e-3
    return words.filter(must=[words.radius(PLACE, circle.lon, circle.lat, radius_m)])


def cell_words(circle: Circle, words: Any) -> Any:
    resolution, inner, rim = cover(circle)
    key = f"_h3_{resolution}"
    measured = words.filter(must_not=[engine_words(circle, words)])
    sides = [words.any_of(key, inner)] if inner else []
    if rim:
        sides.append(words.filter(must=[words.any_of(key, rim)], must_not=[measured]))
    return words.filter(should=sides)


def measure(folder: Path) -> list[dict[str, Any]]:
    """For each selectivity, the three ways in turns."""
    vectors, lonlat = np.load(folder / "vectors.npy", mmap_mode="r"), np.load(folder / "lonlat.npy")
    told, rng = [], np.random.default_rng(0)
    with Gallery.open(NAME, settings=settings_of(folder)) as gallery:
        store = gallery._index.store
        ways = {
            OURS: lambda circle: translate(Filter(within=circle), store.words),
            "the engine's index": lambda circle: engine_words(circle, store.words),
            "cells": lambda circle: cell_words(circle, store.words),
        }
        for share in SELECTIVITIES:
            circles, n_lost = [], dict.fromkeys(ways, 0)
            for row in rng.choice(len(lonlat), N_CIRCLES, replace=False):
                km = great_circle_km(lonlat, lonlat[row])
                n_inside = max(1, round(share * len(km)))
                radius_km = float(np.partition(km, n_inside - 1)[n_inside - 1]) + 1e-6
                circle = Circle(*lonlat[row].tolist(), radius_km)
                circles.append((circle, np.array(vectors[row])))
                for name, way in ways.items():
                    n_lost[name] += int((km <= radius_km).sum()) - store.count(way(circle))

            def search(name: str, circles: Any = circles) -> list[Any]:
                found = []
                for circle, vector in circles:
                    condition = ways[name](circle)
                    if name == OURS:
                        points = find_nearest(store, vector, K, condition)
                    else:
                        points = store.query(vector, K, condition, exact=True)
                    found.append([point.id for point in points])
                return found

            answers = {name: search(name) for name in ways}
            ours, *others = ways
            peers = {name: lambda name=name: search(name) for name in others}
            turns = take_turns(lambda ours=ours: search(ours), peers, blocks=6)
            told.append(
                {
                    "share": share, "median_km": float(np.median([c.radius_km for c, _ in circles])),
                    "n_lost": n_lost, "same": {name: answers[name] == answers[ours] for name in ways},
                    "turns": {name: turns.compare(name) for name in others},
                }
            )  # fmt: skip
    return told


def row_of(told: list[dict[str, Any]], n: int) -> Row:
    figures, reached, why = [], [], []
    for one in told:
        cells, engine = one["turns"]["cells"], one["turns"]["the engine's index"]
        title = f"{one['share']:.3%} of the photos, {one['median_km']:,.0f} km"
        figures += [
            engine.time_figure(f"{title}: {N_CIRCLES} searches", "the engine's index"),
            cells.time_figure(f"{title}: {N_CIRCLES} searches", "cells"),
        ]
        if one["share"] <= 0.01:
            reached.append(engine.ratio >= 3.0)
        lost = {name: count for name, count in one["n_lost"].items() if count}
        if lost:
            why.append(f"{title}: photos lost {lost}")
    why.append(
        "cells are looked up, and those on the rim measured; where the ratio is below 1 cells are quicker"
    )
    return Row(
        "P10", f"searches within a circle, {n:,} photos",
        "3 times the engine's radius filter at 1 % of the photos and less, as exact",
        "reached" if all(reached) else "short",
        "python tests/benchmarks/radius_search.py --work bench/growth/100000 --out bench",
        "; ".join(why), figures,
    )  # fmt: skip


def show(told: list[dict[str, Any]]) -> None:
    table = Table(
        "share", "radius km", "ours ms", "engine ms", "cells ms", "lost: ours, engine, cells", "same top 10"
    )
    for one in told:
        cells, engine = one["turns"]["cells"], one["turns"]["the engine's index"]
        times = [1000.0 * s / N_CIRCLES for s in (cells.ours_s, engine.theirs_s, cells.theirs_s)]
        table.add_row(
            f"{one['share']:.3%}", f"{one['median_km']:,.0f}", *(f"{ms:.2f}" for ms in times),
            str(list(one["n_lost"].values())), str(all(one["same"].values())),
        )  # fmt: skip
    Console(width=160).print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True, help="folder of one size that growth.py made")
    parser.add_argument("--out", type=Path, default=Path("bench"))
    options = parser.parse_args()
    told = measure(options.work)
    show(told)
    write_row(options.out, row_of(told, int(options.work.name)))
