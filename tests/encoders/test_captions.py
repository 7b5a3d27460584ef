"""Captions: their parts come as often as the recipe says, are true, and depend on nothing but the photo."""

import re
from collections import Counter
from datetime import UTC, date, datetime
from functools import cache

import numpy as np
import pytest

from placeprint.encoders.captioning.climates import PHRASES
from placeprint.encoders.captioning.facts import Facts
from placeprint.encoders.captions import (
    RECIPES,
    Style,
    caption,
    captions,
    climate_part,
    compose,
    direction,
    generator_of,
)
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption

UTRECHT, SYDNEY, SINGAPORE, WELLINGTON = (5.12, 52.09), (151.2, -33.87), (103.85, 1.29), (174.78, -41.29)
JULY = date(2024, 7, 1)
N = 4000


@cache
def many(lonlat: tuple[float, float], style: Style = "street", n: int = N) -> list[str]:
    """Captions of one place at one moment with one heading, of many photos."""
    facts = Facts.of([lonlat]).take(np.zeros(n, dtype=np.intp))
    return captions(facts, sample_ids=range(n), taken_at=[JULY] * n, heading_deg=[90.0] * n, style=style)


def share(said: list[str], pattern: str) -> float:
    return sum(re.search(pattern, one) is not None for one in said) / len(said)


def sentences(said: str) -> set[str]:
    return set(said.removesuffix(".").split(". "))


CLIMATE = r"climate"


@pytest.mark.parametrize("style", ["street", "photo"])
def test_parts_come_as_often_as_the_recipe_says(style: Style) -> None:
    said, recipe = many(WELLINGTON, style), RECIPES[style]
    near = {"abs": 4 * 0.5 / N**0.5}  # four standard deviations at most
    with_climate = [one for one in said if re.search(CLIMATE, one)]
    without = [one for one in said if not re.search(CLIMATE, one)]
    located = [one for one in said if "New Zealand" in one]
    assert share(said, CLIMATE) == pytest.approx(recipe.climate, **near)
    assert share(without, "Traffic keeps to the left") == pytest.approx(recipe.side, abs=0.04)
    assert share(said, "looks east") == pytest.approx(recipe.compass, **near)
    assert share(said, "Taken in July") == pytest.approx(recipe.month, **near)
    assert share(with_climate, "New Zealand") == pytest.approx(1 - recipe.location_dropped, abs=0.04)
    assert share(without, "New Zealand") == 1.0
    assert share(located, "near Wellington Central, ") == pytest.approx(recipe.town, abs=0.03)
    assert share(located, "Wellington Region, New Zealand") == pytest.approx(recipe.region, abs=0.03)


def test_a_climate_and_a_side_of_the_road_are_never_said_together() -> None:
    for style in RECIPES:
        assert share(many(UTRECHT, style), "(?=.*climate)(?=.*Traffic)") == 0.0


def test_a_caption_always_says_something_and_ends_its_sentences() -> None:
    for said in many(UTRECHT) + many((-140.0, 0.0)):
        assert said and said.endswith(".") and "  " not in said and ".." not in said


def test_the_location_comes_first_and_the_others_in_every_order() -> None:
    said = [one for one in many(UTRECHT) if "Netherlands" in one]
    assert all(one.startswith("Street-level picture") for one in said)
    both = [one for one in said if "looks" in one and "Taken" in one]
    assert share(both, "looks.*Taken") == pytest.approx(0.5, abs=0.1)


def test_both_wordings_of_a_climate_are_used() -> None:
    said = [one for one in many(UTRECHT) if "climate" in one]
    assert share(said, "an oceanic climate") == pytest.approx(0.5, abs=0.06)
    assert share(said, "The climate here is temperate") == pytest.approx(0.5, abs=0.06)


def test_photos_of_travelers_name_town_and_region_and_no_direction() -> None:
    said = [one for one in many(WELLINGTON, "photo") if "New Zealand" in one]
    named = "Picture near Wellington Central, Wellington Region, New Zealand."
    assert all(one.startswith(named) for one in said)
    assert share(many(WELLINGTON, "photo"), "looks|Taken") == 0.0


def test_one_name_is_not_said_twice() -> None:
    assert share(many(SINGAPORE), "Singapore, Singapore") == 0.0
    assert share(many(UTRECHT), "near Utrecht, the Netherlands") > 0.1  # in the province of Utrecht
    assert share(many(UTRECHT), "Utrecht, Utrecht") == 0.0


def test_the_season_is_that_of_the_hemisphere() -> None:
    north, south = many(UTRECHT), many(SYDNEY)
    assert share(north, "July, in summer") > 0.1 and share(north, "winter") < 0.001
    assert share(south, "July, in winter") > 0.1 and share(south, "July, in summer") == 0.0
    assert share(many(SINGAPORE), "Taken in July, in") == 0.0


def test_traffic_keeps_to_the_left_in_sydney() -> None:
    assert share(many(SYDNEY), "keeps to the left") > 0.1
    assert share(many(SYDNEY), "keeps to the right") == 0.0


