"""The file of an indexed photo, as long as it lies where it was and is what it was."""

import tarfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from ..encoders.errors import UnreadableImage
from .record import photo_id_of

UPLOADED = "upload:"
"""What the key of a photo begins with that was sent and is kept nowhere."""

MAX_BYTES = 200_000_000


def read_original(id: str, keys: Iterable[str]) -> bytes:
    """The bytes of a photo, from the first of its keys that can still be read.

    Args:
        id: of the photo; a file that is another photo by now is passed over.
        keys: paths of files, or ``archive.tar::member``.

    Raises:
        UnreadableImage: none can.
    """
    for key in keys:
        if key.startswith(UPLOADED):
            continue
        path, _, member = key.partition("::")
        try:
            content = _member(Path(path), member) if member else _bytes(Path(path), 0, None)
        except (OSError, ValueError, KeyError, tarfile.TarError):
            continue
        if photo_id_of(content) == id:
            return content
    raise UnreadableImage("the file of this photo is not at hand")


def _member(archive: Path, name: str) -> bytes:
    offset, size = _contents(archive, archive.stat().st_mtime_ns)[name]
    return _bytes(archive, offset, size)


@lru_cache(maxsize=16)
def _contents(archive: Path, mtime_ns: int) -> dict[str, tuple[int, int]]:
    """Where in an archive each file lies; of an archive that changes, anew."""
    with tarfile.open(archive, "r:") as opened:
        return {one.name: (one.offset_data, one.size) for one in opened if one.isfile()}


def _bytes(path: Path, offset: int, size: int | None) -> bytes:
    if (path.stat().st_size if size is None else size) > MAX_BYTES or not path.is_file():
        raise OSError(f"{path}: no file, or too large")
    with path.open("rb") as file:
        file.seek(offset)
        return file.read() if size is None else file.read(size)
