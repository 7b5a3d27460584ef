"""The photos of a gallery: list, add, look at, take out."""

import asyncio
import hashlib
import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from ...encoders.errors import UnreadableImage
from ...encoders.photo import PhotoFacts
from ...indexer.originals import UPLOADED
from ...indexer.record import Record, encode_payload, photo_id, said_of
from ..schemas.base import Request as Asked
from ..schemas.galleries import DeletedOut, PhotoFailure, PhotoOut, PhotosOut, UpsertOut
from ..schemas.places import Lat, Lon
from ..serving import metrics
from ..serving.callers import reader, writer
from ..serving.problems import ALWAYS, responses
from ..serving.refusals import InvalidQuestion
from ..serving.served_gallery import ServedGallery
from ..serving.service import Service
from .bodies import MAX_PARTS, photo_body, photos
from .json_bodies import in_turn
from .opened import InGallery, Opened, PhotoId, looking

routes = APIRouter(
    prefix="/v1/galleries/{gallery}/photos", tags=["photos"], responses=responses(*ALWAYS, 404, 409)
)


FieldName = Annotated[str, StringConstraints(pattern=r"^[^\W_]\w{0,199}$")]


class Facts(Asked):
    """What the sender says of a photo. What is left out is taken from the file's EXIF."""

    name: Annotated[str, Field(max_length=500)] | None = None
    """Under which the gallery knows it; the same name again replaces it. By default its bytes name it."""
    lon: Lon | None = None
    lat: Lat | None = None
    captured_at: datetime | None = None
    group: Annotated[str, Field(max_length=500)] | None = None
    payload: dict[FieldName, str | int | float | bool] = Field(default_factory=dict, max_length=64)


_MANY_FACTS = TypeAdapter(list[Facts])


@routes.get("", response_model=PhotosOut, dependencies=[Depends(reader), looking])
async def list_photos(
    service: Opened,
    gallery: InGallery,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[
        str | None,
        Query(
            pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
            description="next_after of the page before",
        ),
    ] = None,
) -> Any:
    """The photos of a gallery, page by page."""
    found = await service.in_store(gallery.photos, limit, after)
    shown = [PhotoOut(**gallery.shown_photo(photo)) for photo in found]
    return PhotosOut(photos=shown, next_after=found[-1].id if len(found) == limit else None)


@routes.post("", response_model=UpsertOut, dependencies=[Depends(writer)],
             openapi_extra=photo_body(several=True, facts=True), responses=responses(415, 507))  # fmt: skip
async def add_photos(
    request: Request,
    service: Opened,
    gallery: InGallery,
    name: Annotated[str | None, Query(max_length=500)] = None,
    lon: Annotated[Lon | None, Query()] = None,
    lat: Annotated[Lat | None, Query()] = None,
    captured_at: datetime | None = None,
    group: Annotated[str | None, Query(max_length=500)] = None,
    payload: Annotated[
        str | None, Query(max_length=10_000, description="A JSON object of plain values")
    ] = None,
) -> Any:
    """Add the photo in the body, or up to 64 in multipart parts named ``images``.

    Sending a photo again does nothing, or brings what is said of it up to date. The gallery keeps
    embedding, place, time and payload; the picture itself is kept nowhere.
    """
    sent = await photos(request, most=MAX_PARTS)
    async with service.admitted("embed"):
        if "facts" in sent.fields:
            told = _facts_of(sent.fields["facts"], len(sent.contents))
        else:
            told = [
                _checked(
                    name=name,
                    lon=lon,
                    lat=lat,
                    captured_at=captured_at,
                    group=group,
                    payload=_payload(payload),
                )
            ] * len(sent.contents)
        names = [facts.name for facts in told if facts.name is not None]
        if len(set(names)) < len(names):
            raise InvalidQuestion("name: each photo needs a name of its own")
        made = await asyncio.gather(
            *(
                _record(service, gallery, content, facts)
                for content, facts in zip(sent.contents, told, strict=True)
            ),
            return_exceptions=True,
        )
        return await _commit(service, gallery, sent.names, made)


@routes.get("/{id}", response_model=PhotoOut, dependencies=[Depends(reader), looking])
async def photo(service: Opened, gallery: InGallery, id: PhotoId) -> Any:
    """What is known of a photo, as far as it may be told."""
    return PhotoOut(**gallery.shown_photo(await service.in_store(gallery.photo, id)))