def test_an_id_gives_the_same_caption_again_and_alone() -> None:
    places = [UTRECHT, SYDNEY, SINGAPORE]
    together = captions(places, sample_ids=["a", "b", 3], taken_at=[JULY] * 3, heading_deg=[1, None, 359.9])
    alone = [
        caption(place, sample_id=one, taken_at=JULY, heading_deg=heading)
        for place, one, heading in zip(places, ["a", "b", 3], [1, None, 359.9], strict=True)
    ]
    assert together == alone
    backwards = captions(
        places[::-1], sample_ids=[3, "b", "a"], taken_at=[JULY] * 3, heading_deg=[359.9, None, 1]
    )
    assert backwards[::-1] == together


def test_another_draw_or_id_gives_another_caption() -> None:
    drawn = {captions([UTRECHT], sample_ids=["a"], draw=draw)[0] for draw in range(20)}
    assert len(drawn) > 4
    assert len({caption(UTRECHT, sample_id=f"photo {row}") for row in range(20)}) > 4


def test_a_caption_is_fixed_for_all_time() -> None:
    said = caption(WELLINGTON, sample_id="fixed-4", taken_at=JULY, heading_deg=45.0)
    assert said == "Street-level picture in New Zealand. Taken in July, in winter."
    assert said == caption(WELLINGTON, rng=generator_of("fixed-4"), taken_at=JULY, heading_deg=45.0)


def test_one_fact_more_leaves_the_other_parts_alone() -> None:
    known = Facts.of([UTRECHT])[0]
    for row in range(50):
        without = compose(known, RECIPES["street"], generator_of(row))
        with_more = compose(known, RECIPES["street"], generator_of(row), heading_deg=10.0)
        assert sentences(without) == sentences(with_more) - {"The camera looks north"}


@pytest.mark.parametrize("lonlat", [(0.0, 90.0), (77.0, 90.0), (-140.0, 0.0), (-130.0, -50.0)])
def test_on_the_open_sea_nothing_is_asserted(lonlat: tuple[float, float]) -> None:
    said = many(lonlat, n=300)
    assert all(one.startswith("Street-level picture of a remote place, out at sea.") for one in said)
    assert share(said, "climate|Traffic") == 0.0


def test_the_south_pole_has_a_climate_and_no_country() -> None:
    said = many((0.0, -90.0), n=300)
    assert share(said, "ice") > 0.3 and share(said, "Traffic") == 0.0
    assert all("remote place" in one or "climate" in one for one in said)


def test_the_antimeridian_is_an_ordinary_place() -> None:
    east = captions([(179.99, -16.8)], sample_ids=["a"])
    assert east == captions([(-180.0 - 0.01, -16.8)], sample_ids=["a"])
    assert "Fiji" in " ".join(captions([(179.99, -16.8), (-179.95, -16.8)], sample_ids=[1, 2]))


def test_a_town_far_away_is_not_said_to_be_near() -> None:
    sahara = Facts.of([(0.0, 25.0)])[0]
    assert (sahara.town, sahara.region, sahara.country, sahara.side) == ("", "Adrar", "Algeria", "right")


@pytest.mark.parametrize(
    ("heading", "eight", "four"),
    [(0, "north", "north"), (22, "north", "north"), (23, "northeast", "north"), (46, "northeast", "east"),
     (90, "east", "east"), (181, "south", "south"), (247, "southwest", "west"), (315.1, "northwest", "north"),
     (359.9, "north", "north"), (-90, "west", "west"), (450, "east", "east"), (337.6, "north", "north")],
)  # fmt: skip
def test_a_heading_is_the_nearest_direction(heading: float, eight: str, four: str) -> None:
    assert (direction(heading), direction(heading, 4)) == (eight, four)


def test_the_month_is_that_of_the_place() -> None:
    new_year = datetime(2024, 1, 1, 1, 0, tzinfo=UTC)  # still December in Los Angeles
    said = {caption((-118.24, 34.05), sample_id=row, taken_at=new_year) for row in range(60)}
    assert any("December" in one for one in said) and not any("January" in one for one in said)


@pytest.mark.parametrize("wrong", [(np.nan, 0.0), (0.0, np.nan), (0.0, 91.0), (139.7, np.inf)])
def test_places_that_are_nowhere_are_refused(wrong: tuple[float, float]) -> None:
    with pytest.raises(InvalidCoordinate):
        caption(wrong, sample_id="a")
    with pytest.raises(InvalidCoordinate, match="row 1"):
        captions([UTRECHT, wrong], sample_ids=[1, 2])


def test_what_cannot_be_said_is_refused() -> None:
    with pytest.raises(InvalidOption, match="no direction"):
        [caption(UTRECHT, sample_id=row, heading_deg=float("nan")) for row in range(20)]
    with pytest.raises(InvalidOption, match="street, photo"):
        caption(UTRECHT, sample_id=1, style="poem")  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="one of the two"):
        caption(UTRECHT)
    with pytest.raises(InvalidOption, match="one of the two"):
        caption(UTRECHT, sample_id=1, rng=np.random.default_rng(0))
    with pytest.raises(InvalidOption, match="captions"):
        caption([UTRECHT, SYDNEY], sample_id=1)
    with pytest.raises(InvalidOption, match="2 places"):
        captions([UTRECHT, SYDNEY], sample_ids=[1])


def test_no_places_give_no_captions() -> None:
    assert captions(np.empty((0, 2)), sample_ids=[]) == []


def test_every_class_of_climate_can_be_said_in_two_ways() -> None:
    sentences = Counter(climate_part(one, by_name=by_name) for one in PHRASES for by_name in (True, False))
    assert len(sentences) == 62 and max(sentences.values()) == 1
