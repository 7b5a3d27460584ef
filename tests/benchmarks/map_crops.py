"""How many map views a second: cut from a mosaic, or each drawn anew from the same vectors?

    python tests/benchmarks/map_crops.py [REGION.osm.pbf] --n 40 --out map_crops.json

Views of 224 px (`--px`), 435 m wide, around random places. `mosaic` cuts them turned by any angle and of
widths 0.6 to 1.6 times that; `mosaic, straight` does not turn them. The others draw each view with
`rasterio.features.rasterize`, with Pillow, and with geopandas on matplotlib (Agg), straight and of one width,
which is the easiest case; their lines are widened and their shapes indexed before the clock runs. Each
round gives everybody the same places in turn; figures are views a second of processor time of one thread, in
the median of rounds, and ratios are within a round. The build of the mosaic is told apart.
"""

import argparse
import io
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas
import matplotlib
import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from placeprint.encoders.mosaics.build import build_mosaic
from placeprint.encoders.mosaics.drawing import shapes_at
from placeprint.encoders.mosaics.entropy import entropy_bits
from placeprint.encoders.mosaics.layers import Layer, read_layer
from placeprint.encoders.mosaics.mercator import ground_m_per_px, to_world
from placeprint.encoders.mosaics.mosaic import Mosaic
from placeprint.encoders.mosaics.styles import STYLES
from placeprint.encoders.mosaics.synthetic_city import synthetic_city

matplotlib.use("Agg")
GROUND_M, ZOOM, ROUNDS = 435.0, 16, 5
Views = Callable[[NDArray[np.float64]], Any]


def peers(layer: Layer, px: int) -> dict[str, Views]:
    """Those who draw each view anew, on shapes made ready."""
    polygons, ids = shapes_at(layer, ZOOM)
    order = np.argsort(ids, kind="stable")
    polygons, ids = polygons[order], ids[order]
    tree = shapely.STRtree(polygons)
    colors = STYLES["plain"][ids] / 255.0

    def corner(point: NDArray[np.float64]) -> tuple[float, float, float, NDArray[np.intp]]:
        step = GROUND_M / px / float(ground_m_per_px(point[1], ZOOM))
        x, y = to_world(point, ZOOM) - step * px / 2.0
        return x, y, step, np.sort(tree.query(shapely.box(x, y, x + step * px, y + step * px)))

    def gdal(points: NDArray[np.float64]) -> None:
        for point in points:
            x, y, step, rows = corner(point)
            if len(rows):
                pairs = zip(polygons[rows], ids[rows].tolist(), strict=True)
                at = Affine(step, 0.0, x, 0.0, step, y)
                rasterio.features.rasterize(pairs, (px, px), transform=at, dtype="uint8")

    def pillow(points: NDArray[np.float64]) -> None:
        for point in points:
            x, y, step, rows = corner(point)
            image = Image.new("L", (px, px))
            draw = ImageDraw.Draw(image)
            for row in rows:
                rings = shapely.get_rings(polygons[row])
                corners = [((shapely.get_coordinates(ring) - [x, y]) / step - 0.5).ravel() for ring in rings]
                if len(rings) == 1:
                    draw.polygon(corners[0].tolist(), fill=int(ids[row]))
                    continue
                mask = Image.new("1", image.size)  # holes must show what lies below
                for number, ring in enumerate(corners):
                    ImageDraw.Draw(mask).polygon(ring.tolist(), fill=int(number == 0))
                image.paste(int(ids[row]), mask=mask)
            np.asarray(image)

    def pyplot(points: NDArray[np.float64]) -> None:
        from matplotlib.figure import Figure

        for point in points:
            x, y, step, rows = corner(point)
            figure = Figure(figsize=(px / 100.0, px / 100.0), dpi=100)
            axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
            if len(rows):
                geopandas.GeoSeries(list(polygons[rows])).plot(ax=axes, color=colors[rows], aspect=None)
            axes.set(xlim=(x, x + step * px), ylim=(y + step * px, y))
            axes.set_axis_off()
            figure.savefig(io.BytesIO(), format="raw")

    return {"rasterio": gdal, "pillow": pillow, "geopandas": pyplot}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("extract", type=Path, nargs="?")
    parser.add_argument("--n", type=int, default=40, help="views of a round; 25 times as many of ours")
    parser.add_argument("--out", type=Path, default=Path("map_crops.json"))
    parser.add_argument("--px", type=int, default=224, help="side of the views; encoders are trained on 64")
    asked = parser.parse_args()
    px = asked.px
    layer = read_layer(asked.extract) if asked.extract else synthetic_city(9.5, 47.1)
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        build_mosaic([layer], Path(folder) / "m.tif", zooms=[ZOOM - 1, ZOOM, ZOOM + 1])
        build_s = time.process_time() - began
        mosaic = Mosaic.open(Path(folder) / "m.tif")

    def turned(points: NDArray[np.float64]) -> Any:
        width = GROUND_M * rng.uniform(0.6, 1.6, len(points))
        return mosaic.crops(points, ground_m=width, angle_rad=rng.uniform(0.0, 6.3, len(points)), px=px)

    views: dict[str, Views] = {
        "mosaic": turned,
        "mosaic, straight": lambda points: mosaic.crops(points, ground_m=GROUND_M, px=px),
        **peers(layer, px),
    }
    west, south, east, north = layer.coverage
    rates: dict[str, list[float]] = {name: [] for name in views}
    rates["entropy"] = []
    for _ in range(ROUNDS):
        many = rng.uniform((west, south), (east, north), (asked.n * 25, 2))
        for name, draw in views.items():
            points = many if name.startswith("mosaic") else many[: asked.n]
            began = time.process_time()
            draw(points)
            rates[name].append(len(points) / (time.process_time() - began))
        cut = turned(many)
        began = time.process_time()
        entropy_bits(cut)
        rates["entropy"].append(len(cut) / (time.process_time() - began))
    others = np.array([rates[name] for name in views if not name.startswith("mosaic")])
    facts = {
        "source": layer.name, "parts": len(layer), "px": px, "ground_m": GROUND_M, "build_cpu_s": build_s,
        "machine": platform.processor(),
        "views_per_cpu_s": {name: float(np.median(rate)) for name, rate in rates.items()},
        "times_the_best_other": {
            name: float(np.median(np.array(rates[name]) / others.max(axis=0)))
            for name in ("mosaic", "mosaic, straight")
        },
    }  # fmt: skip
    asked.out.write_text(json.dumps(facts, indent=1))
    table = Table("views by", "per CPU second", "mosaic is", title=f"{layer.name}: views of {px} px")
    for name, rate in rates.items():
        ratio = float(np.median(np.array(rates["mosaic"]) / np.array(rate)))
        table.add_row(name, f"{np.median(rate):,.1f}", f"{ratio:,.1f} ×")
    Console(width=100).print(table)
    said = ", ".join(f"{name} {times:.0f}" for name, times in facts["times_the_best_other"].items())
    print(f"built in {build_s:.1f} CPU seconds; times the best other: {said}")


if __name__ == "__main__":
    main()
