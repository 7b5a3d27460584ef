"""Heat maps over photos: a picture, and the same in words.

Vermilion speaks for the answer, blue against it: two hues that color-blind people tell apart and that
are about equally light. How strong a value is shows in how opaque the color is, on one scale for both
signs, so nothing is nothing; the photo lies below without its colors, which would mix with these.

Pictures are drawn from pixels alone: nothing of a file's EXIF can get into them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from ..encoders.heat_map import HeatMap
from ..encoders.occlusion import N_SIDE
from ..indexer.geolocate import Location
from .heat_colors import AGAINST as AGAINST
from .heat_colors import FOR as FOR
from .heat_colors import colored as colored
from .heat_colors import faded
from .maps import in_words, point_in_words

NOTHING = 0.1
"""Bits; what is worth no more than this is not worth a word."""

LEAST_SCALE = 0.5
"""Bits of full color at least, so that a photo that hardly matters does not look like one that does."""

_INK, _FAINT, _PAPER = "#20262b", "#5d686f", "white"
_DPI, _WIDTH = 150, 7.2  # inches of the picture
_LONGEST = 3.0  # ratio of sides of what is shown of a strip
_MOST_COLUMNS = 3


class Share(NamedTuple):
    """Where in a photo the strongest part of a map lies.

    Attributes:
        where: such as "upper left".
        share: of the photo's area.
        bits: what the sight of it adds to the answer; negative where it speaks against it.
    """

    where: str
    share: float
    bits: float


def strongest_share(heat: HeatMap, sign: int = 1) -> Share | None:
    """The part that speaks most for the answer, or against it with −1; None where none stands out."""
    part = heat.strongest(sign)
    bits = heat.worth(part)
    if abs(bits) < NOTHING:
        return None
    weight = np.where(part, np.abs(heat.values), 0.0)
    middle = (np.arange(len(part)) + 0.5) / len(part)
    down, across = (float(weight.sum(axis=axis) @ middle / weight.sum()) for axis in (1, 0))
    box = heat.seen
    x = box.left + across * (box.right - box.left)
    y = box.top + down * (box.bottom - box.top)
    return Share(_where(x, y), float(part.mean()) * (box.right - box.left) * (box.bottom - box.top), bits)


def heat_in_words(heat: HeatMap, place: str = "this place") -> str:
    """What the picture shows, in a sentence or two, for those who do not see it.

    Args:
        heat: the map.
        place: what the answer is called: of one that abstains, the most probable place.

    Example: "What speaks most for this place lies in the upper left: 12 % of the photo, worth 2.3 bits."
    """
    best, worst = strongest_share(heat), strongest_share(heat, -1)
    if best is None and worst is None:
        if heat.everything < 1.0:
            return "Nothing in particular: no part of the photo stands out."
        return (
            "Nothing in particular: no part of the photo stands out, though all its details together are "
            f"worth {heat.everything:.1f} bits."
        )
    said = []
    if best is not None:
        said.append(
            f"What speaks most for {place} lies {best.where}: {_percent(best.share)} of the photo, "
            f"worth {best.bits:.1f} bits."
        )
    if worst is not None:
        said.append(
            f"What speaks most against it lies {worst.where}: {_percent(worst.share)} of the photo, "
            f"{-worst.bits:.1f} bits."
        )
    return " ".join(said) if best is not None else said[0].replace("against it", f"against {place}")


def draw_heat(
    photos: Sequence[Image.Image],
    maps: Sequence[HeatMap],
    *,
    title: str = "",
    location: Location | None = None,
    about: str = "",
) -> bytes:
    """Lay heat maps over their photos.

    Args:
        photos: upright, mode RGB, of any size; several are shown side by side on one scale.
        maps: one for each.
        title: name of the photo, or what the photos are together.
        location: the answer that the maps are about; an answer that abstains is not named.
        about: what they are about, where it is no location.

    Returns:
        A PNG.
    """
    scale = max(LEAST_SCALE, *(float(np.abs(heat.values).max()) for heat in maps))
    columns = min(len(maps), _MOST_COLUMNS)
    rows = -(-len(maps) // columns)
    cut = [_shown(photo.size, heat) for photo, heat in zip(photos, maps, strict=True)]
    width = _WIDTH / columns
    if columns == 1:  # an upright photo need not be as wide as the sheet
        width *= min(1.0, np.sqrt((cut[0][2] - cut[0][0]) / (cut[0][3] - cut[0][1])))
    height = max((bottom - top) / (right - left) for left, top, right, bottom in cut) * width
    top_band, low_band = 0.62, 0.95
    total = top_band + rows * height + low_band
    figure = Figure(figsize=(_WIDTH, total), dpi=_DPI, facecolor=_PAPER)
    FigureCanvasAgg(figure)
    for number, (photo, heat, box) in enumerate(zip(photos, maps, cut, strict=True)):
        row, column = divmod(number, columns)
        left = column * width if columns > 1 else (_WIDTH - width) / 2.0
        place = (left / _WIDTH, 1.0 - (top_band + (row + 1) * height) / total, width / _WIDTH, height / total)
        axes = figure.add_axes(place)
        _overlay(axes, photo, heat, box, scale)
    line: dict[str, Any] = {"x": 0.02, "va": "top", "parse_math": False}
    figure.text(y=1.0 - 0.16 / total, s=title, fontsize=11, weight="bold", color=_INK, **line)
    figure.text(y=1.0 - 0.4 / total, s=about or _about(location), fontsize=7.5, color=_FAINT, **line)
    _scale_bar(figure, total, scale, "it" if about else "the place")
    if any(heat.seen != (0.0, 0.0, 1.0, 1.0) for heat in maps):
        note = "hatched: cut off, never seen by the encoder"
        figure.text(0.98, 0.12 / total, note, ha="right", va="bottom", fontsize=7, color=_FAINT)
    if not any(strongest_share(heat, sign) for heat in maps for sign in (1, -1)):
        note = "nothing in particular stands out"
        figure.text(0.06, 0.12 / total, note, va="bottom", fontsize=7.5, weight="bold", color=_INK)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor=_PAPER)
    return buffer.getvalue()


def _overlay(
    axes: Any, photo: Image.Image, heat: HeatMap, box: tuple[float, float, float, float], scale: float
) -> None:
    """One photo with its map; coordinates are those of the photo's pixels."""
    width, height = photo.size
    axes.imshow(faded(photo), extent=(0, width, height, 0), interpolation="bilinear", aspect="auto")
    seen = heat.seen
    left, right, top, bottom = seen.left * width, seen.right * width, seen.top * height, seen.bottom * height
    extent = (left, right, bottom, top)
    axes.imshow(colored(heat.values, scale), extent=extent, interpolation="bilinear", aspect="auto")
    for part in ((0, 0, left, height), (right, 0, width, height), (left, 0, right, top),
                 (left, bottom, right, height)):  # fmt: skip
        if part[2] - part[0] > 0.002 * width and part[3] - part[1] > 0.002 * height:
            axes.add_patch(_unseen(part))
    for sign, color, style in ((1, FOR, "-"), (-1, AGAINST, "--")):
        if strongest_share(heat, sign) is None:
            continue
        # Zeros around it, so that a line closes at the edge; other parts are not outlined.
        level = 0.5 * float((sign * heat.values).max())
        around = np.where(heat.strongest(sign), sign * heat.values, np.minimum(sign * heat.values, level))
        around = np.pad(around, 1, constant_values=0.0)
        steps = (np.arange(len(around)) - 0.5) / (len(around) - 2)
        x = np.clip(left + steps * (right - left), left, right)
        y = np.clip(top + steps * (bottom - top), top, bottom)
        for line, stroke in ((2.6, _PAPER), (1.3, color)):
            axes.contour(
                x, y, around, [level * (1.0 + 1e-9)], colors=[stroke], linewidths=line, linestyles=style
            )
    axes.set(xlim=(box[0], box[2]), ylim=(box[3], box[1]))
    axes.set_axis_off()


