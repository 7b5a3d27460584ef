"""An archive of a few files that is read back byte for byte, or refused.

It is a plain tar file, which `tar -tf` lists, of a narrow kind: regular files only, headers as this
module writes them and no others, padding of zeros, and last of all ``manifest.json`` with the SHA-256
of every file and of itself. So a flipped bit, a missing end, an added member, a link or a path that
leads elsewhere are all the same to the reader: not what was written. Nothing is unpacked that is not
named in advance, and nothing counts before the manifest has been read. Format: POSIX 1003.1-1990, ustar.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from ..encoders.errors import PlaceprintError

MANIFEST: Final = "manifest.json"
_BLOCK: Final = 512
_CHUNK: Final = 1 << 20
_END: Final = bytes(2 * _BLOCK)
_MAX_MANIFEST_BYTES: Final = 1 << 28
_MAX_BYTES: Final = 8 * 1024**3 - 1  # what the eleven octal digits of a header can say

Sink = Callable[[str, int], AbstractContextManager[BinaryIO]]
"""Where a member goes: called with its name and its bytes."""


class Source(Protocol):
    """Where an archive is read from."""

    def read(self, n_bytes: int, /) -> bytes:
        """So many bytes, or fewer at the end."""


class DamagedArchive(PlaceprintError):
    """An archive that is not, byte for byte, what was written."""


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    sha256: str
    n_bytes: int


class ArchiveWriter:
    """Writes an archive from its beginning to its end; a pipe will do.

    Args:
        file: opened for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.members: dict[str, Member] = {}

    def add(self, name: str, source: BinaryIO, n_bytes: int) -> None:
        """Copy a file into the archive.

        Args:
            name: its path there.
            source: the file, opened for reading.
            n_bytes: its length.

        Raises:
            OSError: it is shorter, or the archive cannot be written.
        """
        self._file.write(_header(name, n_bytes))
        digest, left = hashlib.sha256(), n_bytes
        while left:
            part = source.read(min(left, _CHUNK))
            if not part:
                raise OSError(f"{name}: ended {left} bytes early")
            digest.update(part)
            self._file.write(part)
            left -= len(part)
        self._file.write(_padding(n_bytes))
        self.members[name] = Member(digest.hexdigest(), n_bytes)

    def finish(self, facts: dict[str, Any]) -> None:
        """Write the manifest, and the end."""
        files = {name: {"sha256": one.sha256, "bytes": one.n_bytes} for name, one in self.members.items()}
        text = _signed({**facts, "files": files})
        self._file.write(_header(MANIFEST, len(text)) + text + _padding(len(text)) + _END)


def read_archive(file: Source, allowed: re.Pattern[str], sink: Sink | None = None) -> dict[str, Any]:
    """Read an archive to its end; it holds what it held when it was written if this returns.

    Args:
        file: opened for reading at its beginning; a pipe will do.
        allowed: what the whole of a member's name matches.
        sink: where members go; without one they are checked only.

    Returns:
        The manifest.

    Raises:
        DamagedArchive: it was cut off, altered, or is no archive of this kind.
    """
    found: dict[str, Member] = {}
    for name, n_bytes in _headers(file):
        if name == MANIFEST:
            manifest = _checked(_exactly(file, min(n_bytes, _MAX_MANIFEST_BYTES)))
            if file.read(len(_padding(n_bytes)) + len(_END) + 1) != _padding(n_bytes) + _END:
                raise DamagedArchive("it does not end where it was ended")
            _compare(_listed(manifest), found)
            return manifest
        if name in found or not allowed.fullmatch(name):
            raise DamagedArchive(f"it holds {name!r}, which has no business there")
        with sink(name, n_bytes) if sink else nullcontext() as target:
            found[name] = _copied(file, n_bytes, target)
    raise DamagedArchive("its end is missing: it was cut off")


def _listed(manifest: dict[str, Any]) -> dict[str, Member]:
    try:
        return {key: Member(one["sha256"], one["bytes"]) for key, one in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError):
        raise DamagedArchive("its manifest is damaged") from None


def _compare(told: dict[str, Member], found: dict[str, Member]) -> None:
    differing = sorted({*told} ^ {*found}) or [key for key in told if told[key] != found[key]]
    if differing:
        raise DamagedArchive(f"{differing[0]} is not what was written (its checksum differs)")


def _headers(file: Source) -> Iterator[tuple[str, int]]:
    """Name and bytes of each member, up to where the file ends."""
    while block := file.read(_BLOCK):
        try:
            name = block[:100].rstrip(b"\0").decode("ascii")
            n_bytes = int(block[124:135], 8)
            is_ours = block == _header(name, n_bytes)
        except (ValueError, OSError):
            is_ours = False
        if not is_ours:
            raise DamagedArchive("a header in it is damaged, or was not written by `placeprint backup`")
        yield name, n_bytes


def _header(name: str, n_bytes: int) -> bytes:
    """The one header that a file of this name and length has; times and owners are told of nobody."""
    if n_bytes > _MAX_BYTES:
        raise OSError(f"{name}: {n_bytes} bytes are more than a tar file can hold in one member")
    member = tarfile.TarInfo(name)
    member.size, member.mode = n_bytes, 0o600
    return member.tobuf(tarfile.USTAR_FORMAT)


def _padding(n_bytes: int) -> bytes:
    return bytes(-n_bytes % _BLOCK)


def _copied(file: Source, n_bytes: int, target: BinaryIO | None) -> Member:
    digest, left = hashlib.sha256(), n_bytes
    while left:
        part = _exactly(file, min(left, _CHUNK))
        digest.update(part)
        if target is not None:
            target.write(part)
        left -= len(part)
    if _exactly(file, len(_padding(n_bytes))) != _padding(n_bytes):
        raise DamagedArchive("the padding in it was altered")
    return Member(digest.hexdigest(), n_bytes)


def _exactly(file: Source, n_bytes: int) -> bytes:
    parts = []
    while n_bytes:
        part = file.read(n_bytes)
        if not part:
            raise DamagedArchive("its end is missing: it was cut off")
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


def _signed(manifest: dict[str, Any]) -> bytes:
    """The manifest as JSON, with the SHA-256 of what it says before that."""
    digest = hashlib.sha256(_canonical(manifest)).hexdigest()
    return _canonical({**manifest, "sha256": digest})


def _checked(text: bytes) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(text)
        if text != _signed({key: value for key, value in manifest.items() if key != "sha256"}):
            raise ValueError
        return manifest
    except (ValueError, TypeError, AttributeError):
        raise DamagedArchive("its manifest is damaged") from None


def _canonical(manifest: dict[str, Any]) -> bytes:
    return json.dumps(manifest, indent=1).encode("ascii")
