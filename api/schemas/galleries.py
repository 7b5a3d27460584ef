"""Galleries and their photos."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from .base import Answer, Request

GALLERY_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
GalleryNameIn: TypeAlias = Annotated[str, Field(pattern=GALLERY_NAME, examples=["trips"])]


class ModelOut(Answer):
    """An image encoder."""

    name: str
    id: str
    """Its fingerprint: other weights or preprocessing have another."""
    dimension: int
    takes_text: bool


class PlacesFacts(Answer):
    """What a gallery of places looks at."""

    ground_m: float
    """Width of the map that is looked at around a place, meters."""
    attribution: str = ""
    """Whom to name wherever these maps are shown."""
    has_map: bool
    """Whether pictures of the map are to be had here."""


class GalleryOut(Answer):
    """A gallery that is served."""

    name: str
    n_photos: int
    n_placed: int
    """Photos of known place."""
    model: ModelOut
    precision: Literal["country", "region", "25km", "exact"]
    """How precisely places are told."""
    can_locate: bool
    """Whether photos can be geolocated by it here."""
    can_search_areas: bool
    """Whether a search may be limited to an area here."""
    is_read_only: bool
    switching_to: str | None = None
    """Name of the model that a running switch leads to."""
    places: PlacesFacts | None = None
    """What it looks at, where it holds places of a map; absent where it holds photos."""
    vectors: list[str] = Field(default_factory=list)
    """What else its photos are searched by: ``map``, by the map around them, with `POST …/places/like`;
    others, such as ``place``, with `POST …/recognize`."""
    max_look_again: int = 0
    """Photos that `POST …/recognize` looks at again at most."""
    can_recognize: bool = False
    """Whether the very places of photos are recognized here."""
    bbox: list[float] | None = None
    """[west, south, east, north] around the cells that hold photos, as coarse as places are told."""


class GalleriesOut(Answer):
    """The galleries that are served."""

    galleries: list[GalleryOut]
    n_unavailable: int = 0
    """Galleries that exist and cannot be opened; the log says why."""


class GalleryIn(Request):
    """A gallery to make."""

    name: GalleryNameIn
    model: Annotated[str, Field(min_length=1, max_length=200)]
    """Name of an image encoder of `GET /v1/models`."""


class PhotoOut(Answer):
    """A photo of a gallery."""

    id: str
    lon: float | None = None
    lat: float | None = None
    captured_at: datetime | None = None
    group: str | None = None
    """What the photo belongs to; told where everything is."""
    payload: dict[str, Any] | None = None
    thumbnail: str | None = None


class PhotosOut(Answer):
    """A page of photos, in the order of their ids."""

    photos: list[PhotoOut]
    next_after: str | None = None
    """Pass as `after` for the next page; absent on the last one."""


class PhotoFailure(Answer):
    """A photo that was not taken."""

    name: str
    reason: str


class UpsertOut(Answer):
    """What became of photos that were sent."""

    ids: list[str | None]
    """In the order sent; null where a photo was not taken."""
    n_embedded: int
    n_known: int
    """Of these the bytes were known, so that nothing was embedded again."""
    failures: list[PhotoFailure] = Field(default_factory=list)


class DeletedOut(Answer):
    """What was taken out."""

    n_deleted: int


class FacetOut(Answer):
    """Numbers of photos by the value of one field, most frequent first."""

    key: str
    counts: list["FacetCount"]


class FacetCount(Answer):
    """One value and how many photos have it."""

    value: str | int | bool
    n_photos: int
