"""An archive is read back byte for byte, or refused.

Claims: what `tar` lists is what was put in; whatever byte is flipped, and wherever the end is cut, the
reader says so; links, paths that lead elsewhere, doubled and unexpected members are refused before a
byte of them is written; pipes will do.
"""

import io
import re
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from placeprint.indexer.archive import MANIFEST, ArchiveWriter, DamagedArchive, read_archive

NAMES = re.compile(r"a|b|ledger/[0-9]{8}\.parquet")
FILES = {"a": b"hello", "b": b"", "ledger/00000001.parquet": bytes(range(256)) * 5}


def written(files: dict[str, bytes] = FILES, **facts: object) -> bytes:
    file = io.BytesIO()
    archive = ArchiveWriter(file)
    for name, content in files.items():
        archive.add(name, io.BytesIO(content), len(content))
    archive.finish(facts)
    return file.getvalue()


def read(content: bytes) -> tuple[dict[str, bytes], dict[str, object]]:
    found: dict[str, io.BytesIO] = {}

    @contextmanager
    def into(name: str, n_bytes: int) -> Iterator[BinaryIO]:
        found[name] = io.BytesIO()
        yield found[name]

    manifest = read_archive(io.BytesIO(content), NAMES, into)
    return {name: file.getvalue() for name, file in found.items()}, manifest


def test_what_was_put_in_comes_out() -> None:
    files, manifest = read(written(gallery="trips"))
    assert files == FILES
    assert manifest["gallery"] == "trips"
    assert manifest["files"]["a"]["bytes"] == 5


def test_it_is_a_tar_file(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(written())
    listed = subprocess.run(["tar", "-tf", tmp_path / "x.tar"], capture_output=True, text=True, check=True)
    assert listed.stdout.split() == [*FILES, MANIFEST]


def test_every_flipped_bit_is_seen(rng: np.random.Generator) -> None:
    whole = written()
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << int(rng.integers(8))
        with pytest.raises(DamagedArchive):
            read_archive(io.BytesIO(altered), NAMES)


def test_every_cut_is_seen() -> None:
    whole = written()
    for end in [*range(0, len(whole), 37), len(whole) - 1]:
        with pytest.raises(DamagedArchive):
            read_archive(io.BytesIO(whole[:end]), NAMES)
    with pytest.raises(DamagedArchive, match="does not end"):
        read_archive(io.BytesIO(whole + b"\0"), NAMES)


@pytest.mark.parametrize(
    "name",
    [
        "../a",
        "/etc/passwd",
        "ledger/../../a",
        "ledger/1.parquet",
        "a/",
        "A",
        "c",
        "ledger/00000001.parquet\n",
    ],
)
def test_only_members_named_in_advance_are_unpacked(name: str) -> None:
    asked: list[str] = []

    @contextmanager
    def into(name: str, n_bytes: int) -> Iterator[BinaryIO]:
        asked.append(name)
        yield io.BytesIO()

    with pytest.raises(DamagedArchive):
        read_archive(io.BytesIO(written({name: b"x"})), NAMES, into)
    assert asked == []


def test_a_member_stands_there_once() -> None:
    whole = written({"a": b"x"})
    twice = whole[:1024] + whole
    with pytest.raises(DamagedArchive, match="no business"):
        read_archive(io.BytesIO(twice), NAMES)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(kind: bytes) -> None:
    member = tarfile.TarInfo("a")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(DamagedArchive, match="header"):
        read_archive(io.BytesIO(member.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)), NAMES)


def test_what_tar_itself_writes_is_refused() -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("a")
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(DamagedArchive):
        read_archive(io.BytesIO(file.getvalue()), NAMES)


def test_a_file_that_ends_early_is_no_member() -> None:
    with pytest.raises(OSError, match="early"):
        ArchiveWriter(io.BytesIO()).add("a", io.BytesIO(b"abc"), 4)
