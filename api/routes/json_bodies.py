"""JSON in the body of a request, taken apart so that nobody else waits for it.

Python's reader of JSON holds the interpreter's lock from the first byte to the last: 20 MB of commas
stop a whole service for a second, in whatever thread they are read. So a long body is looked over
first, slice by slice in a thread that lets go of the lock between them, and refused when it holds more
values than any question has. What is left has few values, though some may be long, and pydantic's
reader goes over long texts at the speed of memory.
"""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pydantic_core
from fastapi import Request, Response
from fastapi.routing import APIRoute

from ..serving.pixels import charge
from ..serving.refusals import InvalidQuestion

AT_ONCE_BYTES = 64_000
"""Shorter bodies take under a millisecond and are read where they come in."""

MOST_VALUES = 120_000
"""A search may have eight vectors of 8,192 numbers and two polygons of 5,000 corners."""

MOST_NAMES = 6_000
"""Of fields. Each that is not known has an error of its own; 2,000 places have 4,000."""

MOST_OUTSIDE = 4_000_000
"""Bytes beside the texts: numbers, and the space around them."""

MOST_SLOW = 1_000_000
"""Bytes of texts that are no plain ASCII, or begin an escape. A photo in base64 has none of these, or as
some write it one before each slash, and 256 texts of 1,000 characters have fewer."""

SLICE = 16_384
DECODED_AT_ONCE = 256 * 1024  # a multiple of four, so that each slice of base64 stands alone

_DATA_URI = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.ASCII)
_OTHER = bytes(set(range(256)) - set(b",[{:"))
_SLOW = bytes({*b"\\", *range(128, 256)})
_thread = ThreadPoolExecutor(1, thread_name_prefix="bodies")
Answer = TypeVar("Answer")


async def in_turn(function: Callable[..., Answer], *args: Any) -> Answer:
    """Call what goes over a long body, one at a time and beside the event loop.

    One at a time, since each of several would ask for the interpreter's lock before the loop does.
    """
    return await asyncio.get_running_loop().run_in_executor(_thread, function, *args)


class JsonRoute(APIRoute):
    """A route whose JSON body is read beside the event loop when it is long."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """FastAPI's handler, given a request that reads its body so."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handler(request: Request) -> Response:
            request = _JsonRequest(request.scope, request.receive)
            if "json" in request.headers.get("content-type", ""):
                # Here and not in `json`, which FastAPI calls: it takes every error for one of the syntax.
                await request.look_over()
            return await handle(request)

        return handler


class _JsonRequest(Request):
    async def look_over(self) -> None:
        """See that the body holds no more than a question may.

        Raises:
            InvalidQuestion: it does.
        """
        body = await self.body()
        if len(body) > AT_ONCE_BYTES:
            await in_turn(check_count, body)

    async def json(self) -> Any:
        """What the body says."""
        body = await self.body()
        if len(body) <= AT_ONCE_BYTES:
            return await super().json()
        if not hasattr(self, "_json"):
            self._json = await in_turn(_read, body)
        return self._json


def check_count(body: bytes) -> None:
    """See that a JSON text does not hold more values, names of fields or escapes than a question may.

    Commas and the like within texts do not count. What is no JSON is counted somehow.

    Raises:
        InvalidQuestion: it holds more.
    """
    n_values = n_names = n_outside = n_slow = 0
    is_text, half = False, b""
    for start in range(0, len(body), SLICE):
        piece = body[start : start + SLICE]
        n_slow += len(piece) - len(piece.translate(None, _SLOW))
        piece = (half + piece).replace(b"\\\\", b"")
        half = b"\\" if piece.endswith(b"\\") else b""  # of an escape that the next slice ends
        parts = piece.removesuffix(b"\\").replace(b'\\"', b"").split(b'"')
        for part in parts[int(is_text) :: 2]:
            marks = part.translate(None, _OTHER)
            n_outside += len(part)
            n_names += marks.count(b":")
            n_values += len(marks)
        is_text ^= len(parts) % 2 == 0
        if n_values > MOST_VALUES or n_names > MOST_NAMES or n_outside > MOST_OUTSIDE or n_slow > MOST_SLOW:
            raise InvalidQuestion(
                f"the body: more than {MOST_VALUES:,} values, {MOST_NAMES:,} names of fields, "
                f"{MOST_OUTSIDE / 1e6:g} MB of numbers, or {MOST_SLOW:,} escapes; no question needs so many. "
                "Ask in several requests"
            )


def _read(body: bytes) -> Any:
    try:
        return pydantic_core.from_json(body)
    except ValueError as error:
        raise json.JSONDecodeError(str(error), "", 0) from None


def photo_of_base64(text: str) -> bytes:
    """The photo that a text is, in base64, with or without ``data:image/…;base64,`` before it.

    Raises:
        InvalidQuestion: it is none.
        BodyTooLarge, TooManyRequests: see `charge`.
    """
    content = _decoded(text)
    charge(content)
    return content


async def sent_in_base64(text: str) -> bytes:
    """The same beside the event loop, for texts of any length.

    Raises:
        InvalidQuestion, BodyTooLarge, TooManyRequests: as above.
    """
    content = _decoded(text) if len(text) <= AT_ONCE_BYTES else await in_turn(_decoded, text)
    charge(content)
    return content


def _decoded(text: str) -> bytes:
    prefix = _DATA_URI.match(text[:100])
    start = 0 if prefix is None else prefix.end()
    decoded = bytearray()
    try:
        for at in range(start, len(text), DECODED_AT_ONCE):
            piece = text[at : at + DECODED_AT_ONCE]
            found = base64.b64decode(piece, validate=True)
            if at + DECODED_AT_ONCE < len(text) and len(found) != len(piece) // 4 * 3:
                raise ValueError  # it ends in its midst
            decoded += found
    except (binascii.Error, ValueError):
        raise InvalidQuestion("image: not base64; send the bytes of the file in base64") from None
    return bytes(decoded)
