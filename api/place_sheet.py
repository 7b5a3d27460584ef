"""A contact sheet of places: a map of each, what was asked about first, and whom the maps are owed to."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ..encoders.map_files import MapFiles
from ..encoders.maps import paint
from ..encoders.mosaics.styles import style_named

_SIDE, _GAP, _WORDS, _COLUMNS = 224, 12, 40, 4
_PAPER, _INK, _FAINT = (250, 249, 246), (32, 38, 43), (93, 104, 111)
_FRAMES = {"like": (0, 114, 178), "unlike": (213, 94, 0), "found": (200, 204, 207)}


class Shown(NamedTuple):
    """A picture of the sheet.

    Attributes:
        lon: degrees.
        lat: degrees.
        kind: ``like`` and ``unlike`` were asked about, ``found`` answers.
        lines: two lines below it.
    """

    lon: float
    lat: float
    kind: str
    lines: tuple[str, str]


def draw_sheet(
    shown: Sequence[Shown], maps: MapFiles, *, ground_m: float, credit: Sequence[str], style: str = "plain"
) -> bytes:
    """Draw places as a PNG; those asked about stand in rows of their own above the answers.

    Args:
        shown: places, those asked about first.
        maps: that the pictures are cut from.
        ground_m: width of each picture on the ground, meters.
        credit: whom to name below.
        style: of the maps.

    Raises:
        InvalidOption: no style has that name.
    """
    style_named(style)
    asked = [one for one in shown if one.kind != "found"]
    found = [one for one in shown if one.kind == "found"]
    rows = [*_in_rows(asked), *_in_rows(found)]
    step = _SIDE + _GAP
    height = _GAP + len(rows) * (step + _WORDS) + 2 * _GAP
    sheet = Image.new("RGB", (_GAP + _COLUMNS * step, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    places = np.array([(one.lon, one.lat) for one in shown])
    pictures = dict(zip(shown, paint(maps.crops(places, ground_m=ground_m, px=_SIDE), style), strict=True))
    for number, row in enumerate(rows):
        for column, one in enumerate(row):
            corner = (_GAP + column * step, _GAP + number * (step + _WORDS))
            _paste(sheet, draw, pictures[one], one, corner)
    words = "; ".join(credit) or "nobody to credit is known"
    told = f"each map {ground_m / 1000.0:g} km wide, north up · {words}"
    draw.text((_GAP, height - 2 * _GAP), _fitted(draw, told, sheet.width - 2 * _GAP), _FAINT, font=_font(12))
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _paste(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    picture: NDArray[np.uint8],
    one: Shown,
    corner: tuple[int, int],
) -> None:
    x, y = corner
    sheet.paste(Image.fromarray(picture), corner)
    width = 4 if one.kind != "found" else 1
    draw.rectangle((x, y, x + _SIDE - 1, y + _SIDE - 1), outline=_FRAMES[one.kind], width=width)
    for number, line in enumerate(one.lines):
        ink, size = ((_INK, 13), (_FAINT, 12))[number]
        text = _fitted(draw, line, _SIDE, size)
        draw.text((x, y + _SIDE + 4 + 17 * number), text, ink, font=_font(size))


def _in_rows(shown: Sequence[Shown]) -> list[Sequence[Shown]]:
    return [shown[start : start + _COLUMNS] for start in range(0, len(shown), _COLUMNS)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int, size: int = 12) -> str:
    """A text cut to a width in pixels."""
    font = _font(size)
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "…", font=font) > width:
        text = text[:-1]
    return text + "…"
