"""Filling a gallery of places: look at each on the map, embed, commit, go on.

Whatever interrupts it, the same command goes on where the last commit was: what the ledger has is not
embedded again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .gallery import Gallery
from .interrupt import uninterrupted
from .place_embedder import PlaceEmbedder
from .place_list import PlaceList
from .record import Record

BATCH = 256  # places looked at in one go
COMMIT = 2048  # at most so many are embedded again after a kill


@dataclass
class PlacesReport:
    """What became of a list of places."""

    n_listed: int = 0
    n_unchanged: int = 0  # in the gallery before
    n_embedded: int = 0
    n_retold: int = 0  # in the gallery before; their payload is new
    n_without_data: int = 0  # the map knows too little there
    n_deleted: int = 0  # taken out of the gallery earlier, and left out
    n_without_place: int = 0  # rows without coordinates
    n_doubled: int = 0  # rows of a place that an earlier row has
    seconds: float = 0.0

    @property
    def n_done(self) -> int:
        """Places that this run is through with."""
        return (
            self.n_unchanged + self.n_embedded + self.n_retold + self.n_without_data + self.n_deleted
        )  # fmt: skip


Progress = Callable[[PlacesReport, int], None]  # the report so far, and how many places there are


def build_places(
    gallery: Gallery,
    places: PlaceList,
    embedder: PlaceEmbedder,
    *,
    progress: Progress = lambda report, total: None,
) -> PlacesReport:
    """Bring a gallery of places up to date with a list.

    Args:
        gallery: of places.
        places: to be in it.
        embedder: of the gallery.
        progress: told after every batch.

    Raises:
        FingerprintMismatch: the gallery is of another encoder.
        KeyboardInterrupt: once what was embedded until then is committed.
    """
    gallery.check(embedder.fingerprint)
    report = PlacesReport(
        n_listed=len(places), n_without_place=places.n_without_place, n_doubled=places.n_doubled
    )
    started = time.monotonic()
    waiting: list[Record] = []
    try:
        for start in range(0, len(places), BATCH):
            rows = [places.record(row) for row in range(start, min(start + BATCH, len(places)))]
            due = [row for row in rows if _is_due(gallery, row, report)]
            waiting += _looked_at(due, gallery, embedder, report, are_alone=places.photos is None)
            if len(waiting) >= COMMIT:
                _commit(gallery, waiting)
                waiting = []
            report.seconds = time.monotonic() - started
            progress(report, len(places))
    finally:
        _commit(gallery, waiting)
        report.seconds = time.monotonic() - started
    return report


def _is_due(gallery: Gallery, row: Record, report: PlacesReport) -> bool:
    """Whether the gallery has not got a row yet; counts it where it has."""
    entry = gallery.state.entries.get(row.key)
    if row.id in gallery.state.deleted:
        report.n_deleted += 1
        return False
    if entry is not None and entry.is_live and entry.id == row.id and entry.said == row.said:
        report.n_unchanged += 1
        return False
    return True


def _looked_at(
    due: list[Record], gallery: Gallery, embedder: PlaceEmbedder, report: PlacesReport, *, are_alone: bool
) -> list[Record]:
    """Rows with their embeddings, without those that the map does not know; alone, or those of photos."""
    # The place of a photo may have changed; that of a place cannot, and only what is said of it is new.
    retold = [row for row in due if are_alone and gallery.state.is_known(row.sha256)]
    ids = {row.id for row in retold}
    fresh = [row for row in due if row.id not in ids]
    report.n_retold += len(retold)
    rows = [replace(row, status="seen") for row in retold]
    if fresh:
        embeddings, known = embedder.embed(np.array([(row.lon, row.lat) for row in fresh]))
        chosen = [row for row, is_known in zip(fresh, known.tolist(), strict=True) if is_known]
        report.n_embedded += len(chosen)
        report.n_without_data += len(fresh) - len(chosen)
        rows += [replace(row, embedding=one) for row, one in zip(chosen, embeddings, strict=True)]
    return rows


def _commit(gallery: Gallery, rows: list[Record]) -> None:
    with uninterrupted():
        gallery.add(rows)
