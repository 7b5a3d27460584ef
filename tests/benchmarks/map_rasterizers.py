"""How fast are polygons burned into a raster of class ids, by whom, and do windows agree?

    python tests/benchmarks/map_rasterizers.py [REGION.osm.pbf …] --zoom 16 --out rasterizers.json

The same polygons (roads and rails already widened), in world pixels, are burned into the same window by
our scan lines, by `rasterio.features.rasterize` (GDAL), by Pillow's `ImageDraw`, and by `rusterize` where
it is installed; the larger class id shows. Without a file, the drawn city is used. Figures are megapixels
and shapes a second of processor time of one thread, in the median of rounds in which all take turns.

`differs` is the share of pixels unlike ours; `seam` the share that changes when the window is drawn as
windows of 500 px, which fit no shape: it must be 0 for a mosaic to be built in pieces. Shapes that a
window does not touch are left out beforehand for those who would look at each.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from PIL import __version__ as pillow_version
from rich.console import Console
from rich.table import Table

from placeprint.encoders.mosaics.drawing import edges_by_class, shapes_at
from placeprint.encoders.mosaics.layers import Layer, read_layer
from placeprint.encoders.mosaics.legend import N_CLASSES
from placeprint.encoders.mosaics.mercator import to_world
from placeprint.encoders.mosaics.scanlines import Window, packed, paint
from placeprint.encoders.mosaics.synthetic_city import synthetic_city

try:
    import rusterize
except ImportError:
    rusterize = None

Draw = Callable[[Window], NDArray[np.uint8]]


def drawers(polygons: NDArray[np.object_], ids: NDArray[np.uint8]) -> dict[str, Draw]:
    """All rasterizers on the same polygons, smaller ids first."""
    order = np.argsort(ids, kind="stable")
    polygons, ids = polygons[order], ids[order]
    by_class = edges_by_class([(polygons, ids)])
    triples = [range(first, min(first + 3, N_CLASSES)) for first in range(1, N_CLASSES, 3)]
    groups = [(classes, packed([by_class[one] for one in classes])) for classes in triples]
    tree = shapely.STRtree(polygons)
    northward = shapely.transform(polygons, lambda xy: xy * [1.0, -1.0])

    def near(window: Window) -> NDArray[np.intp]:
        box = shapely.box(window.x, window.y, window.x + window.width, window.y + window.height)
        return np.sort(tree.query(box))

    def ours(window: Window) -> NDArray[np.uint8]:
        out = np.zeros((window.height, window.width), np.uint8)
        for classes, edges in groups:
            paint(out, edges, classes, window)
        return out

    def gdal(window: Window) -> NDArray[np.uint8]:
        rows = near(window)
        if not len(rows):  # it would raise
            return np.zeros((window.height, window.width), np.uint8)
        pairs = zip(polygons[rows], ids[rows].tolist(), strict=True)
        at = Affine(1.0, 0.0, window.x, 0.0, 1.0, window.y)
        return rasterio.features.rasterize(pairs, (window.height, window.width), transform=at, dtype="uint8")

    def pillow(window: Window) -> NDArray[np.uint8]:
        image = Image.new("L", (window.width, window.height))
        draw = ImageDraw.Draw(image)
        for row in near(window):
            # Pillow counts from pixel centers.
            rings = shapely.get_rings(polygons[row])
            corners = [(shapely.get_coordinates(ring) - [window.x, window.y] - 0.5).ravel() for ring in rings]
            if len(rings) == 1:
                draw.polygon(corners[0].tolist(), fill=int(ids[row]))
                continue
            mask = Image.new("1", image.size)  # holes must show what lies below
            for number, ring in enumerate(corners):
                ImageDraw.Draw(mask).polygon(ring.tolist(), fill=int(number == 0))
            image.paste(int(ids[row]), mask=mask)
        return np.asarray(image)

    def rust(window: Window) -> NDArray[np.uint8]:
        rows = near(window)
        if not len(rows):  # it would raise
            return np.zeros((window.height, window.width), np.uint8)
        extent = (window.x, -(window.y + window.height), window.x + window.width, -window.y)
        return np.asarray(
            rusterize.rusterize(
                list(northward[rows]), out_shape=(window.height, window.width), extent=extent,
                burn=ids[rows], fun="last", background=0, encoding="numpy", dtype="uint8",
            )
        ).reshape(window.height, window.width)  # fmt: skip

    found = {"ours": ours, "rasterio": gdal, "pillow": pillow}
    return found | ({"rusterize": rust} if rusterize is not None else {})


def in_pieces(draw: Draw, window: Window, side: int = 500) -> NDArray[np.uint8]:
    """A window drawn as small ones."""
    out = np.zeros((window.height, window.width), np.uint8)
    for y in range(0, window.height, side):
        for x in range(0, window.width, side):
            width, height = min(side, window.width - x), min(side, window.height - y)
            out[y : y + height, x : x + width] = draw(Window(window.x + x, window.y + y, width, height))
    return out


def measure(layer: Layer, zoom: int, side: int, rounds: int) -> dict[str, Any]:
    """All figures on one layer: the window lies in the middle of what it covers."""
    polygons, ids = shapes_at(layer, zoom)
    west, south, east, north = layer.coverage
    middle = to_world(np.array([(west + east) / 2.0, (south + north) / 2.0]), zoom)
    window = Window(int(middle[0]) - side // 2, int(middle[1]) - side // 2, side, side)
    box = shapely.box(window.x, window.y, window.x + side, window.y + side)
    n_shapes = len(shapely.STRtree(polygons).query(box))
    some = drawers(polygons, ids)
    whole = {name: draw(window) for name, draw in some.items()}
    seconds: dict[str, list[float]] = {name: [] for name in some}
    for _ in range(rounds):
        for name, draw in some.items():
            began = time.process_time()
            draw(window)
            seconds[name].append(time.process_time() - began)
    figures = {
        name: {
            "megapixels_per_s": side * side / 1e6 / float(np.median(seconds[name])),
            "shapes_per_s": n_shapes / float(np.median(seconds[name])),
            "differs": float((whole[name] != whole["ours"]).mean()),
            "seam": float((in_pieces(draw, window) != whole[name]).mean()),
        }
        for name, draw in some.items()
    }
    return {"source": layer.name, "n_shapes": n_shapes, "side_px": side, "zoom": zoom, "figures": figures}


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("extracts", type=Path, nargs="*")
    parser.add_argument("--zoom", type=int, default=16)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("rasterizers.json"))
    asked = parser.parse_args()
    layers = [read_layer(path) for path in asked.extracts] or [synthetic_city(9.5, 47.1)]
    results = [measure(layer, asked.zoom, asked.side, asked.rounds) for layer in layers]
    versions = {"rasterio": rasterio.__version__, "gdal": rasterio.__gdal_version__, "pillow": pillow_version}
    versions |= {"rusterize": rusterize.__version__} if rusterize is not None else {}
    asked.out.write_text(
        json.dumps({"machine": platform.processor(), "versions": versions, "results": results}, indent=1)
    )
    for result in results:
        title = f"{result['source']}: {result['n_shapes']:,} shapes, zoom {result['zoom']}"
        table = Table("rasterizer", "Mpx/s", "shapes/s", "differs", "seam", title=title)
        for name, row in result["figures"].items():
            table.add_row(
                name, f"{row['megapixels_per_s']:.1f}", f"{row['shapes_per_s']:,.0f}",
                f"{row['differs']:.2e}", f"{row['seam']:.2e}",
            )  # fmt: skip
        Console(width=110).print(table)


if __name__ == "__main__":
    main()
