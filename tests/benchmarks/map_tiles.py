"""P19 and P20: tiles of 256 px of a map, drawn by ours, by rasterio and by Mapnik.

    python tests/benchmarks/map_tiles.py --out bench

The map is the drawn city (`synthetic_city`), whose streets are widened to polygons once, before anything is
timed. P19: class ids. Ours follows all edges once and paints windows of 8 tiles side by side, low and wide as
those of `build_mosaic`; rasterio burns each tile by itself, from the polygons that touch it. Both begin with
polygons, so converting geometries counts. P20: a PNG of each tile in the colors of the style, by ours and by
Mapnik with the same polygons and colors, prepared once; ours draws rows of 8 tiles, Mapnik 8 x 8 at once.
"""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import rasterio.features
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from row_script import arguments, begin, command, finish, missing, peer_or_none, sentences
from scoreboard_rows import Figure, Row
from turns import take_turns, verdict_of

from placeprint.encoders.areas import Box
from placeprint.encoders.mosaics.build import Canvas, _near, window_of
from placeprint.encoders.mosaics.drawing import edges_by_class, shapes_at
from placeprint.encoders.mosaics.layers import Layer
from placeprint.encoders.mosaics.legend import N_CLASSES
from placeprint.encoders.mosaics.scanlines import Window, packed, paint
from placeprint.encoders.mosaics.styles import STYLES, png_bytes
from placeprint.encoders.mosaics.synthetic_city import synthetic_city

TILE, META = 256, 8
RASTERIZE, RENDER, SAME = 3.0, 0.7, 0.999
_Ids = NDArray[np.uint8]
_Tile = tuple[int, int]
_TRIPLES = [range(first, min(first + 3, N_CLASSES)) for first in range(1, N_CLASSES, 3)]


