"""From a source to the gallery: read, decode in parallel, embed in batches, commit, report.

Whatever interrupts it, the same command goes on where the last commit was. A photo is embedded
once: unchanged files are skipped without being read, moved and doubled ones are recognized by
their bytes. Whose word counts where two sources list one file, and which photos are not wanted
again, is decided in `pending`.
"""

import csv
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.decoding import DecodePool
from ..encoders.errors import UnreadableImage
from ..encoders.photo import PhotoFacts
from .gallery import Gallery
from .interrupt import uninterrupted
from .pending import Choice, pending
from .record import Record, encode_payload, photo_id
from .sources import Item, Listing, missing_keys
from .state import State

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder

BATCH = 16  # on a CPU the fastest for small networks, and large ones lose little
COMMIT = 256  # photos; at most so many are embedded again after a kill


@dataclass
class Report:
    """What became of a source."""

    n_listed: int = 0
    n_unchanged: int = 0  # known from before, not read again
    elsewhere: dict[str, int] = field(default_factory=dict)  # known from other sources: how many from each
    n_deleted: int = 0  # taken out of the gallery earlier, and left out
    n_deleted_anew: int = 0  # of these, read in this run, and recognized by their bytes
    n_embedded: int = 0
    n_known: int = 0  # read, but their bytes were embedded before: moved, doubled, or told anew
    n_removed: int = 0
    n_without_place: int = 0  # of those embedded or known in this run
    failures: dict[str, str] = field(default_factory=dict)  # key -> reason, of this run
    n_failed: int = 0  # of these, read in this run; the others belong to another source, and stay
    n_failed_before: int = 0  # failed in an earlier run and not tried again
    seconds: float = 0.0

    @property
    def n_done(self) -> int:
        """Items that this run is through with."""
        return self.n_embedded + self.n_known + self.n_deleted_anew + self.n_failed

    @property
    def is_partly_failed(self) -> bool:
        """Whether some photo of the source is not in the gallery."""
        return bool(self.failures or self.n_failed_before)


class Decoded(NamedTuple):
    """A photo after reading: its pixels and facts, or why there are none."""

    item: Item
    sha256: str
    pixels: NDArray[np.uint8] | None
    facts: PhotoFacts | None
    error: str | None
    is_deleted: bool = False  # not wanted in the gallery


Progress = Callable[[Report, int], None]  # the report so far, and how many items there are to do


def index(
    items: Sequence[Item],
    gallery: Gallery,
    encoder: "ImageEncoder",
    *,
    retry_failed: bool = False,
    undelete: bool = False,
    claim: bool = False,
    prune: bool = False,
    workers: int | None = None,
    progress: Progress = lambda report, total: None,
) -> Report:
    """Bring a gallery up to date with a source.

    Args:
        items: all of the source's photos, see `list_source`.
        gallery: of the encoder's embeddings.
        encoder: embeds what is new.
        retry_failed: try again what failed in an earlier run, though the file is the same.
        undelete: bring back photos that were deleted.
        claim: take files over that belong to another source.
        prune: take photos out of the gallery whose file the source does not list any more.
        workers: processes that decode; all cores by default.
        progress: called after every batch.

    Returns:
        What became of every item; failures are in the ledger too, and in ``failures.csv``.

    Raises:
        KeyboardInterrupt: once what was embedded until then is committed.
    """
    started = time.monotonic()
    report = Report(n_listed=len(items))
    choice = Choice(retry_failed=retry_failed, undelete=undelete, claim=claim)
    todo = list(pending(items, gallery.state, choice, report))
    progress(report, len(todo))
    with DecodePool(encoder.preprocessing, workers=workers) as pool:
        decoded = pool.map(lambda item: _decode(pool, item), todo)
        for batch in _embedded(decoded, encoder, gallery.state, report, undelete=undelete):
            with uninterrupted():
                gallery.add([*batch, *_moved(batch, items, gallery.state)])
            report.seconds = time.monotonic() - started
            progress(report, len(todo))
    if prune:
        report.n_removed = _prune(items, gallery)
    _write_failures(gallery)
    report.seconds = time.monotonic() - started
    return report


def _decode(pool: DecodePool, item: Item) -> Decoded:
    if item.problem:
        return Decoded(item, "", None, None, item.problem)
    try:
        content = item.read()
    except OSError as error:
        return Decoded(item, "", None, None, f"cannot be read: {error.strerror}")
    sha256 = hashlib.sha256(content).hexdigest()
    if not content:
        return Decoded(item, sha256, None, None, "an empty file")
    try:
        return Decoded(item, sha256, *pool.decode(content), None)
    except UnreadableImage as error:
        return Decoded(item, sha256, None, None, str(error))


