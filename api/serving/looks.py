"""How many may look at photos at a time: lists, counts, tiles of the map, small pictures.

One thread asks the stores and a few read files; what waits for them must not grow without end. More
askers than fit are sent away at once, and who has waited too long is sent away too, and out of the
queue.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from . import metrics
from .refusals import Busy, DeadlinePassed


class Looks:
    """Counts those who look in and out.

    Args:
        most: at a time; more are sent away.
        within_s: longest time for one of them, seconds.
    """

    def __init__(self, most: int, within_s: float) -> None:
        self._most, self._within_s = most, within_s
        self.n_inside = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Let one in for as long as the block runs, or send it away.

        Raises:
            Busy: as many as fit are being answered.
            DeadlinePassed: it took too long; what it waits for is not begun any more.
        """
        if self.n_inside >= self._most:
            metrics.REFUSED.labels("busy").inc()
            raise Busy(f"{self.n_inside} lists, maps and pictures are being made; ask again in a moment")
        self.n_inside += 1
        try:
            async with asyncio.timeout(self._within_s):
                yield
        except TimeoutError:
            metrics.REFUSED.labels("deadline").inc()
            raise DeadlinePassed(
                f"this took longer than {self._within_s:g} s; ask again in a moment"
            ) from None
        finally:
            self.n_inside -= 1
