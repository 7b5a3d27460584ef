"""Pixels of a level in reach: in memory, or mapped from an unpacked copy when they are many.

A random view of a packed TIFF would unpack up to nine tiles for one; unpacked pixels are read as they are.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import platformdirs
from numpy.typing import NDArray

from ..errors import UnwritableFile
from .storage import Page, read_pixels

IN_MEMORY_BYTES = 2**31
"""Levels up to 2 GiB are kept in memory: 46,000 × 46,000 px, all of Liechtenstein at zoom 18."""


def load_pixels(path: Path, page: Page, *, cache: Path | None = None) -> NDArray[np.uint8]:
    """The pixels of a page, (height, width); read-only.

    Args:
        path: the mosaic file.
        page: of it.
        cache: folder for unpacked copies; by default that of the user.

    Raises:
        UnreadableSource: the file is damaged.
        UnwritableFile: there is no room for a copy.
    """
    shape = (page.window.height, page.window.width)
    if shape[0] * shape[1] <= IN_MEMORY_BYTES:
        pixels = np.empty(shape, np.uint8)
        read_pixels(page, pixels)
        pixels.flags.writeable = False
        return pixels
    folder = cache or Path(platformdirs.user_cache_dir("placeprint")) / "mosaics"
    copy = folder / f"{_key(path)}-z{page.zoom}.u8"
    if not (copy.is_file() and copy.stat().st_size == shape[0] * shape[1]):
        _unpack(page, copy)
    return np.memmap(copy, np.uint8, "r", shape=shape)


def _key(path: Path) -> str:
    """Names a file as it is now: a mosaic built again has another time, and another copy."""
    stat = path.stat()
    told = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
    return hashlib.sha256(told.encode()).hexdigest()[:24]


def _unpack(page: Page, copy: Path) -> None:
    temporary: Path | None = None
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=copy.parent, prefix=f".{copy.name}.")
        temporary = Path(name)
        try:  # of a file with holes the disk may be full when a page is written, which kills the process
            os.posix_fallocate(handle, 0, page.window.height * page.window.width)
        finally:
            os.close(handle)
        pixels = np.memmap(temporary, np.uint8, "r+", shape=(page.window.height, page.window.width))
        read_pixels(page, pixels)
        pixels.flush()
        temporary.replace(copy)
    except OSError as error:
        raise UnwritableFile(
            f"{copy}: the mosaic cannot be unpacked here ({error.strerror or error}); make room, or set "
            "XDG_CACHE_HOME to a folder on another disk"
        ) from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
