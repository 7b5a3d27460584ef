"""Looks a gallery's files through, and mends what can be mended.

The ledger is compared with its checksums byte by byte; the state and the vector store, which follow it,
with the ledger. A damaged shard is brought back from a backup where one is at hand, or put aside, so that
the gallery opens again without its photos; the next `index` of their source embeds those, and no others.
"""

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from ..encoders.errors import DamagedLedger, PlaceprintError
from ..encoders.fingerprint import Fingerprint
from .gallery import Gallery
from .gallery_files import CONFIG, existing_folder, read_config
from .kept_state import FILE as STATE
from .ledger import Ledger
from .lock import GalleryLock
from .named_vectors import VECTORS, NamedVectors
from .settings import Settings
from .state import State

ASIDE = "damaged"  # folder of a gallery, for shards that were put aside
CHUNK = 1024
SAME = 1e-5  # how far the numbers of a vector may lie from the ledger's: stores keep unit vectors their way

Progress = Callable[[int, int], None]


@dataclass
class Finding:
    """Something that is not as it should be.

    Attributes:
        file: or folder.
        what: is wrong with it.
        remedy: what was done, or what to do.
        is_mended: whether it is as it should be now, though photos may have to be indexed again.
        lost: paths of the photos that have to be.
    """

    file: Path
    what: str
    remedy: str
    is_mended: bool = False
    lost: list[str] = field(default_factory=list)


