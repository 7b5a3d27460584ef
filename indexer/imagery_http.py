"""Requests to the servers of a provider of pictures: few, slow, to known hosts alone, and never forever.

- Between two requests there is a pause. Told to come again (429, 5xx), a request waits no less than
  `Retry-After`, and each time longer, with a part by chance.
- Only hosts that the provider is known by are asked, over https, also after a redirect and for
  addresses that an answer names; http is for servers on this machine. A header with a key goes to
  no other host than the one it was meant for.
- An answer has a largest size and a last moment, however slowly it drips in.
- No message and no log line holds the query of an address, where some providers want their key.
"""

import ipaddress
import json
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from .. import __version__
from ..encoders.errors import ImageryRefused, NoImagery, PictureTooLarge

AGENT = f"placeprint/{__version__} (street-level pictures, one at a time)"
CONNECT_S = 10.0
SILENCE_S = 30.0  # of a server within an answer
WHOLE_S = 120.0  # for an answer from its first byte to its last
FIRST_BACKOFF_S = 1.0
MAX_WAIT_S = 120.0  # a server that wants a longer pause ends the run
MAX_REDIRECTS = 3
JSON_BYTES = 32 << 20
COME_AGAIN = frozenset({429, 500, 502, 503, 504})
Params = Mapping[str, str | int | float]


class PoliteClient:
    """Asks the hosts of one provider, one request at a time; close it in the end.

    Args:
        hosts: that may be asked; ``.example.org`` means all below example.org.
        pause_s: least time between the begins of two requests, seconds.
        retries: how often a request is made again.
        sleep: how to wait.
        transport: what carries the requests, for tests.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        pause_s: float,
        retries: int = 4,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._hosts, self._pause_s, self._retries, self._sleep = frozenset(hosts), pause_s, retries, sleep
        self._last = -float("inf")
        _hide_queries_from_logs()
        self._http = httpx.Client(
            follow_redirects=False,
            headers={"User-Agent": AGENT},
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
            transport=transport,
            trust_env=not any(map(is_loopback, hosts)),  # no proxy stands before one's own machine
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def json(
        self, url: str, params: Params | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Any:
        """An answer in JSON.

        Raises:
            NoImagery: none came, or something else did.
            ImageryRefused: the key is wrong, or there is no quota left.
        """
        asked = {"Accept": "application/json", **(headers or {})}
        content = self._fetched(url, params, asked, JSON_BYTES, is_about_keys=True)
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise NoImagery(f"{httpx.URL(url).host} answered with something that is no JSON") from None

    def content(self, url: str, params: Params | None = None, *, max_bytes: int) -> bytes:
        """The bytes at an address, without any header that holds a key.

        Raises:
            NoImagery: they could not be had; `PictureTooLarge` if there are more than `max_bytes`.
            ImageryRefused: there is no quota left.
        """
        # What is packed could be far larger unpacked, and pictures are packed already.
        asked = {"Accept": "image/*", "Accept-Encoding": "identity"}
        return self._fetched(url, params, asked, max_bytes, is_about_keys=False)

    def _fetched(
        self, url: str, params: Params | None, headers: dict[str, str], max_bytes: int, *, is_about_keys: bool
    ) -> bytes:
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL:
            raise NoImagery("the provider names something that is no address") from None
        attempt = 0
        while True:
            asked_s = 0.0
            try:
                status, answer, content = self._once(address, params, headers, max_bytes)
            except httpx.HTTPError as error:
                said = f"{address.host} does not answer ({type(error).__name__})"
            else:
                if status == 200:
                    return content
                said = f"{address.host} answered {status}"
                if is_about_keys and status in (401, 403):
                    raise ImageryRefused(
                        f"{said}: it does not take this key; see that it is right and allowed"
                    )
                if status not in COME_AGAIN:
                    raise NoImagery(said)
                asked_s = retry_after_s(answer.get("retry-after"))
                if asked_s > MAX_WAIT_S or (status == 429 and attempt == self._retries):
                    when = f" in {asked_s:,.0f} s" if asked_s else " later"
                    raise ImageryRefused(f"{said}, too many requests or too busy; come again{when}")
            if attempt == self._retries:
                raise NoImagery(f"{said}, {attempt + 1} times")
            # Whoever was sent away at one moment must not come back at one moment.
            self._sleep(asked_s + FIRST_BACKOFF_S * 2.0**attempt * (0.5 + 0.5 * random.random()))
            attempt += 1

    def _once(
        self, url: httpx.URL, params: Params | None, headers: dict[str, str], max_bytes: int
    ) -> tuple[int, httpx.Headers, bytes]:
        """Status, headers and body of an answer, after redirects."""
        first = current = self._checked(url.copy_merge_params(dict(params)) if params else url)
        for _ in range(MAX_REDIRECTS + 1):
            self._sleep(max(0.0, self._last + self._pause_s - time.monotonic()))
            self._last = time.monotonic()
            is_home = (current.scheme, current.host, current.port) == (first.scheme, first.host, first.port)
            sent = headers if is_home else {k: v for k, v in headers.items() if k != "Authorization"}
            with self._http.stream("GET", current, headers=sent) as answer:
                if not answer.is_redirect:
                    body = self._body(answer, max_bytes) if answer.status_code == 200 else b""
                    return answer.status_code, answer.headers, body
                try:
                    current = self._checked(current.join(answer.headers["location"]))
                except httpx.InvalidURL:
                    raise NoImagery(f"{current.host} redirects to something that is no address") from None
        raise NoImagery(f"{first.host} redirects more than {MAX_REDIRECTS} times")

    def _body(self, answer: httpx.Response, max_bytes: int) -> bytes:
        content, until = bytearray(), time.monotonic() + WHOLE_S
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > max_bytes:
                raise PictureTooLarge(f"{answer.url.host} answers with more than {max_bytes / 1e6:.3g} MB")
            if time.monotonic() > until:
                raise NoImagery(f"{answer.url.host} took longer than {WHOLE_S:g} s for one answer")
        return bytes(content)

    def _checked(self, url: httpx.URL) -> httpx.URL:
        """An address that may be asked."""
        is_known = any(
            url.host == host or (host.startswith(".") and url.host.endswith(host)) for host in self._hosts
        )
        if not is_known:
            raise NoImagery(
                f"an address at {url.host or 'no host'} is not asked: not one of the provider's hosts "
                f"({', '.join(sorted(self._hosts))})"
            )
        if url.scheme != "https" and not (url.scheme == "http" and is_loopback(url.host)):
            raise NoImagery(f"an address at {url.host} is not asked: it is not https")
        return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def retry_after_s(value: str | None) -> float:
    """`Retry-After`, seconds or a date (RFC 9110, 10.2.3), as seconds from now; 0 where it says nothing."""
    if value is None:
        return 0.0
    try:
        if value.strip().isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


class _WithoutQueries(logging.Filter):
    """Cuts the queries of addresses off log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                one.copy_with(query=None) if isinstance(one, httpx.URL) else one for one in record.args
            )
        return True


def _hide_queries_from_logs() -> None:
    """See that httpx, which logs every address, logs no key."""
    logger = logging.getLogger("httpx")
    if not any(isinstance(one, _WithoutQueries) for one in logger.filters):
        logger.addFilter(_WithoutQueries())
