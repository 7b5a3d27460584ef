"""The very place of a photo, and a picture of what decided it.

The picture has an address of its own and is no part of the answer: it is asked for seldom, and costs as much
as a second look. It is made of the same question, since nothing of an answer is kept here.
"""

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from ...indexer.ranking import Ranked
from ...indexer.recognize import UNSURE
from ...indexer.recognize_walk import MOST_PHOTOS
from ...indexer.store import VECTOR
from ..match_picture import draw_match
from ..schemas.recognize import Limit, RecognizeAnswer, RecognizedPhoto, Using
from ..serving import metrics, precision
from ..serving.callers import reader
from ..serving.problems import ALWAYS, responses
from ..serving.recognizing import PlaceAnswer, PlaceQuestion, explained, recognized, recognized_walk
from ..serving.refusals import InvalidQuestion, NotOffered
from ..serving.served_gallery import ServedGallery
from ..serving.service import Service
from .bodies import photo_body, photos
from .json_bodies import in_turn
from .opened import InGallery, Opened
from .recognize_body import Sent, recognize_body, sent_photo


async def _offered(service: Opened) -> None:
    """Whoever recognizes the very place of a photo says where it was taken."""
    if not service.settings.may_geolocate:
        metrics.REFUSED.labels("precision").inc()
        raise NotOffered(
            "places of photos are not recognized here; the operator may allow it with "
            "PLACEPRINT_GEOLOCATION=true"
        )


routes = APIRouter(
    prefix="/v1/galleries/{gallery}/recognize",
    tags=["geolocation"],
    dependencies=[Depends(reader), Depends(_offered)],
    responses=responses(*ALWAYS, 404, 409, 415),
)

AskedPhoto = Annotated[Sent, Depends(sent_photo, scope="function")]

_EVERY_PHOTO = (
    "places are not told exactly here, so photos of one walk each answer for themselves, and doubt is high "
    "where a walk has several of one place"
)


@routes.post("", response_model=RecognizeAnswer, openapi_extra=recognize_body())
async def recognize(request: Request, service: Opened, gallery: InGallery, sent: AskedPhoto) -> Any:
    """Photos of the very place of the one in the body, best first, and how sure that is.

    Of photos that the source has grouped, such as frames of a walk, the most similar one answers. Where the
    second answer is nearly as near as the first, the first ones are held closely against the photo. Nothing
    of it is kept; the audit log has its hash.
    """
    async with service.admitted("recognize"):
        found = await recognized(service, gallery, _question(sent))
        await _note(request, service, gallery, [sent.content])
    return await _answered(service, gallery, found)


async def _answered(service: Service, gallery: ServedGallery, found: PlaceAnswer) -> RecognizeAnswer:
    """What may be told of it."""

    def told() -> list[RecognizedPhoto]:
        embedding = found.embedding if found.using == VECTOR else None
        ranked = [Ranked(one.photo, one.similarity, one.similarity) for one in found.recognition.found]
        shown = gallery.shown(ranked, embedding)
        return [
            RecognizedPhoto(**{**facts, "score": one.score})
            for facts, one in zip(shown, found.recognition.found, strict=True)
        ]

    recognition = found.recognition
    return RecognizeAnswer(
        neighbors=await service.in_store(told),
        using=found.using,
        doubt=recognition.doubt,
        looked_again=recognition.looked_again,
        n_looked_at=len(found.looks),
        may_look_again=found.reader is not None and service.settings.max_look_again > 0,
        missing=recognition.missing,
        notes=[] if gallery.cap == "exact" else [_EVERY_PHOTO],
    )


@routes.post("/walk", response_model=RecognizeAnswer, openapi_extra=photo_body(several=True))
async def recognize_walk(
    request: Request,
    service: Opened,
    gallery: InGallery,
    limit: Annotated[Limit, Query(description="How many answers")] = 10,
    using: Annotated[
        Using | None, Query(description="Vectors to compare; `place`, or the gallery's own, by default")
    ] = None,
) -> Any:
    """Photos of the place where a walk has come to: of its last photo, judged with those before it.

    From 2 to 64 photos in the order they were taken, in multipart parts named ``images``. They are laid along
    the walks that the gallery's source named, at constant speed, forward and backward. Where places are not
    told exactly, walks are not told either.
    """
    precision.check_exact("a walk", gallery.cap)
    sent = await photos(request, most=MOST_PHOTOS)
    if len(sent.contents) < 2:
        raise InvalidQuestion("a walk has two photos or more; of one, ask /recognize")
    async with service.admitted("recognize"):
        found = await recognized_walk(service, gallery, sent.contents, using=using, k=limit)
        await _note(request, service, gallery, sent.contents)
    return await _answered(service, gallery, found)


@routes.post("/match-map", response_class=Response, openapi_extra=recognize_body(), responses={
    200: {
        "description": "The photo and its first answer side by side, 1080 pixels wide",
        "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
    },
})  # fmt: skip
async def match_map(request: Request, service: Opened, gallery: InGallery, sent: AskedPhoto) -> Response:
    """What put the first answer to the same question ahead of the others, as a picture of both.

    On the left the photo asked about: vermilion is found better in the first answer than in the others, blue
    worse. On the right the answer: what that was found in. It is made of pixels alone, of neither file.
    """
    async with service.admitted("recognize"):
        shown, answer, match = await explained(service, gallery, _question(sent))
        await _note(request, service, gallery, [sent.content])
        picture = await service.in_files(lambda: draw_match(shown, answer, match, title=None))
    return Response(picture, media_type="image/png")


def _question(sent: Sent) -> PlaceQuestion:
    options = sent.options
    return PlaceQuestion(
        content=sent.content,
        filter=sent.filter,
        using=options.using,
        k=options.limit,
        look_again=options.look_again,
        unsure=UNSURE if options.unsure is None else options.unsure,
    )


async def _note(
    request: Request, service: Service, gallery: ServedGallery, contents: Sequence[bytes]
) -> None:
    digests = await in_turn(lambda: [hashlib.sha256(content).hexdigest() for content in contents])
    await service.in_files(
        lambda: service.audit.note(
            event="recognize",
            caller=request.state.caller,
            gallery=gallery.name,
            sha256=digests,
            precision=gallery.cap,
        )
    )
