"""The shipped partition of the world: `placeprint cells build --default -o FILE`.

There is no open collection of photos that knows the whole world, so places stand in for photos.
A place of p inhabitants counts as √(p / 1000) points, at least one: as one point a village would
weigh as much as Tokyo, and by its inhabitants India and China would have a third of all cells.
Photos of the world are between the two: they follow people, and land as well. 457,606 points,
at least 100 and at most 200 in a cell, make cells of a few hundred thousand people in the plains of
India, and of a few thousand in Lapland.

No photo has gone into it; whoever has many builds cells of their own.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .place_units import PlaceHierarchy, place_hierarchy

if TYPE_CHECKING:
    from ..geocells import Geocells

MIN_POINTS, MAX_POINTS = 100, 200
PERSONS_OF_A_POINT = 1000.0


def world_points(hierarchy: PlaceHierarchy) -> NDArray[np.float64]:
    """Places, each as often as it counts: (n, 2) degrees."""
    places = hierarchy.places
    weight = np.maximum(1.0, np.round(np.sqrt(places.population / PERSONS_OF_A_POINT))).astype(np.intp)
    return np.repeat(places.lonlat, weight, axis=0)


def build_world_cells(
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> "Geocells":
    """Make the shipped partition again: the same bytes from the same table of places and libraries."""
    from ..geocells import build_geocells

    progress("reading places", 0, 1)
    hierarchy = place_hierarchy()
    progress("reading places", 1, 1)
    return build_geocells(
        world_points(hierarchy),
        hierarchy=hierarchy,
        min_points=MIN_POINTS,
        max_points=MAX_POINTS,
        force_split=True,
        progress=progress,
    )
