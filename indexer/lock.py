"""One process holds a gallery at a time, and everyone else is told which."""

import json
import os
import socket
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import filelock

from ..encoders.errors import GalleryLocked

if sys.platform != "win32":
    import fcntl


class _SharedLock:
    """The reader's side of a lock file, which is opened for reading only."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        self._path, self._timeout_s = path, timeout_s
        self._handle: int | None = None

    def acquire(self) -> None:
        if sys.platform == "win32" or not self._path.exists():
            return
        self._handle = os.open(self._path, os.O_RDONLY)
        end = time.monotonic() + self._timeout_s
        while True:
            try:
                return fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    self.release()
                    raise filelock.Timeout(str(self._path)) from None
                time.sleep(0.05)

    def release(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


class GalleryLock:
    """A lock file with the name of its holder beside it. It ends with its process, however that ends.

    Args:
        path: the lock file.
        timeout_s: how long to wait for the present holder.
        is_shared: for reading alone, which several may do at a time; nothing is written then, and
            where there is no lock file, nobody has ever written either.
    """

    def __init__(self, path: Path, *, timeout_s: float, is_shared: bool = False) -> None:
        self._holder = path.with_name(path.name + ".json")
        # Of the process, not of the thread that took it: a service closes in another than it opens in.
        self._lock = (
            _SharedLock(path, timeout_s)
            if is_shared
            else filelock.FileLock(path, timeout=timeout_s, thread_local=False)
        )
        self._is_shared = is_shared

    def acquire(self) -> None:
        """Wait for the lock and take it.

        Raises:
            GalleryLocked: another process held it all the time.
        """
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise GalleryLocked(
                f"gallery {self._holder.parent.name!r} is in use by {self._describe()}. Wait until it has "
                "finished, or stop it; a service answers over HTTP: its page, curl, placeprint.Client"
            ) from None
        if self._is_shared:
            return
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._holder.write_text(json.dumps(holder))

    def release(self) -> None:
        """Give the lock back."""
        if not self._is_shared:
            self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _describe(self) -> str:
        try:
            holder = json.loads(self._holder.read_text())
            return (
                f"process {holder['pid']} on {holder['host']} since {holder['since']} ({holder['command']})"
            )
        except (OSError, ValueError, KeyError):
            return "another process"
