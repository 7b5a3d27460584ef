"""The checksums of a ledger's shards, one line each in ``checksums``, as ``sha256sum`` writes them.

A line is added when a shard has its name and is on the disk. The last line of a name counts; "-" says that
the shard is being replaced. Lines that a power cut took are made again from the shards (`Ledger`).
"""

import hashlib
import os
import threading
from pathlib import Path

NAME = "checksums"
UNKNOWN = "-"


class Checksums:
    """The checksums in a ledger's folder.

    Args:
        folder: of the shards.
        is_read_only: whether the file may not be written.
    """

    def __init__(self, folder: Path, *, is_read_only: bool = False) -> None:
        self._path = folder / NAME
        self._is_read_only = is_read_only
        self._using = threading.Lock()
        self._n_read = 0
        self._known: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    @property
    def names(self) -> list[str]:
        """Of all shards that have a checksum, whether they are there or not."""
        self._read()
        return sorted(self._known)

    def get(self, name: str) -> str | None:
        """The SHA-256 of a shard, hexadecimal; None where it is not known."""
        if name not in self._known:  # another process may have noted it since
            self._read()
        return self._known.get(name)

    def is_right(self, name: str, content: bytes) -> bool:
        """Whether these are the bytes that were written; also where that is not known."""
        if self.get(name) in (None, hashlib.sha256(content).hexdigest()):
            return True
        self._known.pop(name, None)
        self._n_read = 0  # the shard may have been replaced since
        return self.get(name) in (None, hashlib.sha256(content).hexdigest())

    def note(self, name: str, sha256: str) -> None:
        """Note the checksum of a shard that is on the disk."""
        if not self._is_read_only:
            with self._using, self._path.open("a", encoding="ascii") as file:
                file.write(f"{sha256}  {name}\n")
                # Before the shard is replaced, or a power cut would leave the old line alone.
                if sha256 == UNKNOWN:
                    file.flush()
                    os.fsync(file.fileno())
        self._known[name] = sha256

    def forget(self, name: str) -> None:
        """Note that a shard is being replaced."""
        self.note(name, UNKNOWN)
        self._known.pop(name, None)

    def _read(self) -> None:
        """Take in the lines that were added since."""
        with self._using:
            try:
                with self._path.open("rb") as file:
                    file.seek(self._n_read)
                    added = file.read()
            except FileNotFoundError:
                return
            whole = added[: added.rfind(b"\n") + 1]
            self._n_read += len(whole)
            for line in whole.decode("ascii", "replace").splitlines():
                sha256, _, name = line.partition("  ")
                if sha256 == UNKNOWN:
                    self._known.pop(name, None)
                elif name:
                    self._known[name] = sha256
