"""How fast points are assigned to cells, beside geopandas.sjoin on the same polygons.

    python tests/benchmarks/geocells.py --out bench [--points 1000000] [--cells cells.parquet]

Points are of two kinds: uniform on the sphere, and near places as photos are (a place drawn at
random, plus a normal error of 0.1 degrees). `assign` and `sjoin` take turns, three times each; the
medians are told. The first call of `assign` makes a grid, once per process, and is told apart.
Agreement is the share of points to which both give the same cell, of those to which `sjoin` gives one.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from rich.console import Console
from rich.table import Table

from placeprint.encoders.cells.shapes import polygons_of
from placeprint.encoders.geocells import Geocells, default_geocells
from placeprint.encoders.places import load_places
from placeprint.encoders.sphere import uniform_on_sphere

ROUNDS = 3


def points_of(kind: str, n: int) -> np.ndarray:
    rng = np.random.default_rng(20240818)
    if kind == "sphere":
        return uniform_on_sphere(n, rng)
    places = load_places().lonlat
    near = places[rng.integers(0, len(places), n)] + rng.normal(0.0, 0.1, (n, 2))
    return np.stack([(near[:, 0] + 180.0) % 360.0 - 180.0, near[:, 1].clip(-90.0, 90.0)], axis=1)


def compare(cells: Geocells, frame: Any, kind: str, n: int) -> dict[str, Any]:
    points = points_of(kind, n)
    asked = geopandas.GeoDataFrame(geometry=shapely.points(points), crs="OGC:CRS84")
    seconds: dict[str, list[float]] = {"assign": [], "sjoin": []}
    started = time.perf_counter()
    mine = cells.assign(points)
    first = time.perf_counter() - started
    joined = None
    for _ in range(ROUNDS):
        started = time.perf_counter()
        mine = cells.assign(points)
        seconds["assign"].append(time.perf_counter() - started)
        started = time.perf_counter()
        joined = geopandas.sjoin(asked, frame, predicate="within")
        seconds["sjoin"].append(time.perf_counter() - started)
    agreement = float((mine[joined.index.to_numpy()] == joined["cell"].to_numpy()).mean())
    assign, sjoin = (float(np.median(seconds[name])) for name in ("assign", "sjoin"))
    return {
        "points": kind, "n": n, "assign_s": round(assign, 3), "first_assign_s": round(first, 3),
        "sjoin_s": round(sjoin, 3), "times_faster": round(sjoin / assign, 2),
        "sjoin_answers": round(len(joined) / n, 6), "agreement": round(agreement, 6),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="Folder for geocells.json.")
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--cells", type=Path, help="By default the shipped partition.")
    arguments = parser.parse_args()
    cells = Geocells.load(arguments.cells) if arguments.cells else default_geocells()
    frame = geopandas.GeoDataFrame(
        {"cell": np.arange(len(cells))}, geometry=list(polygons_of(cells)), crs="OGC:CRS84"
    )
    rows = [compare(cells, frame, kind, arguments.points) for kind in ("sphere", "near places")]
    told = {
        "cells_id": cells.cells_id, "n_cells": len(cells), "hierarchy": cells.provenance["hierarchy"]["kind"],
        "n_vertices": int(shapely.get_num_coordinates(frame.geometry.to_numpy()).sum()),
        "geopandas": geopandas.__version__, "shapely": shapely.__version__,
        "machine": f"{platform.processor() or platform.machine()}, python {platform.python_version()}",
        "rows": rows,
    }  # fmt: skip
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "geocells.json").write_text(json.dumps(told, indent=1))
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
