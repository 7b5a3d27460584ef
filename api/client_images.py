"""Photos on their way to a service: from files, bytes and pictures to bodies of requests."""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from PIL.Image import Image

from ..encoders.errors import UnreadableImage

PhotoLike: TypeAlias = str | Path | bytes | Image
"""A file, its bytes, or a picture of Pillow's."""

BATCH = 16
"""Photos in one request: a service on two cores answers these within seconds."""

_PART_BYTES = 300  # what multipart adds to each photo, and more
_SIGNATURES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"RIFF": "image/webp"}
_One = TypeVar("_One")


def content_of(photo: PhotoLike) -> bytes:
    """The bytes of a photo's file. A picture of Pillow's becomes a PNG, so that nothing is lost.

    Raises:
        UnreadableImage: the file cannot be read, or this is no photo at all.
    """
    if isinstance(photo, bytes):
        return photo
    if isinstance(photo, str | Path):
        try:
            return Path(photo).read_bytes()
        except OSError as error:
            raise UnreadableImage(f"{photo}: {error.strerror}") from None
    if not isinstance(photo, Image):
        raise UnreadableImage(
            f"a photo is a path, bytes or a picture of Pillow's, not {type(photo).__name__}"
        )
    file = io.BytesIO()
    picture = photo if photo.mode in ("RGB", "RGBA", "L") else photo.convert("RGB")
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def name_of(photo: object, number: int) -> str:
    """What to call a photo in a message."""
    return str(photo) if isinstance(photo, str | Path) else f"photo {number}"


def media_type(content: bytes) -> str:
    """The kind of a photo by its first bytes. What it really is, the service finds out."""
    known = [kind for signature, kind in _SIGNATURES.items() if content.startswith(signature)]
    return known[0] if known else "image/unknown"


def as_base64(content: bytes) -> str:
    """A photo as it goes in JSON."""
    return base64.b64encode(content).decode()


def photo_body(content: bytes) -> dict[str, Any]:
    """A photo as it goes alone."""
    return {"content": content, "headers": {"Content-Type": media_type(content)}}


def photos_body(photo: PhotoLike | Sequence[PhotoLike]) -> dict[str, Any]:
    """A request that sends a photo, or several that show one place."""
    several: list[Any] = list(photo) if isinstance(photo, list | tuple) else [photo]
    contents = [content_of(one) for one in several]
    return photo_body(contents[0]) if len(contents) == 1 else {"files": [as_part(one) for one in contents]}


def as_part(content: bytes, name: str = "photo") -> tuple[str, tuple[str, bytes, str]]:
    """A photo as it goes in a multipart body."""
    return "images", (name, content, media_type(content))


def batches(photos: Iterable[tuple[_One, bytes]], max_bytes: int) -> Iterator[list[tuple[_One, bytes]]]:
    """Photos, each with what belongs to it, in batches that fit into one request."""
    batch: list[tuple[_One, bytes]] = []
    n_bytes = 0
    for one, content in photos:
        size = len(content) + _PART_BYTES
        if batch and (len(batch) == BATCH or n_bytes + size > max_bytes):
            yield batch
            batch, n_bytes = [], 0
        batch.append((one, content))
        n_bytes += size
    if batch:
        yield batch
