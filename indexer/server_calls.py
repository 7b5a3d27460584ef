"""Requests to a Qdrant server, repeated while it fails or cannot be reached.

Every request of ours may arrive twice: points are written under ids that do not change, and what is taken
away is gone.
"""

import random
import re
import time
from collections.abc import Callable
from typing import Any

import httpx

from ..encoders.errors import InvalidFilter
from .server_options import ServerOptions
from .store import StoreUnavailable

FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0


class ServerCalls:
    """A client, and the patience to call it.

    Args:
        client: a ``QdrantClient``.
        options: of the server.
        sleep: waits so many seconds.
    """

    def __init__(
        self, client: Any, options: ServerOptions, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.client = client
        self._options = options
        self._sleep = sleep

    def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        """Call a method of the client.

        Raises:
            InvalidFilter: it asks for a field that no photo has.
            StoreUnavailable: the server fails, refuses, or cannot be reached.
        """
        for attempt in range(self._options.retries + 1):
            try:
                return getattr(self.client, name)(*args, **options)
            except Exception as error:  # the client's own classes, and those of its transport
                passing_s = _passing_s(error, attempt)
                if passing_s is None:
                    raise _explained(error, self._options.url) from error
                if attempt == self._options.retries:
                    raise _unreachable(error, self._options.url) from error
                self._sleep(passing_s)
        raise AssertionError("a loop of at least one attempt")


def _passing_s(error: Exception, attempt: int) -> float | None:
    """How long to wait before the next attempt; None where it would fail again."""
    backoff_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0**attempt) * random.uniform(0.5, 1.0)
    told_s = getattr(error, "retry_after_s", None)
    if told_s is not None:  # too many requests
        return max(backoff_s, min(float(told_s), LONGEST_WAIT_S))
    is_lost = isinstance(getattr(error, "source", error), httpx.TransportError | OSError)
    status: int = getattr(error, "status_code", None) or 0
    return backoff_s if is_lost or status >= 500 or status in (408, 429) else None


def _said(error: Exception) -> str:
    content = getattr(error, "content", b"") or b""
    return content.decode(errors="replace") if isinstance(content, bytes) else str(content)


def _explained(error: Exception, url: str) -> Exception:
    """A refusal in our words; what is no refusal stays what it is."""
    status = getattr(error, "status_code", None)
    if status is None:
        return error
    said = _said(error)
    if status == 400 and re.search(r"index", said, re.IGNORECASE):
        field = re.search(r'for \\*"([\w.]+)', said)
        name = f"{field[1]}: " if field else ""
        return InvalidFilter(f"{name}no photo of the gallery has a field of that name that can be asked for")
    if status in (401, 403):
        return StoreUnavailable(
            f"the Qdrant server at {url} refuses the key; set PLACEPRINT_QDRANT_API_KEY, or "
            "PLACEPRINT_QDRANT_READ_API_KEY for those who only read"
        )
    return StoreUnavailable(f"the Qdrant server at {url} refuses ({status}): {said[:300]}")


def _unreachable(error: Exception, url: str) -> StoreUnavailable:
    status = getattr(error, "status_code", None)
    said = f"answers {status}: {_said(error)[:300]}" if status else f"does not answer ({error})"
    return StoreUnavailable(
        f"the Qdrant server at {url} {said}. Start it or mend it and try again; what is in the ledger is safe"
    )
