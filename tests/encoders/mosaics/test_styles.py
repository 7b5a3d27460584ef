"""Legend and styles: every class has a color of its own, and a picture is a palette of them."""

import io

import numpy as np
import pytest
from PIL import Image

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.maps import CLASSES, N_CLASSES, STYLES, class_id, map_png, paint, synthetic_city


@pytest.mark.parametrize("style", STYLES)
def test_a_style_tells_classes_apart(style: str) -> None:
    colors = STYLES[style]
    assert colors.shape == (N_CLASSES, 3)
    named = [one.name for one in CLASSES if one.name not in ("nodata", "street")]
    told = {tuple(colors[class_id(name)]) for name in named}
    assert len(told) == len(named)


def test_a_picture_keeps_the_ids_and_shows_the_colors(rng: np.random.Generator) -> None:
    ids = rng.integers(0, N_CLASSES, (40, 30), dtype=np.uint8)
    data = map_png(ids, "dark")
    with Image.open(io.BytesIO(data)) as picture:
        assert np.array_equal(np.asarray(picture), ids)
        assert picture.info["transparency"] in (0, b"\x00")
        shown = np.asarray(picture.convert("RGB"))
    assert np.array_equal(shown, paint(ids, "dark"))


def test_an_unknown_style_and_class() -> None:
    with pytest.raises(InvalidOption, match="no style 'pink'; there are plain, dark, contrast"):
        paint(np.zeros((1, 1), np.uint8), "pink")
    with pytest.raises(InvalidOption, match="no map class 'ocean'"):
        class_id("ocean")


def test_a_drawn_city_is_the_same_for_a_seed_and_has_every_class() -> None:
    one, same, other = (synthetic_city(9.5, 47.1, size_m=2000.0, seed=seed) for seed in (1, 1, 2))
    assert len(one) == len(same)
    assert all(a.equals(b) for a, b in zip(one.geometry, same.geometry, strict=True))
    assert len(one) != len(other) or not one.geometry[5].equals(other.geometry[5])
    assert set(one.class_id) == set(range(1, N_CLASSES)) - {class_id("land")}  # land is the ground
