"""Colors of heat over photos: two hues that color-blind people tell apart, and a photo without its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FOR, AGAINST = (0.835, 0.369, 0.0), (0.0, 0.447, 0.698)
"""Vermilion and blue of the palette of Okabe and Ito (2008), RGB."""

OPAQUE = 0.6  # of the strongest value: what matters most must be seen through it


def colored(values: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Colors of values: (H, W) -> (H, W, 4), transparent at 0, strongest at `scale` and beyond."""
    colors = np.empty((*values.shape, 4))
    colors[..., :3] = np.where(values[..., None] > 0.0, FOR, AGAINST)
    colors[..., 3] = OPAQUE * np.clip(np.abs(values) / scale, 0.0, 1.0)
    return colors


def faded(photo: Image.Image) -> NDArray[np.uint8]:
    """The photo without its colors and with less contrast, no larger than it is shown."""
    small = photo.copy()
    small.thumbnail((1400, 1400))
    gray = np.asarray(small.convert("L"), dtype=np.float64)
    return np.repeat((40.0 + 0.82 * gray).astype(np.uint8)[..., None], 3, axis=2)
