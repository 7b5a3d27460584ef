"""Photos decoded in parallel by worker processes, in order, with bounded memory.

One thread here feeds one process there. A file that kills or stalls its process costs that
process and nothing else.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .decode_process import DecodeProcess, ProcessLost
from .errors import DecoderUnavailable, UnreadableImage
from .photo import PhotoFacts
from .preprocessing import Preprocessing
from .thumbnail import check_thumbnail
from .upload_limits import UploadLimits

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def all_cores() -> int:
    """How many processes decode unless a call says otherwise."""
    return os.cpu_count() or 1


class DecodePool:
    """Worker processes that turn the bytes of files into an encoder's pixels.

    Args:
        preprocessing: what the pixels are for, unless a call says otherwise.
        workers: processes of `map`; all cores by default.
        timeout_s: longest time for one photo before its worker is killed.
        limits: of files that strangers sent. None: the operator's own, of any format that is read.
        niceness: how much further than the caller the processes let others go first, 0 to 19.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        workers: int | None = None,
        timeout_s: float = 60.0,
        limits: UploadLimits | None = None,
        niceness: int = 0,
    ) -> None:
        self.workers = workers or all_cores()
        self._niceness = niceness
        self.limits = limits
        self._preprocessing = preprocessing
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        self._local = threading.local()
        self._processes: set[DecodeProcess] = set()
        self._lock = threading.Lock()
        self._n_crashed = 0
        self._is_closed = False
        self._can_start = True

    @property
    def n_crashed(self) -> int:
        """How many processes were lost to a photo: crashed, stalled, out of time or killed."""
        return self._n_crashed

    @property
    def n_processes(self) -> int:
        """How many processes are running."""
        with self._lock:
            return sum(process.is_running for process in self._processes)

    @property
    def is_alive(self) -> bool:
        """Whether photos can be decoded: not closed, and the last process that was needed did start."""
        return self._can_start and not self._is_closed

    def describe_sandbox(self) -> tuple[str, ...]:
        """The parts of the sandbox that this system puts in force, found out by starting a process.

        Raises:
            DecoderUnavailable: it does not start.
        """
        process = self._started()
        self._drop(process)
        return process.sandbox

    def decode(
        self, content: bytes, preprocessing: Preprocessing | None = None
    ) -> tuple[NDArray[np.uint8], PhotoFacts]:
        """Decode the bytes of one file in the calling thread's worker process.

        Args:
            content: the whole file.
            preprocessing: what the pixels are for; the pool's by default.

        Raises:
            UnreadableImage: a damaged file, also one that crashed or stalled its worker. With limits
                also its kinds `UnsupportedFormat` and `TooManyPixels`.
        """
        settings = asdict(preprocessing or self._preprocessing)
        return self._work(lambda process: process.pixels(content, settings))

    def thumbnail(self, content: bytes, side_px: int, *, format: str = "JPEG") -> bytes:
        """Encode a photo anew in the calling thread's worker process, see `thumbnail.make_thumbnail`.

        Raises:
            InvalidOption: a size or a format that thumbnails do not come in.
            UnreadableImage: as in `decode`.
        """
        check_thumbnail(side_px, format)
        return self._work(lambda process: process.thumbnail(content, side_px, format))

    def map(self, function: Callable[[Job], Outcome], jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Run `function` (which may call `decode`) over jobs in the pool's threads, in order.

        Only a few jobs a worker are taken ahead, whatever the length of `jobs`.
        """
        ahead = 8 * self.workers
        running: deque[Future[Outcome]] = deque()
        try:
            for job in jobs:
                running.append(self._threads.submit(function, job))
                if len(running) > ahead:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()

    def close(self) -> None:
        """End the threads and their processes."""
        self._threads.shutdown(cancel_futures=True)
        with self._lock:
            self._is_closed = True
            processes = list(self._processes)
        for process in processes:
            self._drop(process)

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self, task: Callable[[DecodeProcess], Outcome]) -> Outcome:
        process: DecodeProcess | None = getattr(self._local, "process", None)
        if (
            process is not None and not process.is_running
        ):  # died between two photos: the next is not to blame
            self._lost(process)
            process = None
        if process is None:
            process = self._local.process = self._started()
        try:
            return task(process)
        except ProcessLost as lost:
            self._lost(process)
            # Whoever sent it waits for the next process, not the photo that comes after.
            with suppress(DecoderUnavailable):
                self._local.process = self._started()
            raise UnreadableImage(f"{lost.how}: damaged or malicious") from None

    def _started(self) -> DecodeProcess:
        try:
            process = self._new_process()
        except DecoderUnavailable:
            self._can_start = False
            raise
        self._can_start = True
        if self._niceness:
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, process.pid, min(19, own + self._niceness))
        with self._lock:
            self._processes.add(process)
            is_closed = self._is_closed
        if is_closed:
            self._drop(process)
            raise DecoderUnavailable("the pool that decodes photos is closed")
        return process

    def _new_process(self) -> DecodeProcess:
        return DecodeProcess(self.limits, self._timeout_s)

    def _lost(self, process: DecodeProcess) -> None:
        """End the calling thread's process, which a photo has ruined."""
        self._local.process = None
        self._drop(process)
        with self._lock:
            self._n_crashed += not self._is_closed

    def _drop(self, process: DecodeProcess) -> None:
        process.end()
        with self._lock:
            self._processes.discard(process)
