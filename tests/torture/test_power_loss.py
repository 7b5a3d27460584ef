"""R3: the power goes. kill -9 keeps what was written and not synced; a power cut does not.

All calls of an ingest that change files are recorded (strace), and played back in a model of a disk in
which only what was synced is sure: a file's bytes by fsync of the file, its name by fsync of its folder.
At every sync the disk is written out as a power cut could leave it, in three ways, and opened.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fakes import fingerprint_of
from torture_rows import Record
from torture_scale import scaled

from placeprint.encoders.errors import PlaceprintError
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.settings import Settings

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

INGEST = """
import os, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {tests!r})
from fakes import fingerprint_of, record
from placeprint.indexer import durable, gallery as galleries, ledger
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import photo_id
from placeprint.indexer.settings import Settings
if {fault!r} == "shards are not synced":
    ledger.os = type("Os", (), {{"fsync": staticmethod(lambda handle: None)}})
if {fault!r} == "folders are not synced":
    ledger.sync_folder = durable.sync_folder = lambda folder: None
home, log = Path({home!r}), os.open({log!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
with Gallery.create("trips", fingerprint_of(8), settings=Settings(home=home, qdrant_url=None)) as gallery:
    rng = np.random.default_rng(0)
    for batch in range({n_batches}):
        gallery.add([record(f"{{batch}}-{{i}}", rng.normal(size=8).astype("f4")) for i in range(4)])
        os.write(log, b"batch %d\\n" % batch)
    gallery.delete([photo_id("sha-0-0"), photo_id("sha-1-2")], is_erased=True)
"""
CALLS = (
    "openat,creat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,mkdir"
)
KINDS = ("what was not synced is gone", "names came before bytes", "half of the bytes came")


@dataclass
class File:
    """Bytes of a file as its process sees them, and as they are sure to be on the disk."""

    now: bytes = b""
    sure: bytes = b""

    def cut(self, kind: str) -> bytes:
        return self.now[: (len(self.sure) + len(self.now)) // 2] if kind == KINDS[2] else self.sure


@dataclass
class Disk:
    """Files and folders by path; what is in a folder for sure, and what its processes see in it."""

    root: str
    store: str
    names: dict[str, "File | None"] = field(default_factory=dict)  # None: a folder
    sure: dict[str, "File | None"] = field(default_factory=dict)
    acknowledged: int = 0

    def play(self, call: str, words: str, result: str) -> bool:
        """One call; whether it was a sync, after which the disk is to be looked at."""
        if result.startswith("-1") or self.store in words:
            return False  # the store is made again from the ledger
        strings = [unescaped(one) for one in re.findall(r'"((?:[^"\\]|\\.)*)"', words)]
        path = behind(words)
        paths = [] if call.startswith(("write", "pwrite")) else [os.fsdecode(one) for one in strings]
        if call in ("write", "pwrite64") and path.endswith("/acknowledged"):
            self.acknowledged += 1
            return False
        if call in ("openat", "creat"):
            opened = behind(result)
            if opened.startswith(self.root) and "O_CREAT" in words:
                file = self.names.setdefault(opened, File())
                if "O_TRUNC" in words and file is not None:
                    file.now = b""
        elif call == "mkdir" and paths[0].startswith(self.root):
            self.names[paths[0]] = None
        elif call == "write" and (file := self.names.get(path)) is not None:
            file.now += strings[0]
        elif call == "pwrite64" and (file := self.names.get(path)) is not None:
            at = int(words.rsplit(",", 1)[1])
            file.now = file.now.ljust(at, b"\0")[:at] + strings[0] + file.now[at + len(strings[0]) :]
        elif call == "ftruncate" and (file := self.names.get(path)) is not None:
            file.now = file.now[: int(words.rsplit(",", 1)[1])]
        elif call.startswith("rename") and paths[0] in self.names:
            self.names[paths[-1]] = self.names.pop(paths[0])
        elif call.startswith("unlink") and paths[0] in self.names:
            del self.names[paths[0]]
        elif call in ("fsync", "fdatasync") and path in self.names:
            file = self.names[path]
            if file is not None:
                file.sure = file.now
            else:
                self.sync_folder(path)
            return True
        elif call == "fsync" and path.startswith(self.root):
            self.sync_folder(path)
            return True
        return False

    def sync_folder(self, folder: str) -> None:
        for names, others in ((self.names, self.sure), (self.sure, self.names)):
            for path in [one for one in names if os.path.dirname(one) == folder]:
                if names is self.names:
                    others[path] = names[path]
                elif path not in others:
                    del self.sure[path]

    def write_out(self, target: Path, kind: str) -> None:
        """The folder as a power cut would leave it, by the least or by some more that reached the disk."""
        names = self.sure if kind == KINDS[0] else self.names
        for path, file in sorted(names.items()):
            place = target / os.path.relpath(path, self.root)
            if kind == KINDS[0] and os.path.dirname(path) != self.root and not place.parent.is_dir():
                continue  # the folder that it is in was never sure
            place.parent.mkdir(parents=True, exist_ok=True)
            if file is None:
                place.mkdir(exist_ok=True)
            else:
                place.write_bytes(file.cut(kind))


def behind(words: str) -> str:
    """The path of the file that a call's first word, a handle, stands for."""
    found = re.match(r"\d+<([^>]*)>", words)
    return os.fsdecode(unescaped(found[1])) if found else ""


def unescaped(text: str) -> bytes:
    """What strace wrote with ``-xx``."""
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


def recorded(folder: Path, fault: str, n_batches: int) -> Iterator[tuple[str, str, str]]:
    """The calls of an ingest that change files: name, arguments, result."""
    folder.mkdir()
    code = INGEST.format(
        tests=str(Path(__file__).parents[1]), home=str(folder / "home"), log=str(folder / "acknowledged"),
        fault=fault, n_batches=n_batches,
    )  # fmt: skip
    trace = folder / "trace"
    options = [
        "-f",
        "-y",
        "-xx",
        "-s",
        "10000000",
        "-e",
        f"trace={CALLS}",
        "-e",
        "signal=none",
        "-o",
        str(trace),
    ]
    command = ["strace", *options, sys.executable, "-c", code]
    subprocess.run(command, check=True, timeout=600, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    unfinished: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        process, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            unfinished[process] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        if (resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", rest)) is not None:
            rest = unfinished.pop(process, "") + resumed[1]
        if (call := re.match(r"(\w+)\((.*)\)\s+= (.*)", rest)) is not None:
            yield call[1], call[2], call[3]


def losses(
    folder: Path, fault: str, n_batches: int, n_opened: int
) -> tuple[int, int, dict[str, int], list[str]]:
    """Cut points, ways to cut tried, what was wrong at how many of them, and what was said of it.

    Args:
        folder: to work in.
        fault: planted in the ingest; "" for none.
        n_batches: of the ingest.
        n_opened: at so many of the cut points the whole gallery is opened, with its store made anew.
    """
    home = folder / "home"
    store = "".join(f"\\x{byte:02x}" for byte in os.fsencode(home / "galleries" / "trips" / "index"))
    disk, n_points, n_ways = Disk(str(home), store), 0, 0
    wrong, reasons = {"acknowledged batches lost": 0, "cannot be opened": 0}, set[str]()
    for call, words, result in recorded(folder, fault, n_batches):
        if not disk.play(call, words, result):
            continue
        n_points += 1
        for kind in KINDS:
            n_ways += 1
            left = folder / "left"
            shutil.rmtree(left, ignore_errors=True)
            left.mkdir()
            disk.write_out(left, kind)
            is_whole = (left / "galleries" / "trips" / "gallery.json").exists()
            try:
                found = committed(
                    left, is_opened=is_whole and n_points % max(1, 5 * n_batches // n_opened) == 0
                )
            except PlaceprintError as error:
                wrong["cannot be opened"] += 1
                reasons.add(str(error).replace(str(left), "…")[:200])
                continue
            wrong["acknowledged batches lost"] += found < disk.acknowledged or (
                disk.acknowledged > 0 and not is_whole
            )
    return n_points, n_ways, wrong, sorted(reasons)


def committed(home: Path, *, is_opened: bool) -> int:
    """Batches that a ledger has, all of them read, and the gallery opened if that is asked for."""
    folder = home / "galleries" / "trips" / "ledger"
    if not folder.exists():
        return 0
    ledger = Ledger(folder, fingerprint=fingerprint_of(8).id, dimension=8, is_read_only=True)
    rows = [record for number in ledger.numbers() for record in ledger.records(number)]
    embedded = [row.id for row in rows if row.status == "embedded"]
    assert len(embedded) == len(set(embedded))
    if is_opened:
        gone = {row.id for row in rows if row.status == "deleted"}
        with Gallery.open("trips", settings=Settings(home=home, qdrant_url=None)) as gallery:
            assert {photo.id for photo in gallery.find()} == set(embedded) - gone
    return len({row.key for row in rows}) // 4


def test_r03_the_power_goes(record: Record, tmp_path: Path) -> None:
    n_batches = scaled(6, 50, 50)
    n_points, n_ways, wrong, reasons = losses(tmp_path / "right", "", n_batches, scaled(4, 30, 250))
    record.figure("batches", n_batches)
    record.figure("cut points (syncs)", n_points)
    record.figure("disks looked at", n_ways)
    for what, n in wrong.items():
        record.figure(what, n)
    for fault in ("shards are not synced", "folders are not synced"):
        _, ways, found, _ = losses(tmp_path / fault[:5], fault, scaled(4, 10, 50), 4)
        record.caught(fault, sum(found.values()), ways)
    record.note(
        "the model of the disk is the strict one of POSIX: a new folder, too, is only sure once the folder "
        "that it is in was synced; the store's mapped files are not in it, for the ledger makes them again"
    )
    for reason in reasons:
        record.note(reason)
    assert n_points >= 2 * n_batches
    assert not any(wrong.values()), wrong
