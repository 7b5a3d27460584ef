"""The parent's end of one process that decodes photos, see `decode_worker`.

The process may have been taken over by what it read. So it is started without the secrets of the
environment, and its answers are checked like anything else that comes from outside.
"""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import datetime
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from .errors import DecoderUnavailable, TooManyPixels, UnreadableImage, UnsupportedFormat
from .photo import PhotoFacts
from .upload_limits import UploadLimits

MODULE = "placeprint.encoders.decode_worker"
START_S = 60.0  # longest time until a process is ready
KINDS = {kind.__name__: kind for kind in (UnreadableImage, UnsupportedFormat, TooManyPixels)}

_MAX_LINE = 65_536
_MAX_REASON = 500  # characters
_KEPT = frozenset({
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONPYCACHEPREFIX",
    "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "SYSTEMDRIVE",
})  # fmt: skip


_TUNING = {
    # One photo is one thread's work, and every heap of malloc's claims address space.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    # Or glibc gives pages back after every photo and gets them again for the next.
    "MALLOC_MMAP_THRESHOLD_": "8388608",
    "MALLOC_TRIM_THRESHOLD_": "16777216",
}


class ProcessLost(Exception):
    """The process is gone, or answers what it should not."""

    def __init__(self, how: str) -> None:
        super().__init__(how)
        self.how = how


class DecodeProcess:
    """A running process, ready for jobs. One thread at a time may ask it.

    Args:
        limits: of what strangers sent; None for the operator's own files.
        timeout_s: longest time for one job before the process is killed.

    Raises:
        DecoderUnavailable: it does not start.
    """

    sandbox: tuple[str, ...]
    """The parts of the sandbox that are in force in it."""

    def __init__(self, limits: UploadLimits | None, timeout_s: float) -> None:
        self._limits, self._timeout_s = limits, timeout_s
        self._popen = subprocess.Popen(
            self.command(limits),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        self.pid = self._popen.pid
        timer = threading.Timer(START_S, self._popen.kill)
        timer.start()
        try:
            ready = self._answers.readline(_MAX_LINE)
        finally:
            timer.cancel()
        if not ready.startswith(b"ready "):
            self.end()
            raise DecoderUnavailable(
                "the process that decodes photos does not start; to see why, run "
                f"{sys.executable} -P -m {MODULE}"
            )
        self.sandbox = tuple(json.loads(ready.removeprefix(b"ready ")))

    @staticmethod
    def command(limits: UploadLimits | None) -> list[str]:
        """How the process is started."""
        # -P: a folder of photos is no place to import from.
        settings = [json.dumps(asdict(limits))] if limits else []
        return [sys.executable, "-P", "-m", MODULE, *settings]

    @property
    def is_running(self) -> bool:
        """Whether the process is still there."""
        return self._popen.poll() is None

    def end(self) -> None:
        """Kill the process and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            try:
                cast(IO[bytes], pipe).close()
            except BrokenPipeError:  # what was still to be flushed has no reader any more
                pass

    def pixels(self, content: bytes, preprocessing: dict[str, Any]) -> tuple[NDArray[np.uint8], PhotoFacts]:
        """The encoder's pixels of a photo, shape (size, size, 3), and what its file says of itself.

        Raises:
            UnreadableImage: the file is damaged, or not within the limits.
            ProcessLost: the process crashed or stalled over it; `end` it.
        """
        shape = (preprocessing["size"], preprocessing["size"], 3)
        job = {"task": "pixels", "preprocessing": preprocessing}
        header, body = self._ask(job, content, math.prod(shape))
        try:
            return np.frombuffer(body, np.uint8).reshape(shape), _facts(header["facts"])
        except (KeyError, TypeError, ValueError):
            raise ProcessLost("crashed the decoder") from None

    def thumbnail(self, content: bytes, side_px: int, format: str) -> bytes:
        """A photo encoded anew, see `thumbnail.make_thumbnail`; raises as `pixels` does."""
        job = {"task": "thumbnail", "side_px": side_px, "format": format}
        return self._ask(job, content, 8 * side_px**2 + _MAX_LINE)[1]

    @property
    def _answers(self) -> IO[bytes]:
        return cast(IO[bytes], self._popen.stdout)

    def _ask(self, job: dict[str, Any], content: bytes, most_bytes: int) -> tuple[dict[str, Any], bytes]:
        timer = threading.Timer(self._timeout_s, self._popen.kill)
        timer.start()
        try:
            header, body = self._exchange(job, content, most_bytes)
        except (BrokenPipeError, EOFError):
            is_late = not timer.is_alive()
            raise ProcessLost(self._how_it_ended(is_late)) from None
        except (KeyError, TypeError, ValueError, RecursionError):  # it lives, and answers nonsense
            raise ProcessLost("crashed the decoder") from None
        finally:
            timer.cancel()
        if "error" in header:
            reason = "".join(one for one in str(header["error"])[:_MAX_REASON] if one.isprintable())
            raise KINDS.get(str(header.get("kind")), UnreadableImage)(reason)
        return header, body

    def _exchange(self, job: dict[str, Any], content: bytes, most_bytes: int) -> tuple[dict[str, Any], bytes]:
        jobs = cast(IO[bytes], self._popen.stdin)
        jobs.write(json.dumps({**job, "bytes": len(content)}).encode() + b"\n")
        jobs.write(content)
        jobs.flush()
        line = self._answers.readline(_MAX_LINE)
        if not line.endswith(b"\n"):
            raise EOFError
        header = json.loads(line)
        n_bytes = header["bytes"]
        if not isinstance(header, dict) or not isinstance(n_bytes, int) or not 0 <= n_bytes <= most_bytes:
            raise ValueError
        body = self._answers.read(n_bytes)
        if len(body) < n_bytes:
            raise EOFError
        return header, body

    def _how_it_ended(self, is_late: bool) -> str:
        if is_late:
            return f"was still decoding after {self._timeout_s:g} s"
        self._popen.kill()  # it has closed its pipe; what ended it, if anything, was earlier
        code = self._popen.wait()
        if self._limits and os.name == "posix" and code == -signal.SIGXCPU:
            return f"was still decoding after {self._limits.cpu_s:g} s of processor time"
        return "crashed the decoder"


def environment() -> dict[str, str]:
    """What a process needs to know to run Python, and none of the operator's secrets."""
    kept = {name: value for name, value in os.environ.items() if name.upper() in _KEPT}
    return {**kept, **_TUNING}


def _facts(told: dict[str, Any]) -> PhotoFacts:
    """The facts of an answer, each of its kind and in its range, or a ValueError, KeyError or TypeError."""
    captured_at = told["captured_at"]
    return PhotoFacts(
        width=_whole(told["width"], math.inf),
        height=_whole(told["height"], math.inf),
        orientation=_whole(told["orientation"], 8),
        lon=_number(told["lon"], -180.0, 180.0),
        lat=_number(told["lat"], -90.0, 90.0),
        heading_deg=_number(told["heading_deg"], 0.0, 360.0),
        captured_at=None if captured_at is None else datetime.fromisoformat(captured_at),
    )


def _whole(value: Any, most: float) -> int:
    if not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError
    return value


def _number(value: Any, low: float, high: float) -> float | None:
    if value is not None and not (isinstance(value, float) and low <= value <= high):
        raise ValueError
    return value
