"""Whether the service is ready, found out at most once a second, however often it is asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from .refusals import NotReady

FRESH_S = 1.0


class Readiness:
    """What the last check found. Those who ask while one runs wait for it together.

    So whoever polls makes no work for the store, and what is told is at most `FRESH_S` old, and as old
    as a check takes.

    Args:
        check: raises `NotReady`, or not.
        clock: seconds that go on.
    """

    def __init__(
        self, check: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._check, self._clock = check, clock
        self._running: asyncio.Task[None] | None = None
        self._found: tuple[float, NotReady | None] | None = None

    async def require(self) -> None:
        """See that questions can be answered.

        Raises:
            NotReady: they cannot.
        """
        if self._found is None or self._clock() - self._found[0] >= FRESH_S:
            if self._running is None or self._running.done():
                self._running = asyncio.ensure_future(self._find_out())
            # Whoever hangs up calls off his own waiting, not the check that others wait for.
            await asyncio.shield(self._running)
        assert self._found is not None
        if (error := self._found[1]) is not None:
            raise NotReady(str(error))

    async def _find_out(self) -> None:
        began = self._clock()
        try:
            await self._check()
        except NotReady as error:
            self._found = began, error
        else:
            self._found = began, None
