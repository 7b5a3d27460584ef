"""Text burned into photos.

Claims: a line of coordinates at the upper or lower edge is found in white, yellow, outlined, on a bar and
half transparent, at any size of photo; photos without it, fences, windows and glitter are left alone; text
in the middle of a photo is not asked about; no size or shape of a picture breaks it.
"""

import io
import random
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from placeprint.encoders import burned_in
from placeprint.encoders.burned_in import MIN_GLYPHS, glyphs_in_line, may_show_text

LINE = "N35.6812 E139.7671 2021/05/03 62km/h"
STYLES = ["white", "yellow", "outlined", "on a bar", "half transparent"]


def street(size: tuple[int, int] = (960, 540), seed: int = 0) -> Image.Image:
    """Soft noise in the colors of a street under a bright sky."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 150, (9, 16, 3)).astype(np.uint8)
    coarse[:2] = (150, 180, 210)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    grain = rng.normal(0.0, 6.0, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8))


def with_text(
    photo: Image.Image, style: str = "white", *, size: float = 0.03, top: float = 0.94
) -> Image.Image:
    """The photo with a line of coordinates, `top` of its height from above, as a JPEG gives it back."""
    em = round(size * photo.height)
    font = ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), em)
    layer = Image.new("RGBA", photo.size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    x, y = 0.02 * photo.width, top * photo.height
    if style == "on a bar":
        draw.rectangle([0, y - em / 4, photo.width, y + 1.3 * em], fill=(0, 0, 0, 255))
    fill = {"yellow": (255, 255, 0, 255), "half transparent": (255, 255, 255, 170)}.get(style, (255,) * 4)
    outline = 1 if style == "outlined" else 0
    draw.text((x, y), LINE, font=font, fill=fill, stroke_width=outline, stroke_fill=(0, 0, 0, 255))
    file = io.BytesIO()
    Image.alpha_composite(photo.convert("RGBA"), layer).convert("RGB").save(file, "JPEG", quality=90)
    return Image.open(file).convert("RGB")


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("size", [0.025, 0.03, 0.045])
def test_a_line_at_the_lower_edge_is_found(style, size):
    assert not may_show_text(street())
    assert glyphs_in_line(with_text(street(), style, size=size)) >= 2 * MIN_GLYPHS


def test_a_line_at_the_upper_edge_is_found_also_under_a_bright_sky():
    assert may_show_text(with_text(street(), "outlined", top=0.02))
    assert may_show_text(with_text(street(), "on a bar", top=0.02))


@pytest.mark.parametrize("size", [(480, 360), (640, 480), (1280, 720), (720, 1280), (2000, 1500)])
def test_the_size_of_the_photo_does_not_matter(size):
    assert may_show_text(with_text(street(size), size=0.028 if size[0] < size[1] else 0.04))
    assert not may_show_text(street(size))


def test_a_large_photo_is_looked_at_small_and_only_at_its_edges(monkeypatch):
    sizes, look = [], burned_in._above_surroundings
    monkeypatch.setattr(
        burned_in,
        "_above_surroundings",
        lambda channel, side: (sizes.append(channel.shape), look(channel, side))[1],
    )
    assert may_show_text(with_text(street((1600, 1200)), size=0.04))
    assert sizes == [(77, 640)] * 4


def test_text_in_the_middle_is_a_sign_and_not_asked_about():
    assert not may_show_text(with_text(street(), top=0.5))


def test_a_fence_is_no_text():
    photo = street()
    draw = ImageDraw.Draw(photo)
    for x in range(20, 900, 16):
        draw.polygon([(x, 520), (x, 506), (x + 2, 498), (x + 4, 506), (x + 4, 520)], fill=(240, 240, 240))
    assert not may_show_text(photo)


@pytest.mark.parametrize(("width", "height"), [(4, 7), (6, 9), (12, 18)])
def test_a_row_of_windows_is_no_text(width, height):
    photo = street((640, 360))
    draw = ImageDraw.Draw(photo)
    for x in range(20, 600, 2 * width):
        draw.rectangle([x, 20, x + width - 1, 20 + height - 1], fill=(250, 240, 200))
    assert not may_show_text(photo)


def test_glitter_of_all_sizes_is_no_text():
    rng = np.random.default_rng(3)
    photo = street()
    draw = ImageDraw.Draw(photo)
    for x, y, w, h in zip(
        rng.integers(0, 950, 400), rng.integers(455, 530, 400), rng.integers(3, 14, 400),
        rng.integers(3, 20, 400), strict=True,
    ):  # fmt: skip
        draw.ellipse([x, y, x + w, y + h], outline=(255, 255, 255))
    assert not may_show_text(photo.filter(ImageFilter.GaussianBlur(0.6)))


@pytest.mark.parametrize("size", [(1, 1), (5, 5), (3, 900), (900, 3), (20000, 10), (64, 64)])
def test_no_size_breaks_it(size):
    assert glyphs_in_line(Image.new("RGB", size, "gray")) == 0


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 1.0])
def test_bright_noise_of_any_density_is_no_text(share):
    mask = np.random.default_rng(0).random((240, 320)) < share
    assert not may_show_text(Image.fromarray((mask * 255).astype(np.uint8)).convert("RGB"))


@pytest.mark.real
def test_real_photos_are_left_alone_and_found_once_there_is_text_in_them(photos_folder):
    paths = random.Random(7).sample(sorted((photos_folder / "travel" / "images").iterdir()), 24)
    photos = [Image.open(path).convert("RGB").resize((960, 600)) for path in paths]
    assert np.mean([may_show_text(photo) for photo in photos]) <= 0.05
    found = [may_show_text(with_text(photo, STYLES[n % 5])) for n, photo in enumerate(photos)]
    assert np.mean(found) >= 0.85
