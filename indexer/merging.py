"""Galleries into one: what several machines indexed, each its share, without embedding anything again."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from .entry import Entry
from .gallery import Gallery
from .ledger import iterate_rows
from .record import Record, photo_id

CHUNK = 1024

Progress = Callable[[int, int], None]


@dataclass
class Merged:
    """What became of a gallery's paths.

    Attributes:
        n_taken: were taken over.
        n_there: were there already.
        n_kept: stand for another photo in the gallery that takes them, which was kept.
    """

    n_taken: int = 0
    n_there: int = 0
    n_kept: int = 0


def merge(into: Gallery, source: Gallery, *, progress: Progress = lambda done, total: None) -> Merged:
    """Take all that one gallery knows into another, which must be of the same encoder.

    It is safe to call again after an interruption. The gallery that is read stays as it is.

    Args:
        into: takes; what it knows of a path stays.
        source: gives.
        progress: called with the paths done and their number.

    Raises:
        FingerprintMismatch: they are of two encoders.
    """
    into.check(source.fingerprint)
    merged, total, done = Merged(), len(source.state.entries), 0
    entries = iter(source.state.entries.items())
    while some := dict(islice(entries, CHUNK)):
        into.add(list(_rows(into, source, some, merged)))
        done += len(some)
        progress(done, total)
    _take_vectors(into, source)
    return merged


def _take_vectors(into: Gallery, source: Gallery) -> None:
    """Take what other encoders say of the photos; what is there already stays."""
    for name, card in source.vectors.cards.items():
        if name not in into.vectors.cards:
            into.vectors.begin(card)
        into.vectors.check(card.fingerprint, name)
        marks = source.vectors.marks(name)
        known = into.vectors.marks(name)
        new = [sha256 for sha256 in marks if sha256 not in known]
        for start in range(0, len(new), CHUNK):
            some = new[start : start + CHUNK]
            embeddings = source.embeddings([photo_id(one) for one in some], using=name)
            into.vectors.add(name, some, embeddings, said=[marks[one] for one in some])


def _rows(into: Gallery, source: Gallery, entries: dict[str, Entry], merged: Merged) -> Iterator[Record]:
    wanted: dict[str, Entry] = {}
    for key, entry in entries.items():
        there = into.state.entries.get(key)
        if there is None:
            wanted[key] = entry
        elif there.id == entry.id:
            merged.n_there += 1
        else:
            merged.n_kept += 1
    merged.n_taken += len(wanted)
    new = {
        entry.id: source.state.embedded_at[entry.id]
        for entry in wanted.values()
        if entry.is_live and not into.state.is_known(entry.sha256) and entry.id in source.state.embedded_at
    }
    rows = iterate_rows(source.ledger, {*new.values(), *(entry.position for entry in wanted.values())})
    for entry in wanted.values():
        row = replace(rows[entry.position], embedding=None, replaces="")
        if not entry.is_live:
            yield row
        elif entry.id in new:
            yield replace(row, status="embedded", embedding=rows[new.pop(entry.id)].embedding)
        else:
            yield replace(row, status="seen")