@routes.delete("/{id}", response_model=DeletedOut, dependencies=[Depends(writer)], responses=responses(507))
async def delete_photo(service: Opened, gallery: InGallery, id: PhotoId, erase: bool = False) -> Any:
    """Take a photo out. With ``erase`` its embedding, place and payload are wiped from all files."""
    return DeletedOut(n_deleted=await service.delete(gallery, [id], is_erased=erase))


@routes.get("/{id}/thumbnail", response_class=Response, dependencies=[Depends(reader), looking], responses={
    200: {
        "description": "A small JPEG",
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
    },
})  # fmt: skip
async def thumbnail(
    service: Opened,
    gallery: InGallery,
    id: PhotoId,
    side_px: Annotated[int, Query(ge=16, le=1024, description="Of the square it fits into, pixels")] = 256,
) -> Response:
    """A small picture of a photo, upright, made of its pixels alone: nothing of its file goes out."""
    content = await service.in_files(gallery.original, id)
    picture = await service.in_files(service.decoders.thumbnail, content, side_px)
    return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})


async def _record(
    service: Service, gallery: ServedGallery, content: bytes, facts: Facts
) -> tuple[Record, bytes]:
    """A row for the ledger, and the photo itself."""
    sha256 = await in_turn(lambda: hashlib.sha256(content).hexdigest())
    pixels, found = await service.decoders.decode(content, gallery.model.preprocessing, is_patient=True)
    is_known = gallery.knows(sha256)
    embedding = None if is_known else await service.embed(gallery.model.embed_pixels, pixels, is_patient=True)
    record = _row(sha256, len(content), facts, found)
    return Record(
        **{**vars(record), "status": "seen" if is_known else "embedded", "embedding": embedding}
    ), content


def _row(sha256: str, size_bytes: int, facts: Facts, found: PhotoFacts) -> Record:
    lon, lat = (facts.lon, facts.lat) if facts.lon is not None else (found.lon, found.lat)
    payload = encode_payload(facts.payload)
    return Record(
        key=f"{UPLOADED}{facts.name if facts.name is not None else sha256}",
        status="seen",
        source=UPLOADED,
        sha256=sha256,
        size_bytes=size_bytes,
        lon=lon,
        lat=lat,
        captured_at=facts.captured_at or found.captured_at,
        heading_deg=found.heading_deg,
        width=found.width,
        height=found.height,
        group=facts.group,
        payload=payload,
        said=said_of(facts.lon, facts.lat, facts.captured_at, facts.group, payload),
    )


async def _commit(service: Service, gallery: ServedGallery, names: list[str], made: list[Any]) -> UpsertOut:
    failures = []
    for number, one in enumerate(made):
        if isinstance(one, UnreadableImage):
            if len(made) == 1:
                raise one
            metrics.INGEST_FAILURES.labels(type(one).__name__).inc()
            failures.append(PhotoFailure(name=names[number] or str(number), reason=str(one)))
        elif isinstance(one, BaseException):
            raise one
    taken = [one for one in made if not isinstance(one, BaseException)]
    if taken:
        await service.add(gallery, taken)
    embedded = {record.sha256 for record, _ in taken if record.status == "embedded"}
    return UpsertOut(
        ids=[None if isinstance(one, BaseException) else photo_id(one[0].sha256) for one in made],
        n_embedded=len(embedded),
        n_known=len(taken) - len(embedded),
        failures=failures,
    )


def _facts_of(text: str, n_photos: int) -> list[Facts]:
    try:
        told = _MANY_FACTS.validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise InvalidQuestion(f"facts: {'.'.join(map(str, fault['loc']))} {fault['msg']}") from None
    if len(told) != n_photos:
        raise InvalidQuestion(
            f"facts: {len(told)} objects for {n_photos} photos; send one for each, in their order"
        )
    for facts in told:
        _check_place(facts)
    return told


def _checked(**told: Any) -> Facts:
    try:
        facts = Facts(**told)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise InvalidQuestion(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
    _check_place(facts)
    return facts


def _check_place(facts: Facts) -> None:
    if (facts.lon is None) != (facts.lat is None):
        raise InvalidQuestion("lon and lat must be given together")


def _payload(text: str | None) -> Any:
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidQuestion(
            'payload: not JSON; send an object of plain values, such as {"city": "Tokyo"}'
        ) from None
    if not isinstance(found, dict):
        raise InvalidQuestion('payload: an object of plain values, such as {"city": "Tokyo"}')
    return found
