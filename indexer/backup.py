"""A gallery as one file: what `restore` makes a gallery of again.

A backup is the truth and nothing else: ``gallery.json``, the shards of the ledger and of the ledgers of
named vectors with their cards, and what was fitted. The vector store is left out, for the ledgers make it
again, and so are the photos' own files and the encoders' weights, which live elsewhere. No lock is taken: a
service may hold the gallery, and photos may be added meanwhile, since a shard comes into being whole and
is never changed; the backup holds those that were there when it began. Erasing alone changes shards. A
backup that it crossed is begun anew, so that none holds half of an erasure.
"""

import io
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from .. import __version__
from ..encoders.errors import DamagedLedger, PlaceprintError, UnknownGallery, UnwritableFile
from ..encoders.fingerprint import Fingerprint
from .archive import ArchiveWriter
from .durable import sync_folder
from .entry import Position
from .gallery_files import FITTED, gallery_folder, gallery_names, read_config
from .ledger import Ledger
from .named_vectors import CARD, NAME, VECTORS, NamedVectors
from .settings import Settings
from .state import State

KIND: Final = "placeprint gallery"
FORMAT: Final = 1
KEPT: Final = (*FITTED, "places.json")  # beside the ledger, where they are
MEMBER: Final = re.compile(
    rf"gallery\.json|({VECTORS}/{NAME.pattern}/)?ledger/[0-9]{{8}}\.parquet|"
    rf"{VECTORS}/{NAME.pattern}/{re.escape(CARD)}|" + "|".join(map(re.escape, KEPT))
)
_TRIALS: Final = 5

Stamp = tuple[int, int, int]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What a backup holds."""

    gallery: str
    created_at: str
    photos: int
    placed: int
    shards: int
    n_bytes: int
    encoder: str


class _Crossed(Exception):
    """A shard was changed while it was copied."""


def back_up(
    name: str,
    target: Path | BinaryIO,
    *,
    settings: Settings | None = None,
    is_overwritten: bool = False,
    progress: Progress = lambda done, total: None,
) -> Backup:
    """Copy a gallery into one file, which is there whole or not at all.

    Args:
        name: of the gallery; it may be in use.
        target: the file, or a pipe.
        settings: where galleries live.
        is_overwritten: replace a file that is there.
        progress: called with the bytes copied and their number.

    Raises:
        UnknownGallery: there is none of that name.
        DamagedLedger: a shard cannot be read; a backup of it would be worth nothing.
        UnwritableFile: the file is there, its folder is not, or there is no room.
    """
    settings = settings or Settings()
    folder = gallery_folder(name, settings)
    if not (folder / "gallery.json").exists():
        known = ", ".join(gallery_names(settings)) or "none"
        raise UnknownGallery(f"no gallery {name!r} in {folder.parent} (there: {known})")
    if not isinstance(target, Path):
        try:
            return _write(folder, target, progress)
        except _Crossed as crossed:
            raise PlaceprintError(_crossed(crossed)) from None
    if target.exists() and not is_overwritten:
        raise UnwritableFile(f"{target}: exists already; --overwrite replaces it")
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.partial")
    for trial in range(_TRIALS):
        try:
            with told(target), open(partial, "xb", opener=_private) as file:
                backup = _write(folder, file, progress)
                file.flush()
                os.fsync(file.fileno())
            with told(target):
                partial.replace(target)
                sync_folder(target.parent)
            return backup
        except _Crossed as crossed:
            if trial + 1 == _TRIALS:
                raise PlaceprintError(_crossed(crossed)) from None
        finally:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
    raise AssertionError


def counted(ledger: Ledger, numbers: Sequence[int]) -> dict[str, int]:
    """Numbers of photos shown and placed, by some shards of a ledger alone."""
    state = State()
    for number in numbers:
        for row, record in enumerate(ledger.outcomes(number)):
            state.apply(record, Position(number, row))
    facts = [places[0] for photo in state.live if (places := state.positions(photo)) is not None]
    rows: dict[int, list[int]] = {}
    for position in facts:
        rows.setdefault(position.shard, []).append(position.row)
    placed = sum(int(ledger.is_placed(number)[wanted].sum()) for number, wanted in rows.items())
    return {"photos": len(facts), "placed": placed}


@contextmanager
def told(what: Path) -> Iterator[None]:
    """Errors of the disk, in words, and with what became of it."""
    try:
        yield
    except OSError as error:
        raise UnwritableFile(f"{what}: {error.strerror or error}; nothing was left there") from None


def ledger_of(folder: Path) -> Ledger:
    """The ledger in a gallery's folder, to read."""
    config = read_config(folder / "gallery.json")
    fingerprint = Fingerprint(**config["fingerprint"])
    return Ledger(
        folder / "ledger", fingerprint=fingerprint.id, dimension=fingerprint.dimension, is_read_only=True
    )


