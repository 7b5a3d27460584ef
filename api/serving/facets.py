"""Values of a payload field counted, as long as they tell of many photos and not of one.

Where everything may be told, a photo's payload goes out without the values that hold the name of its
file (see `precision.coarse_photo`). A count of a field goes past that: it lists all values there are,
names of files too. What gives such fields away is that nearly each photo has a value of its own.
"""

from collections.abc import Callable, Collection
from typing import Any

from .refusals import TooPrecise

COARSE = ("year", "month", "h3_3", "h3_5", "h3_7")
"""Fields of ours, which name no photo: the place and the moment of each are told, or these are refused."""

MAX_SHARE = 0.5
"""Values for each photo, at most: on the average two photos have each value."""

LOOKED_AT = 1000
"""Values that are judged by, the most frequent ones."""


def counted(
    facet: Callable[[str, int], dict[Any, int]], key: str, limit: int, *, allowed: Collection[str] = ()
) -> dict[Any, int]:
    """Numbers of photos by the value of a field, most frequent first.

    Values that a single photo has are counted only while there are few of them beside others; of a field
    with more than `LOOKED_AT` values, none is.

    Args:
        facet: numbers of photos by the value of a field, so many values at most.
        key: the field.
        limit: at most so many values.
        allowed: fields that the operator lets be counted whatever their values are.

    Raises:
        TooPrecise: nearly each photo has a value of its own.
    """
    if key in COARSE or key in allowed:
        return facet(key, limit)
    found = facet(key, max(limit, LOOKED_AT + 1))
    if len(found) > MAX_SHARE * sum(found.values()):
        raise TooPrecise(
            f"{key}: nearly each photo has a value of its own, which would name it. The operator may allow "
            f"it with PLACEPRINT_FACET_FIELDS='[\"{key}\"]'"
        )
    if len(found) > LOOKED_AT:
        found = {value: n_photos for value, n_photos in found.items() if n_photos > 1}
    return dict(list(found.items())[:limit])
