"""Copies of files that keep their holes.

The engine preallocates some 200 MB for a gallery and writes less than one of a few photos: copied byte by
byte, that is what a copy costs in time and in room on the disk.
"""

import os
from pathlib import Path


def copy_written(source: str | Path, target: str | Path) -> None:
    """Copy what was written of a file to a new one of the same length; times and permissions are not copied.

    Where the file system, or the system, knows no holes, everything is copied.

    Raises:
        FileExistsError: there is a file at `target`.
    """
    with open(source, "rb") as old, open(target, "xb") as new:
        size = os.fstat(old.fileno()).st_size
        for start, end in written(old.fileno(), size):
            old.seek(start)
            new.seek(start)
            while start < end and (part := old.read(min(end - start, 1 << 20))):
                start += new.write(part)
        new.truncate(size)


def written(file: int, size: int) -> list[tuple[int, int]]:
    """Where a file has data: starts and ends."""
    if not hasattr(os, "SEEK_DATA"):
        return [(0, size)]
    found, at = [], 0
    while at < size:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError:  # from here on it is one hole
            break
        at = os.lseek(file, start, os.SEEK_HOLE)
        found.append((start, at))
    return found
