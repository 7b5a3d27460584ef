"""Where a photo was taken."""

from typing import Any, Literal

from pydantic import Field

from .base import Answer
from .places import PlaceOut
from .search import Neighbor


class NamedShareOut(Answer):
    """The probability of a country or of a state."""

    name: str
    code: str
    """ISO 3166-1 alpha-2 of the country; empty for what is remote."""
    probability: float


class RegionOut(Answer):
    """The smallest region that holds the place at a stated level."""

    level: float
    """Share of photos whose region of this kind holds their place."""
    area_km2: float
    geojson: dict[str, Any]
    """Polygon or MultiPolygon."""


class SurfaceCell(Answer):
    """A cell of the H3 grid and how probable it is that the photo was taken in it."""

    cell: str
    lon: float
    """Of its center."""
    lat: float
    probability: float


class DecisiveCellOut(Answer):
    """A geocell that the photo made likelier than it was."""

    cell_id: str
    name: str
    lon: float
    lat: float
    probability: float
    prior_probability: float
    bits: float


class LocationOut(Answer):
    """What is known of the place of a photo. What the operator's cap does not let out is absent."""

    countries: list[NamedShareOut]
    states: list[NamedShareOut] | None = None
    abstain: bool
    """Whether the photo says too little for an answer to be shown."""
    abstain_reason: str
    information_bits: float
    """Expected information over what is known without the photo."""
    prior_share: float
    is_calibrated: bool
    p_within_km: dict[str, float] | None = None
    """Probability that the point errs by so many kilometers or less."""
    lon: float | None = None
    """Of the point with the best expected GeoScore; so is `lat`."""
    lat: float | None = None
    near: str | None = None
    """The populated place nearest to the point, where one is near: city, state and country."""
    mode: PlaceOut | None = None
    geoscore_point: PlaceOut | None = None
    median_point: PlaceOut | None = None
    regions: list[RegionOut] | None = None
    surface: list[SurfaceCell] | None = None
    """The most probable cells that together hold 95 %, at most 500."""
    surface_resolution: int | None = None
    """H3 resolution of the surface's cells."""
    cells: list[DecisiveCellOut] | None = None
    """Geocells that decided, foremost first."""
    evidence: list[Neighbor] = Field(default_factory=list)
    """Photos of the gallery that the answer rests on, most similar first."""
    n_photos: int = 1
    """Photos of the place that were asked about together."""
    precision: Literal["country", "region", "25km", "exact"]
    notes: list[str] = Field(default_factory=list)
