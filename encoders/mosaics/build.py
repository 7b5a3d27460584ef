"""Draw layers once, as a pyramid of class ids: window by window, into a GeoTIFF.

A window is the largest class over each pixel (`legend`), save that land use ends at the coast. So it
depends on nothing but the shapes: neither on the order of the layers nor on how the mosaic is cut into
windows. Memory is that of the vectors plus one window, whatever the size of the mosaic.

A box may cross the antimeridian; its pixels then run on past the world's edge, and shapes are drawn once
for each turn of the globe that reaches into it. Latitudes beyond ±85.0511 have no pixels.
"""

import datetime
import errno
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from ..areas import Box, Polygon
from ..errors import InvalidOption, UnreadableSource
from .coastline import land_of
from .drawing import edges_by_class, shapes_at, to_world_px
from .geometry import LINE, Geometries, bounds_of
from .layers import Layer
from .legend import IDS, NODATA
from .mercator import MAX_LAT, MAX_ZOOM, to_world, world_px
from .scanlines import Edges, Window, edges_of, fill, packed, paint
from .storage import TILE, About, page_writer, read_pages, written_whole

Progress = Callable[[str, int, int], None]
WINDOW_PX = (8192, 512)
"""Width and height: what lies west of a window must be followed in each, so a wide one is faster."""
_LAND_USE = range(IDS["farmland"], IDS["green"] + 1)
_GROUPS = ((1, 2), (3, 4), (5, 6), (7, 8, 9), (10, 11, 12), (13, 14, 15))  # painted together, in this order
MAX_PIXELS = 2**34
"""17 gigapixels, Japan at zoom 14: more is taken for a slip in the zoom."""


