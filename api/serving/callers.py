"""Who asks: the key that a request shows, what it covers, and how often it may come."""

import time
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from . import metrics
from .keys import KeyRing, Scope
from .problems import KeyRequired, KeyTooNarrow, TooManyRequests
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
        self._rate = RateLimitItemPerMinute(settings.rate_per_minute) if settings.rate_per_minute else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

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
            self._count(f"address {address}")
            metrics.REFUSED.labels("key").inc()
            what = "this key is not known" if given else "a key is needed"
            raise KeyRequired(
                f"{what}; send the header Authorization: Bearer KEY with one of the operator's keys"
            )
        self._count(f"key {key.name}" if key else f"address {address}")
        if key is not None and not key.may(scope):
            metrics.REFUSED.labels("key").inc()
            raise KeyTooNarrow(f"the key {key.name!r} is for {key.scope}; this needs one for {scope}")
        return key.name if key else ""

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

    def _count(self, caller: str) -> None:
        if self._rate is None or self._limiter.hit(self._rate, caller):
            return
        metrics.REFUSED.labels("rate").inc()
        free_at = self._limiter.get_window_stats(self._rate, caller).reset_time
        seconds = max(1, round(free_at - time.time() + 0.5))
        raise TooManyRequests(
            f"more than {self._rate.amount} requests a minute; come again in {seconds} s", seconds
        )


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
    return caller
