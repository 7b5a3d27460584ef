"""Months and seasons: swapped in the south, wet and dry in savannas, none at the equator."""

from datetime import UTC, date, datetime

import pytest

from placeprint.encoders.captioning.seasons import month_at, season_at


@pytest.mark.parametrize(
    ("month", "north", "south"),
    [(12, "winter", "summer"), (1, "winter", "summer"), (2, "winter", "summer"), (3, "spring", "autumn"),
     (5, "spring", "autumn"), (6, "summer", "winter"), (8, "summer", "winter"), (9, "autumn", "spring"),
     (11, "autumn", "spring")],
)  # fmt: skip
def test_seasons_are_swapped_in_the_south(month: int, north: str, south: str) -> None:
    assert (season_at(month, 45.0, "Cfb"), season_at(month, -45.0, "Cfb")) == (north, south)
    assert (season_at(month, 90.0, ""), season_at(month, -90.0, "EF")) == (north, south)


@pytest.mark.parametrize(
    ("month", "lat", "climate", "said"),
    [(7, 13.0, "Aw", "the wet season"), (1, 13.0, "Aw", "the dry season"), (1, -15.0, "Aw", "the wet season"),
     (7, -15.0, "Aw", "the dry season"), (7, 13.0, "As", "the dry season"), (1, 10.0, "As", "the wet season"),
     (7, 13.0, "Af", ""), (7, 13.0, "BWh", ""), (7, 2.0, "Aw", ""), (7, 13.0, "", ""),
     (5, 13.0, "Aw", "the wet season"), (11, 13.0, "Aw", "the dry season"),
     (11, -13.0, "Aw", "the wet season")],
)  # fmt: skip
def test_tropics_are_wet_or_dry_or_neither(month: int, lat: float, climate: str, said: str) -> None:
    assert season_at(month, lat, climate) == said


def test_a_moment_is_in_the_month_of_the_place() -> None:
    moment = datetime(2024, 3, 31, 20, 0, tzinfo=UTC)
    assert [month_at(moment, lon) for lon in (-75.0, 0.0, 139.7)] == [3, 3, 4]
    assert month_at(date(2024, 3, 31), 179.0) == 3  # a date is local already
