"""The threads that the service works in; the event loop only moves bytes."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Threads:
    """One thread asks the stores, one waits for locations, one changes galleries, some work on files.

    So a search waits neither for a location nor for what is written.

    Args:
        n_files: threads for files.
    """

    def __init__(self, n_files: int) -> None:
        self._store = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._locate = ThreadPoolExecutor(1, thread_name_prefix="locate")
        self._write = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._files = ThreadPoolExecutor(n_files, thread_name_prefix="files")

    async def in_store(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what asks a store, and is over in milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._store, function, *args)

    async def in_locator(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what locates a photo, or takes as long."""
        return await asyncio.get_running_loop().run_in_executor(self._locate, function, *args)

    def in_locator_soon(self, function: Callable[[], Answer]) -> "Future[Answer]":
        """The same for what nobody waits for; what is located comes after it."""
        return self._locate.submit(function)

    async def in_files(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what reads or writes a file."""
        return await asyncio.get_running_loop().run_in_executor(self._files, function, *args)

    async def in_writer(self, function: Callable[..., Answer], *args: Any) -> Answer:
        """Call what changes a gallery. It is not called off by a deadline: half of it is not done."""
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._write, function, *args))

    def write_from_job(self, function: Callable[..., Answer], *args: Any) -> "Future[Answer]":
        """The same for the thread of a job."""
        return self._write.submit(function, *args)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold all of them, once what they do is done."""
        release = threading.Event()
        threads = (self._store, self._locate, self._write, self._files)
        held = [pool.submit(release.wait) for pool in threads for _ in range(pool._max_workers)]
        try:
            while not all(one.running() or one.done() for one in held):
                time.sleep(0.005)
            yield
        finally:
            release.set()

    def close(self) -> None:
        """End those that others may wait for; the store's is ended by `close_store`."""
        for threads in (self._files, self._locate, self._write):
            threads.shutdown(cancel_futures=True)

    def close_store(self) -> None:
        """End the last one, when nobody can ask any more."""
        self._store.shutdown()
