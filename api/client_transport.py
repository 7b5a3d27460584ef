"""How the client speaks to a service: requests, patience, and problems as errors.

Asked to come again (429, 503), it does, no sooner than `Retry-After` says. A connection that fails
is tried anew where asking twice does no harm. Everything else is raised at once.
"""

import json
import os
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from ..encoders.errors import InvalidOption, PlaceprintError

KEY_VARIABLE = "PLACEPRINT_KEY"
MAX_WAIT_S = 60.0
"""Longest wait that a service may ask for; where it wants more, its problem is raised."""

_CONNECT_S = 5.0
_FIRST_BACKOFF_S = 0.25
_COME_AGAIN = (429, 503)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

Told = TypeVar("Told", bound=BaseModel)


class ServiceProblem(PlaceprintError):
    """The service did not do what it was asked; the message is its own word on why.

    Attributes:
        status: HTTP status.
        type: ``urn:placeprint:`` and the name of the service's error, or ``about:blank``.
        title: of the status.
        detail: what is wrong, and what to do.
        errors: each field that is wrong, with `loc` and `msg`.
        retry_after_s: seconds after which to ask again, where the service says so.
    """

    def __init__(
        self,
        status: int,
        *,
        type: str = "about:blank",
        title: str = "",
        detail: str = "",
        errors: tuple[dict[str, Any], ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail or f"the service answered {status} {title}".rstrip())
        self.status, self.type, self.title, self.detail = status, type, title, detail
        self.errors, self.retry_after_s = errors, retry_after_s


class ServiceUnreachable(PlaceprintError):
    """No service answers at the address, or not as Placeprint does."""


class Transport:
    """Requests to one service. Its key is shown to the service and to nobody else.

    Args:
        url: of the service.
        key: of the operator's; by default what the environment variable PLACEPRINT_KEY holds.
        timeout_s: longest silence of the service.
        retries: how often a request is made again.
        transport: what carries the requests, for tests.

    Raises:
        InvalidOption: an address or a key that cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = 60.0,
        retries: int = 4,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = _checked_url(url)
        self._retries, self._timeout_s = retries, timeout_s
        key = os.environ.get(KEY_VARIABLE) if key is None else key
        self._http = httpx.Client(
            base_url=self.url,
            headers={"User-Agent": "placeprint", **({"Authorization": _bearer(key)} if key else {})},
            timeout=httpx.Timeout(timeout_s, connect=min(_CONNECT_S, timeout_s)),
            transport=transport,
            trust_env=httpx.URL(self.url).host not in _LOOPBACK,  # no proxy stands before one's own machine
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, kind: type[Told], method: str, path: str, **request: Any) -> Told:
        """An answer of the service as what it is, see `send`.

        Raises:
            ServiceUnreachable: what answers is no Placeprint.
        """
        response = self.send(method, path, **request)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError:
            raise ServiceUnreachable(
                f"{self.url} answers, but not as Placeprint does; is the address right, "
                "and is the service of a similar version?"
            ) from None

    def send(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: Any = None,
        may_repeat: bool = True,
        **request: Any,
    ) -> httpx.Response:
        """Make a request, again where need be.

        Args:
            method: of HTTP.
            path: below the address of the service.
            params: of the query; those that are None are left out.
            body: sent as JSON.
            may_repeat: whether to make it again when nobody knows what became of it.
            request: what httpx takes besides.

        Raises:
            ServiceProblem: the service refuses.
            ServiceUnreachable: nobody answers.
        """
        request["params"] = {name: value for name, value in (params or {}).items() if value is not None}
        if body is not None:
            request["content"] = _as_json(body)
            request["headers"] = {"Content-Type": "application/json"}
        for attempt in range(self._retries + 1):
            is_last = attempt == self._retries
            try:
                response = self._http.request(method, path, **request)
            except httpx.TimeoutException as error:
                if is_last or not isinstance(error, _NOTHING_SENT):
                    raise self._unreachable(error) from None
                wait_s = _backoff_s(attempt)
            except httpx.TransportError as error:
                if is_last or not (may_repeat or isinstance(error, _NOTHING_SENT)):
                    raise self._unreachable(error) from None
                wait_s = _backoff_s(attempt)
            else:
                if response.is_success:
                    return response
                problem = problem_of(response, self.url)
                if is_last or response.status_code not in _COME_AGAIN:
                    raise problem
                asked_s = problem.retry_after_s or 0.0
                if asked_s > MAX_WAIT_S:
                    raise problem
                # Many are sent away at one moment; they must not all come back at one moment.
                wait_s = asked_s + max(_backoff_s(attempt), 0.5 * asked_s * random.random())
            time.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _unreachable(self, error: httpx.TransportError) -> ServiceUnreachable:
        if isinstance(error, _NOTHING_SENT):
            return ServiceUnreachable(
                f"no service answers at {self.url}; start one with: placeprint serve (or correct the address)"
            )
        if isinstance(error, httpx.TimeoutException):
            return ServiceUnreachable(
                f"{self.url} did not answer within {self._timeout_s:g} s; ask for less at a time, "
                "or allow more with timeout_s"
            )
        return ServiceUnreachable(
            f"the connection to {self.url} was lost ({type(error).__name__}); is the service still running?"
        )


def problem_of(response: httpx.Response, url: str) -> ServiceProblem:
    """The error that a response is, whoever on the way made it."""
    retry_after_s = _seconds(response.headers.get("retry-after"))
    try:
        told = json.loads(response.content)
    except ValueError:
        told = None
    if not isinstance(told, dict) or "title" not in told:
        phrase = response.reason_phrase
        detail = f"{url} answered {response.status_code} {phrase}, and not as Placeprint does"
        return ServiceProblem(response.status_code, title=phrase, detail=detail, retry_after_s=retry_after_s)
    errors = told.get("errors")
    return ServiceProblem(
        response.status_code,
        type=str(told.get("type", "about:blank")),
        title=str(told["title"]),
        detail=str(told.get("detail") or ""),
        errors=tuple(errors) if isinstance(errors, list) else (),
        retry_after_s=retry_after_s,
    )


def _backoff_s(attempt: int, draw: Callable[[], float] = random.random) -> float:
    """A wait that doubles with each attempt, half of it by chance."""
    return _FIRST_BACKOFF_S * 2.0**attempt * (0.5 + 0.5 * draw())


def _seconds(retry_after: str | None) -> float | None:
    """`Retry-After`, which may be seconds or a date, in seconds from now."""
    if retry_after is None:
        return None
    try:
        if retry_after[:1].isdigit():
            return float(retry_after)
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


def _as_json(body: Any) -> bytes:
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"this cannot be sent to the service: {error}") from None


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url)
        is_address = parsed.scheme in ("http", "https") and bool(parsed.host)
    except (httpx.InvalidURL, TypeError):
        is_address = False
    if not is_address:
        raise InvalidOption("the address of a service looks like http://127.0.0.1:8000")
    if parsed.userinfo:
        raise InvalidOption("the address must hold no name or password; give the key as key=")
    return url.rstrip("/")


def _bearer(key: str) -> str:
    # What a library says of a header that it cannot send would quote it.
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise InvalidOption("the key has signs that no key has; copy it again, without quotes or line ends")
    return f"Bearer {key}"
