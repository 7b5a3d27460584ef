"""Whether a photo may show text that was burned into it, as dashcams write time, speed and coordinates.

Such a frame says where it was taken, and whoever reads it locates nothing: of OSV-5M's frames, 1.45 %
are of that kind. What is looked for is a line of glyphs in the upper or lower strip of the picture:
small connected patches, brighter than what is right around them, that stand side by side and whose
tops and whose bottoms agree to a pixel, as those of digits and capitals do. Leaves, waves and roofs
have as many patches, but not in line. Fences and rows of windows have them in line, but those are
thin bars or full rectangles, which are not counted. Signs and plaques at the edge of a photo are text
too, and cannot be told from what was burned in: this is a reason to look, not a verdict.

No text is read, and text in slanted, joined or dark letters is not found. H and W: height and width in
pixels of the strip or the picture at hand, n patches.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

LONGEST: Final = 640
"""Longer side in pixels of the picture that is looked at; a larger one is shrunk."""
STRIP: Final = 0.16
"""Height of the upper and of the lower strip, as a share of the picture's."""
MIN_GLYPHS: Final = 6
"""From so many glyphs in a line, a photo may show text: about the figures and letters of N35.681, the
shortest coordinate worth hiding. Judged by ``tests/benchmarks/burned_in.py``."""

_CONTRASTS: Final = (32, 64, 112)  # above the surroundings, of 255; glyphs join at one, break at another
_STROKE: Final = 0.014  # the widest stroke, as a share of the picture's height
_LEAST_PX: Final = 5  # height of a glyph; in less, letters cannot be told from noise
_TALLEST: Final = 0.07  # height of a glyph, as a share of the picture's
_WIDTHS: Final = (0.3, 4.0)  # of a glyph, or of a few that touch, in heights; fence bars are thinner
_FULL: Final = 0.9  # of its rectangle; more is no letter
_GAP: Final = 1.8  # between glyphs of a line, in heights; a space, and what is too small to count

Boxes = NDArray[np.intp]


def may_show_text(image: Image.Image) -> bool:
    """Whether text may be burned into an upright RGB picture of any size."""
    return glyphs_in_line(image) >= MIN_GLYPHS


def glyphs_in_line(image: Image.Image) -> int:
    """Glyphs in the longest line of them, in the upper and the lower strip of an upright RGB picture."""
    scale = min(1.0, LONGEST / max(image.size))
    height, longest = max(1, round(scale * image.height)), 0
    for strip in _strips(image.convert("RGB"), scale):
        red, green, blue = strip[..., 0], strip[..., 1], strip[..., 2]
        # White text stands out best in the least channel, yellow and green in the greatest.
        for pick in (np.minimum, np.maximum):
            channel = pick(pick(red, green), blue)
            above = _above_surroundings(channel, max(5, round(_STROKE * height) | 1))
            for contrast in _CONTRASTS:
                longest = max(longest, _longest_line(_patches(above > contrast, height), at_least=longest))
    return longest


def _strips(image: Image.Image, scale: float) -> Iterator[NDArray[np.uint8]]:
    """The upper and the lower strip, shrunk, each (H, W, 3); what lies between is never touched."""
    width, n_rows = max(1, round(scale * image.width)), max(1, round(STRIP * scale * image.height))
    part = min(float(image.height), n_rows / scale)
    for top in (0.0, image.height - part):
        box = (0.0, top, float(image.width), top + part)
        yield np.asarray(image.resize((width, n_rows), Image.Resampling.LANCZOS, box=box))


def _above_surroundings(channel: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """What is brighter than all squares of `side` pixels around it (a white top-hat), (H, W)."""
    opened = ndimage.maximum_filter(ndimage.minimum_filter(channel, side), side)
    above: NDArray[np.uint8] = channel - np.minimum(opened, channel)
    return above


def _patches(mask: NDArray[np.bool_], picture_height: int) -> Boxes:
    """Patches that may be glyphs, from left to right: top, bottom, left and right edge of each, (n, 4)."""
    labels, n = ndimage.label(mask)
    boxes = np.array(
        [(y.start, y.stop, x.start, x.stop) for y, x in ndimage.find_objects(labels)], dtype=np.intp
    ).reshape(n, 4)
    n_pixels = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    height, width = boxes[:, 1] - boxes[:, 0], boxes[:, 3] - boxes[:, 2]
    is_glyph = (height >= _LEAST_PX) & (height <= _TALLEST * picture_height)
    is_glyph &= (width >= _WIDTHS[0] * height) & (width <= _WIDTHS[1] * height)
    is_glyph &= n_pixels < _FULL * height * width
    boxes = boxes[is_glyph]
    return boxes[np.argsort(boxes[:, 2], kind="stable")]


def _longest_line(boxes: Boxes, *, at_least: int) -> int:
    """Patches in the longest line, where that has more than `at_least`; else anything up to it."""
    if len(boxes) <= at_least:
        return 0
    rows = np.unique(boxes[:, :2], axis=0)  # tops and bottoms that occur
    slack = np.maximum(1, np.rint(0.1 * (rows[:, 1] - rows[:, 0])).astype(np.intp))
    is_level = (np.abs(boxes[None, :, :2] - rows[:, None]) <= slack[:, None, None]).all(axis=2)
    n_level, longest = is_level.sum(axis=1), at_least
    for row in np.argsort(-n_level, kind="stable"):
        if n_level[row] <= longest:
            break
        left, right = boxes[is_level[row], 2], boxes[is_level[row], 3]
        gap = left[1:] - np.maximum.accumulate(right)[:-1]
        is_new = gap > _GAP * (rows[row, 1] - rows[row, 0])
        longest = max(longest, int(np.bincount(np.cumsum(np.append(False, is_new))).max()))
    return longest
