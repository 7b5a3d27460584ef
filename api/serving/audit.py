"""The audit log: who had a photo geolocated, when, and how precisely it was told. Never the photo.

One line of JSON each, flushed to the disk before the answer goes out: an answer that cannot be noted
is not given.
"""

import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .refusals import AuditUnavailable

log = logging.getLogger("placeprint.service")


class AuditLog:
    """A file to which lines are only ever added.

    Args:
        path: of the file; made, with its folder, for its first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def note(self, **facts: Any) -> None:
        """Add a line.

        Raises:
            AuditUnavailable: it cannot be written.
        """
        line = json.dumps({"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}) + "\n"
        try:
            with self._lock:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    os.write(handle, line.encode())
                    os.fsync(handle)
                finally:
                    os.close(handle)
        except OSError as error:
            log.error("the audit log %s cannot be written: %s", self._path, error.strerror)
            raise AuditUnavailable(
                "the audit log cannot be written, and without it no photo is geolocated; the operator's log "
                "says why (PLACEPRINT_AUDIT_LOG)"
            ) from None
