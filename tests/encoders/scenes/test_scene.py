"""Drawn scenes: the same scene gives the same picture, and what is drawn is true of the place."""

from dataclasses import replace

import numpy as np
import pytest

from placeprint.encoders.demonstration import words_of
from placeprint.encoders.places import load_places
from placeprint.encoders.scenes.climate import climate, sun_position
from placeprint.encoders.scenes.painting import draw
from placeprint.encoders.scenes.scene import (
    PHRASES,
    REGION_OF,
    REGIONS,
    Scene,
    caption,
    cues_of,
    sample_places,
)

OCEANIA = set(
    "AS AU CC CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TF TK TO TV VU WF WS UM".split()
)


def scenes_at(lon: float, lat: float, country_code: str, population: int = 900, n: int = 60) -> list[Scene]:
    rng = np.random.default_rng(5)
    return [cues_of(lon, lat, country_code, population, rng) for _ in range(n)]


@pytest.fixture
def scene() -> Scene:
    """A clear noon in a French village."""
    (plain,) = scenes_at(2.0, 47.0, "FR", n=1)
    return replace(
        plain, sun_height_deg=50.0, weather="sunny", ground="grass", landmark=None, sign=None,
        vegetation="broadleaf", has_poles=False, n_cars=0, has_mountains=False,
    )  # fmt: skip


def pixels(scene: Scene) -> np.ndarray:
    """The middle square of the picture, which encoders see."""
    return np.asarray(draw(scene), np.float32)[:, 32:224]


def test_equal_scenes_give_equal_pictures(scene: Scene):
    np.testing.assert_array_equal(np.asarray(draw(scene)), np.asarray(draw(replace(scene))))


def test_equal_generators_give_equal_scenes():
    assert scenes_at(139.7, 35.7, "JP", n=3) == scenes_at(139.7, 35.7, "JP", n=3)


def test_the_seed_changes_the_picture_but_no_cue(scene: Scene):
    other = replace(scene, seed=scene.seed + 1)
    assert other.cues == scene.cues
    assert np.abs(pixels(other) - pixels(scene)).mean() > 5


def test_the_picture_has_the_size_asked_for(scene: Scene):
    assert draw(scene, size=(120, 90)).size == (120, 90)


def share_of_color(scene: Scene, rgb: tuple[int, int, int]) -> float:
    """Share of pixels near a color, over several streets."""
    streets = np.stack([pixels(replace(scene, seed=seed)) for seed in range(6)])
    return float((np.abs(streets - rgb).max(axis=-1) < 36).mean())


@pytest.mark.parametrize(
    ("change", "rgb"),
    [
        ({"sign": "diamond"}, (250, 196, 40)),
        ({"sign": "triangle"}, (206, 40, 50)),
        ({"vegetation": "autumn"}, (195, 120, 56)),
        ({"vegetation": "conifer"}, (44, 88, 68)),
        ({"vegetation": "palm"}, (58, 120, 62)),
        ({"ground": "sand"}, (215, 190, 140)),
        ({"ground": "red soil"}, (180, 98, 64)),
        ({"line_color": "yellow"}, (226, 174, 58)),
        ({"sun_height_deg": -12.0}, (25, 32, 60)),
    ],
    ids=str,
)
def test_a_cue_brings_its_color(scene: Scene, change: dict[str, object], rgb: tuple[int, int, int]):
    bare = replace(scene, vegetation="treeless")
    assert share_of_color(replace(bare, **change), rgb) > 1.4 * share_of_color(bare, rgb) + 1e-4


def test_snow_is_whiter_than_grass(scene: Scene):
    lower = np.s_[150:, :]
    assert pixels(replace(scene, ground="snow"))[lower].mean() > pixels(scene)[lower].mean() + 15


def test_rear_lamps_shine_on_the_side_the_country_keeps_to(scene: Scene):
    gray = replace(scene, palette=((150.0, 150.0, 150.0),) * 4)

    def lamps(drives_left: bool) -> float:
        streets = [replace(gray, drives_left=drives_left, seed=seed, n_cars=2) for seed in range(20)]
        is_red = np.stack(
            [pixels(street)[..., 0] - pixels(street)[..., 1:].max(axis=2) > 90 for street in streets]
        )
        return float(np.nonzero(is_red)[2].mean())

    assert lamps(drives_left=True) < 90 < 102 < lamps(drives_left=False)


