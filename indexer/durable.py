"""Small files read, and replaced as a whole, and folders that keep their entries when the power goes."""

import os
from pathlib import Path


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