def tiles_of(window: Window) -> list[_Tile]:
    """Tiles that lie wholly in a window, as x and y of their first pixel; whole groups of `META` only."""
    first_x, first_y = -(-window.x // TILE), -(-window.y // TILE)
    n_x, n_y = (window.x + window.width) // TILE - first_x, (window.y + window.height) // TILE - first_y
    n_x, n_y = n_x // META * META, n_y // META * META
    return [
        ((first_x + column) * TILE, (first_y + row) * TILE) for row in range(n_y) for column in range(n_x)
    ]


def ours(polygons: NDArray[np.object_], ids: _Ids, tiles: list[_Tile]) -> dict[_Tile, _Ids]:
    """Class ids of tiles, by rows of 8."""
    by_class = edges_by_class([(polygons, ids)])
    groups = [(classes, packed([by_class[one] for one in classes])) for classes in _TRIPLES]
    found: dict[_Tile, _Ids] = {}
    for x, y in tiles:
        if (x - tiles[0][0]) % (META * TILE) == 0:
            window = Window(x, y, META * TILE, TILE)
            out = np.zeros((window.height, window.width), np.uint8)
            for classes, edges in groups:
                paint(out, _near(edges, window), classes, window)
            found |= {(x + at, y): out[:, at : at + TILE] for at in range(0, window.width, TILE)}
    return found


def by_rasterio(polygons: NDArray[np.object_], ids: _Ids, tiles: list[_Tile]) -> dict[_Tile, _Ids]:
    """The same, tile by tile."""
    order = np.argsort(ids, kind="stable")
    polygons, ids = polygons[order], ids[order]
    tree = shapely.STRtree(polygons)
    found = {}
    for x, y in tiles:
        rows = np.sort(tree.query(shapely.box(x, y, x + TILE, y + TILE)))
        if not len(rows):  # it would raise
            found[x, y] = np.zeros((TILE, TILE), np.uint8)
            continue
        pairs = zip(polygons[rows], ids[rows].tolist(), strict=True)
        found[x, y] = rasterio.features.rasterize(
            pairs, (TILE, TILE), transform=Affine(1.0, 0.0, x, 0.0, 1.0, y), dtype="uint8"
        )
    return found


def rasterize_row(layer: Layer, zoom: int, tiles: list[_Tile], blocks: int) -> Row:
    """P19."""
    polygons, ids = shapes_at(layer, zoom)
    mine, theirs = ours(polygons, ids, tiles), by_rasterio(polygons, ids, tiles)
    same = float(np.mean([(mine[tile] == theirs[tile]).mean() for tile in tiles]))
    turns = take_turns(
        lambda: ours(polygons, ids, tiles), {"rasterio": lambda: by_rasterio(polygons, ids, tiles)},
        blocks=blocks,
    )  # fmt: skip
    found = turns.compare("rasterio")
    figures = [
        found.figure("tiles of class ids", "rasterio, tile by tile", n=len(tiles), unit="tiles/s"),
        Figure("equal pixels", 100.0 * same, "%"),
        Figure("polygons", float(len(polygons))),
        Figure("tiles", float(len(tiles))),
    ]
    figures[0].target = RASTERIZE
    return Row(
        "P19", f"{len(polygons):,} polygons to tiles of {TILE} px",
        f">= {RASTERIZE:g}x, >= {100 * SAME:g} % equal pixels",
        verdict_of(found.reaches(RASTERIZE), same >= SAME), command(), found.doubt, figures,
    )  # fmt: skip


def mapnik_tiles(mapnik: Any, layer: Layer, zoom: int, first: _Tile) -> Callable[[], dict[_Tile, bytes]]:
    """A function that draws 8 x 8 tiles from a first one on as PNGs, by Mapnik."""
    polygons, ids = shapes_at(layer, zoom)
    style_map = mapnik.Map(META * TILE, META * TILE)
    style_map.background = mapnik.Color(*(int(one) for one in STYLES["plain"][2]))
    for class_id in np.unique(ids).tolist():
        source, context = mapnik.MemoryDatasource(), mapnik.Context()
        for number, polygon in enumerate(polygons[ids == class_id]):
            feature = mapnik.Feature(context, number)
            # North is up there, and y grows southwards here.
            north = shapely.transform(polygon, lambda xy: xy * [1.0, -1.0])
            feature.geometry = mapnik.Geometry.from_wkb(shapely.to_wkb(north))
            source.add_feature(feature)
        rule, style, symbolizer = mapnik.Rule(), mapnik.Style(), mapnik.PolygonSymbolizer()
        symbolizer.fill = mapnik.Color(*(int(one) for one in STYLES["plain"][class_id]))
        rule.symbolizers.append(symbolizer)
        style.rules.append(rule)
        style_map.append_style(str(class_id), style)
        shown = mapnik.Layer(str(class_id))
        shown.datasource = source
        shown.styles.append(str(class_id))
        style_map.layers.append(shown)

    left, top = first
    side = META * TILE
    style_map.zoom_to_box(mapnik.Box2d(left, -(top + side), left + side, -top))

    def draw() -> dict[_Tile, bytes]:
        image = mapnik.Image(side, side)
        mapnik.render(style_map, image)
        return {
            (left + x, top + y): bytes(image.view(x, y, TILE, TILE).to_string("png32"))
            for y in range(0, side, TILE)
            for x in range(0, side, TILE)
        }

    return draw


def render_row(layer: Layer, zoom: int, window: Window, first: _Tile, blocks: int) -> Row:
    """P20."""
    row = Row("P20", f"A PNG of a tile of {TILE} px", f">= {RENDER:g}x of Mapnik", "not measured", command())
    canvas = Canvas([layer], zoom, window, within=None)

    (left, top), side = first, META * TILE

    def draw() -> dict[_Tile, bytes]:
        found = {}
        for y in range(top, top + side, TILE):
            ids = canvas.draw(Window(left, y, side, TILE))
            found |= {(left + x, y): png_bytes(ids[:, x : x + TILE]) for x in range(0, side, TILE)}
        return found

    mapnik = peer_or_none("mapnik")
    if mapnik is None:
        turns = take_turns(draw, {}, blocks=blocks)
        per_s = META**2 / float(np.median(turns.clock_s["ours"]))
        row.figures = [Figure("PNG tiles", per_s, "tiles/s", control=turns.control)]
        row.why = missing("mapnik") + "; ours is measured alone"
        return row
    by_mapnik = mapnik_tiles(mapnik, layer, zoom, first)
    mine, theirs = draw(), by_mapnik()
    same = np.mean([_equal(mine[tile], theirs[tile]) for tile in mine])
    found = take_turns(draw, {"mapnik": by_mapnik}, blocks=blocks).compare("mapnik")
    row.figures = [
        found.figure("PNG tiles", "mapnik", n=META**2, unit="tiles/s"),
        Figure("pixels of one color in both", 100.0 * float(same), "%"),
    ]
    row.figures[0].target = RENDER
    row.verdict = verdict_of(found.reaches(RENDER))
    row.why = sentences(
        "ours draws flat classes into palette PNGs; Mapnik is a general renderer, smooths edges and writes "
        "PNGs of 32 bits",
        found.doubt,
    )
    return row


def _equal(mine: bytes, theirs: bytes) -> float:
    first, second = (np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in (mine, theirs))
    return float((first == second).all(axis=2).mean())


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--size-m", type=float, default=5_000.0, help="side of the city")
    parser.add_argument("--zoom", type=int, default=16)
    asked = begin(parser)
    layer = synthetic_city(9.5, 47.1, size_m=asked.size_m)
    west, south, east, north = layer.coverage
    window = window_of(Box(west, south, east, north), asked.zoom)
    tiles = tiles_of(window)
    finish(rasterize_row(layer, asked.zoom, tiles, asked.blocks), asked.out)
    finish(render_row(layer, asked.zoom, window, tiles[0], asked.blocks), asked.out)


if __name__ == "__main__":
    main()
