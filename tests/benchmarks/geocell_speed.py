"""P15: points to the polygons of geocells, beside geopandas.sjoin; and to cells, beside a loop over h3-py.

    python tests/benchmarks/geocell_speed.py --out bench

The polygons are those of the shipped partition. Ours finds them by `PolygonRule`, which partitions made of
boundaries use; a box of its grid through which no border passes has one answer. Points are uniform on the
sphere or near places, as photos are, and corners of the polygons are among them: of polygons that meet
there `sjoin` names all, and ours the first. The shipped partition itself goes by the nearest site
(`Geocells.assign`), of which the polygons are drawn to a few meters; it is told too, beside h3-py, which
cannot answer in these cells, and gives hexagons of about their size (resolution 3).
"""

import time

import geopandas
import h3
import numpy as np
import shapely
from geocells import points_of
from numpy.typing import NDArray
from row_script import arguments, begin, command, finish, sentences
from scoreboard_rows import Figure, Row
from turns import Comparison, doubts_of, take_turns, verdict_of

from placeprint.encoders.cells.polygon_rule import PolygonRule
from placeprint.encoders.cells.shapes import polygons_of
from placeprint.encoders.geocells import default_geocells

RESOLUTION = 3
SJOIN, LOOP = 5.0, 10.0
N_CORNERS = 1000


def first_labels(joined: geopandas.GeoDataFrame, n: int) -> NDArray[np.intp]:
    """The first polygon that sjoin names for each point, -1 for none."""
    label = np.full(n, np.iinfo(np.intp).max)
    np.minimum.at(label, joined.index.to_numpy(), joined["cell"].to_numpy())
    return np.where(label == np.iinfo(np.intp).max, -1, label)


def h3_loop(points: NDArray[np.float64]) -> list[str]:
    return [h3.latlng_to_cell(lat, lon, RESOLUTION) for lon, lat in points.tolist()]


def main() -> None:
    parser = arguments(__doc__, blocks=4)
    parser.add_argument("--points", type=int, default=250_000, help="of a turn")
    asked = begin(parser)
    cells = default_geocells()
    polygons = np.array(polygons_of(cells), dtype=object)
    frame = geopandas.GeoDataFrame({"cell": np.arange(len(cells))}, geometry=list(polygons), crs="OGC:CRS84")
    rule = PolygonRule(polygons, np.arange(len(cells)), cells.rule)
    corners = shapely.get_coordinates(polygons[:: max(1, len(polygons) // N_CORNERS)])
    corners = corners[np.abs(corners[:, 0]) < 180.0][:: max(1, len(corners) // N_CORNERS)]
    found: dict[str, Comparison] = {}
    figures, reached = [], []
    for kind in ("sphere", "near places"):
        points = points_of(kind, asked.points)
        points[: len(corners)] = corners
        column = geopandas.GeoDataFrame(geometry=shapely.points(points), crs="OGC:CRS84")

        def sjoin(column: geopandas.GeoDataFrame = column) -> geopandas.GeoDataFrame:
            return geopandas.sjoin(column, frame, predicate="intersects")

        began = time.perf_counter()
        rule.number_of(points)
        first_s = time.perf_counter() - began
        joined = first_labels(sjoin(), len(points))
        is_inside = joined >= 0
        same = float((rule.number_of(points)[is_inside] == joined[is_inside]).mean())
        by_site = float((cells.assign(points)[is_inside] == joined[is_inside]).mean())
        turns = take_turns(
            lambda points=points: rule.number_of(points),
            {
                "sjoin": sjoin, "assign": lambda points=points: cells.assign(points),
                "h3": lambda points=points: h3_loop(points),
            },
            blocks=asked.blocks,
        )  # fmt: skip
        found[f"sjoin, {kind}"] = one = turns.compare("sjoin")
        figures.append(one.figure(f"polygons, {kind}", "sjoin", n=asked.points / 1e3, unit="k points/s"))
        figures[-1].target = SJOIN
        found[f"h3, {kind}"] = loop = turns.compare("h3", ours="assign")
        figures.append(loop.figure(f"cells, {kind}", "h3-py loop", n=asked.points / 1e3, unit="k points/s"))
        figures[-1].target = LOOP
        figures += [
            Figure(f"identical labels, {kind}", 100.0 * same, "%"),
            Figure(f"`assign` names the polygon, {kind}", 100.0 * by_site, "%"),
            Figure(f"first call, makes the grid, {kind}", first_s, "s"),
        ]
        reached += [one.reaches(SJOIN), loop.reaches(LOOP), same == 1.0]
    row = Row(
        "P15", "Points to geocells",
        f">= {SJOIN:g}x of sjoin with identical labels, >= {LOOP:g}x of a loop over h3-py",
        verdict_of(*reached), command(),
        sentences(
            f"{asked.points:,} points a turn; near borders ours may use all cores, sjoin uses one",
            "h3-py answers another question, a hexagon by its address",
            doubts_of(found),
        ),
        figures,
    )  # fmt: skip
    finish(row, asked.out)


if __name__ == "__main__":
    main()
