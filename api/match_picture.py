"""A photo and the one that answers it side by side, with what decided it laid over both.

Drawn with Pillow alone: a service draws it between two searches.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..encoders.match_map import MatchMap
from .heat_colors import colored, faded

WIDTH_PX = 1080
_MARGIN, _GAP, _BAND, _FOOT = 12, 12, 92, 44  # pixels
_INK, _FAINT = "#20262b", "#5d686f"
_LONGEST = 4.0  # ratio of sides of what is shown; a longer strip is squeezed
_EXPLAINED = (
    "vermilion: found here better than in the other answers; blue: worse. On the right: what it was found in."
)


def draw_match(query: Image.Image, answer: Image.Image, match: MatchMap, *, title: str | None) -> bytes:
    """Lay a match over its two photos.

    Args:
        query: the photo asked about, upright, mode RGB.
        answer: the one that answers.
        match: what decided it.
        title: what to write above; None for the two photos alone, for whoever has words of his own.

    Returns:
        A PNG, `WIDTH_PX` wide, made of pixels alone; without a title transparent between the photos.
    """
    # Means of both maps are alike; a feature of the answer may be the best of many.
    per_cell = match.answer * match.query.size
    scale = max(float(np.abs(match.query).max()), 1e-9)
    margin = 0 if title is None else _MARGIN
    width = (WIDTH_PX - 2 * margin - _GAP) // 2
    sides = [_overlay(query, match.query, scale, width), _overlay(answer, per_cell, scale, width)]
    height = max(side.height for side in sides)
    top, foot = (0, 0) if title is None else (_BAND, _FOOT)
    canvas = Image.new("RGBA", (WIDTH_PX, top + height + foot), "#fff0" if title is None else "white")
    for number, side in enumerate(sides):
        canvas.paste(side, (margin + number * (width + _GAP), top))
    if title is not None:
        draw = ImageDraw.Draw(canvas)
        lead = f"match {match.score:.3f}, {match.lead:.3f} above the mean of the other answers"
        _write(draw, (margin, 16), title, 24, _INK)
        _write(draw, (margin, 54), lead, 18, _FAINT)
        _write(draw, (margin, top + height + 12), _EXPLAINED, 16, _FAINT)
    buffer = io.BytesIO()
    (canvas if title is None else canvas.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def _overlay(photo: Image.Image, values: NDArray[np.float64], scale: float, width: int) -> Image.Image:
    """A photo with its map."""
    ratio = min(max(photo.width / photo.height, 1.0 / _LONGEST), _LONGEST)
    size = (width, round(width / ratio))
    below = Image.fromarray(faded(photo)).resize(size, Image.Resampling.BILINEAR)
    # Values are blended, not colors: between vermilion and blue lies nothing, not purple.
    smooth = Image.fromarray(values.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    colors = (255.0 * colored(np.asarray(smooth, np.float64), scale)).round().astype(np.uint8)
    return Image.alpha_composite(below.convert("RGBA"), Image.fromarray(colors)).convert("RGB")


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, px: int, color: str) -> None:
    """A line of text, shortened where it is wider than the picture."""
    font = ImageFont.load_default(px)
    while len(text) > 1 and draw.textlength(text, font=font) > WIDTH_PX - 2 * _MARGIN:
        text = text[:-2].rstrip(" …") + "…"
    draw.text(at, text, font=font, fill=color)
