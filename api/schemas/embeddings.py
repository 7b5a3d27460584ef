"""Embeddings: of texts, photos and places, and in the shape of OpenAI's API."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Answer, Request
from .places import Place

MAX_TEXTS = 256
MAX_LOCATIONS = 2000
MAX_IMAGES = 64


class TextsIn(Request):
    """Texts to embed."""

    texts: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(min_length=1, max_length=MAX_TEXTS)
    ]
    model: str | None = None
    """Name of an image encoder that knows texts; the first served by default."""


class LocationsIn(Request):
    """Places to embed."""

    locations: Annotated[list[Place], Field(min_length=1, max_length=MAX_LOCATIONS)]


class EmbeddingsOut(Answer):
    """Embeddings in the order asked, of unit length (those of places as their encoder gives them)."""

    model: str
    id: str
    """Fingerprint of the encoder."""
    dimension: int
    embeddings: list[list[float] | None]
    """Null where a photo could not be read; `failures` says why."""
    failures: list["EmbeddingFailure"] = Field(default_factory=list)


class EmbeddingFailure(Answer):
    """A photo of a batch that could not be embedded."""

    index: int
    reason: str


class OpenAIImage(Request):
    """A photo among the inputs."""

    image: Annotated[str, Field(min_length=8, max_length=90_000_000)]
    """Base64, with or without ``data:image/jpeg;base64,`` before it."""


class OpenAIRequest(Request):
    """A request in the shape of OpenAI's embeddings API, with photos beside texts."""

    input: (
        Annotated[str, Field(min_length=1, max_length=1_000_000)]
        | OpenAIImage
        | Annotated[
            list[Annotated[str, Field(min_length=1, max_length=90_000_000)] | OpenAIImage],
            Field(min_length=1, max_length=MAX_IMAGES),
        ]
    )
    """A text, or ``{"image": "…"}``, or a list of these. A text beginning with ``data:image/`` is a photo."""
    model: str | None = None
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    """Must be the encoder's own; others are refused."""
    user: str | None = None
    """Taken for compatibility, and not looked at."""


class OpenAIEmbedding(Answer):
    """One embedding."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str
    """Floats; or base64 of little-endian float32."""


class OpenAIUsage(Answer):
    """Counts that OpenAI's clients expect; inputs are counted, not tokens."""

    prompt_tokens: int
    total_tokens: int


class OpenAIAnswer(Answer):
    """The answer in the shape of OpenAI's embeddings API."""

    object: Literal["list"] = "list"
    data: list[OpenAIEmbedding]
    model: str
    usage: OpenAIUsage


class OpenAIModel(Answer):
    """A model, in OpenAI's shape, with what one should know of it."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "placeprint"
    fingerprint: str
    dimension: int
    takes: list[Literal["image", "text", "location"]]


class OpenAIModels(Answer):
    """The models that are served."""

    object: Literal["list"] = "list"
    data: list[OpenAIModel]
