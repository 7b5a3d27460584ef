"""A photo whose place is looked for, as it is sent: in the body with options in the address, or in JSON."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from ...indexer.filters import Filter
from ..schemas.recognize import Limit, LookAgain, RecognizeOptions, RecognizeRequest, Unsure, Using
from ..serving import precision
from ..serving.refusals import InvalidQuestion
from .bodies import photo_body, photos
from .json_bodies import AT_ONCE_BYTES, check_count, in_turn, sent_in_base64
from .opened import InGallery, Opened
from .search import checked_filter, circle_of, conditions


def recognize_body() -> dict[str, Any]:
    """What OpenAPI says of the body: a photo, a form with one, or JSON."""
    body = photo_body(several=True)
    content = body["requestBody"]["content"]
    content["multipart/form-data"]["schema"]["properties"]["images"]["maxItems"] = 1
    schema = RecognizeRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)  # all of them stand in the document, for searches take the same filter
    content["application/json"] = {"schema": schema}
    return body


@dataclass(frozen=True)
class Sent:
    """What was sent: the photo, how its place is looked for, and which photos may answer."""

    content: bytes
    options: RecognizeOptions
    filter: Filter


async def sent_photo(
    request: Request,
    service: Opened,
    gallery: InGallery,
    limit: Annotated[Limit, Query(description="How many answers")] = 10,
    look_again: Annotated[
        LookAgain | None, Query(description="At so many of the first where they are unsure; 0 for none")
    ] = None,
    unsure: Annotated[
        Unsure | None, Query(description="The doubt from which they are, 0.97 by default; 0 for always")
    ] = None,
    using: Annotated[
        Using | None, Query(description="Vectors to compare; `place`, or the gallery's own, by default")
    ] = None,
    near: Annotated[str | None, Query(max_length=100, description="lon,lat in degrees")] = None,
    radius_km: Annotated[float, Query(gt=0.0, le=20_020.0)] = 25.0,
    where: Annotated[
        list[str] | None, Query(description="name=value, or name=one,other; several times for several fields")
    ] = None,
) -> Sent:
    """The photo of a request, its options, and its filter as far as it may be asked.

    Raises:
        InvalidQuestion: options of both kinds, or no photo.
        TooPrecise: a filter that would tell more than an answer may.
        others: see `photos`.
    """
    if "json" in request.headers.get("content-type", ""):
        if request.query_params:
            raise InvalidQuestion("with a body of JSON the options stand there, and none in the address")
        asked = await _read(request)
        filter = await checked_filter(service, gallery, asked.filter)
        return Sent(await sent_in_base64(asked.image), asked, filter)
    options = RecognizeOptions(limit=limit, look_again=look_again, unsure=unsure, using=using)
    filter = Filter(within=circle_of(near, radius_km), where=conditions(where or []))
    precision.check_filter(filter, gallery.cap)
    sent = await photos(request, most=1)
    return Sent(sent.contents[0], options, filter)


async def _read(request: Request) -> RecognizeRequest:
    body = await request.body()
    if len(body) > AT_ONCE_BYTES:
        await in_turn(check_count, body)
    try:
        return await in_turn(RecognizeRequest.model_validate_json, body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in faults]) from None