def _unseen(part: tuple[float, float, float, float]) -> Rectangle:
    left, top, right, bottom = part
    return Rectangle((left, top), right - left, bottom - top, facecolor="#ffffff99", edgecolor="#5d686f88",
                     hatch="////", linewidth=0.0)  # fmt: skip


def _shown(size: tuple[int, int], heat: HeatMap) -> tuple[float, float, float, float]:
    """What of a photo is shown, in its pixels: all of it, or of a long strip the part around what is seen."""
    width, height = size
    long, short = max(size), min(size)
    if long <= _LONGEST * short:
        return 0.0, 0.0, float(width), float(height)
    middle = (heat.seen.left + heat.seen.right) / 2.0, (heat.seen.top + heat.seen.bottom) / 2.0
    half = _LONGEST * short / 2.0
    if width > height:
        x = float(np.clip(middle[0] * width, half, width - half))
        return x - half, 0.0, x + half, float(height)
    y = float(np.clip(middle[1] * height, half, height - half))
    return 0.0, y - half, float(width), y + half


def _scale_bar(figure: Figure, total: float, scale: float, answer: str) -> None:
    """Both colors from full to nothing to full, with bits below."""
    bar = figure.add_axes((0.06, 0.5 / total, 0.5, 0.16 / total))
    bar.imshow(
        np.full((1, 2), 0.75), cmap="gray", vmin=0, vmax=1, extent=(-scale, scale, 0, 1), aspect="auto"
    )
    ramp = colored(np.linspace(-scale, scale, 256)[None], scale)
    bar.imshow(ramp, extent=(-scale, scale, 0, 1), aspect="auto")
    bar.set(xlim=(-scale, scale), yticks=[], xticks=[-scale, 0.0, scale])
    unit = f"for each 1/{N_SIDE**2} of what\nthe encoder saw"
    figure.text(0.63, 0.5 / total, unit, va="bottom", fontsize=7, color=_FAINT)
    bar.set_xticklabels([f"−{scale:.1f} bits", "0", f"+{scale:.1f} bits"], fontsize=7, color=_INK)
    bar.tick_params(length=2, pad=2)
    for side in bar.spines.values():
        side.set_visible(False)
    figure.text(0.06, 0.72 / total, f"speaks against {answer}", va="bottom", fontsize=7.5, color=AGAINST)
    figure.text(0.56, 0.72 / total, f"speaks for {answer}", ha="right", va="bottom", fontsize=7.5, color=FOR)


def _about(location: Location | None) -> str:
    """Which place it is that something speaks for."""
    if location is None:
        return ""
    if location.abstain:
        return "What the most probable place would rest on. It says too little for an answer to be shown."
    point = point_in_words(location.lon, location.lat)
    return f"What in the photo speaks for the best point {point} ({in_words(location)})"


def _where(x: float, y: float) -> str:
    """A place in a picture, shares from its left and top, in words."""
    column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    row = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else ""
    if row and column:
        return f"in the {row} {column}"
    if column:
        return f"on the {column}"
    return {"upper": "at the top", "lower": "at the bottom", "": "in the center"}[row]


def _percent(share: float) -> str:
    return f"{100.0 * share:.0f} %" if share >= 0.01 else "less than 1 %"
