"""Heat maps as pictures and in words: color where something matters, words for those who do not see it.

Claims: nothing is transparent, for and against have their colors, one scale for both; where the most
important part lies is named in the photo, not in the square that was seen; what was not seen is hatched;
a map of nothing says so; pictures carry nothing of a photo's EXIF.
"""

import io

import numpy as np
import pytest
from PIL import Image

from placeprint.api.heat_picture import (
    AGAINST,
    FOR,
    colored,
    draw_heat,
    heat_in_words,
    strongest_share,
)
from placeprint.encoders.heat_map import HeatMap
from placeprint.encoders.occlusion import Box, spread

WHOLE = Box(0.0, 0.0, 1.0, 1.0)


def heat_of(cells: dict[tuple[int, int], float], seen: Box = WHOLE, *, noise=0.0, everything=0.0) -> HeatMap:
    values = np.zeros((6, 6))
    for place, value in cells.items():
        values[place] = value
    return HeatMap(spread(values, 60), noise, seen, -20.0, everything, 96)


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def drawn(heat: HeatMap, size=(300, 200), **words) -> np.ndarray:
    return pixels_of(draw_heat([Image.new("RGB", size, "gray")], [heat], **words))


def warmth(pixels: np.ndarray) -> np.ndarray:
    """Red less blue, in the photo's part of the picture: below the title and above the scale."""
    band = pixels[110:-150]
    return band[..., 0] - band[..., 2]


def test_nothing_is_transparent_and_both_signs_have_one_scale():
    colors = colored(np.array([[-2.0, -1.0, 0.0, 1.0, 2.0, 9.0]]), 2.0)[0]
    assert colors[2, 3] == 0.0
    np.testing.assert_allclose(colors[:, 3], [0.6, 0.3, 0.0, 0.3, 0.6, 0.6])
    np.testing.assert_allclose(colors[0, :3], AGAINST)
    np.testing.assert_allclose(colors[4, :3], FOR)


@pytest.mark.parametrize(
    "cell, says",
    [
        ((0, 0), "in the upper left"), ((0, 5), "in the upper right"), ((5, 0), "in the lower left"),
        ((5, 5), "in the lower right"), ((2, 0), "on the left"), ((3, 5), "on the right"),
    ],
)  # fmt: skip
def test_where_the_most_important_part_lies_is_said(cell, says):
    heat = heat_of({cell: 3.0})
    assert says in heat_in_words(heat)
    assert says not in heat_in_words(heat_of({(5 - cell[0], 5 - cell[1]): 3.0}))
    assert "against" not in heat_in_words(heat)


def test_the_middle_and_the_edges_have_names_too():
    assert "in the center" in heat_in_words(heat_of({(2, 2): 2.0, (3, 3): 2.0, (2, 3): 2.0, (3, 2): 2.0}))
    assert "at the top" in heat_in_words(heat_of({(0, 2): 2.0, (0, 3): 2.0}))
    assert "at the bottom" in heat_in_words(heat_of({(5, 2): 2.0, (5, 3): 2.0}))


def test_places_are_those_of_the_photo_and_not_of_the_square_that_was_seen():
    narrow = Box(0.4, 0.0, 0.6, 1.0)  # the middle of a long strip
    share = strongest_share(heat_of({(0, 0): 3.0}, narrow))
    assert share.where == "at the top"
    assert share.share == pytest.approx(0.2 * strongest_share(heat_of({(0, 0): 3.0})).share)


def test_a_part_is_worth_the_sum_of_its_cells():
    heat = heat_of({(1, 1): 1.5, (1, 2): 1.5, (4, 4): -0.8})
    assert heat.worth(np.ones((60, 60), bool)) == pytest.approx(2.2)
    assert 0.6 * 3.0 < strongest_share(heat).bits < 3.0  # the rest lies below half the peak
    words = heat_in_words(heat)
    assert "What speaks most against it lies in the lower right" in words
    assert -0.8 < strongest_share(heat, -1).bits < -0.5 * 0.8


def test_nothing_in_particular_is_said_in_these_words():
    nothing = heat_of({})
    assert heat_in_words(nothing).startswith("Nothing in particular")
    assert heat_in_words(heat_of({(1, 1): 0.5}, noise=0.2)).startswith("Nothing in particular")
    assert not heat_in_words(heat_of({(1, 1): 0.5}, noise=0.01)).startswith("Nothing")
    assert "4.6 bits" in heat_in_words(heat_of({}, everything=4.6))
    picture, other = drawn(nothing), drawn(heat_of({(1, 1): 2.0}))
    assert (picture[-50:] < 90).sum() > (other[-50:] < 90).sum()  # the words below the scale
    colors = picture[110:-150]
    assert np.ptp(colors, axis=2).max() == 0  # the gray photo shows through