@dataclass
class Diagnosis:
    """What was looked through, and what was found.

    Attributes:
        shards: of all ledgers.
        photos: in the collection.
        findings: nothing where all is well.
    """

    shards: int = 0
    photos: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether nothing is left to mend."""
        return all(finding.is_mended for finding in self.findings)


def examine(
    name: str,
    *,
    settings: Settings | None = None,
    is_mended: bool = False,
    backup: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> Diagnosis:
    """Look a gallery through.

    Args:
        name: of the gallery, which nobody else may hold.
        settings: where galleries live.
        is_mended: mend what can be. Otherwise the ledger is not touched, and where it is whole the gallery
            is opened as ever: what a commit that was cut off left goes, and its store is brought up to date.
        backup: a file that `backup` wrote, to bring damaged shards back from.
        progress: called with the shards and chunks of photos looked at and their number.

    Raises:
        UnknownGallery: there is none of that name.
        GalleryLocked: another process holds it.
        DamagedGallery: its description cannot be read; that comes back from a backup alone.
        PlaceprintError: the backup cannot be read.
    """
    settings = settings or Settings()
    folder = existing_folder(name, settings)
    found = Diagnosis()
    lock = GalleryLock(folder / "lock", timeout_s=settings.lock_timeout_s)
    lock.acquire()
    try:
        config = read_config(folder / CONFIG)
        fingerprint = Fingerprint(**config["fingerprint"])
        ledgers = [_ledger(folder / "ledger", fingerprint)]
        named = NamedVectors(folder, is_read_only=True)
        for name_of, card in named.cards.items():
            ledgers.append(_ledger(folder / VECTORS / name_of / "ledger", card.fingerprint))
        leftovers = [path for ledger in ledgers for path in ledger.folder.glob("*.tmp")]
        total = sum(len(ledger.numbers()) for ledger in ledgers)
        for ledger in ledgers:
            for finding in _in_ledger(folder, ledger, found, total, progress, is_mended, backup):
                found.findings.append(finding)
    finally:
        lock.release()
    if not found.findings or (is_mended and found.is_well):
        _in_store(name, settings, found, is_mended=is_mended, progress=progress)
    for path in leftovers:
        done = "removed" if not path.exists() else "goes when the gallery is opened again"
        found.findings.append(Finding(path, "left over from a commit that was cut off", done, True))
    return found


def _ledger(folder: Path, fingerprint: Fingerprint) -> Ledger:
    return Ledger(folder, fingerprint=fingerprint.id, dimension=fingerprint.dimension, is_read_only=True)


def _in_ledger(
    folder: Path,
    ledger: Ledger,
    found: Diagnosis,
    total: int,
    progress: Progress,
    is_mended: bool,
    backup: Path | None,
) -> Iterator[Finding]:
    numbers = ledger.numbers()
    names = {ledger.path(number).name for number in numbers}
    gone = [int(Path(name).stem) for name in ledger.checksums.names if name not in names]
    for number in sorted([*numbers, *gone]):
        found.shards += number not in gone
        what = "is not there any more" if number in gone else _damage(ledger, number)
        progress(found.shards, total)
        if what is None:
            continue
        finding = Finding(ledger.path(number), what, "", lost=_keys_in(folder, ledger, number))
        if is_mended:
            _mend(folder, ledger, number, finding, backup)
        else:
            finding.remedy = "bring it back with --repair --from BACKUP, or go on without it with --repair"
        yield finding


def _damage(ledger: Ledger, number: int) -> str | None:
    """What is wrong with a shard; None when nothing is."""
    try:
        ledger.records(number)
    except (DamagedLedger, TypeError, ValueError, KeyError) as error:
        return str(error).partition("`placeprint")[0].strip().removeprefix(f"{ledger.path(number)}: ")
    return None


def _keys_in(folder: Path, ledger: Ledger, number: int) -> list[str]:
    """Paths of the photos that a shard told of last, as far as the state remembers them."""
    if ledger.folder.parent != folder:  # of a named vector: photos, which are not lost
        return []
    try:
        state = State(folder / STATE)
    except Exception:  # damaged as well, and made anew later
        return []
    try:
        return [] if state.followed.number < number else state.keys_in(number)
    finally:
        state.close()


def _mend(folder: Path, ledger: Ledger, number: int, finding: Finding, backup: Path | None) -> None:
    path = ledger.path(number)
    whole = Ledger(path.parent, fingerprint=ledger.fingerprint, dimension=ledger.dimension)
    if path.exists():
        aside = folder / ASIDE / path.relative_to(folder).as_posix().replace("/", "-")
        aside.parent.mkdir(exist_ok=True)
        path.replace(aside)
        finding.remedy = f"put aside as {aside}"
    if backup is not None and (content := _from_backup(backup, path.relative_to(folder).as_posix())):
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
        if _damage(ledger, number) is None:
            finding.remedy, finding.lost, finding.is_mended = f"brought back from {backup}", [], True
            return
        path.unlink()
    whole.checksums.forget(path.name)
    finding.is_mended = True
    finding.remedy = finding.remedy or "the gallery goes on without it"


def _from_backup(backup: Path, member: str) -> bytes | None:
    try:
        with tarfile.open(backup, "r:") as archive:
            file = archive.extractfile(member)
            return file.read() if file else None
    except KeyError:  # it was made before the shard
        return None
    except (OSError, tarfile.TarError) as error:
        raise PlaceprintError(f"{backup}: cannot be read as a backup ({error})") from None


def _in_store(
    name: str, settings: Settings, found: Diagnosis, *, is_mended: bool, progress: Progress
) -> None:
    """Compare the store and the state with the ledger; after mending they are made anew first."""
    folder = existing_folder(name, settings)
    try:
        with Gallery.open(name, settings=settings, is_rebuilt=bool(found.findings)) as gallery:
            found.photos = len(gallery)
            wrong = _wrong_vectors(gallery, progress)
            is_state_right = _is_state_right(gallery)
    except PlaceprintError as error:
        wrong, is_state_right = str(error), True
    for is_right, file, what in (
        (wrong is None, folder / "index", wrong or ""),
        (is_state_right, folder / STATE, "not what the ledger comes to"),
    ):
        if not is_right:
            remedy = "made anew from the ledger" if is_mended else "--repair makes it anew from the ledger"
            found.findings.append(Finding(file, what, remedy, is_mended))
    if is_mended and not (wrong is None and is_state_right):
        with Gallery.open(name, settings=settings, is_rebuilt=True) as gallery:
            found.photos = len(gallery)


def _wrong_vectors(gallery: Gallery, progress: Progress) -> str | None:
    """How the store differs from the ledger; None where it does not."""
    expected = gallery.state.n_shown
    if len(gallery) != expected:
        return f"holds {len(gallery)} photos, and the ledger {expected}"
    ids = (photo for photo in gallery.state.live if photo in gallery.state.embedded_at)
    done = 0
    while some := list(islice(ids, CHUNK)):
        stored = gallery.stored_vectors(some)
        if missing := [id for id in some if id not in stored]:
            return f"lacks {len(missing)} photos of the ledger, {missing[0]} for one"
        difference = np.abs(np.array([stored[id] for id in some]) - gallery.embeddings(some)).max(axis=1)
        if (difference > SAME).any():
            n_wrong, first = int((difference > SAME).sum()), some[int(difference.argmax())]
            return f"has other vectors of {n_wrong} photos than the ledger, {first} for one"
        done += len(some)
        progress(done, expected)
    return None


def _is_state_right(gallery: Gallery) -> bool:
    fresh = gallery.ledger.replay()
    try:
        pairs = zip(fresh.entries.items(), gallery.state.entries.items(), strict=False)
        return (
            len(fresh.entries) == len(gallery.state.entries)
            and set(fresh.deleted) == set(gallery.state.deleted)
            and len(fresh.embedded_at) == len(gallery.state.embedded_at)
            and all(one == other for one, other in pairs)
        )
    finally:
        fresh.close()
