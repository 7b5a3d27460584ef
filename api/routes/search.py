"""Searching a gallery by photo, text, place, area, vector, or several of these together."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request
from numpy.typing import NDArray

from ...encoders.areas import Circle
from ...encoders.errors import InvalidFilter
from ...indexer.filters import Filter, parse_where
from ...indexer.ranking import Wish
from ..schemas.search import (
    MAX_LIMIT,
    AnyQuery,
    FilterIn,
    ImageQuery,
    LocationQuery,
    Neighbor,
    PhotoQuery,
    SearchAnswer,
    SearchRequest,
    TextQuery,
    UrlQuery,
    VectorQuery,
)
from ..serving import precision
from ..serving.callers import reader
from ..serving.pixels import charge
from ..serving.problems import ALWAYS, responses
from ..serving.refusals import InvalidQuestion
from ..serving.served_gallery import ServedGallery
from ..serving.service import Service
from .bodies import one_photo, photo_body
from .json_bodies import JsonRoute, sent_in_base64
from .opened import InGallery, Opened

routes = APIRouter(
    prefix="/v1/galleries/{gallery}/search",
    tags=["search"],
    dependencies=[Depends(reader)],
    responses=responses(*ALWAYS, 404, 415),
    route_class=JsonRoute,
)
Question = NDArray[np.float32] | tuple[float, float]


@routes.post("", response_model=SearchAnswer)
async def search(asked: SearchRequest, service: Opened, gallery: InGallery) -> Any:
    """Photos that answer one or several queries together, best first.

    Without queries: the photos that pass the filter, in the order of their ids.
    """
    filter = await checked_filter(service, gallery, asked.filter)
    places = [one.location for one in asked.queries if isinstance(one, LocationQuery)]
    if places:
        precision.check_place("location", gallery.cap)
    if asked.prefer_near is not None:
        precision.check_place("prefer_near", gallery.cap)
    if asked.prefer_near is not None and not any(not isinstance(one, LocationQuery) for one in asked.queries):
        raise InvalidQuestion("prefer_near: adds to a similarity, so it needs a text, a photo or a vector")
    if asked.queries and all(one.weight < 0.0 for one in asked.queries):
        raise InvalidQuestion("queries: at least one must have a weight above 0, to say what to look for")
    async with service.admitted("search"):
        questions = await asyncio.gather(*(_question(service, gallery, one) for one in asked.queries))
        weighted = [
            (query.weight, question) for query, question in zip(asked.queries, questions, strict=True)
        ]
        return await _answer(service, gallery, asked, filter, weighted)


@routes.post("/image", response_model=SearchAnswer, openapi_extra=photo_body(several=False))
async def search_by_photo(
    request: Request,
    service: Opened,
    gallery: InGallery,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 10,
    offset: Annotated[int, Query(ge=0, le=9_000)] = 0,
    text: Annotated[
        str | None, Query(min_length=1, max_length=1000, description="and what a text says")
    ] = None,
    near: Annotated[str | None, Query(max_length=100, description="lon,lat in degrees")] = None,
    radius_km: Annotated[float, Query(gt=0.0, le=20_020.0)] = 25.0,
    where: Annotated[
        list[str] | None, Query(description="name=value, or name=one,other; several times for several fields")
    ] = None,
) -> Any:
    """Photos like the one in the body. The same as a search with JSON, easier to type."""
    filter = Filter(within=circle_of(near, radius_km), where=conditions(where or []))
    precision.check_filter(filter, gallery.cap)
    asked = SearchRequest(limit=limit, offset=offset)
    content = await one_photo(request)
    async with service.admitted("search"):
        weighted: list[tuple[float, Question]] = [(1.0, await service.embed_photo(content, gallery.model))]
        if text is not None:
            weighted.append((1.0, await service.embed(gallery.model.embed_texts, text)))
        return await _answer(service, gallery, asked, filter, weighted)


async def _answer(
    service: Service,
    gallery: ServedGallery,
    asked: SearchRequest,
    filter: Filter,
    weighted: list[tuple[float, Question]],
) -> SearchAnswer:
    near = asked.prefer_near
    wish = None if near is None else Wish(near.lon, near.lat, near.half_km, near.weight)
    has_place = near is not None or any(isinstance(one, tuple) for _, one in weighted)

    def ask() -> SearchAnswer:
        found, embedding = gallery.search.best(
            weighted,
            filter=filter,
            wish=wish,
            by_rankings=asked.fusion == "rankings",
            k=asked.limit,
            offset=asked.offset,
        )
        told = [Neighbor(**one) for one in gallery.shown(found, embedding, asked_place=has_place)]
        is_full = len(told) == asked.limit
        if asked.min_z_score is not None:
            kept = [one for one in told if one.z_score is None or one.z_score >= asked.min_z_score]
            # By similarity alone, nothing that comes later stands higher.
            is_full = is_full and (len(kept) == len(told) or near is not None or asked.fusion == "rankings")
            told = kept
        return SearchAnswer(
            neighbors=told,
            next_offset=asked.offset + asked.limit
            if is_full and asked.offset + asked.limit < 10_000
            else None,
            n_matches=gallery.search.n_matches(filter),
        )

    return await service.in_store(ask)


async def _question(service: Service, gallery: ServedGallery, query: AnyQuery) -> Question:
    """A query as an embedding, (D,), or as a place."""
    model = gallery.model
    match query:
        case TextQuery():
            return await service.embed(model.embed_texts, query.text)
        case ImageQuery():
            return await service.embed_photo(await sent_in_base64(query.image), model)
        case UrlQuery():
            content = await service.urls.fetch(query.image_url)
            charge(content)
            return await service.embed_photo(content, model)
        case PhotoQuery():
            return await service.in_store(gallery.embedding_of, query.photo)
        case VectorQuery():
            return _vector(query.vector, model.fingerprint.dimension)
        case LocationQuery():
            return query.location.lon, query.location.lat


def _vector(numbers: list[float], dimension: int) -> NDArray[np.float32]:
    vector = np.array(numbers, np.float64)
    length = float(np.linalg.norm(vector))
    if len(vector) != dimension or not 1e-12 < length < 1e30:
        raise InvalidQuestion(
            f"vector: {len(vector)} numbers; the gallery's model gives {dimension}, not all of them zero"
        )
    return np.asarray(vector / length, np.float32)


async def checked_filter(service: Service, gallery: ServedGallery, asked: FilterIn) -> Filter:
    """The filter that a request describes, as far as it may be asked of a gallery.

    Raises:
        InvalidFilter: a condition without a meaning.
        TooPrecise: one that would tell more than an answer may.
    """
    if asked.within is not None or asked.exclude_within is not None:
        precision.check_place("an area", gallery.cap)
        filter = await service.in_files(filter_of, asked)  # polygons take time
    else:
        filter = filter_of(asked)
    precision.check_filter(filter, gallery.cap)
    return filter


def filter_of(asked: FilterIn) -> Filter:
    """The filter that a request describes.

    Raises:
        InvalidFilter: a condition without a meaning.
    """
    for name, value in asked.where.items():
        _check_condition(name, value)
    if asked.captured_from and asked.captured_until:
        start, end = as_utc(asked.captured_from), as_utc(asked.captured_until)
        if start is not None and end is not None and start >= end:
            raise InvalidFilter("captured_from must lie before captured_until")
    return Filter(
        within=asked.within.area() if asked.within else None,
        exclude_within=asked.exclude_within.area() if asked.exclude_within else None,
        captured_from=as_utc(asked.captured_from),
        captured_until=as_utc(asked.captured_until),
        where=asked.where,
        is_placed=asked.is_placed,
        exclude_ids=frozenset(_uuid(id) for id in asked.exclude_ids),
    )


def as_utc(moment: datetime | None) -> datetime | None:
    """A moment in UTC; one without an offset is in UTC already."""
    if moment is None:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise InvalidFilter("a moment before the year 1 or after the year 9999") from None


def conditions(where: list[str]) -> dict[str, Any]:
    """Conditions on the payload as they stand in an address: ``name=value``."""
    try:
        found = parse_where(where)
    except InvalidFilter as error:
        raise InvalidFilter(str(error).removeprefix("--")) from None
    for name, value in found.items():
        _check_condition(name, value)
    return found


def _check_condition(name: str, value: Any) -> None:
    if not re.fullmatch(r"\w{1,200}", name) or name.startswith("_"):
        raise InvalidFilter(
            f"where {name[:100]!r}: a field's name has letters, digits and _ only, and begins without _"
        )
    numbers = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int | float)]
    if not all(abs(number) < 2**63 for number in numbers):  # neither is NaN
        raise InvalidFilter(f"where {name}: a number that the store cannot hold; in quotes it is a text")


def circle_of(near: str | None, radius_km: float) -> Circle | None:
    """The circle that an address asks for, ``near=lon,lat``; None without.

    Raises:
        InvalidQuestion: not two numbers.
        InvalidCoordinate: no place on Earth.
    """
    if near is None:
        return None
    try:
        lon, lat = (float(part) for part in near.split(","))
    except ValueError:
        raise InvalidQuestion("near: expected lon,lat in degrees, for example near=139.76,35.67") from None
    return Circle(lon, lat, radius_km)


def _uuid(id: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", id):
        raise InvalidFilter(f"exclude_ids: {id[:64]!r} is no photo's id")
    return id
