"""Errors as answers: RFC 9457 problems, from one table.

The message of an error goes out only where it speaks of the request. Whatever else fails is named by
its status alone, and what happened stands in the log.
"""

import errno
import logging
import traceback
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from ...encoders.errors import (
    FingerprintMismatch,
    GalleryLocked,
    InvalidCoordinate,
    InvalidFilter,
    NoTextTower,
    NotFitted,
    NothingToLocateWith,
    PlaceprintError,
    ReadOnlyGallery,
    TooManyPixels,
    UnknownEncoder,
    UnknownGallery,
    UnknownWords,
    UnreadableImage,
    UnreadableSource,
    UnsupportedFormat,
    WeightsUnavailable,
)
from ...indexer.place_card import NotOfPlaces
from ...indexer.place_embedder import PlaceUnknown
from .refusals import (
    AuditUnavailable,
    BodyTooLarge,
    Busy,
    Conflict,
    DeadlinePassed,
    EncoderNotServed,
    ForeignHost,
    InvalidQuestion,
    KeyRequired,
    KeyTooNarrow,
    NotForPhotos,
    NotOffered,
    NotReady,
    SlowBody,
    TooManyRequests,
    TooPrecise,
    UnknownClassifier,
    UnknownJob,
    UnknownPhoto,
    UnsupportedBody,
    UrlRefused,
)

log = logging.getLogger("placeprint.service")


STATUS: dict[type[PlaceprintError], int] = {
    AuditUnavailable: 503,
    BodyTooLarge: 413,
    Busy: 503,
    Conflict: 409,
    DeadlinePassed: 503,
    EncoderNotServed: 409,
    FingerprintMismatch: 409,
    ForeignHost: 421,
    GalleryLocked: 409,
    InvalidCoordinate: 422,
    InvalidFilter: 422,
    InvalidQuestion: 422,
    KeyRequired: 401,
    KeyTooNarrow: 403,
    NoTextTower: 422,
    NotFitted: 503,
    NotForPhotos: 422,
    NotOfPlaces: 422,
    NotOffered: 403,
    NotReady: 503,
    NothingToLocateWith: 409,
    PlaceUnknown: 422,
    ReadOnlyGallery: 409,
    SlowBody: 408,
    TooManyPixels: 413,
    TooManyRequests: 429,
    TooPrecise: 403,
    UnknownEncoder: 404,
    UnknownGallery: 404,
    UnknownJob: 404,
    UnknownClassifier: 404,
    UnknownPhoto: 404,
    UnknownWords: 422,
    UnreadableImage: 422,
    UnreadableSource: 422,
    UnsupportedBody: 415,
    UnsupportedFormat: 415,
    UrlRefused: 422,
    WeightsUnavailable: 409,
}
"""What is not in this table is a fault of the service: 500, without a word of what happened."""

_SAID: dict[type[PlaceprintError], str] = {
    GalleryLocked: "another process works on this gallery; ask again when it is done",
    ReadOnlyGallery: "this gallery may be searched here, but not changed",
    WeightsUnavailable: "the weights of this model are not on the server",
}
"""What is told of errors whose own words name files of the server."""

MEDIA_TYPE = "application/problem+json"

SCHEMA = {
    "title": "Problem",
    "description": "What is wrong, and what to do about it (RFC 9457)",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "urn:placeprint: and the error's name, or about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and what to do about it"},
        "instance": {"type": "string", "description": "The path that was asked"},
        "errors": {
            "type": "array",
            "items": {"type": "object"},
            "description": "Each field that is wrong: loc and msg",
        },
    },
}
_MEANINGS = {
    400: "No HTTP request, or no JSON",
    401: "A key is needed: Authorization: Bearer KEY",
    403: "The key, or the operator, does not allow it",
    404: "There is no such thing",
    405: "There is no such verb here",
    408: "The body came too slowly",
    409: "It cannot be done as things are",
    413: "The body or the photo is too large",
    415: "A body or a photo of a kind that is not taken",
    421: "The service has another name",
    422: "What was asked has no meaning, or the photo cannot be read",
    429: "Too many requests; Retry-After says when to come again",
    500: "A fault of the service; the log says where",
    503: "Busy, or not ready; Retry-After says when to come again",
    507: "The disk of the service is full",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": _MEANINGS[status], "content": content} for status in sorted(statuses)}


ALWAYS = (400, 401, 403, 405, 408, 413, 421, 422, 429, 500, 503)
"""Statuses that any route may answer with: what stands before the routes refuses so."""


def problem(
    status: int,
    *,
    kind: str = "about:blank",
    detail: str | None = None,
    instance: str | None = None,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem as a response. What is None is left out."""
    body = {
        "type": kind,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": instance,
        **more,
    }
    # The rest of a refused body may still be on its way: with the connection closed, nobody reads it.
    headers = {"Connection": "close", **(headers or {})}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    content = {name: value for name, value in body.items() if value is not None}
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def problem_of(error: PlaceprintError, request: Request) -> JSONResponse:
    """The problem that an error of ours is to the one who asked."""
    listed = [known for known in type(error).__mro__ if known in STATUS]
    if not listed:
        log_fault(error)
        return problem(500, instance=request.url.path)
    retry = {"Retry-After": str(error.retry_after_s)} if isinstance(error, TooManyRequests) else None
    return problem(
        STATUS[listed[0]],
        kind=f"urn:placeprint:{listed[0].__name__}",
        detail=_SAID.get(listed[0], str(error)),
        instance=request.url.path,
        headers=retry,
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error that a route raises come out as a problem."""

    @app.exception_handler(PlaceprintError)
    async def _ours(request: Request, error: PlaceprintError) -> JSONResponse:
        return problem_of(error, request)

    @app.exception_handler(OSError)
    async def _disk(request: Request, error: OSError) -> JSONResponse:
        log_fault(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            detail = "the disk is full; nothing was lost, and nothing can be added until there is room"
            return problem(507, instance=request.url.path, detail=detail)
        return problem(500, instance=request.url.path)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return problem(
            error.status_code,
            instance=request.url.path,
            headers=dict(error.headers or {}),
            detail=error.detail,
        )

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        # What was sent is not sent back: it may be anything, and long.
        faults = [
            {"loc": list(fault["loc"]), "msg": fault["msg"].removeprefix("Value error, ")}
            for fault in error.errors()[:20]
        ]
        detail = "; ".join(f"{'.'.join(map(str, fault['loc'][1:]))}: {fault['msg']}" for fault in faults)
        return problem(422, instance=request.url.path, detail=detail, errors=faults)


def log_fault(error: BaseException) -> None:
    """Where something went wrong, without its message, which may quote the question."""
    stack = "".join(traceback.format_tb(error.__traceback__, limit=-8))  # above are the frameworks'
    log.error("%s at\n%s", type(error).__name__, stack)
