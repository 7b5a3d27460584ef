"""The climate and the sun of drawn scenes: what grows, lies and falls at a place in a month.

Roughly right only: temperatures follow latitude and season, corrected by our own smooth bumps over the
map, which the tables list. `scenes` asks here and keeps the answers in its `Scene`.

Conventions: degrees, longitude first, Celsius; month 1..12, hour in local solar time; dryness in [0, 1].
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Bumps over the map: center lon, lat; half-widths in degrees; strength.
DRY = (
    (8, 23, 28, 9, 1), (45, 24, 14, 10, 1), (58, 33, 14, 8, 1), (62, 42, 16, 6, 1), (98, 41, 20, 5, 1),
    (71, 27, 5, 5, 1), (131, -25, 15, 7, 1), (20, -25, 7, 7, 1), (-70, -23, 4, 9, 1), (-111, 33, 10, 7, 1),
    (-69, -45, 4, 8, 1), (47, 6, 6, 7, 1),
)  # fmt: skip
HIGH = (  # strength: degrees Celsius colder
    (-71, -15, 5, 12, 14), (-75, 3, 3, 6, 9), (88, 32, 12, 4, 16), (39, 9, 4, 5, 8), (-109, 41, 6, 10, 8),
    (10, 46.5, 6, 2, 7), (43, 40, 7, 3, 6), (73, 38, 7, 5, 10), (-101, 21, 5, 4, 6), (138, 36, 2, 1.5, 4),
    (170, -44, 2, 3, 6), (29, -29, 3, 2, 7),
)  # fmt: skip
MILD = ((2, 53, 24, 17, 1), (-124, 48, 6, 12, 1), (-73, -45, 5, 9, 1))  # ocean air: warm winters
LATERITE = (
    (25, -5, 20, 16, 1), (-51, -13, 12, 12, 1), (130, -19, 18, 9, 1), (104, 14, 6, 5, 1), (77, 15, 5, 6, 1),
    (-1, 9, 16, 4, 1),
)  # fmt: skip


def sun_position(lat: float, month: int, hour: float) -> tuple[float, float]:
    """Height above the horizon and azimuth clockwise from north, degrees, mid-month, local solar time."""
    declination = math.radians(-23.44 * math.cos(2 * math.pi * (30.4 * (month - 0.5) + 10) / 365))
    phi, turn = math.radians(lat), math.radians(15 * (hour - 12))
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(turn)
    east = -math.cos(declination) * math.sin(turn)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(turn)
    return math.degrees(math.asin(up)), math.degrees(math.atan2(east, north)) % 360


class Climate(NamedTuple):
    """What grows and falls at a place; roughly right, by our own bumps over the map."""

    year_c: float  # mean temperature of the year
    month_c: float
    dryness: float  # in [0, 1]
    is_autumn: bool


def climate(lon: float, lat: float, month: int) -> Climate:
    """The climate of a place in a month."""
    mild = min(bumps(MILD, lon, lat), 1.0)
    year = 27.0 - 0.0075 * lat * lat + 6.5 * mild - bumps(HIGH, lon, lat)
    swing = 0.32 * abs(lat) * (1 - 0.5 * mild) * (1.0 if lat > 0 else 0.55)
    season = math.cos(2 * math.pi * (month - 7.2) / 12) * (1 if lat > 0 else -1)
    is_autumn = month in ((9, 10, 11) if lat > 0 else (3, 4, 5))
    return Climate(year, year + swing * season, min(bumps(DRY, lon, lat), 1.0), is_autumn)


def bumps(table: Sequence[tuple[float, ...]], lon: float, lat: float) -> float:
    """Add up the bumps of a table at a place; each falls to 1/e at its half-width."""
    total = 0.0
    for center_lon, center_lat, half_width, half_height, strength in table:
        x, y = ((lon - center_lon + 180) % 360 - 180) / half_width, (lat - center_lat) / half_height
        total += strength * math.exp(-x * x - y * y)
    return total


def vegetation(local: Climate, region: str, rng: np.random.Generator) -> str:
    """What grows by the road in this month, as `Scene.vegetation` names it."""
    chance, year = rng.random(), local.year_c
    if local.dryness > 0.6 and year > 6:
        if year > 14 and "america" in region and chance < 0.75:
            return "cactus"
        return "palm" if year > 18 and chance > 0.75 else "shrub"
    if year > 20.5 or (year > 14 and chance < 0.2):
        return "palm" if chance < 0.7 else "broadleaf"
    if year < -9:
        return "treeless" if chance < 0.8 else "shrub"
    if chance > (0.88 if year > 14 else 0.75 if year > 6 else 0.25):
        return "conifer"
    return "bare" if local.month_c < 4.5 else "autumn" if year < 15 and local.is_autumn else "broadleaf"


def snow_odds(local: Climate) -> float:
    """Chance in [0, 1] that snow lies; only asked of cold months."""
    return min(max(0.35 - 0.22 * local.month_c, 0.0), 0.92) * (1 - 0.6 * local.dryness)


def soil(lon: float, lat: float, local: Climate, rng: np.random.Generator) -> str:
    """What the ground is where no snow lies: sand, red soil or grass."""
    if local.dryness > 0.6:
        return "sand"
    is_red = local.year_c > 19 and min(bumps(LATERITE, lon, lat), 1.0) > rng.uniform(0.3, 0.9)
    return "red soil" if is_red else "grass"


def sky_odds(dryness: float) -> tuple[float, float, float]:
    """Chances of a sunny, a cloudy and a rainy hour; they add up to 1."""
    rain = 0.22 * (1 - dryness)
    return 1 - 2.3 * rain, 1.3 * rain, rain