def _embedded(
    decoded: Iterable[Decoded], encoder: "ImageEncoder", state: State, report: Report, *, undelete: bool
) -> Iterator[list[Record]]:
    """Rows for the ledger, in the order of the items, as many at a time as one commit takes.

    When it is interrupted, it gives what it has before it passes the interruption on.
    """
    rows: list[Record] = []
    waiting: list[Decoded] = []
    try:
        for photo in decoded:
            waiting.append(photo)
            is_full = len(rows) + len(waiting) == COMMIT
            if is_full or sum(p.error is None for p in waiting) == BATCH:
                rows += _embed(waiting, encoder, state, rows, report, undelete=undelete)
                waiting = []
            if is_full:
                full, rows = rows, []
                yield full
        rows += _embed(waiting, encoder, state, rows, report, undelete=undelete)
    except KeyboardInterrupt:
        if rows:
            yield rows
        raise
    if rows:
        yield rows


def _embed(
    photos: Sequence[Decoded],
    encoder: "ImageEncoder",
    state: State,
    before: Sequence[Record],
    report: Report,
    *,
    undelete: bool,
) -> list[Record]:
    unwanted = [not undelete and photo_id(photo.sha256) in state.deleted for photo in photos]
    photos = [
        photo._replace(pixels=None, is_deleted=True) if is_unwanted and photo.error is None else photo
        for photo, is_unwanted in zip(photos, unwanted, strict=True)
    ]
    done = {record.sha256 for record in before if record.status == "embedded"}
    new: dict[str, NDArray[np.uint8]] = {}
    for photo in photos:
        if photo.pixels is not None and photo.sha256 not in done and not state.is_known(photo.sha256):
            new.setdefault(photo.sha256, photo.pixels)
    embeddings = encoder.embed_pixels(np.stack(list(new.values()))) if new else np.empty((0, 0), np.float32)
    by_sha256 = dict(zip(new, embeddings, strict=True))
    lengths = {sha256: float(np.linalg.norm(embedding)) for sha256, embedding in by_sha256.items()}
    broken = {sha256 for sha256, length in lengths.items() if not 0.0 < length < np.inf}
    why = "the encoder gave no embedding with a direction"
    photos = [photo._replace(error=why) if photo.sha256 in broken else photo for photo in photos]
    return [_record(photo, by_sha256, report) for photo in photos]


def _record(photo: Decoded, embeddings: dict[str, NDArray[np.float32]], report: Report) -> Record:
    """The ledger's row for a photo. The first of equal bytes takes the embedding out of `embeddings`."""
    item, facts = photo.item, photo.facts
    common: dict[str, Any] = {
        "key": item.key, "source": item.source, "sha256": photo.sha256,
        "size_bytes": item.size_bytes, "mtime_ns": item.mtime_ns, "said": item.said,
    }  # fmt: skip
    if photo.is_deleted:
        report.n_deleted += 1
        report.n_deleted_anew += 1
        return Record(**common, status="deleted")
    embedding = embeddings.pop(photo.sha256, None)
    if photo.error is not None or facts is None:
        report.failures[item.key] = photo.error or "no facts"
        report.n_failed += 1
        return Record(**common, status="failed", error=photo.error)
    lon, lat = (item.lon, item.lat) if item.lon is not None else (facts.lon, facts.lat)
    report.n_embedded += embedding is not None
    report.n_known += embedding is None
    report.n_without_place += lon is None
    return Record(
        **common,
        status="seen" if embedding is None else "embedded",
        lon=lon,
        lat=lat,
        captured_at=item.captured_at or facts.captured_at,
        heading_deg=facts.heading_deg,
        width=facts.width,
        height=facts.height,
        group=item.group,
        payload=encode_payload(item.payload),
        embedding=embedding,
    )


def _moved(batch: Sequence[Record], items: Sequence[Item], state: State) -> list[Record]:
    """Rows that end the old keys of files that turned up under a new one."""
    seen = [record for record in batch if record.status == "seen"]
    old = {key: record for record in seen for key in state.keys.get(record.id, ()) if key != record.key}
    return [
        Record(key=key, status="removed", sha256=old[key].sha256, source=state.entries[key].source)
        for key in missing_keys(old)
        if Path(state.entries[key].source).exists()  # else a drive is away, not a file moved
    ]


def _prune(items: Sequence[Item], gallery: Gallery) -> int:
    """End the keys that the source does not list any more, its own and, in a folder, all that are gone."""
    listed = {item.key for item in items}
    sources = {item.source for item in items} | ({items.source} if isinstance(items, Listing) else set())
    folders = tuple(os.path.join(source, "") for source in sources)
    gone = [
        (key, entry)
        for key, entry in gallery.state.entries.items()
        if key not in listed
        and (entry.source in sources or (key.startswith(folders) and any(missing_keys([key]))))
    ]
    gallery.add(
        [Record(key=key, status="removed", sha256=entry.sha256, source=entry.source) for key, entry in gone]
    )
    return sum(entry.status != "deleted" for _, entry in gone)


def _write_failures(gallery: Gallery) -> None:
    """A table of all photos that are not in the gallery, and why; none when there are none."""
    path = gallery.folder / "failures.csv"
    failed = [(key, entry.error) for key, entry in gallery.state.entries.items() if entry.status == "failed"]
    if not failed:
        path.unlink(missing_ok=True)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "reason"])
        writer.writerows(sorted(failed))


def failures_file(gallery: Gallery) -> Path:
    """Where `index` leaves the table of failures."""
    return gallery.folder / "failures.csv"
