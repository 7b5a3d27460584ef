"""A mosaic to cut views from: any place, any width on the ground, any angle, thousands a second.

Conventions: `lonlat` is (B, 2) float64 degrees, longitude first; views are (B, px, px) uint8 class ids of
the legend, row 0 in the north of a straight view. Where the mosaic has no data, views are `NODATA`.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from ..areas import Box
from ..errors import InvalidOption
from ..sphere import as_lonlat
from .cut import BITS, MAX_PX, MAX_STEP, Cut, cut_of, nearest_level, per_view, step_for
from .legend import NODATA
from .mercator import world_px
from .resident import load_pixels
from .scanlines import Window
from .storage import About, Page, read_pages

_Ids = NDArray[np.uint8]


_UNIT = float(1 << BITS)
_MAX_BLOCK = 4
"""Sides of a block in those of its view; beyond it copying takes longer than looking up."""


class Level:
    """One zoom of a mosaic: its pixels and their place in the world."""

    def __init__(self, zoom: int, window: Window, pixels: _Ids) -> None:
        self.zoom = zoom
        self.window = window
        self.pixels = pixels

    def take(self, cut: Cut, out: _Ids) -> None:
        """Fill views (B, px, px) with the pixels a cut asks for."""
        px = out.shape[1]
        top, bottom, left, right = cut.extent(px)
        # Columns go on around the globe; most levels do not.
        side = world_px(self.zoom)
        is_wrapped = ((left < 0) & (left + side < self.window.width)) | (right >= side)
        top, bottom = np.maximum(top, 0), np.minimum(bottom + 1, self.window.height)
        left, right = np.maximum(left, 0), np.minimum(right + 1, self.window.width)
        is_empty = (top >= bottom) | (left >= right) | ~cut.is_known
        # Pillow copies the block that a view lies in, and counts in 32 bits.
        is_small = np.maximum(bottom - top, right - left) <= _MAX_BLOCK * px
        is_small &= np.maximum(bottom - top, right - left) < 2**14
        for b in range(len(cut)):
            if is_wrapped[b] or (not is_small[b] and not is_empty[b]):
                out[b] = self._gathered(cut, b, px) if cut.is_known[b] else NODATA
            elif is_empty[b]:
                out[b] = NODATA
            else:
                block = self.pixels[top[b] : bottom[b], left[b] : right[b]]
                out[b] = _transformed(block, cut, b, px, (int(top[b]), int(left[b])))

    def _gathered(self, cut: Cut, b: int, px: int) -> _Ids:
        """A view by the row and column of each pixel: over the antimeridian, or from far apart."""
        at = np.arange(px)
        row = (cut.y[b] + cut.y_down[b] * at[:, None] + cut.y_right[b] * at) >> BITS
        column = (cut.x[b] + cut.x_down[b] * at[:, None] + cut.x_right[b] * at) >> BITS
        column %= world_px(self.zoom)
        known = (row >= 0) & (row < self.window.height) & (column < self.window.width)
        found: _Ids = np.full(row.shape, NODATA, np.uint8)
        found[known] = self.pixels[row[known], column[known]]
        return found


def _transformed(block: _Ids, cut: Cut, b: int, px: int, corner: tuple[int, int]) -> _Ids:
    """A view by Pillow, from the block of pixels it lies in, whose first row and column are given.

    Pillow's nearest neighbors are the integer arithmetic of `cut`: it rounds its six numbers to 2^-16,
    which they are multiples of. Twice to three times as fast as indices in numpy. It adds half a pixel
    to where it asks, which is taken off before. What lies outside the block is 0, `NODATA`.
    """
    x, y = int(cut.x[b]) - (corner[1] << BITS), int(cut.y[b]) - (corner[0] << BITS)
    a, d = int(cut.x_right[b]), int(cut.y_right[b])
    c, e = int(cut.x_down[b]), int(cut.y_down[b])
    numbers = (a, c, x - (a + c) / 2.0, d, e, y - (d + e) / 2.0)
    asked = tuple(number / _UNIT for number in numbers)
    view = Image.fromarray(block).transform((px, px), Image.Transform.AFFINE, asked, Image.Resampling.NEAREST)
    return np.asarray(view)


class Mosaic:
    """Levels of class ids, to be cut into views.

    Args:
        levels: in ascending zoom.
        about: sources, credit and box.
    """

    def __init__(self, levels: Sequence[Level], about: About) -> None:
        self.levels = tuple(levels)
        self.about = about

    @classmethod
    def open(cls, path: str | Path, *, zooms: Sequence[int] | None = None) -> "Mosaic":
        """Load a mosaic that `build_mosaic` wrote.

        A level of up to `resident.IN_MEMORY_BYTES` is kept in memory. A larger one is unpacked once into
        the user's cache folder and mapped from there, so that several processes share its pages.

        Args:
            path: the .tif.
            zooms: load these levels only.

        Raises:
            UnreadableSource: no mosaic, a damaged one, or one of another legend.
            UnwritableFile: a large level, and the cache folder has no room.
            InvalidOption: it has no such zoom.
        """
        path = Path(path)
        about, pages = read_pages(path)
        chosen = _chosen(path, pages, zooms)
        return cls([Level(page.zoom, page.window, load_pixels(path, page)) for page in chosen], about)

    @property
    def zooms(self) -> tuple[int, ...]:
        """Zooms of the levels, ascending."""
        return tuple(level.zoom for level in self.levels)

    @property
    def bounds(self) -> Box:
        """The box that was drawn. Not all of it need be covered by the sources."""
        return self.about.area

    @cached_property
    def _zooms(self) -> NDArray[np.int64]:
        return np.array(self.zooms, np.int64)

    def crops(
        self,
        lonlat: ArrayLike,
        *,
        ground_m: ArrayLike | None = None,
        zoom: ArrayLike | None = None,
        angle_rad: ArrayLike = 0.0,
        px: int = 224,
    ) -> _Ids:
        """Cut views around points.

        A view takes the nearest pixel of the level that is nearest to it in resolution. A point gives the
        same view alone, in any batch and in any order.

        Args:
            lonlat: centers, (B, 2) degrees.
            ground_m: width of the views on the ground, meters, one number or (B,). The scale of the
                projection, which would give the latitude away, is taken out.
            zoom: instead: that of a web map, any real number, one or (B,). At zoom 16 a view of 224 px is
                535 m wide at the equator and 435 m in Tokyo.
            angle_rad: turn of the view, counterclockwise, one number or (B,); see `cut`.
            px: side of the views.

        Returns:
            Class ids, (B, px, px) uint8.

        Raises:
            InvalidCoordinate: a point that lies nowhere on Earth.
            InvalidOption: no width or two, or sizes, zooms or angles that cannot be.
        """
        cuts = self.cuts(lonlat, ground_m=ground_m, zoom=zoom, angle_rad=angle_rad, px=px)
        out = np.empty((sum(len(rows) for _, rows, _ in cuts), px, px), np.uint8)
        for level, rows, cut in cuts:
            part = out if len(rows) == len(out) else np.empty((len(rows), px, px), np.uint8)
            self.levels[level].take(cut, part)
            if part is not out:
                out[rows] = part
        return out

    def cuts(
        self,
        lonlat: ArrayLike,
        *,
        ground_m: ArrayLike | None = None,
        zoom: ArrayLike | None = None,
        angle_rad: ArrayLike = 0.0,
        px: int = 224,
    ) -> list[tuple[int, NDArray[np.intp], Cut]]:
        """What `crops` takes from where, for a backend of one's own: (level, rows of the batch, cut) each."""
        points = as_lonlat(lonlat).reshape(-1, 2)
        if not 1 <= px <= MAX_PX:
            raise InvalidOption(f"a view is 1 to {MAX_PX} px wide; got {px}")
        n = len(points)
        angle = per_view(angle_rad, n, "angle_rad")
        scale = _scale(points, ground_m, zoom, px)
        chosen = nearest_level(scale, self._zooms)
        step = scale * np.exp2(self._zooms[chosen])
        if n and not step.max() <= MAX_STEP:
            raise InvalidOption(
                f"a view of {px} px over {step.max() * px:,.0f} pixels of the mosaic; make it smaller, or "
                f"build the mosaic with a zoom coarser than {self.zooms[0]}"
            )
        found = []
        for number in np.unique(chosen).tolist():
            level, rows = self.levels[number], np.flatnonzero(chosen == number)
            cut = cut_of(points[rows], step[rows], angle[rows], px, level.zoom, level.window)
            found.append((number, rows, cut))
        return found


def _scale(
    points: NDArray[np.float64], ground_m: ArrayLike | None, zoom: ArrayLike | None, px: int
) -> NDArray[np.float64]:
    """Pixels of zoom 0 per pixel of the view, (B,)."""
    if (ground_m is None) == (zoom is None):
        raise InvalidOption("give the width of a view either as ground_m, in meters, or as zoom")
    n = len(points)
    if zoom is not None:
        return np.exp2(-per_view(zoom, n, "zoom"))
    meters = per_view(ground_m if ground_m is not None else 0.0, n, "ground_m")
    if n and not meters.min() > 0.0:
        raise InvalidOption(f"ground_m must be positive meters, got {meters.min():g}")
    return step_for(points[:, 1], meters, px, np.zeros(n, np.int64))


def _chosen(path: Path, pages: list[Page], zooms: Sequence[int] | None) -> list[Page]:
    if zooms is None:
        return pages
    there = {page.zoom: page for page in pages}
    missing = [zoom for zoom in zooms if zoom not in there]
    if missing or not zooms:
        raise InvalidOption(f"{path} has the zooms {', '.join(map(str, there))}; asked for {list(zooms)}")
    return [there[zoom] for zoom in sorted(set(zooms))]
