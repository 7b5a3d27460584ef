"""Batches made ahead in a thread, and how long the training had to wait for them.

Which batches, and what is in them, is a function of the step alone: the thread changes when a batch
is made, never what it is.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Makes items in order, a few ahead of who takes them.

    Args:
        make: makes the item of a step; called in the thread.
        steps: which ones, in order.
        ahead: how many may wait.
    """

    def __init__(self, make: Callable[[int], T], steps: Iterator[int], ahead: int = 4) -> None:
        self.waited_s = 0.0
        self.n_taken = 0
        self._ready: queue.Queue[tuple[int, T] | BaseException | None] = queue.Queue(maxsize=ahead)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(make, steps), daemon=True)
        self._thread.start()

    def take(self, step: int) -> T:
        """The item of the next step.

        Args:
            step: which one is expected; the order is that of `steps`.

        Raises:
            Exception: whatever `make` raised.
            LookupError: another step comes next, or none.
        """
        started = time.perf_counter()
        item = self._ready.get()
        if self.n_taken:  # the first one is waited for by everybody
            self.waited_s += time.perf_counter() - started
        self.n_taken += 1
        if isinstance(item, BaseException):
            raise item
        if item is None or item[0] != step:
            raise LookupError(f"step {step} was asked for, {item[0] if item else 'the end'} comes next")
        return item[1]

    def close(self) -> None:
        """Stop the thread; what is ready is thrown away."""
        self._is_closed.set()
        while self._thread.is_alive():
            try:
                self._ready.get_nowait()
            except queue.Empty:
                self._thread.join(timeout=0.01)

    def __enter__(self) -> "Prefetcher[T]":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self, make: Callable[[int], T], steps: Iterator[int]) -> None:
        try:
            for step in steps:
                self._put((step, make(step)))
                if self._is_closed.is_set():
                    return
            self._put(None)
        except BaseException as error:  # handed to who takes the item; a thread has nobody to tell
            self._put(error)

    def _put(self, item: "tuple[int, T] | BaseException | None") -> None:
        while not self._is_closed.is_set():
            try:
                self._ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue
