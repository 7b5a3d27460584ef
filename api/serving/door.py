"""What every request passes first and last.

The name it asks under, the size and the pace of its body, the log, the metrics, the headers that
every answer carries, and faults of ours, which come out as problems without a word of what happened.
"""

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable, Collection
from contextlib import suppress

from fastapi import Request
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...encoders.errors import PlaceprintError
from . import metrics
from .problems import log_fault, problem, problem_of
from .refusals import BodyTooLarge, Busy, ForeignHost, SlowBody
from .service_settings import is_loopback

log = logging.getLogger("placeprint.service")

GONE = 499
"""Noted for a request whose sender has gone before it was answered."""

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::\d{1,5})?")

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Of every answer that does not set them itself."""

BODY_WITHIN_S = 30.0


class Door:
    """Middleware around everything.

    Args:
        app: what comes after.
        hostnames: names beside loopback's under which the service answers.
        max_body_bytes: of one request.
        max_bytes_inside: of all requests that are being answered, together.
        body_within_s: seconds within which a body must have come; `BODY_WITHIN_S` by default.
        log_format: "text", or "json" for a line of JSON a request.
        check_key: raises what speaks against a request by its headers; then its body is not read.
        is_full: whether a request to a path would be sent away as it comes; then its body is not read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hostnames: Collection[str] = (),
        max_body_bytes: int = 20_000_000,
        max_bytes_inside: int = 400_000_000,
        body_within_s: float | None = None,
        log_format: str = "text",
        check_key: Callable[[Request], None] = lambda request: None,
        is_full: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self._app = app
        self._hostnames = frozenset(hostnames)
        self._max_body_bytes = max_body_bytes
        self._body_within_s = BODY_WITHIN_S if body_within_s is None else body_within_s
        self._inside = _Inside(max_bytes_inside)
        self._log_format, self._check_key, self._is_full = log_format, check_key, is_full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and log method, route, status and time of what becomes of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request, status, start = Request(scope), 0, time.perf_counter()
        body = _Body(receive, self._max_body_bytes, self._body_within_s, self._inside)

        async def noting(message: Message) -> None:
            nonlocal status
            if body.refusal is not None and status == 0:
                return  # whatever the route made of it: the refusal is the answer
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            if not self._is_ours(request):
                foreign = ForeignHost("this service does not answer under that name (PLACEPRINT_HOSTNAMES)")
                await problem_of(foreign, request)(scope, receive, noting)
            elif (refused := self._refused(request)) is not None:
                await problem_of(refused, request)(scope, receive, noting)
            elif request.method == "POST" and self._is_full(request.url.path):
                metrics.REFUSED.labels("busy").inc()
                busy = Busy("as many such questions as fit are being answered; ask again in a moment")
                await problem_of(busy, request)(scope, receive, noting)
            elif not body.refuses(request.headers.get("content-length", "0")):
                await self._app(scope, body.receive, noting)
        except ClientDisconnect:
            status = GONE  # nobody is there any more to be answered
        except Exception as error:
            if body.refusal is None:
                log_fault(error)
                if status == 0:  # nothing has gone out yet
                    await problem(500, instance=request.url.path)(scope, receive, noting)
        finally:
            if (refusal := body.refusal) is not None and status == 0:
                body.refusal = None
                with suppress(Exception):  # whoever sends too much may be gone
                    await problem_of(refusal, request)(scope, receive, noting)
            body.let_go()
            self._note(request, scope, status, time.perf_counter() - start)

    def _is_ours(self, request: Request) -> bool:
        named = _HOST.fullmatch(request.headers.get("host", "").lower())
        host = named[1].rstrip(".") if named else ""
        return is_loopback(host) or host in self._hostnames

    def _refused(self, request: Request) -> PlaceprintError | None:
        try:
            self._check_key(request)
        except PlaceprintError as error:
            return error
        return None

    def _note(self, request: Request, scope: Scope, status: int, seconds: float) -> None:
        # The route as it is declared: an address that was asked for may hold anything.
        route = getattr(scope.get("route"), "path", "-")
        method = request.method if request.method in _METHODS else "OTHER"
        metrics.REQUESTS.labels(method, route, str(status)).inc()
        metrics.REQUEST_SECONDS.labels(route).observe(seconds)
        if self._log_format == "json":
            log.info(
                json.dumps(
                    {"method": method, "route": route, "status": status, "ms": round(1e3 * seconds, 1)}
                )
            )
        else:
            log.info("%s %s %d %.0f ms", method, route, status, 1e3 * seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Inside:
    """Bytes of bodies that are being held."""

    def __init__(self, most: int) -> None:
        self.most, self.n_bytes = most, 0


class _Body:
    """The body of a request, counted and timed while it comes in. Bytes over the limit are never kept.

    What is wrong with it is kept in `refusal`, since frameworks turn what `receive` raises into errors
    of their own.
    """

    def __init__(self, receive: Receive, max_bytes: int, within_s: float, inside: _Inside) -> None:
        self._receive, self._max_bytes, self._within_s, self._inside = receive, max_bytes, within_s, inside
        self._end = asyncio.get_running_loop().time() + within_s
        self._n_bytes = 0
        self._is_complete = False
        self.refusal: BodyTooLarge | SlowBody | Busy | None = None

    def refuses(self, content_length: str) -> bool:
        """Whether a body is refused for the length it declares."""
        if content_length.isdigit() and int(content_length) > self._max_bytes:
            self._refuse_size()
        return self.refusal is not None

    async def receive(self) -> Message:
        """The next message, unless the body is refused."""
        if self._is_complete:  # what comes now is the end of the connection, which has no deadline
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._end):
                message = await self._receive()
        except TimeoutError:
            metrics.REFUSED.labels("slow").inc()
            self.refusal = SlowBody(f"the body did not come within {self._within_s:g} s")
            raise self.refusal from None
        if message["type"] == "http.request":
            self._n_bytes += len(message.get("body", b""))
            self._inside.n_bytes += len(message.get("body", b""))
            self._is_complete = not message.get("more_body", False)
            if self._n_bytes > self._max_bytes:
                raise self._refuse_size()
            if self._inside.n_bytes > self._inside.most:
                metrics.REFUSED.labels("busy").inc()
                self.refusal = Busy("too much is being sent at once; send it again in a moment")
                raise self.refusal
        return message

    def let_go(self) -> None:
        """The request is answered, and what it held is not held any more."""
        self._inside.n_bytes -= self._n_bytes

    def _refuse_size(self) -> BodyTooLarge:
        metrics.REFUSED.labels("size").inc()
        limit = f"the body is larger than {self._max_bytes / 1e6:g} MB (PLACEPRINT_MAX_BODY_MB)"
        self.refusal = BodyTooLarge(limit)
        return self.refusal
