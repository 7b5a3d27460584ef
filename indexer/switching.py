"""A gallery's photos embedded by another model: beside it until all are there, then in its place.

A ledger holds the embeddings of one model, so the new ones go into a twin: a gallery of the same name
under ``switching/`` in the home. It can be filled while the gallery is searched and written, and goes
on where it was after a kill. The exchange is two renames; a kill between them is mended by `recover`.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.decoding import DecodePool
from ..encoders.errors import FingerprintMismatch, PlaceprintError, UnreadableImage
from ..encoders.fingerprint import Fingerprint
from .durable import sync_folder, write_atomically
from .entry import Entry
from .gallery import Gallery
from .gallery_files import gallery_folder, gallery_names
from .ledger import iterate_rows
from .originals import read_original
from .record import Record, photo_id
from .settings import Settings

if TYPE_CHECKING:  # it loads torch
    from ..encoders.image import ImageEncoder

READY = "ready"
"""A file in a twin that is complete and about to take the gallery's place."""

BATCH = 64
CARRIED = 4096
Progress = Callable[[int, int], None]


class MissingOriginals(PlaceprintError):
    """Photos whose file is not at hand, so that another model cannot look at them."""


class Filled(NamedTuple):
    """What became of filling a twin."""

    n_embedded: int
    missing: list[str]  # ids of photos that were left out


def twin_settings(settings: Settings) -> Settings:
    """The same settings for galleries on their way in."""
    return settings.model_copy(update={"home": settings.home / "switching"})


def open_twin(
    name: str, fingerprint: Fingerprint, *, encoder: str, weights: str | None, settings: Settings
) -> Gallery:
    """The twin of a gallery, as far as it was filled; one for yet another model is thrown away.

    Args:
        name: of the gallery.
        fingerprint: of the new model.
        encoder: what `load_encoder` calls it.
        weights: file that it was loaded from, if any.
        settings: of the gallery.
    """
    aside = twin_settings(settings)
    known = {"encoder": encoder, "weights": weights, "settings": aside}
    try:
        twin = Gallery.open_or_create(name, fingerprint, **known)  # type: ignore[arg-type]
    except FingerprintMismatch:
        Gallery.remove(name, settings=aside)
        twin = Gallery.open_or_create(name, fingerprint, **known)  # type: ignore[arg-type]
    (twin.folder / READY).unlink(missing_ok=True)
    return twin


