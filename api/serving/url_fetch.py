"""Photos fetched for a caller, from hosts that the operator has named. Nothing else is ever fetched.

A name is resolved once, every address it stands for must be a public one, and the connection goes to
the address that was checked: what a name server says a moment later does not matter. Redirects are not
followed.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

import httpx

from .refusals import BodyTooLarge, UrlRefused

TIMEOUT_S = 10.0

Resolve = Callable[[str, int], Awaitable[list[str]]]


async def resolve(host: str, port: int) -> list[str]:
    """The addresses that a name stands for."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


class UrlFetcher:
    """Fetches photos from some hosts.

    Args:
        hosts: that may be asked, by name.
        max_bytes: of a photo.
        resolve: from a host and a port to addresses.
        transport: how to connect; the network by default.
    """

    def __init__(
        self,
        hosts: Collection[str],
        *,
        max_bytes: int,
        resolve: Resolve = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._hosts, self._max_bytes, self._resolve = frozenset(hosts), max_bytes, resolve
        self._transport = transport

    async def fetch(self, url: str) -> bytes:
        """The bytes at an address.

        Raises:
            UrlRefused: it may not be asked, or does not answer with a picture.
            BodyTooLarge: there is too much of it.
        """
        host, port, pinned = await self._checked(url)
        headers = {
            "Host": host if port == 443 else f"{host}:{port}",
            "Accept": "image/*",
            "User-Agent": "placeprint",
        }
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpx.AsyncClient(
                    follow_redirects=False, trust_env=False, timeout=TIMEOUT_S, transport=self._transport
                ) as client,
                client.stream("GET", pinned, headers=headers, extensions={"sni_hostname": host}) as answer,
            ):
                if answer.status_code != 200:
                    raise UrlRefused(f"{host} answers with {answer.status_code}; redirects are not followed")
                if not answer.headers.get("content-type", "").lower().startswith("image/"):
                    raise UrlRefused(f"{host} answers with something that is no image")
                return await self._counted(answer)
        except (httpx.HTTPError, TimeoutError, OSError):
            raise UrlRefused(f"{host} does not answer") from None

    async def _counted(self, answer: httpx.Response) -> bytes:
        content = bytearray()
        # As it comes: what is packed is not unpacked, which could be far larger.
        async for chunk in answer.aiter_raw():
            content += chunk
            if len(content) > self._max_bytes:
                raise BodyTooLarge(f"the photo there is larger than {self._max_bytes / 1e6:g} MB")
        return bytes(content)

    async def _checked(self, url: str) -> tuple[str, int, httpx.URL]:
        """The host and port of an address, and the address with the host's number in its place."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").lower().rstrip("."), parts.port or 443
        except ValueError:
            raise UrlRefused("this is no web address") from None
        if not self._hosts:
            raise UrlRefused("no photos are fetched from elsewhere here; send the photo itself")
        if parts.scheme != "https" or port != 443 or parts.username or parts.password:
            raise UrlRefused("only addresses that begin with https:// and name a host alone are fetched")
        if host not in self._hosts:
            raise UrlRefused(f"no photos are fetched from {host[:100]!r} here (PLACEPRINT_URL_HOSTS)")
        try:
            addresses = await self._resolve(host, port)
        except OSError:
            raise UrlRefused(f"there is no host {host!r}") from None
        if not addresses or not all(is_public(address) for address in addresses):
            raise UrlRefused(f"{host!r} is not a host on the public network")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        number = f"[{addresses[0]}]" if ":" in addresses[0] else addresses[0]
        return host, port, httpx.URL(f"https://{number}{path or '/'}")


def is_public(address: str) -> bool:
    """Whether an address is one of the public network, also when it is wrapped in another."""
    try:
        number = ipaddress.ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    if isinstance(number, ipaddress.IPv6Address):
        inner = number.ipv4_mapped or number.sixtofour or (number.teredo[1] if number.teredo else None)
        if inner is not None and not inner.is_global:
            return False
        if number in ipaddress.ip_network("64:ff9b::/96"):  # NAT64: the last 32 bits are the address
            return is_public(str(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)))
    return number.is_global and not number.is_multicast
