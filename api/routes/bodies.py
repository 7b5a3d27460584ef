"""Photos in the body of a request: one as it is, or several as multipart, never on the disk."""

from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from ..serving.pixels import charge
from ..serving.problems import responses
from ..serving.refusals import InvalidQuestion, UnsupportedBody
from .json_bodies import photo_of_base64 as photo_of_base64

MAX_PARTS = 64

_BINARY = {"type": "string", "format": "binary"}
_FACTS = {
    "type": "string",
    "description": "JSON: a list with an object for each photo, in their order, with any of name, lon, lat, "
    "captured_at, group, payload",
}


def photo_body(*, several: bool, facts: bool = False) -> dict[str, Any]:
    """What OpenAPI says of a body that holds a photo, or several."""
    content: dict[str, Any] = {
        kind: {"schema": _BINARY} for kind in ("image/jpeg", "image/png", "image/webp")
    }
    if several:
        images = {"type": "array", "minItems": 1, "maxItems": MAX_PARTS, "items": _BINARY}
        parts = {"images": images, "facts": _FACTS} if facts else {"images": images}
        form = {"type": "object", "required": ["images"], "properties": parts}
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}


PHOTO_PROBLEMS = responses(413, 415, 422)


@dataclass
class Photos:
    """The photos of a body, and what else was sent with them."""

    contents: list[bytes]
    names: list[str]
    fields: dict[str, str] = field(default_factory=dict)


async def one_photo(request: Request) -> bytes:
    """The photo that is the body.

    Raises:
        UnsupportedBody: the body is declared to be something else.
        InvalidQuestion: there is none.
        BodyTooLarge, TooManyRequests: see `charge`.
    """
    kind = _media_type(request)
    content = await request.body()
    if not content:
        raise InvalidQuestion("the body is empty; send a photo, with Content-Type: image/jpeg")
    if not kind.startswith("image/"):
        raise UnsupportedBody("the body must be a photo, with Content-Type: image/jpeg or another image/…")
    charge(content)
    return content


async def photos(request: Request, *, most: int) -> Photos:
    """The photo that is the body, or those that are its parts named ``images``.

    Raises:
        UnsupportedBody: the body is declared to be something else.
        InvalidQuestion: there is no photo, or there are too many.
        BodyTooLarge, TooManyRequests: see `charge`.
    """
    if _media_type(request) != "multipart/form-data":
        return Photos([await one_photo(request)], [""])
    parser = _InMemory(request.headers, request.stream(), max_files=most, max_fields=4, max_part_size=1 << 20)
    try:
        form = await parser.parse()
    except (MultiPartException, ValueError, KeyError, UnicodeDecodeError) as error:
        said = str(error) if isinstance(error, MultiPartException) else "it cannot be taken apart"
        raise InvalidQuestion(
            f"the multipart body: {said}; at most {most} photos, in parts named images"
        ) from None
    try:
        files = [
            part for name, part in form.multi_items() if isinstance(part, UploadFile) and name == "images"
        ]
        if not files:
            raise InvalidQuestion("no photo was sent; send each as a file part named images")
        contents = [await file.read() for file in files]
        charge(*contents)
        texts = {name: part for name, part in form.multi_items() if isinstance(part, str)}
        return Photos(contents, [str(file.filename or "") for file in files], texts)
    finally:
        await form.close()


class _InMemory(MultiPartParser):
    """A parser that never writes to the disk: what was sent is kept nowhere."""

    spool_max_size = 1 << 40


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";", 1)[0].strip().lower()