def test_only_what_speaks_against_is_said_alone():
    assert heat_in_words(heat_of({(5, 5): -2.0})).startswith(
        "What speaks most against this place lies in the l"
    )


def test_an_answer_that_abstains_is_not_called_this_place():
    both = heat_of({(0, 0): 2.0, (5, 5): -2.0})
    assert "this place" not in heat_in_words(both, "the most probable place")
    assert "for the most probable place lies" in heat_in_words(both, "the most probable place")
    assert "against it lies" in heat_in_words(both)
    assert "against that place" in heat_in_words(heat_of({(5, 5): -2.0}), "that place")


def test_for_is_warm_and_against_is_cold_where_they_lie():
    found = warmth(drawn(heat_of({(0, 0): 2.0, (5, 5): -2.0})))
    height, width = found.shape
    assert found[: height // 6, : width // 8].mean() > 60
    assert found[-height // 6 :, -width // 8 :].mean() < -40
    assert abs(found[height // 2, width // 2]) <= 2


def test_what_hardly_matters_is_hardly_colored():
    strong, weak = (np.abs(warmth(drawn(heat_of({(2, 2): bits})))).mean() for bits in (5.0, 0.05))
    assert weak < 0.15 * strong


def test_what_was_not_seen_is_hatched_and_without_color():
    picture = drawn(heat_of({(2, 0): 3.0, (3, 5): -3.0}, Box(0.25, 0.0, 0.75, 1.0)))
    band = picture[140:-180]
    width = band.shape[1]
    unseen, seen = band[:, : int(0.23 * width)], band[:, int(0.4 * width) : int(0.6 * width)]
    assert np.ptp(unseen, axis=2).max() <= 12  # the hatching is a bluish gray
    assert unseen.std(axis=(0, 1)).max() > 5 * max(seen.std(axis=(0, 1)).min(), 0.5)


def test_no_exif_gets_into_the_picture():
    exif = Image.Exif()
    exif[0x010F] = "SecretCameraMaker"
    exif.get_ifd(0x8825).update({1: "N", 2: (41.0, 53.0, 30.0), 3: "E", 4: (12.0, 29.0, 0.0)})
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(buffer, "JPEG", exif=exif, comment=b"taken at home")
    png = draw_heat([Image.open(io.BytesIO(buffer.getvalue()))], [heat_of({(1, 1): 2.0})], title="photo.jpg")
    picture = Image.open(io.BytesIO(png))
    assert picture.format == "PNG" and not picture.getexif()
    assert not any(trace in png for trace in (b"eXIf", b"Exif", b"SecretCameraMaker", b"taken at home"))
    assert set(picture.info) <= {"dpi", "Software"}


@pytest.mark.parametrize("size", [(1, 1), (20000, 10), (10, 3000), (30, 4000), (5000, 400)])
def test_photos_of_any_shape_are_drawn_at_a_size_to_look_at(size):
    short = min(size)
    seen = Box(*(0.5 - short / along / 2 for along in size), *(0.5 + short / along / 2 for along in size))
    height, width, _ = drawn(heat_of({(2, 2): 2.0}, seen), size).shape
    assert 900 <= width <= 1300 and 300 <= height <= 2500


def test_several_photos_stand_side_by_side_on_one_scale():
    photos = [Image.new("RGB", (60, 60), "gray")] * 4
    maps = [heat_of({(2, 2): bits}) for bits in (4.0, 0.4, -4.0, 0.0)]
    picture = pixels_of(draw_heat(photos, maps))
    assert picture.shape[1] == 1080  # three panels of 360, and the fourth below the first
    red, faint, blue, none = (
        int(picture[93 + y, x, 0] - picture[93 + y, x, 2])  # the middle of the warm cell; a band of 93 above
        for x, y in ((150, 150), (510, 150), (870, 150), (150, 510))
    )
    assert red > 100 and blue < -50 and none == 0
    assert 0.05 * red < faint < 0.2 * red


def test_a_title_with_dollars_is_no_formula():
    assert draw_heat([Image.new("RGB", (9, 9))], [heat_of({})], title="$\\frac{.jpg").startswith(b"\x89PNG")