def described(manifest: dict[str, Any]) -> Backup:
    """What a manifest says of its backup."""
    files = manifest["files"]
    return Backup(
        gallery=manifest["gallery"], created_at=manifest["created_at"], encoder=manifest["encoder"],
        photos=manifest["photos"], placed=manifest["placed"],
        shards=sum(name.startswith("ledger/") for name in files),
        n_bytes=sum(one["bytes"] for one in files.values()),
    )  # fmt: skip


def _write(folder: Path, file: BinaryIO, progress: Progress) -> Backup:
    """Write the archive of a gallery's folder."""
    ledger = ledger_of(folder)
    config = (folder / "gallery.json").read_bytes()
    named = NamedVectors(folder, is_read_only=True)
    numbers = ledger.numbers()
    ledgers = {
        path: one for one in (ledger, *named.ledgers.values()) for path in map(one.path, one.numbers())
    }
    before = {path: _stamp(path.stat()) for path in ledgers}
    total, done = sum(size for size, *_ in before.values()), 0
    archive = ArchiveWriter(file)
    archive.add("gallery.json", io.BytesIO(config), len(config))
    for path, one in ledgers.items():
        with _held(path, before[path]) as shard:
            _require_whole(path, shard, one.fingerprint)
            shard.seek(0)
            archive.add(path.relative_to(folder).as_posix(), shard, before[path][0])
        done += before[path][0]
        progress(done, total)
    for kept in (*KEPT, *(f"{VECTORS}/{name}/{CARD}" for name in named.cards)):
        with suppress(FileNotFoundError):
            content = (folder / kept).read_bytes()
            archive.add(kept, io.BytesIO(content), len(content))
    counts = counted(ledger, numbers)
    for path in ledgers:  # counted before this: what was counted is what was copied
        with _held(path, before[path]):
            pass
    facts = {
        "format": FORMAT, "kind": KIND, "gallery": folder.name, "placeprint": __version__,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "encoder": json.loads(config)["encoder"], "fingerprint": ledger.fingerprint, **counts,
    }  # fmt: skip
    archive.finish(facts)
    return described({**facts, "files": {name: {"bytes": m.n_bytes} for name, m in archive.members.items()}})


@contextmanager
def _held(path: Path, stamp: Stamp) -> Iterator[BinaryIO]:
    """A shard to read, which stays what it is while it is open, whatever takes its place."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise _Crossed(path.name) from None
    with file:
        if _stamp(os.fstat(file.fileno())) != stamp:
            raise _Crossed(path.name)
        yield file


def _require_whole(path: Path, shard: BinaryIO, fingerprint: str) -> None:
    """See that every page of a shard has the checksum it was written with."""
    try:
        table = pq.read_table(shard, page_checksum_verification=True)
        found = (table.schema.metadata or {}).get(b"placeprint_fingerprint", b"").decode()
        if found != fingerprint:
            raise pa.ArrowInvalid(f"embedded by encoder {found or 'unknown'}, not {fingerprint}")
    except (OSError, pa.ArrowException) as error:
        raise DamagedLedger(
            f"{path}: damaged ({error}), so that no backup was made. Bring the shard back from an earlier "
            "backup, or move it away, run `placeprint rebuild`, and index its source again"
        ) from None


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _crossed(shard: Exception) -> str:
    return f"shard {shard} was changed meanwhile, because photos were erased; make the backup again"


def _private(path: str, flags: int) -> int:
    """Open for the owner alone: a backup tells where people were."""
    return os.open(path, flags, 0o600)
