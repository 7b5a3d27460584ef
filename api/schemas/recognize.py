"""Recognizing the very place of a photo: what is asked, and the photos of it."""

from typing import Annotated, TypeAlias

from pydantic import Field

from .base import Answer, Request
from .search import FilterIn, FoundPhoto

MAX_RECOGNIZED = 100
MAX_LOOK_AGAIN = 500

Limit: TypeAlias = Annotated[int, Field(ge=1, le=MAX_RECOGNIZED)]
LookAgain: TypeAlias = Annotated[int, Field(ge=0, le=MAX_LOOK_AGAIN)]
Unsure: TypeAlias = Annotated[float, Field(ge=0.0, le=1.0)]
Using: TypeAlias = Annotated[str, Field(min_length=1, max_length=100)]


class RecognizeOptions(Request):
    """How the very place of a photo is looked for, and among which photos."""

    limit: Limit = 10
    look_again: LookAgain | None = None
    """So many of the first are held closely against the photo where these are unsure; 0 for none. By default
    20, or as many as the operator allows, and none where the encoder's layers cannot be read."""
    unsure: Unsure | None = None
    """The doubt from which they are, 0.97 by default; 0 for always."""
    using: Using | None = None
    """Which vectors are compared: named ones, or ``image``, the gallery's own. By default those named
    ``place``, where the gallery has such."""
    filter: FilterIn = Field(default_factory=FilterIn)


class RecognizeRequest(RecognizeOptions):
    """The same with the photo."""

    image: Annotated[str, Field(min_length=8, max_length=90_000_000)]
    """The bytes of the file in base64, with or without ``data:image/jpeg;base64,`` before them."""


class RecognizedPhoto(FoundPhoto):
    """A photo that may show the very place."""

    score: float | None = None
    """How much of the photo asked about is found in it, where it was looked at again. Those with a score
    come first, in its order; the others follow by similarity."""


class RecognizeAnswer(Answer):
    """Photos of the very place, best first, and how sure that is."""

    neighbors: list[RecognizedPhoto]
    using: str
    """Which vectors were compared."""
    doubt: float
    """Distance to the nearest photo over that to the second, in [0, 1], before any second look; near 1 nobody
    is sure of the first."""
    looked_again: bool
    """Whether a second look decided on the order."""
    n_looked_at: int
    """At how many photos, of those that were at hand."""
    may_look_again: bool
    """Whether a second look can be taken here, and a picture of the match be had: the operator allows it,
    and the layers of the encoder can be read."""
    missing: list[str]
    """Ids of photos that could not be looked at again, since their files are not at hand."""
    notes: list[str] = Field(default_factory=list)
    """What one should know of this answer."""
