"""Small files read, and replaced as a whole, and folders that keep their entries when the power goes."""

import errno
import os
import shutil
from pathlib import Path

MIN_FREE_BYTES = 256 << 20
"""On a disk with less a store's memory-mapped files, which have holes, may end the process without a word."""


def make_folder(folder: Path) -> None:
    """Make a folder, with those that it lies in, so that a power cut takes none of them."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in reversed(missing):
        sync_folder(one.parent)


def require_room(folder: Path) -> None:
    """See that a disk has room for what is about to be written.

    Raises:
        OSError: ENOSPC, as if the disk were full: it nearly is.
    """
    free = shutil.disk_usage(folder).free
    if free < MIN_FREE_BYTES:
        raise OSError(
            errno.ENOSPC,
            f"only {free / 1e6:.0f} MB are free on its disk, and {MIN_FREE_BYTES / 1e6:.0f} MB are needed: "
            "make room, and do the same again. Nothing was written, and what is there stays as it is",
            str(folder),
        )


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk, so that a rename survives a power cut."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_or(path: Path, default: str) -> str:
    """What a small file says; a default where there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return default


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a small file as a whole, durably."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)