def fill(
    gallery: Gallery,
    twin: Gallery,
    encoder: "ImageEncoder",
    *,
    leave_out_missing: bool = False,
    workers: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Filled:
    """Bring a twin in step with its gallery: every path, with all that is known of it.

    Args:
        gallery: whose photos are looked at again.
        twin: of the new model.
        encoder: the new model.
        leave_out_missing: go on without photos whose file is not at hand.
        workers: processes that decode.
        progress: called with the paths done and their number.

    Raises:
        MissingOriginals: there are such photos; what was embedded until then stays in the twin.
    """
    carry_vectors(gallery, twin)
    due = keys_behind(gallery, twin)
    n_embedded, missing, n_done = 0, list[str](), 0
    with DecodePool(encoder.preprocessing, workers=workers) as pool:
        for some in _batches(due, BATCH):
            entries = [gallery.state.entries[key] for key in some if key in gallery.state.entries]
            rows_of = iterate_rows(gallery.ledger, [entry.position for entry in entries])
            jobs = [(entry, rows_of[entry.position]) for entry in entries]
            read = list(pool.map(lambda job: _row(pool, gallery, twin, *job), jobs))
            rows = _embedded([row for row in read if isinstance(row, _Read)], encoder, twin)
            n_embedded += sum(row.status == "embedded" for row in rows)
            missing += [row for row in read if isinstance(row, str)]
            twin.add(rows)
            n_done += len(some)
            progress(n_done, len(due))
    gone = [key for key in twin.state.entries if key not in gallery.state.entries]
    twin.add([_ended(key, twin.state.entries[key]) for key in gone])
    if missing and not leave_out_missing:
        raise MissingOriginals(
            f"{len(set(missing))} photos of gallery {gallery.name!r} have no file at hand, {missing[0]} for "
            "one, so the new model cannot look at them. Bring the files back to where they were, or leave "
            "these photos out"
        )
    return Filled(n_embedded, missing)


def carry_vectors(gallery: Gallery, twin: Gallery) -> None:
    """Give a twin what other encoders say of the photos, which another model of its own does not change."""
    for name, card in gallery.vectors.cards.items():
        if twin.vectors.cards.get(name) != card:
            twin.vectors.begin(card)
        marks, known = gallery.vectors.marks(name), twin.vectors.marks(name)
        twin.vectors.remove(name, known.keys() - marks.keys())
        new = [sha256 for sha256, mark in marks.items() if known.get(sha256) != mark]
        for start in range(0, len(new), CARRIED):
            some = new[start : start + CARRIED]
            embeddings = gallery.embeddings([photo_id(one) for one in some], using=name)
            twin.vectors.add(name, some, embeddings, said=[marks[one] for one in some])


def keys_behind(gallery: Gallery, twin: Gallery) -> list[str]:
    """Paths of which the gallery knows what its twin does not."""
    known = twin.state.entries
    return [key for key, entry in list(gallery.state.entries.items()) if not _agree(entry, known.get(key))]


def mark_ready(twin: Gallery) -> None:
    """Decide for a twin: from now on it is the gallery, and `recover` finishes what a kill cuts off."""
    write_atomically(twin.folder / READY, "")


def exchange(name: str, settings: Settings) -> Path:
    """Put a twin in the place of its gallery. Both must be closed.

    Returns:
        Where the old gallery lies now; remove it when it is not wanted any more.
    """
    place, twin = gallery_folder(name, settings), gallery_folder(name, twin_settings(settings))
    old = twin.with_name(f".old-{name}")
    shutil.rmtree(old, ignore_errors=True)
    write_atomically(twin / READY, "")
    place.rename(old)
    _put(twin, place)
    return old


def recover_all(settings: Settings) -> None:
    """`recover` every gallery of a home."""
    names = {*gallery_names(settings), *gallery_names(twin_settings(settings))}
    for name in names:
        recover(name, settings)


def recover(name: str, settings: Settings) -> None:
    """Finish an exchange that a kill has cut off; otherwise nothing happens."""
    place, twin = gallery_folder(name, settings), gallery_folder(name, twin_settings(settings))
    if (twin / READY).exists():
        old = twin.with_name(f".old-{name}")
        if place.exists():
            shutil.rmtree(old, ignore_errors=True)
            place.rename(old)
        _put(twin, place)
        Gallery(old, settings).discard()
    if (place / READY).exists():
        (place / READY).unlink()


def _put(twin: Path, place: Path) -> None:
    twin.rename(place)
    for folder in (twin.parent, place.parent):
        sync_folder(folder)
    (place / READY).unlink()


class _Read(NamedTuple):
    """A row for the twin; with pixels where it needs an embedding."""

    record: Record
    pixels: NDArray[np.uint8] | None = None


def _row(pool: DecodePool, gallery: Gallery, twin: Gallery, entry: Entry, record: Record) -> "_Read | str":
    """The row of a path for the twin; the id of its photo, where the file is needed and not at hand."""
    record = replace(record, embedding=None, replaces="")
    if not entry.is_live:
        return _Read(record)
    if twin.state.is_known(entry.sha256):
        return _Read(replace(record, status="seen"))
    try:
        content = read_original(entry.id, gallery.state.keys.get(entry.id, ()))
        return _Read(replace(record, status="embedded"), pool.decode(content)[0])
    except UnreadableImage:
        return entry.id


def _embedded(read: Sequence[_Read], encoder: "ImageEncoder", twin: Gallery) -> list[Record]:
    waiting = {row.record.sha256: row.pixels for row in read if row.pixels is not None}
    vectors: NDArray[np.float32] | list[NDArray[np.float32]] = []
    if waiting:
        vectors = encoder.embed_pixels(np.stack(list(waiting.values())))
    by_sha256 = dict(zip(waiting, vectors, strict=True))
    rows = []
    for row in read:
        vector = by_sha256.pop(row.record.sha256, None) if row.pixels is not None else None
        status = row.record.status if row.pixels is None or vector is not None else "seen"
        rows.append(replace(row.record, status=status, embedding=vector))
    return rows


def _agree(entry: Entry, known: Entry | None) -> bool:
    return known is not None and (known.id, known.is_live, known.said, known.status == "deleted") == (
        entry.id, entry.is_live, entry.said, entry.status == "deleted"
    )  # fmt: skip


def _ended(key: str, entry: Entry) -> Record:
    return Record(key=key, status="removed", sha256=entry.sha256, source=entry.source)


def _batches(keys: Sequence[str], size: int) -> Iterator[list[str]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, size)):
        yield batch
