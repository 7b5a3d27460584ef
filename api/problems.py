"""Errors as answers: RFC 9457 problems, from one table; and the door that every request passes.

The message of an error goes out only where it speaks of the request. Whatever else fails is named by
its status alone, and what happened stands in the log.
"""

import logging
import time
import traceback
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..encoders.demonstration import UnknownWords
from ..encoders.errors import (
    FingerprintMismatch,
    InvalidCoordinate,
    InvalidFilter,
    NoTextTower,
    NothingToLocateWith,
    PlaceprintError,
    UnreadableImage,
)
from .precision import TooPrecise
from .service_settings import is_loopback

log = logging.getLogger("placeprint.service")


class UnsupportedBody(PlaceprintError):
    """A body that is declared to be no picture."""


class BodyTooLarge(PlaceprintError):
    """A body over the operator's limit."""


class InvalidQuestion(PlaceprintError):
    """A request that asks for nothing, or whose parameters have no meaning."""


class ForeignHost(PlaceprintError):
    """A request under a host name that is not this machine's."""


class Busy(PlaceprintError):
    """More requests than the service holds at a time."""


class NotReady(PlaceprintError):
    """Store or model do not answer."""


STATUS: dict[type[PlaceprintError], int] = {
    BodyTooLarge: 413,
    Busy: 503,
    FingerprintMismatch: 409,
    ForeignHost: 421,
    InvalidCoordinate: 422,
    InvalidFilter: 422,
    InvalidQuestion: 422,
    NoTextTower: 422,
    NotReady: 503,
    NothingToLocateWith: 409,
    TooPrecise: 403,
    UnknownWords: 422,
    UnreadableImage: 422,
    UnsupportedBody: 415,
}
"""What is not in this table is a fault of the service: 500, without a word of what happened."""

MEDIA_TYPE = "application/problem+json"

RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem, RFC 9457",
        "content": {
            MEDIA_TYPE: {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                        "instance": {"type": "string"},
                        "errors": {"type": "array", "items": {"type": "object"}},
                    },
                }
            }
        },
    }
}
"""How problems are described in the OpenAPI document of every route."""


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
    content = {name: value for name, value in body.items() if value is not None}
    return JSONResponse(content, status, headers, MEDIA_TYPE)


def problem_of(error: PlaceprintError, request: Request) -> JSONResponse:
    """The problem that an error of ours is to the one who asked."""
    listed = [known for known in type(error).__mro__ if known in STATUS]
    if not listed:
        return problem(500, instance=request.url.path)
    return problem(
        STATUS[listed[0]],
        kind=f"urn:placeprint:{listed[0].__name__}",
        detail=str(error),
        instance=request.url.path,
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Let every error that a route raises come out as a problem."""

    @app.exception_handler(PlaceprintError)
    async def _ours(request: Request, error: PlaceprintError) -> JSONResponse:
        return problem_of(error, request)

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
        faults = [{"loc": list(fault["loc"]), "msg": fault["msg"]} for fault in error.errors()]
        detail = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in faults)
        return problem(422, instance=request.url.path, detail=detail, errors=faults)


class Door:
    """What every request passes first and last: the host it names, the log, and faults of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log method, route, status and time of what becomes of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request, status, start = Request(scope), 500, time.perf_counter()

        async def noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if is_loopback(request.url.hostname or ""):
                await self._app(scope, receive, noting_status)
            else:
                foreign = ForeignHost("this service answers to localhost and loopback addresses only")
                await problem_of(foreign, request)(scope, receive, noting_status)
        except Exception as error:
            log_fault(error)
            await problem(500, instance=request.url.path)(scope, receive, noting_status)
        finally:
            # The route as it is declared: an address that was asked for may hold anything.
            route = getattr(scope.get("route"), "path", "-")
            log.info("%s %s %d %.0f ms", request.method, route, status, 1e3 * (time.perf_counter() - start))


def log_fault(error: Exception) -> None:
    """Where something went wrong, without its message, which may quote the question."""
    stack = "".join(traceback.format_tb(error.__traceback__, limit=-8))  # above are the frameworks'
    log.error("%s at\n%s", type(error).__name__, stack)
