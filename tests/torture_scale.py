"""How much the torture tests do: enough to see that they work, a quarter of an hour, or a night."""

import os
from typing import Literal, TypeVar

Size = Literal["quick", "default", "full"]
VARIABLE = "PLACEPRINT_TORTURE"
Amount = TypeVar("Amount")


def size() -> Size:
    """The size asked for in the environment.

    Raises:
        ValueError: there is no such size.
    """
    asked = os.environ.get(VARIABLE, "default")
    if asked == "quick" or asked == "default" or asked == "full":
        return asked
    raise ValueError(f"{VARIABLE}={asked!r}: choose quick, default or full")


def scaled(quick: Amount, default: Amount, full: Amount) -> Amount:
    """A number of trials, or of seconds, for the size asked for."""
    return {"quick": quick, "default": default, "full": full}[size()]