def test_japan_drives_on_the_left_and_france_on_the_right():
    assert {scene.drives_left for scene in scenes_at(139.7, 35.7, "JP")} == {True}
    assert {scene.drives_left for scene in scenes_at(2.3, 48.9, "FR")} == {False}


def test_july_is_winter_in_sydney_and_summer_in_rome():
    assert climate(151.2, -33.9, 7).month_c < climate(151.2, -33.9, 1).month_c - 5
    assert climate(12.5, 41.9, 7).month_c > climate(12.5, 41.9, 1).month_c + 10


def test_there_is_no_snow_in_singapore():
    assert not any("snow" in scene.cues for scene in scenes_at(103.8, 1.35, "SG"))


def test_january_in_yakutsk_is_white():
    january = [scene for scene in scenes_at(129.7, 62.0, "RU", n=200) if scene.month == 1]
    assert np.mean([scene.ground == "snow" for scene in january]) > 0.7


def test_palms_grow_in_singapore_and_none_in_oslo():
    assert any(scene.vegetation == "palm" for scene in scenes_at(103.8, 1.35, "SG"))
    assert not any(scene.vegetation == "palm" for scene in scenes_at(10.75, 59.9, "NO"))


def test_the_sahara_is_sand():
    assert {scene.ground for scene in scenes_at(5.0, 24.0, "DZ")} == {"sand"}


def test_tokyo_has_towers_and_a_hamlet_none():
    assert {scene.skyline for scene in scenes_at(139.7, 35.7, "JP", population=9_000_000)} == {"tower"}
    assert {scene.skyline for scene in scenes_at(138.0, 36.5, "JP", population=300)} == {"house"}


@pytest.mark.parametrize("lat", [-33.9, 0.0, 48.9])
def test_at_the_equinox_the_noon_sun_stands_at_the_colatitude(lat: float):
    height, _ = sun_position(lat, 3, 12.0)
    # Mid-month is five days before the equinox, two degrees of declination.
    assert height == pytest.approx(90 - abs(lat), abs=2.6)


def test_the_noon_sun_is_south_of_paris_and_north_of_sydney():
    assert sun_position(48.9, 6, 12.0)[1] == pytest.approx(180)
    assert sun_position(-33.9, 6, 12.0)[1] % 360 == pytest.approx(0, abs=1e-6)


def test_the_morning_sun_stands_in_the_east():
    assert 45 < sun_position(48.9, 3, 8.0)[1] < 135


def test_no_country_is_in_two_regions():
    codes = " ".join(REGIONS.values()).split()
    assert len(codes) == len(set(codes)) == len(REGION_OF)


def test_every_country_of_the_table_has_its_region():
    assert set(load_places().country_code) - set(REGION_OF) <= OCEANIA


def test_neighbors_of_one_country_look_alike():
    def walls(lon: float, code: str) -> np.ndarray:
        return np.array(scenes_at(lon, 47.6, code, n=1)[0].palette)

    across = np.abs(walls(7.5, "FR") - walls(7.6, "DE")).mean()
    assert np.abs(walls(7.5, "FR") - walls(7.2, "FR")).mean() < 0.3 * across


def test_fiji_looks_alike_on_both_sides_of_the_antimeridian():
    east, west = (scenes_at(lon, -16.8, "FJ", n=1)[0].palette for lon in (179.99, -179.99))
    np.testing.assert_allclose(east, west, atol=0.1)


def test_a_caption_says_only_what_is_there():
    rng = np.random.default_rng(3)
    for scene in scenes_at(77.2, 28.6, "IN", population=40_000):
        true = {word for cue in scene.cues for phrase in PHRASES[cue] for word in words_of(phrase)}
        assert set(words_of(caption(scene, rng))) <= true | {"street", "road", "drawing"}


def test_the_plain_caption_says_every_cue():
    (scene,) = scenes_at(100.5, 13.7, "TH", n=1)
    assert all(PHRASES[cue][0] in caption(scene) for cue in scene.cues)


def test_sampling_thins_what_is_dense():
    places = load_places()
    chosen = sample_places(2000, np.random.default_rng(1), lonlat=places.lonlat, population=places.population)

    def share_of_france(rows: np.ndarray) -> float:
        return float((places.country_code[rows] == "FR").mean())

    assert share_of_france(chosen) < 0.3 * share_of_france(np.arange(len(places)))
    assert len(set(chosen.tolist())) == 2000
