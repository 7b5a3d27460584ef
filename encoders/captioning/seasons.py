"""Months and seasons at a place: summer in July in the north, in January in the south.

Between the tropics of Cancer and Capricorn there are no four seasons. Where the class of climate has a
dry half of the year (Aw dry in the winter, As in the summer of its hemisphere) it is said to be the wet or
the dry season; elsewhere, and within 5 degrees of the equator, where the rains come twice, none.
"""

from datetime import date, timedelta
from datetime import datetime as _datetime

MONTHS = "January February March April May June July August September October November December".split()
TROPIC_DEG = 23.44
EQUATOR_DEG = 5.0

_SEASONS = ("winter", "spring", "summer", "autumn")  # of the north, from December


def month_at(taken_at: date, lon: float) -> int:
    """Month of a moment, 1..12, in local solar time where a time of day is known.

    Args:
        taken_at: a UTC moment, or a date, which is taken to be local.
        lon: degrees; 15 of them are an hour.
    """
    local = taken_at + timedelta(hours=lon / 15.0) if isinstance(taken_at, _datetime) else taken_at
    return local.month


def season_at(month: int, lat: float, climate: str) -> str:
    """Season in words, or "" where the place has none.

    Args:
        month: 1..12.
        lat: degrees.
        climate: Köppen–Geiger class; "" is unknown.
    """
    # Six months turn the south into the north.
    northern = month if lat >= 0.0 else (month + 5) % 12 + 1
    if abs(lat) > TROPIC_DEG:
        return _SEASONS[northern % 12 // 3]
    if climate not in ("Aw", "As") or abs(lat) < EQUATOR_DEG:
        return ""
    is_warm_half = 5 <= northern <= 10
    return "the wet season" if is_warm_half == (climate == "Aw") else "the dry season"
