"""A photo and the one that answers it side by side, with what decided it laid over both."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ..encoders.match_map import MatchMap
from .heat_picture import colored, faded

_DPI, _WIDTH = 150, 7.2  # inches of the picture
_INK, _FAINT = "#20262b", "#5d686f"
_EXPLAINED = (
    "vermilion: found here better than in the other answers; blue: worse. On the right: what it was found in."
)


def draw_match(query: Image.Image, answer: Image.Image, match: MatchMap, *, title: str) -> bytes:
    """Lay a match over its two photos.

    Args:
        query: the photo asked about, upright, mode RGB.
        answer: the one that answers.
        match: what decided it.
        title: what to write above.

    Returns:
        A PNG, made of pixels alone.
    """
    # Means of both maps are alike; a feature of the answer may be the best of many.
    per_cell = match.answer * match.query.size
    scale = max(float(np.abs(match.query).max()), 1e-9)
    side = _WIDTH / 2.0
    height = side * max(one.height / one.width for one in (query, answer))
    band, total = 0.62, 0.62 + height + 0.3
    figure = Figure(figsize=(_WIDTH, total), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for number, (photo, values) in enumerate(((query, match.query), (answer, per_cell))):
        own = side * photo.height / photo.width
        place = (number * 0.5 + 0.005, 1.0 - (band + own) / total, 0.49, own / total)
        _overlay(figure.add_axes(place), photo, values, scale)
    line: dict[str, Any] = {"x": 0.02, "va": "top", "parse_math": False}
    figure.text(y=1.0 - 0.14 / total, s=title, fontsize=10, weight="bold", color=_INK, **line)
    lead = f"match {match.score:.3f}, {match.lead:.3f} above the mean of the other answers"
    figure.text(y=1.0 - 0.38 / total, s=lead, fontsize=7.5, color=_FAINT, **line)
    figure.text(x=0.02, y=0.1 / total, s=_EXPLAINED, fontsize=6.5, color=_FAINT, va="bottom")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()


def _overlay(axes: Any, photo: Image.Image, values: NDArray[np.float64], scale: float) -> None:
    extent = (0, photo.width, photo.height, 0)
    axes.imshow(faded(photo), extent=extent, interpolation="bilinear", aspect="auto")
    axes.imshow(colored(values, scale), extent=extent, interpolation="bilinear", aspect="auto")
    axes.set_axis_off()
