"""Which pixels a view takes from a level: whole numbers, the same on every machine and backend.

With offsets gy, gx = -(px - 1)/2 … (px - 1)/2 of a view's pixels, angle t and step s (level pixels per
view pixel), a view takes the pixel that holds the point

    y = cy + s (gy cos t - gx sin t),    x = cx + s (gy sin t + gx cos t)

where (cx, cy) is its center. The view's right-hand axis is turned counterclockwise by t, so what it shows
turns clockwise: at 90 degrees it is `numpy.rot90(straight, -1)`, pixel for pixel.

cy, s cos t and the other terms are rounded to 2^-16 px each, once; the rest is integer arithmetic, which
does not depend on order, batch or backend, as sums of floats do, and which Pillow does too. Over a view of
224 px the rounding comes to a thousandth of a pixel. It also takes away the 6e-17 that the cosine of a
quarter turn is from 0.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidOption
from .mercator import MAX_LAT, ground_m_per_px, to_world, world_px
from .scanlines import Window

BITS = 16
"""As Pillow's fixed point; finer would be another pixel at its ties."""

MAX_PX = 4096
MAX_STEP = 4096.0
"""Level pixels per view pixel: beyond it a view is a scatter of points."""

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """Views from one level, in units of 2^-16 px, (B,) each.

    Pixel (i, j) of view b lies in row ``(y[b] + i * y_down[b] + j * y_right[b]) >> 16`` of the level,
    counted from its first; columns alike. `is_known` is False for views beyond the projection's end.
    """

    y: _Ints
    x: _Ints
    y_down: _Ints  # from one row of the view to the next
    x_down: _Ints
    y_right: _Ints  # from one column of the view to the next
    x_right: _Ints
    is_known: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.y)

    def extent(self, px: int) -> tuple[_Ints, _Ints, _Ints, _Ints]:
        """First and last row, first and last column that each view asks for, all (B,)."""
        return (
            *_range(self.y, (px - 1) * self.y_down, (px - 1) * self.y_right),
            *_range(self.x, (px - 1) * self.x_down, (px - 1) * self.x_right),
        )


def cut_of(lonlat: _Floats, step: _Floats, angle_rad: _Floats, px: int, zoom: int, window: Window) -> Cut:
    """The cut of views around points, (B, 2) degrees, from the level of a zoom that holds a window.

    Args:
        lonlat: centers, checked.
        step: level pixels per view pixel, (B,).
        angle_rad: of the turn, counterclockwise, (B,).
        px: side of the views.
        zoom: of the level.
        window: rectangle of world pixels that the level is.
    """
    world = to_world(lonlat, zoom)
    # The turn of the globe that brings the center nearest to the middle of the level.
    side = world_px(zoom)
    offset = world[:, 0] - (window.x + window.width / 2.0)
    x = offset - side * np.round(offset / side) + window.width / 2.0
    y = world[:, 1] - window.y
    cos, sin = _fixed(step * np.cos(angle_rad)), _fixed(step * np.sin(angle_rad))
    return Cut(
        # Half of an odd number of units goes to the lower one: a half turn then takes the same pixels.
        _fixed(y) - (((px - 1) * (cos - sin)) >> 1),
        _fixed(x) - (((px - 1) * (sin + cos)) >> 1),
        cos, sin, -sin, cos,
        np.abs(lonlat[:, 1]) <= MAX_LAT,
    )  # fmt: skip


def step_for(lat: _Floats, ground_m: _Floats, px: int, zoom: NDArray[np.int64]) -> _Floats:
    """Level pixels per view pixel, for views `ground_m` meters wide at a latitude, (B,)."""
    step: _Floats = ground_m / px / ground_m_per_px(lat, zoom)
    return step


def nearest_level(step: _Floats, zooms: NDArray[np.int64]) -> NDArray[np.intp]:
    """The level whose pixels are nearest in size to the view's, by ratio; of two equal ones the finer.

    Args:
        step: at zoom 0, (B,).
        zooms: of the levels, ascending, (L,).
    """
    apart = np.abs(np.log2(step)[:, None] + zooms)
    chosen: NDArray[np.intp] = len(zooms) - 1 - np.argmin(apart[:, ::-1], axis=1)
    return chosen


def per_view(value: ArrayLike, n: int, what: str) -> _Floats:
    """One number for all views, or one for each: (n,) float64.

    Raises:
        InvalidOption: another shape, or not finite.
    """
    numbers = np.asarray(value, np.float64)
    if numbers.shape not in ((), (n,)):
        raise InvalidOption(
            f"{what} has shape {numbers.shape}; give one number, or one for each of {n} views"
        )
    if not np.isfinite(numbers).all():
        raise InvalidOption(f"{what} must be finite numbers")
    return np.broadcast_to(numbers, (n,))


def _fixed(value: _Floats) -> _Ints:
    return np.rint(value * 2.0**BITS).astype(np.int64)


def _range(corner: _Ints, down: _Ints, right: _Ints) -> tuple[_Ints, _Ints]:
    low: _Ints = (corner + np.minimum(down, 0) + np.minimum(right, 0)) >> BITS
    high: _Ints = (corner + np.maximum(down, 0) + np.maximum(right, 0)) >> BITS
    return low, high
