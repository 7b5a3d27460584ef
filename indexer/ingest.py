"""From a source to the gallery: what is new is read, decoded, embedded, committed and reported.

Whatever interrupts it, the same command goes on where the last commit was. A photo is embedded
once: unchanged files are skipped without being read, moved and doubled ones are recognized by
their bytes. Whose word counts where two sources list one file, and which photos are not wanted
again, is decided in `pending`; who does the work, by `executors`.
"""

import csv
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .executors import Executor, LocalExecutor
from .gallery import Gallery
from .interrupt import uninterrupted
from .listing import Item, Listing
from .pending import Choice, pending
from .picture_files import missing_keys
from .record import Record
from .state import State

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder


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
        """Items that this run has read and is through with."""
        return self.n_embedded + self.n_known + self.n_deleted_anew + self.n_failed

    @property
    def n_passed_over(self) -> int:
        """Items that there was nothing to do for."""
        n_deleted_before = self.n_deleted - self.n_deleted_anew
        return self.n_unchanged + sum(self.elsewhere.values()) + n_deleted_before + self.n_failed_before

    @property
    def is_partly_failed(self) -> bool:
        """Whether some photo of the source is not in the gallery."""
        return bool(self.failures or self.n_failed_before)


Progress = Callable[
    [Report, int], None
]  # the report so far, and how many items there are to do as far as is known


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
    executor: Executor | None = None,
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
        executor: who does the work; this machine by default.
        progress: called at the beginning and after every commit.

    Returns:
        What became of every item; failures are in the ledger too, and in ``failures.csv``.

    Raises:
        KeyboardInterrupt: once what was embedded until then is committed.
    """
    started = time.monotonic()
    report = Report(n_listed=len(items))
    choice = Choice(retry_failed=retry_failed, undelete=undelete, claim=claim)
    executor = executor or LocalExecutor(encoder, workers=workers)
    todo = pending(items, gallery.state, choice, report)  # one by one: there may be millions
    progress(report, len(items))
    for chunk in executor.run(todo, gallery.state, undelete=undelete):
        rows = _settled(chunk, gallery.state, report, undelete=undelete)
        with uninterrupted():
            gallery.add([*rows, *_moved(rows, gallery.state)])
        report.seconds = time.monotonic() - started
        progress(report, len(items) - report.n_passed_over)
    if prune:
        report.n_removed = _prune(items, gallery)
    _write_failures(gallery)
    report.seconds = time.monotonic() - started
    return report


def _settled(rows: Sequence[Record], state: State, report: Report, *, undelete: bool) -> list[Record]:
    """Rows as they are committed: a photo that another row has embedded meanwhile is only seen."""
    settled = []
    new: set[str] = set()
    for row in rows:
        if row.status == "failed":
            report.failures[row.key] = row.error or ""
            report.n_failed += 1
        elif not undelete and row.id in state.deleted:
            report.n_deleted += 1
            report.n_deleted_anew += 1
            row = Record(
                key=row.key, status="deleted", source=row.source, sha256=row.sha256,
                size_bytes=row.size_bytes, mtime_ns=row.mtime_ns, said=row.said,
            )  # fmt: skip
        elif row.id in new or state.is_known(row.sha256):
            report.n_known += 1
            report.n_without_place += row.lon is None
            row = replace(row, status="seen", embedding=None)
        elif row.embedding is None:  # whoever worked on it took it for known: the next run takes it up
            continue
        else:
            new.add(row.id)
            report.n_embedded += 1
            report.n_without_place += row.lon is None
        settled.append(row)
    return settled


def _moved(batch: Sequence[Record], state: State) -> list[Record]:
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
    failed = gallery.state.failures
    if not failed:
        path.unlink(missing_ok=True)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "reason"])
        writer.writerows(failed)


def failures_file(gallery: Gallery) -> Path:
    """Where `index` leaves the table of failures."""
    return gallery.folder / "failures.csv"
