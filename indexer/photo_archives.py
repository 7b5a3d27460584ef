"""Photos in a WebDataset archive, which are read where they lie in it."""

import json
import tarfile
from pathlib import Path
from typing import Any

from ..encoders.errors import UnreadableSource
from .listing import Item
from .photo_fields import photo_fields
from .picture_files import is_picture, readable


def items_of_archive(path: Path, source: str, group_column: str | None) -> list[Item]:
    """The pictures of a WebDataset archive; they stay where they are and are read in place."""
    mtime_ns = path.stat().st_mtime_ns
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.isfile()]
            told = {_stem(one.name): _json(archive, one) for one in members if one.name.endswith(".json")}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UnreadableSource(f"{path}: not an uncompressed tar archive ({error})") from None
    return [
        Item(
            key=readable(f"{path}::{member.name}"), source=readable(source), path=path,
            offset=member.offset_data, size_bytes=member.size, mtime_ns=mtime_ns,
            **photo_fields(told.get(_stem(member.name), {}), group_column),
        )
        for member in members
        if is_picture(member.name)
    ]  # fmt: skip


def _stem(name: str) -> str:
    """A member's name up to the first dot of its last part, as WebDataset groups members."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _json(archive: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    file = archive.extractfile(member)
    try:
        found = json.loads(file.read()) if file else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
