"""One process holds a gallery at a time, and everyone else is told which."""

import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import filelock

from ..encoders.errors import GalleryLocked


class GalleryLock:
    """A lock file with the name of its holder beside it. It ends with its process, however that ends.

    Args:
        path: the lock file.
        timeout_s: how long to wait for the present holder.
    """

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self._holder = path.with_name(path.name + ".json")
        self._lock = filelock.FileLock(path, timeout=timeout_s)

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
                "finished, or stop it"
            ) from None
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._holder.write_text(json.dumps(holder))

    def release(self) -> None:
        """Give the lock back."""
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
