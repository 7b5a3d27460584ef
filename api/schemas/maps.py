"""A gallery on the map."""

from typing import Any

from .base import Answer
from .galleries import PhotoOut


class H3Cell(Answer):
    """A cell of the H3 grid and how many photos were taken in it."""

    cell: str
    lon: float
    """Of its center."""
    lat: float
    n_photos: int


class H3Out(Answer):
    """Photos counted by cell within a view."""

    resolution: int
    cells: list[H3Cell]
    n_photos: int
    """In all these cells."""
    photos: list[PhotoOut] | None = None
    """The photos themselves, where they are few and places are told exactly."""
    is_truncated: bool = False
    """Whether there were more cells than are told; the fullest are."""


class StyleOut(Answer):
    """What the page draws under everything."""

    basemap: str | None = None
    """Path of a PMTiles file, or the address of a tile provider, where the operator has set one."""
    attribution: str = ""
    more: dict[str, Any] | None = None
