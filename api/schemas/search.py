"""Searching a gallery: what may be asked, which photos may answer, and what comes back."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, model_validator

from .base import UUID, Answer, Request
from .places import AnyArea, ExactLat, ExactLon, Place

MAX_QUERIES = 8
MAX_LOCATION_QUERIES = 2
MAX_EXCLUDED = 1000
MAX_LIMIT = 500
MAX_DEPTH = 10_000

Weight: TypeAlias = Annotated[float, Field(ge=-10.0, le=10.0)]
Value: TypeAlias = str | int | float | bool


class _Query(Request):
    weight: Weight = 1.0
    """How much it counts beside the others; below 0 it leads away from what it shows."""

    @model_validator(mode="after")
    def _counts(self) -> "_Query":
        if self.weight == 0.0:
            raise ValueError("a weight of 0 asks for nothing; leave the query out")
        return self


class TextQuery(_Query):
    """Photos that show what a text says."""

    text: Annotated[str, Field(min_length=1, max_length=1000, examples=["a beach at sunset"])]


class ImageQuery(_Query):
    """Photos that look like one sent along."""

    image: Annotated[str, Field(min_length=8, max_length=90_000_000)]
    """The bytes of the file in base64, with or without ``data:image/jpeg;base64,`` before them."""


class UrlQuery(_Query):
    """Photos that look like one elsewhere, on a host that the operator has named."""

    image_url: Annotated[
        str, Field(min_length=8, max_length=2000, examples=["https://photos.example.org/1.jpg"])
    ]


class PhotoQuery(_Query):
    """Photos that look like one of the gallery."""

    photo: Annotated[str, Field(pattern=UUID)]
    """Its id."""


class VectorQuery(_Query):
    """Photos near an embedding of the gallery's encoder."""

    vector: Annotated[list[float], Field(min_length=1, max_length=8192)]


class LocationQuery(_Query):
    """Photos taken near a place, the nearest first."""

    location: Place


AnyQuery: TypeAlias = TextQuery | ImageQuery | UrlQuery | PhotoQuery | VectorQuery | LocationQuery


class FilterIn(Request):
    """Which photos may answer. All conditions must hold."""

    within: AnyArea | None = None
    exclude_within: AnyArea | None = None
    captured_from: datetime | None = None
    """First moment that is in; without an offset, UTC."""
    captured_until: datetime | None = None
    """First moment that is out."""
    where: dict[str, Value | Annotated[list[Value], Field(min_length=1, max_length=256)]] = Field(
        default_factory=dict, max_length=32, examples=[{"year": 2018}]
    )
    """Fields of the photos' payload: equal to a value, or to one of several."""
    is_placed: bool | None = None
    """Only photos whose place is known, or only those whose place is not."""
    exclude_ids: Annotated[list[str], Field(max_length=MAX_EXCLUDED)] = Field(default_factory=list)


class PreferNear(Request):
    """A soft wish for photos near a place: adds up to `weight` to the similarity.

    The bonus is ``weight · 2^(−(d / half_km)²)`` at the distance d.
    """

    lon: ExactLon
    lat: ExactLat
    half_km: Annotated[float, Field(gt=0.0, le=20_020.0)] = 100.0
    """Distance at which half of the bonus is left, kilometers."""
    weight: Annotated[float, Field(gt=0.0, le=2.0)] = 0.1
    """The bonus at the place itself, in units of cosine similarity."""


class SearchRequest(Request):
    """A search: one or several queries together. Without any, the photos that pass the filter."""

    queries: Annotated[list[AnyQuery], Field(max_length=MAX_QUERIES)] = Field(
        default_factory=list, examples=[[{"text": "a beach"}, {"text": "people", "weight": -0.5}]]
    )
    fusion: Literal["vectors", "rankings"] = "vectors"
    """How several queries become one order: by the weighted sum of their embeddings, or by their rankings
    (weighted reciprocal ranks, 1 / (60 + rank)). Locations have no embedding: with one of them beside
    other queries, rankings are fused."""
    filter: FilterIn = Field(default_factory=FilterIn)
    prefer_near: PreferNear | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 10
    offset: Annotated[int, Field(ge=0, le=MAX_DEPTH)] = 0
    """How many of the best to leave out, for paging; limit + offset is at most 10,000."""
    min_z_score: Annotated[float, Field(ge=-100.0, le=100.0)] | None = None
    """Leave out photos below this standing."""

    @model_validator(mode="after")
    def _is_within_depth(self) -> "SearchRequest":
        n_locations = sum(isinstance(one, LocationQuery) for one in self.queries)
        if n_locations > MAX_LOCATION_QUERIES:
            raise ValueError(f"queries: at most {MAX_LOCATION_QUERIES} locations; ask for the others apart")
        if self.limit + self.offset > MAX_DEPTH:
            raise ValueError(f"limit + offset is more than {MAX_DEPTH:,}; narrow the filter instead")
        return self


class FoundPhoto(Answer):
    """A photo that answers, as far as it may be told."""

    id: str
    similarity: float | None = None
    """Cosine similarity to the (combined) query; absent where nothing was embedded."""
    z_score: float | None = None
    """How far the similarity lies above that of a random photo of the gallery to the same query, in
    standard deviations. Unlike similarities, these compare between texts and photos and between
    encoders."""
    lon: float | None = None
    lat: float | None = None
    captured_at: datetime | None = None
    payload: dict[str, Any] | None = None
    """What the source said of the photo; only where the operator lets everything be told."""
    thumbnail: str | None = None
    """Path of a small picture, where the file is at hand."""


class Neighbor(FoundPhoto):
    """A photo found."""

    score: float
    """By which the answer is ordered, higher first: cosine similarity, plus the bonus of `prefer_near`;
    the sum of weighted reciprocal ranks where rankings were fused; minus kilometers where only a
    location was asked."""
    distance_km: float | None = None
    """To the location asked for, or else to that of `prefer_near`; only where places are told."""


class SearchAnswer(Answer):
    """Photos found, best first."""

    neighbors: list[Neighbor]
    next_offset: int | None = None
    """Where the next page begins; absent on the last one."""
    n_matches: int | None = None
    """How many photos pass the filter; absent under a cap that does not tell it."""
    notes: list[str] = Field(default_factory=list)
    """What one should know of this answer."""