def build_mosaic(
    layers: Sequence[Layer],
    out: str | Path,
    *,
    zooms: Sequence[int],
    box: Box | None = None,
    within: Polygon | None = None,
    credit: Sequence[str] = (),
    date: str | None = None,
    window_px: tuple[int, int] = WINDOW_PX,
    progress: Progress | None = None,
) -> About:
    """Draw layers at some zooms and write them as one file.

    The ground where no area is drawn is land; but it is sea where there is a layer of land, or a
    coastline. Outside of what the layers cover (`Layer.coverage`), and outside of `within`, is nodata.

    Args:
        layers: in any order.
        out: a .tif; it is replaced when all has been drawn, and not before.
        zooms: levels of the pyramid, 0 to 22. A pixel of zoom 16 is 2.4 m wide at the equator.
        box: what to draw; by default the box around what the layers cover, or around `within`.
        within: the area the layers are complete in, such as the polygon an extract was cut with.
        credit: whom to name, besides those known from the files.
        date: of the data; by default today, ISO 8601.
        window_px: width and height of a window, multiples of 256.
        progress: told the stage, the windows done and all windows.

    Raises:
        InvalidOption: no layers, a zoom, box or window size that cannot be, or too many pixels.
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    wanted = _checked(layers, zooms, window_px)
    box = box or _box_of(layers, within)
    if box.south >= MAX_LAT or box.north <= -MAX_LAT:
        raise InvalidOption(
            f"{box}: the projection of web maps ends at {MAX_LAT:.4f} degrees north and south"
        )
    credits = dict.fromkeys([layer.credit for layer in layers if layer.credit] + list(credit))
    about = About(
        tuple(dict.fromkeys(layer.name for layer in layers)),
        tuple(credits),
        date or datetime.datetime.now(datetime.UTC).date().isoformat(),
        (box.west, box.south, box.east, box.north),
    )
    places = {zoom: window_of(box, zoom) for zoom in wanted}
    for zoom, window in places.items():
        if window.width * window.height > MAX_PIXELS:
            raise InvalidOption(
                f"zoom {zoom} makes {window.width:,} × {window.height:,} pixels of this box; choose a "
                "smaller zoom or box"
            )
    total = sum(len(list(_tiles(window, window_px))) for window in places.values())
    done, crc = 0, dict[int, int]()
    with written_whole(Path(out)) as temporary:
        for number, (zoom, window) in enumerate(places.items()):
            canvas = Canvas(layers, zoom, window, within=within)
            with page_writer(temporary, zoom, window, about, is_first=number == 0) as page:
                for tile in _tiles(window, window_px):
                    ids = canvas.draw(tile)
                    at = (tile.y - window.y, tile.x - window.x)
                    rows, columns = (at[0], at[0] + tile.height), (at[1], at[1] + tile.width)
                    page.write(ids, 1, window=(rows, columns))
                    done += 1
                    crc[zoom] = zlib.crc32(ids.tobytes(), crc.get(zoom, 0))
                    if progress is not None:
                        progress(f"zoom {zoom}", done, total)
        _require_written(temporary, places, crc, window_px)
    return about


def _require_written(
    path: Path, places: dict[int, Window], crc: dict[int, int], size: tuple[int, int]
) -> None:
    """See that a file holds what was drawn: on a full disk GDAL may end without a word.

    Raises:
        OSError: it does not.
    """
    lost = OSError(errno.ENOSPC, "not all of it reached the disk: is it full?")
    try:
        _, pages = read_pages(path)
        if [page.zoom for page in pages] != sorted(places):
            raise lost
        for page in pages:
            found = 0
            with rasterio.open(page.name) as source:
                for tile in _tiles(places[page.zoom], size):
                    top, left = tile.y - page.window.y, tile.x - page.window.x
                    part = ((top, top + tile.height), (left, left + tile.width))
                    found = zlib.crc32(source.read(1, window=part).tobytes(), found)
            if found != crc[page.zoom]:
                raise lost
    except (UnreadableSource, RasterioError):
        raise lost from None


class Canvas:
    """The shapes of layers at one zoom, ready to be drawn in any window.

    Args:
        layers: what to draw.
        zoom: the level.
        window: of the whole level; shapes on other turns of the globe are brought into it.
        within: nothing is known outside of it.
    """

    def __init__(self, layers: Sequence[Layer], zoom: int, window: Window, *, within: Polygon | None) -> None:
        shapes = [shapes_at(layer, zoom) for layer in layers]
        coverage = _coverage(layers)
        coast = [_coast(layer) for layer in layers]
        land, has_sea = [], any(len(lines) for lines in coast)
        for lines, layer in zip(coast, layers, strict=True):
            if len(lines):
                land.append(land_of(lines, layer.coverage))
        for polygons in land:
            parts = to_world_px(polygons, zoom)
            shapes.append((parts, np.full(len(parts), IDS["land"], np.uint8)))
        has_sea |= any((ids == IDS["land"]).any() for _, ids in shapes)
        self.ground = IDS["sea"] if has_sea else IDS["land"]
        by_class = edges_by_class(shapes)
        self._groups = [
            (classes, _around(packed([by_class[one] for one in classes]), window, zoom))
            for classes in _GROUPS
        ]
        self._known = [_around(edges_of(to_world_px(coverage, zoom)), window, zoom)]
        if within is not None:
            pieces = np.array(within.pieces, dtype=object)
            self._known.append(_around(edges_of(to_world_px(pieces, zoom)), window, zoom))

    def draw(self, window: Window) -> NDArray[np.uint8]:
        """The class ids of a window, (height, width)."""
        known = np.logical_and.reduce([fill(_near(edges, window), window) for edges in self._known])
        ids = np.full(known.shape, self.ground, np.uint8)
        at_sea = np.zeros(known.shape, bool)
        for classes, edges in self._groups if known.any() else ():
            if classes[0] == _LAND_USE.start:
                at_sea = ids == IDS["sea"]
            paint(ids, _near(edges, window), classes, window)
            if classes[-1] == _LAND_USE.stop - 1:
                ids[at_sea] = IDS["sea"]  # land use ends at the coast, however coarse its polygons
        ids[~known] = NODATA
        return ids


def window_of(box: Box, zoom: int) -> Window:
    """The world pixels that a box touches; those of a box across the antimeridian run on past the edge."""
    east = box.east if box.east > box.west else box.east + 360.0
    (left, top), (right, bottom) = to_world(np.array([[box.west, box.north], [east, box.south]]), zoom)
    # A rounding of 1e-9 px must not add a row that nothing covers.
    x, y = int(np.floor(left + 1e-6)), int(np.floor(top + 1e-6))
    width, height = int(np.ceil(right - 1e-6)) - x, int(np.ceil(bottom - 1e-6)) - y
    return Window(x, y, max(1, min(width, world_px(zoom))), max(1, min(height, world_px(zoom) - y)))


def _tiles(window: Window, size: tuple[int, int]) -> Iterator[Window]:
    """A window cut into rectangles, row by row; the last ones are what is left."""
    for y in range(0, window.height, size[1]):
        for x in range(0, window.width, size[0]):
            width, height = min(size[0], window.width - x), min(size[1], window.height - y)
            yield Window(window.x + x, window.y + y, width, height)


def _around(edges: Edges, window: Window, zoom: int) -> Edges:
    """The edges on all turns of the globe that reach the window from the west or lie in it."""
    turns = [edges.shifted(turn * world_px(zoom)) for turn in (-1, 0, 1)]
    columns = ("x0", "y0", "y1", "slope", "weight")
    joined = Edges(*(np.concatenate([getattr(one, name) for one in turns]) for name in columns))
    return _near(joined, window)


def _near(edges: Edges, window: Window) -> Edges:
    """Without edges that change nothing in a window: those above, below and east of it."""
    west_end = np.minimum(edges.x0, edges.x0 + (edges.y1 - edges.y0) * edges.slope)
    bottom, right = window.y + window.height, window.x + window.width
    return edges.rows((edges.y1 >= window.y) & (edges.y0 <= bottom) & (west_end <= right))


def _coast(layer: Layer) -> Geometries:
    kind = shapely.get_type_id(layer.geometry)
    lines: Geometries = layer.geometry[(kind == LINE) & (layer.class_id == IDS["sea"])]
    return lines


def _coverage(layers: Sequence[Layer]) -> Geometries:
    return np.array([shapely.box(*layer.coverage) for layer in layers], dtype=object)


def _box_of(layers: Sequence[Layer], within: Polygon | None) -> Box:
    pieces = _coverage(layers) if within is None else np.array(within.pieces, dtype=object)
    west, south, east, north = bounds_of(pieces)
    if not south < north or west == east:
        raise InvalidOption(
            "what is to be drawn lies in one point or line; say which box, with --bbox W,S,E,N"
        )
    return Box(west, south, east if east <= 180.0 else east - 360.0, north)


def _checked(layers: Sequence[Layer], zooms: Sequence[int], window_px: tuple[int, int]) -> list[int]:
    if not layers:
        raise InvalidOption("a mosaic is drawn from one layer at least; give a map file")
    wanted = sorted(set(zooms))
    if not wanted or not 0 <= wanted[0] <= wanted[-1] <= MAX_ZOOM:
        raise InvalidOption(f"zooms are whole numbers from 0 to {MAX_ZOOM}, one at least; got {list(zooms)}")
    if min(window_px) < TILE or any(side % TILE for side in window_px):
        raise InvalidOption(f"a window is a multiple of {TILE} pixels wide and high; got {window_px}")
    return wanted
