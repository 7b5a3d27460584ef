"""Embeddings of photos, texts and places."""

import asyncio
import base64
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Query, Request

from ...encoders.errors import UnreadableImage
from ..schemas.embeddings import (
    MAX_IMAGES,
    EmbeddingFailure,
    EmbeddingsOut,
    LocationsIn,
    OpenAIAnswer,
    OpenAIEmbedding,
    OpenAIImage,
    OpenAIModel,
    OpenAIModels,
    OpenAIRequest,
    OpenAIUsage,
    TextsIn,
)
from ..serving.callers import reader
from ..serving.models import ServedModel
from ..serving.problems import ALWAYS, responses
from ..serving.refusals import InvalidQuestion
from ..serving.service import Service
from .bodies import photo_body, photos
from .json_bodies import JsonRoute, sent_in_base64
from .opened import Opened

routes = APIRouter(
    prefix="/v1",
    tags=["embeddings"],
    dependencies=[Depends(reader)],
    responses=responses(*ALWAYS, 404, 409, 415),
    route_class=JsonRoute,
)
ModelName = Annotated[
    str | None, Query(max_length=200, description="An image encoder of GET /v1/models; the first by default")
]


@routes.get("/models", response_model=OpenAIModels)
async def models(service: Opened) -> Any:
    """The encoders that are served: those of photos, and that of places."""
    places = await service.in_locator(service.location_encoder)
    served = [
        OpenAIModel(
            id=model.name,
            fingerprint=model.fingerprint.id,
            dimension=model.fingerprint.dimension,
            takes=["image", "text"] if model.takes_text else ["image"],
        )
        for model in service.models
    ]
    of_places = OpenAIModel(
        id=places.name, fingerprint=places.fingerprint, dimension=places.dimension, takes=["location"]
    )
    return OpenAIModels(data=[*served, of_places])


@routes.post("/embed/images", response_model=EmbeddingsOut, openapi_extra=photo_body(several=True))
async def embed_images(request: Request, service: Opened, model: ModelName = None) -> Any:
    """Embed the photo in the body, or up to 64 in multipart parts named ``images``.

    A photo of several that cannot be read has no embedding, and the others have theirs; one alone
    that cannot be read is a problem.
    """
    chosen = service.models.get(model)
    sent = await photos(request, most=MAX_IMAGES)
    async with service.admitted("embed"):
        found = await _embedded(service, chosen, sent.contents)
    return _answer(chosen, found)


@routes.post("/embed/texts", response_model=EmbeddingsOut)
async def embed_texts(asked: TextsIn, service: Opened) -> Any:
    """Embed texts into the space of a model's photos."""
    chosen = service.models.get(asked.model)
    async with service.admitted("embed"):
        found = await asyncio.gather(
            *(service.embed(chosen.embed_texts, text, is_patient=True) for text in asked.texts)
        )
    return _answer(chosen, found)


@routes.post("/embed/locations", response_model=EmbeddingsOut)
async def embed_locations(asked: LocationsIn, service: Opened) -> Any:
    """Embed places, for classifiers of your own: what ships as ``placeprint-location-v1``."""
    lonlat = np.array([(place.lon, place.lat) for place in asked.locations])
    async with service.admitted("embed"):
        encoder = await service.in_locator(service.location_encoder)
        found = await service.in_locator(lambda: encoder.encode(lonlat))
    return EmbeddingsOut(
        model=encoder.name, id=encoder.fingerprint, dimension=encoder.dimension, embeddings=found.tolist()
    )


@routes.post("/embeddings", response_model=OpenAIAnswer)
async def openai_embeddings(asked: OpenAIRequest, service: Opened) -> Any:
    """The same in the shape of OpenAI's embeddings API, for photos and texts.

    A text that begins with ``data:image/`` is a photo.
    """
    chosen = service.models.get(asked.model)
    if asked.dimensions not in (None, chosen.fingerprint.dimension):
        raise InvalidQuestion(f"dimensions: {chosen.name} has {chosen.fingerprint.dimension}, and no others")
    inputs = asked.input if isinstance(asked.input, list) else [asked.input]
    async with service.admitted("embed"):
        found = await asyncio.gather(*(_embedded_input(service, chosen, one) for one in inputs))
    data = [
        OpenAIEmbedding(index=index, embedding=_encoded(embedding, asked.encoding_format))
        for index, embedding in enumerate(found)
    ]
    usage = OpenAIUsage(prompt_tokens=len(inputs), total_tokens=len(inputs))
    return OpenAIAnswer(data=data, model=chosen.name, usage=usage)


async def _embedded_input(service: Service, model: ServedModel, one: str | OpenAIImage) -> Any:
    if isinstance(one, OpenAIImage) or one.startswith("data:image/"):
        content = await sent_in_base64(one.image if isinstance(one, OpenAIImage) else one)
        return await service.embed_photo(content, model, is_patient=True)
    if len(one) > 10_000:
        raise InvalidQuestion("input: a text of more than 10,000 characters; a photo begins with data:image/")
    return await service.embed(model.embed_texts, one, is_patient=True)


def _encoded(embedding: Any, encoding_format: str) -> list[float] | str:
    if encoding_format == "base64":
        return base64.b64encode(np.asarray(embedding, "<f4").tobytes()).decode()
    return embedding.tolist()  # type: ignore[no-any-return]


async def _embedded(service: Service, model: ServedModel, contents: list[bytes]) -> list[Any]:
    """Embeddings, or for photos of several that cannot be read the reason."""
    found = await asyncio.gather(
        *(service.embed_photo(content, model, is_patient=True) for content in contents),
        return_exceptions=len(contents) > 1,
    )
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, UnreadableImage):
            raise one
    return found


def _answer(model: ServedModel, found: list[Any]) -> EmbeddingsOut:
    failures = [
        EmbeddingFailure(index=index, reason=str(one))
        for index, one in enumerate(found)
        if isinstance(one, UnreadableImage)
    ]
    return EmbeddingsOut(
        model=model.name,
        id=model.fingerprint.id,
        dimension=model.fingerprint.dimension,
        embeddings=[None if isinstance(one, UnreadableImage) else one.tolist() for one in found],
        failures=failures,
    )
