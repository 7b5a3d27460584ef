"""Places like others: what may be asked of a gallery of places, and what comes back."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Answer, Request
from .places import AnyArea, Place
from .search import Neighbor

MAX_PLACES = 8
MAX_LIKES = 100


class PlacesLikeRequest(Request):
    """Places whose map is like that of some places, and unlike that of others."""

    like: Annotated[
        list[Place],
        Field(min_length=1, max_length=MAX_PLACES, examples=[[{"lon": 9.5215, "lat": 47.141}]]),
    ]
    unlike: Annotated[list[Place], Field(max_length=MAX_PLACES)] = Field(default_factory=list)
    unlike_weight: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    """How much the unlike places count beside the like ones."""
    within: AnyArea | None = None
    """Where answers must lie."""
    limit: Annotated[int, Field(ge=1, le=MAX_LIKES)] = 12
    apart_m: Annotated[float, Field(ge=0.0, le=1_000_000.0)] | None = None
    """How far answers lie from the places asked about, meters; by default the width of the map that is
    looked at, so that no answer overlaps what was asked."""
    may_overlap: bool = False
    """Whether answers may lie nearer than that to each other."""


class AskedPlace(Answer):
    """A place that was asked about."""

    lon: float
    """As it was taken: at the center of its cell where places are told to 25 km."""
    lat: float
    is_like: bool
    """False for one that answers should be unlike."""
    embedded_by: Literal["gallery", "map", "student"]
    """The gallery has it; or the map was looked at; or there is no map, and a student of the map encoder
    said what it would expect there."""
    thumbnail: str | None = None
    """Path of a picture of its map."""


class PlacesLikeAnswer(Answer):
    """Places found, most alike first."""

    asked: list[AskedPlace]
    neighbors: list[Neighbor]
    """Their thumbnails are maps, `ground_m` wide."""
    ground_m: float
    """Width of the map that is looked at around a place, meters."""
    apart_m: float
    attribution: str = ""
    """Whom to name wherever these maps are shown."""
    notes: list[str] = Field(default_factory=list)
    """What one should know of this answer."""
