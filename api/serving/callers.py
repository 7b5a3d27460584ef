"""Who asks: the key that a request shows, what it covers, and how often it may come."""

import ipaddress
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from . import metrics
from .keys import KeyRing, Scope
from .pixels import BILL, Bill, PixelBudget
from .rate import RequestRate
from .refusals import KeyRequired, KeyTooNarrow
from .service_settings import ServiceSettings

_bearer = HTTPBearer(
    auto_error=False, description="A key of the operator's, made by `placeprint keys create`"
)


class Doorkeeper:
    """Lets callers in, or not.

    Args:
        settings: where the keys are, and how many requests a minute one may make.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._ring = KeyRing(settings.keys_path)
        self._is_local = settings.is_local
        self._rate = RequestRate(settings.rate_per_minute)
        self._budget = PixelBudget(settings.megapixels_per_minute)
        self._largest = int(settings.max_pixels_mp * 1e6)
        self._takes_others = not set(settings.formats) <= {"JPEG", "PNG", "WEBP"}

    @property
    def needs_key(self) -> bool:
        """Whether a key is asked for: always beyond this machine, and on it once any was made.

        That stays so when the last one is revoked; without the file of keys nobody is asked again.
        """
        return not self._is_local or self._ring.exists

    @property
    def has_keys(self) -> bool:
        """Whether there is any key."""
        return bool(self._ring.keys)

    def admit(self, given: str | None, address: str, scope: Scope) -> str:
        """Let a caller in.

        Args:
            given: the key shown.
            address: that it comes from.
            scope: what is asked for.

        Returns:
            The name of the key, "" without one.

        Raises:
            KeyRequired: there is none, or it is not known.
            KeyTooNarrow: it does not cover the scope.
            TooManyRequests: more than the rate allows.
        """
        key = self._ring.find(given) if given else None
        if key is None and self.needs_key:
            self._rate.take(counted_as(None, address))
            metrics.REFUSED.labels("key").inc()
            what = "this key is not known" if given else "a key is needed"
            raise KeyRequired(
                f"{what}; send the header Authorization: Bearer KEY with one of the operator's keys"
            )
        self._rate.take(counted_as(key.name if key else None, address))
        if key is not None and not key.may(scope):
            metrics.REFUSED.labels("key").inc()
            raise KeyTooNarrow(f"the key {key.name!r} is for {key.scope}; this needs one for {scope}")
        return key.name if key else ""

    def bill(self, name: str, address: str) -> Bill:
        """To which the pixels of a request that was let in are counted.

        Args:
            name: of its key, "" without one.
            address: that it comes from.
        """
        return Bill(counted_as(name or None, address), self._budget, self._largest, self._takes_others)

    def knows(self, authorization: str) -> bool:
        """Whether a header shows a key, or none is needed; before a body is read."""
        kind, _, given = authorization.partition(" ")
        return not self.needs_key or (kind.lower() == "bearer" and self._ring.find(given.strip()) is not None)

    def refuse(self, address: str) -> None:
        """Turn away who has no key.

        Raises:
            KeyRequired: always, unless it comes too often.
            TooManyRequests: then.
        """
        self.admit(None, address, "read")


def counted_as(key: str | None, address: str) -> str:
    """Under which name a caller is counted: its key, or else the network that its address is one of.

    Of IPv6 that is a /64, of which anyone with a line has 2⁶⁴ addresses; an IPv4 address is itself, also
    when it is written as IPv6, as a socket that listens for both gives it (``::ffff:192.0.2.1``).
    """
    if key is not None:
        return f"key {key}"
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])  # after the % is the card it came in by
    except ValueError:
        return f"address {address}"
    if isinstance(ip, ipaddress.IPv6Address):
        mapped = ip.ipv4_mapped
        return f"address {mapped or ipaddress.ip_network((ip, 64), strict=False)}"
    return f"address {ip}"


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def reader(request: Request, shown: Credentials) -> str:
    """A caller who may ask."""
    return _admit(request, shown, "read")


async def writer(request: Request, shown: Credentials) -> str:
    """A caller who may add and take away photos."""
    return _admit(request, shown, "write")


async def admin(request: Request, shown: Credentials) -> str:
    """A caller who may do everything."""
    return _admit(request, shown, "admin")


def _admit(request: Request, shown: Credentials, scope: Scope) -> str:
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    address = request.client.host if request.client else "-"
    caller = doorkeeper.admit(shown.credentials if shown else None, address, scope)
    request.state.caller = caller
    BILL.set(doorkeeper.bill(caller, address))
    return caller
