"""Photos decoded in parallel by worker processes, in order, with bounded memory.

One thread here feeds one process there. A file that kills or stalls its process costs that
process and nothing else.
"""

import json
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from types import TracebackType
from typing import IO, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from .errors import DecoderUnavailable, UnreadableImage
from .photo import PhotoFacts
from .preprocessing import Preprocessing

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


class DecodePool:
    """Worker processes that turn the bytes of files into an encoder's pixels.

    Args:
        preprocessing: what the pixels are for.
        workers: processes; all cores by default.
        timeout_s: longest time for one photo before its worker is killed.
    """

    def __init__(
        self, preprocessing: Preprocessing, *, workers: int | None = None, timeout_s: float = 60.0
    ) -> None:
        self.workers = workers or os.cpu_count() or 1
        self._preprocessing = asdict(preprocessing)
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(self.workers, thread_name_prefix="decode")
        self._local = threading.local()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def decode(self, content: bytes) -> tuple[NDArray[np.uint8], PhotoFacts]:
        """Decode the bytes of one file in the calling thread's worker process.

        Raises:
            UnreadableImage: a damaged file, also one that crashed or stalled its worker.
        """
        return self._ask_or_explain(self._process(), content)

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
            processes = list(self._processes)
        for process in processes:
            self._drop(process)

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _process(self) -> subprocess.Popen[bytes]:
        process: subprocess.Popen[bytes] | None = getattr(self._local, "process", None)
        if process is None or process.poll() is not None:
            process = subprocess.Popen(
                # -P: a folder of photos is no place to import from.
                [sys.executable, "-P", "-m", "placeprint.encoders.decode_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            if cast(IO[bytes], process.stdout).readline() != b"ready\n":
                self._drop(process)
                raise DecoderUnavailable(
                    "the process that decodes photos does not start; to see why, run "
                    f"{sys.executable} -P -m placeprint.encoders.decode_worker"
                )
            self._local.process = process
            with self._lock:
                self._processes.add(process)
        return process

    def _ask_or_explain(
        self, process: subprocess.Popen[bytes], content: bytes
    ) -> tuple[NDArray[np.uint8], PhotoFacts]:
        timer = threading.Timer(self._timeout_s, process.kill)
        timer.start()
        try:
            return self._ask(process, content)
        except (BrokenPipeError, EOFError):
            is_stalled = not timer.is_alive()
            self._drop(process)
            how = f"was still decoding after {self._timeout_s:g} s" if is_stalled else "crashed the decoder"
            raise UnreadableImage(f"{how}: damaged or malicious") from None
        finally:
            timer.cancel()

    def _drop(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            try:
                cast(IO[bytes], pipe).close()
            except BrokenPipeError:  # what was still to be flushed has no reader any more
                pass
        with self._lock:
            self._processes.discard(process)

    def _ask(self, process: subprocess.Popen[bytes], content: bytes) -> tuple[NDArray[np.uint8], PhotoFacts]:
        jobs, answers = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        job = {"preprocessing": self._preprocessing, "bytes": len(content)}
        jobs.write(json.dumps(job).encode() + b"\n")
        jobs.write(content)
        jobs.flush()
        line = answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        header: dict[str, Any] = json.loads(line)
        pixels = answers.read(header["bytes"])
        if len(pixels) < header["bytes"]:
            raise EOFError
        if "error" in header:
            raise UnreadableImage(header["error"])
        facts = header["facts"]
        if facts["captured_at"] is not None:
            facts["captured_at"] = datetime.fromisoformat(facts["captured_at"])
        return np.frombuffer(pixels, np.uint8).reshape(header["shape"]), PhotoFacts(**facts)
