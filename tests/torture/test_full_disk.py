"""R6: a full disk and a failing one end what is being done with a clear word, and damage nothing."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import ColorEncoder
from ingest_fakes import contents
from torture_photos import decode_at_once, write_photos
from torture_rows import Record
from torture_scale import scaled

from placeprint.encoders.errors import PlaceprintError
from placeprint.indexer import ingest
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

pytestmark = pytest.mark.slow

N_PHOTOS = 24


class FailingDisk:
    """Counts what is written, synced and renamed under a folder, and fails once at the k-th call."""

    def __init__(self, home: Path, k: int, code: int) -> None:
        self.home, self.k, self.code, self.n_calls = str(home), k, code, 0

    def count(self) -> None:
        self.n_calls += 1
        if self.n_calls == self.k:
            raise OSError(self.code, os.strerror(self.code))

    @contextmanager
    def planted(self) -> Iterator[None]:
        real_open, real_replace, real_fsync = Path.open, Path.replace, os.fsync
        disk = self

        class Raw(io.FileIO):
            def write(self, data: Any) -> int:
                disk.count()
                return super().write(data) or 0

        def opened(path: Path, mode: str = "r", *args: Any, **given: Any) -> Any:
            if mode not in ("wb", "xb", "w", "x") or not str(path).startswith(disk.home):
                return real_open(path, mode, *args, **given)
            disk.count()
            raw = io.BufferedWriter(Raw(path, mode.removesuffix("b")))
            given.pop("buffering", None)
            return raw if mode.endswith("b") else io.TextIOWrapper(raw, **given)

        def replace(path: Path, target: Any) -> Path:
            disk.count()
            return real_replace(path, target)

        def fsync(handle: int) -> None:
            disk.count()
            real_fsync(handle)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Path, "open", opened)
            patch.setattr(Path, "replace", replace)
            patch.setattr(os, "fsync", fsync)
            yield


class Trial:
    """Indexing on a disk that fails at one call, and again when it is well."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._photos, self.n_silent = folder, folder / "photos", 0
        write_photos(self._photos, N_PHOTOS)
        self.expected = self.run(folder / "undisturbed")
        disk = FailingDisk(folder / "counted", 0, 0)
        with disk.planted():
            self.index(folder / "counted")
        self.n_calls = disk.n_calls

    def run(self, home: Path) -> dict[str, tuple[object, ...]]:
        """Index the photos, and all that the gallery then knows when it is opened again."""
        self.index(home)
        with Gallery.open("trips", settings=self._settings(home)) as gallery:
            return contents(gallery)

    def index(self, home: Path) -> None:
        """Index the photos."""
        encoder = ColorEncoder()
        with Gallery.open_or_create("trips", encoder.fingerprint, settings=self._settings(home)) as gallery:
            ingest.index(list_source(self._photos), gallery, encoder)

    def _settings(self, home: Path) -> Settings:
        return Settings(home=home, qdrant_url=None, lock_timeout_s=1.0)

    def is_told(self, home: Path, k: int, code: int) -> bool:
        """Whether a fault at call k ends the indexing with an error."""
        try:
            with FailingDisk(home, k, code).planted():
                self.index(home)
        except (OSError, PlaceprintError):
            return True
        return False

    def ends_well(self, k: int, code: int) -> bool:
        """Whether a fault at call k is told or did no harm, and the next run makes everything good."""
        home = self._folder / f"{k}-{code}"
        is_told = self.is_told(home, k, code)
        self.n_silent += not is_told  # what failed was not needed, such as the counts for an overview
        return (is_told or self.is_whole(home)) and self.is_whole(home, again=True)

    def is_whole(self, home: Path, *, again: bool = False) -> bool:
        """Whether a gallery has all that it should have, as it is or after another run."""
        try:
            if again:
                return self.run(home) == self.expected
            with Gallery.open("trips", settings=self._settings(home)) as gallery:
                return contents(gallery) == self.expected
        except (OSError, PlaceprintError, KeyError):  # the last of a photo whose row is not in the ledger
            return False


FILLING = """
import sys
sys.path.insert(0, sys.argv[2])
import numpy as np
from pathlib import Path
from fakes import fingerprint_of, record
from placeprint.encoders.errors import PlaceprintError
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings

settings, rng = Settings(home=Path(sys.argv[1]), qdrant_url=None), np.random.default_rng(0)
try:
    with Gallery.open_or_create("trips", fingerprint_of(64), settings=settings) as gallery:
        for batch in range(int(sys.argv[3])):
            first = 100 * len(gallery.ledger)
            gallery.add([record(f"{first + i}", rng.normal(size=64).astype("f4")) for i in range(100)])
            print(first + 100, flush=True)
except (OSError, PlaceprintError) as error:
    sys.exit(f"said: {error}")
"""


def fill(home: Path, n: int) -> tuple[int, int, str]:
    """Add batches until n are there or the disk is full: exit code, photos acknowledged, last word."""
    command = [sys.executable, "-c", FILLING, str(home), str(Path(__file__).parents[1]), str(n)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = ran.stdout.split()
    return ran.returncode, int(said[-1]) if said else 0, ran.stderr[-500:]


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of so many megabytes, and what makes it larger."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here; that takes root")
    try:
        yield (
            lambda size: (
                subprocess.run(["mount", "-o", f"remount,size={size}m", str(folder)], check=True) and None
            )
        )
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_r06_the_disk_is_full_or_fails(
    record: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode_at_once(monkeypatch.setattr, commit=8, batch=8)
    trial = Trial(tmp_path / "calls")
    steps = range(1, trial.n_calls + 1, scaled(7, 1, 1))
    bad = [(k, code) for code in (errno.ENOSPC, errno.EIO) for k in steps if not trial.ends_well(k, code)]
    record.figure("calls that were made to fail", 2 * len(steps))
    record.figure("after which something was wrong", len(bad))
    record.figure("faults that did not matter", trial.n_silent)

    def deaf(ledger: Ledger, *args: Any) -> None:
        try:
            write(ledger, *args)
        except OSError:
            pass

    write = Ledger._write
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_write", deaf)
        homes = {k: tmp_path / f"deaf-{k}" for k in steps}
        silent = [k for k, home in homes.items() if not trial.is_told(home, k, errno.ENOSPC)]
    planted = [k for k in silent if not trial.is_whole(homes[k])]
    record.caught("an error of the disk is passed over", len(planted), len(steps))

    clear, killed = 0, 0
    for megabytes in range(*scaled((60, 61, 20), (20, 81, 20), (10, 101, 10))):
        disk = tmp_path / f"disk-{megabytes}"
        with small_disk(disk, megabytes) as enlarge:
            code, acknowledged, said = fill(disk, 100_000)
            clear += code == 1 and "said:" in said
            killed += code < 0
            enlarge(1000)
            again, after, said = fill(disk, 3)
            assert again == 0 and after >= acknowledged + 300, (megabytes, again, after, acknowledged, said)
    record.figure("full disks that ended with a word", clear)
    record.figure("full disks that killed the process", killed)
    assert bad == []
    assert killed == 0, f"{killed} processes were killed (SIGBUS) on a full disk instead of saying so"
