"""How many requests a caller may make in a minute, counted over a window that moves along."""

import math
import time
from collections import deque

from . import metrics
from .refusals import TooManyRequests

_WINDOW_S = 60.0
_MOST_CALLERS = 10_000


class RequestRate:
    """When each caller came in the last minute, by a clock that nobody can set.

    By the clock on the wall, a caller would be shut out for an hour when that is put back by one.

    Args:
        per_minute: requests of each caller; 0 for no limit.
    """

    def __init__(self, per_minute: int) -> None:
        self._most = per_minute
        self._came: dict[str, deque[float]] = {}

    def take(self, caller: str) -> None:
        """Count a request, unless it is one too many.

        Raises:
            TooManyRequests: it is; it says when the next may come.
        """
        if not self._most:
            return
        now = time.monotonic()
        came = self._came.pop(caller, None) or deque(maxlen=self._most)
        self._came[caller] = came
        while len(self._came) > _MOST_CALLERS:  # who came longest ago has most of it back
            self._came.pop(next(iter(self._came)))
        free_in_s = _WINDOW_S - (now - came[0]) if len(came) == self._most else 0.0
        if free_in_s > 0.0:
            metrics.REFUSED.labels("rate").inc()
            seconds = max(1, math.ceil(free_in_s))
            raise TooManyRequests(
                f"more than {self._most} requests a minute; come again in {seconds} s", seconds
            )
        came.append(now)
