"""Looking at places on the map: those of a gallery of places, or where the photos of a gallery are.

Whatever interrupts it, the same command goes on where the last commit was: what the ledger has is not
embedded again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import NothingToLocateWith
from .gallery import Gallery
from .interrupt import uninterrupted
from .place_card import MAP
from .place_embedder import PlaceEmbedder
from .place_list import PlaceList, place_key, rounded
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
            marks = embedder.marks(places.lonlat[start : start + BATCH])
            rows = [_marked(places.record(start + row), mark) for row, mark in enumerate(marks)]
            due = [row for row in rows if _is_due(gallery, row, report)]
            waiting += _looked_at(due, gallery, embedder, report)
            if len(waiting) >= COMMIT:
                _commit(gallery, waiting)
                waiting = []
            report.seconds = time.monotonic() - started
            progress(report, len(places))
    finally:
        _commit(gallery, waiting)
        report.seconds = time.monotonic() - started
    return report


def _marked(row: Record, mark: str) -> Record:
    """A row that also says what the map showed."""
    return replace(row, said=f"{row.said} {mark}")


def _shows_the_same(gallery: Gallery, row: Record) -> bool:
    """Whether the map shows around a place what it showed when it was looked at."""
    before = gallery.state.entries.get(row.key)
    return before is not None and before.said.split()[1:] == row.said.split()[1:]


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
    due: list[Record], gallery: Gallery, embedder: PlaceEmbedder, report: PlacesReport
) -> list[Record]:
    """Rows with their embeddings, without those that the map does not know."""
    retold = [row for row in due if gallery.state.is_known(row.sha256) and _shows_the_same(gallery, row)]
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


def look_around_photos(
    gallery: Gallery,
    embedder: PlaceEmbedder,
    *,
    progress: Progress = lambda report, total: None,
) -> PlacesReport:
    """Give the photos of a gallery vectors by the map around them, where they have none.

    Those that were moved since, or around which the map was drawn anew, are looked at again.

    Photos without a place, or in places of which the map knows too little, have none afterwards.

    Args:
        gallery: of photos, with vectors named ``map``.
        embedder: of these.
        progress: told after every batch.

    Raises:
        NothingToLocateWith: none of them has a place.
        FingerprintMismatch: the vectors are of another encoder.
        KeyboardInterrupt: once what was embedded until then is committed.
    """
    gallery.check(embedder.fingerprint, using=MAP)
    photos, lonlat = gallery.placed()
    if not photos:
        raise NothingToLocateWith(f"no photo of gallery {gallery.name!r} has a place to look at on a map")
    report = PlacesReport(n_listed=len(photos), n_without_place=len(gallery) - len(photos))
    started = time.monotonic()
    state, marks = gallery.state, gallery.vectors.marks(MAP)
    sha256s = [state.entries[state.keys[photo.id][0]].sha256 for photo in photos]
    shown = [mark for part in _parts(lonlat) for mark in embedder.marks(part)]
    said = [
        f"{place_key(lon, lat)} {mark}"
        for (lon, lat), mark in zip(rounded(lonlat).tolist(), shown, strict=True)
    ]
    moved = [one for one, mark in zip(sha256s, said, strict=True) if marks.get(one, mark) != mark]
    gallery.vectors.remove(MAP, {*moved, *(marks.keys() - set(sha256s))})
    due = [row for row, one in enumerate(sha256s) if marks.get(one) != said[row]]
    report.n_unchanged = len(photos) - len(due)
    for start in range(0, len(due), COMMIT):
        found: list[tuple[int, NDArray[np.float32]]] = []
        try:
            for first in range(start, min(start + COMMIT, len(due)), BATCH):
                rows = np.array(due[first : min(first + BATCH, start + COMMIT)])
                embeddings, known = embedder.embed(lonlat[rows])
                found += zip(rows[known].tolist(), embeddings, strict=True)
                report.n_embedded += len(embeddings)
                report.n_without_data += len(rows) - len(embeddings)
                report.seconds = time.monotonic() - started
                progress(report, len(photos))
        finally:
            with uninterrupted():
                gallery.vectors.add(
                    MAP,
                    [sha256s[row] for row, _ in found],
                    np.array([one for _, one in found]),
                    said=[said[row] for row, _ in found],
                )
    report.seconds = time.monotonic() - started
    return report


def _parts(lonlat: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    return [lonlat[start : start + BATCH] for start in range(0, len(lonlat), BATCH)]
