"""Pictures as files: which names are pictures', and a file as an item to index."""

import mimetypes
import os
import stat
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ..encoders.photo import MAX_BYTES, SUFFIXES
from .listing import Item

# Pictures that we cannot read are listed too, so that each is named with the reason.
MORE_PICTURES = (".j2k", ".jp2", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf")


def is_picture(name: str) -> bool:
    """Whether a file of such a name is listed as a picture."""
    return _is_suffix_of_pictures(os.path.splitext(name)[1].lower())


@cache
def _is_suffix_of_pictures(suffix: str) -> bool:
    kind = mimetypes.guess_type(f"x{suffix}")[0] or ""
    return suffix in SUFFIXES or suffix in MORE_PICTURES or kind.startswith("image/")


def readable(path: str) -> str:
    """A path as text that can be stored, also where its bytes are no UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def picture_item(path: Path, source: str, **told: Any) -> Item:
    """A file as an item of a source, with what else is told of it; what is wrong with it is its problem."""
    try:
        status = path.stat()
    except OSError as error:
        told["problem"] = told.get("problem") or f"cannot be read: {error.strerror}"
        source, key = readable(source), readable(str(path))
        return Item(key=key, source=source, path=path, size_bytes=-1, mtime_ns=-1, **told)
    if not stat.S_ISREG(status.st_mode):
        told["problem"] = told.get("problem") or "not a regular file"
    elif status.st_size > MAX_BYTES:
        told["problem"] = told.get("problem") or f"larger than {MAX_BYTES:,} bytes"
    return Item(
        key=readable(str(path)),
        source=readable(source),
        path=path,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        **told,
    )


def missing_keys(keys: Iterable[str]) -> Iterator[str]:
    """Those keys whose file is not there any more."""
    for key in keys:
        if not Path(key.partition("::")[0]).exists():
            yield key
