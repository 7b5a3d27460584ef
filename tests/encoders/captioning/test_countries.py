"""Names of countries as they are said."""

import pytest

from placeprint.encoders.captioning.countries import SPOKEN, spoken_country, without_article
from placeprint.encoders.places import load_places


@pytest.mark.parametrize(
    ("code", "said"),
    [("NL", "the Netherlands"), ("US", "the United States"), ("KR", "South Korea"), ("KP", "North Korea"),
     ("CD", "the Democratic Republic of the Congo"), ("GM", "the Gambia"), ("FR", "France"),
     ("NA", "Namibia"),
     ("TZ", "Tanzania"), ("VA", "Vatican City"), ("PH", "the Philippines"), ("CI", "Ivory Coast")],
)  # fmt: skip
def test_short_forms_and_articles(code: str, said: str) -> None:
    places = load_places()
    listed = dict(zip(places.country_code, places.country, strict=True))
    assert spoken_country(code, listed[code]) == said


def test_no_country_is_said_in_an_inverted_or_official_form() -> None:
    places = load_places()
    for code, listed in set(zip(places.country_code, places.country, strict=True)):
        said = spoken_country(code, listed)
        assert said and not any(mark in said for mark in ",()"), said
        assert "Republic" not in said or said.startswith("the ")
        assert (
            not said.endswith(("Islands", "States", "Kingdom", "Emirates"))
            or said.startswith("the ")
            or code == "AX"
        )


def test_an_article_comes_off() -> None:
    assert without_article("the Gambia") == "Gambia" and without_article("Thessaly") == "Thessaly"
    assert all(code.isupper() and len(code) == 2 for code in SPOKEN)
