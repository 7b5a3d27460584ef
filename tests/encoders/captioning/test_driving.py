"""The side of the road, by country."""

import pytest

from placeprint.encoders.captioning.driving import LEFT, driving_side
from placeprint.encoders.places import load_places


@pytest.mark.parametrize(
    "code", "GB IE MT CY JP IN PK TH ID MY SG HK AU NZ FJ WS ZA KE TZ UG NA MZ JM GY SR VI FK".split()
)
def test_left(code: str) -> None:
    assert driving_side(code) == "left"


@pytest.mark.parametrize(
    "code",
    "US CA MX BR AR FR DE ES SE NO IS GI CN KR TW PH VN MM KH RU EG NG ET RW AO CD PR IO AS GU".split(),
)
def test_right(code: str) -> None:
    assert driving_side(code) == "right"


def test_the_table_is_whole_and_of_countries_that_there_are() -> None:
    assert len(LEFT) == 76
    assert LEFT <= set(load_places().country_code)
