"""A gallery made of a backup, whole or not at all.

It is a new gallery, of a name that was free, and gets a collection of its own, in a folder or on the
Qdrant server that is set where it is restored; so this is the way from one to the other too.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ..encoders.errors import PlaceprintError, UnreadableSource
from .archive import DamagedArchive, Sink, read_archive
from .backup import FORMAT, KIND, MEMBER, Backup, Progress, counted, described, ledger_of, told
from .durable import sync_folder
from .gallery import Gallery
from .gallery_files import gallery_folder, read_config, write_config
from .settings import Settings

DISTRUSTED, NOTHING_DONE = "the backup cannot be trusted", "Nothing was restored from it"


def restore(
    source: Path | BinaryIO,
    name: str,
    *,
    settings: Settings | None = None,
    progress: Progress = lambda done, total: None,
) -> Backup:
    """Make a gallery of a backup. It is there whole or not at all, and its vector store is built.

    Args:
        source: a file that `back_up` wrote, or a pipe.
        name: of the new gallery.
        settings: where galleries live, and which Qdrant server it goes to, if any.
        progress: called with the bytes read and their number, which is 0 where it is not known.

    Raises:
        PlaceprintError: a gallery of that name is there.
        DamagedArchive: the backup was cut off, altered, or is none.
        UnwritableFile: no room, or no right to write.
        StoreUnavailable: the Qdrant server does not answer; the gallery is there, and its store is built
            when it is opened.
    """
    settings = settings or Settings()
    folder = gallery_folder(name, settings)
    if folder.exists():
        raise PlaceprintError(
            f"gallery {name!r} exists already in {folder}; restore under another name, or move it away first"
        )
    # Two levels down, where it is no gallery yet, on the disk where it will be one.
    aside = folder.parent / f".restoring-{uuid.uuid4().hex[:8]}"
    fresh = aside / name
    with told(folder), _opened(source) as (file, total):
        try:
            (fresh / "ledger").mkdir(parents=True)
            backup = _unpacked(file, fresh, progress, total)
            _renew(fresh / "gallery.json", name, settings)
            _require_counts(fresh, backup)
            for part in (*(one for one in fresh.rglob("*") if one.is_dir()), fresh):
                sync_folder(part)
            if folder.exists():
                raise PlaceprintError(f"gallery {name!r} was made meanwhile; restore under another name")
            fresh.rename(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    with Gallery.open(name, settings=settings) as gallery:
        if len(gallery) != backup.photos:
            raise PlaceprintError(
                f"gallery {name!r} shows {len(gallery)} photos and not the {backup.photos} of the backup; "
                f"make its store anew with: placeprint rebuild --gallery {name}"
            )
    return backup


def verify(source: Path | BinaryIO, *, progress: Progress = lambda done, total: None) -> Backup:
    """Read a backup to its end and check every byte, writing nothing.

    Raises:
        DamagedArchive: it was cut off, altered, or is none.
    """
    with _opened(source) as (file, total):
        return _read(file, progress, total, None)


def _unpacked(file: BinaryIO, folder: Path, progress: Progress, total: int) -> Backup:
    @contextmanager
    def into(name: str, n_bytes: int) -> Iterator[BinaryIO]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("xb") as target:
            yield target
            target.flush()
            os.fsync(target.fileno())

    return _read(file, progress, total, into)


def _read(file: BinaryIO, progress: Progress, total: int, sink: Sink | None) -> Backup:
    """Read a backup, and see that it is whole."""
    try:
        manifest = read_archive(_Counted(file, progress, total), MEMBER, sink)
        if manifest.get("kind") != KIND:
            raise DamagedArchive("this is no backup of a gallery")
        if int(manifest["format"]) > FORMAT:
            raise DamagedArchive(f"made by a newer Placeprint ({manifest['placeprint']}): update Placeprint")
        return described(manifest)
    except (KeyError, TypeError, ValueError):
        raise DamagedArchive(f"{DISTRUSTED}: its manifest is damaged. {NOTHING_DONE}") from None
    except DamagedArchive as error:
        raise DamagedArchive(f"{DISTRUSTED}: {error}. {NOTHING_DONE}") from None


def _renew(path: Path, name: str, settings: Settings) -> None:
    """Give a gallery a collection of its own: two that shared one would overwrite each other."""
    config = read_config(path) | {
        "qdrant_url": settings.qdrant_url, "collection": f"{name}-{uuid.uuid4().hex[:8]}"
    }  # fmt: skip
    write_config(path, config)


def _require_counts(folder: Path, backup: Backup) -> None:
    ledger = ledger_of(folder)
    numbers = ledger.numbers()
    found = counted(ledger, numbers)
    if (found["photos"], found["placed"], len(numbers)) != (backup.photos, backup.placed, backup.shards):
        raise DamagedArchive(
            f"{DISTRUSTED}: it tells of {backup.photos} photos and holds {found['photos']}. {NOTHING_DONE}"
        )


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[tuple[BinaryIO, int]]:
    """A backup to read, and its bytes; 0 for a pipe."""
    if not isinstance(source, Path):
        yield source, 0
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise UnreadableSource(f"{source}: {error.strerror}") from None
    with file:
        yield file, source.stat().st_size


class _Counted:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, progress: Progress, total: int) -> None:
        self._file, self._progress, self._total, self._done = file, progress, total, 0

    def read(self, n_bytes: int, /) -> bytes:
        """So many bytes, or fewer at the end."""
        part = self._file.read(n_bytes)
        self._done += len(part)
        self._progress(self._done, self._total)
        return part
