"""Who can wait, waits: work that yields to searches while there are any."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType


class Patience:
    """Lets work in: all of it while nobody searches, a little at a time while somebody does, in order.

    For the event loop's thread; use it as ``async with patience:``.

    Args:
        is_rushed: whether somebody searches.
        n_rushed: so much is let in at a time meanwhile.
    """

    def __init__(self, is_rushed: Callable[[], bool], n_rushed: int = 1) -> None:
        self._is_rushed, self._n_rushed = is_rushed, n_rushed
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._n_inside = 0

    async def __aenter__(self) -> None:
        if not self._waiting and self._has_room():
            self._n_inside += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # let in just now
                self._leave()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def look(self) -> None:
        """Let in whom there is room for; call it when a search has ended."""
        while self._waiting and self._has_room():
            turn = self._waiting.popleft()
            if not turn.cancelled():  # who waited has gone
                self._n_inside += 1
                turn.set_result(None)

    def _leave(self) -> None:
        self._n_inside -= 1
        self.look()

    def _has_room(self) -> bool:
        return not self._is_rushed() or self._n_inside < self._n_rushed
