"""Filling a vector store from the ledgers: what shards touched, as it is now.

A store is not told what happened, but what became of it: for each photo that a shard touches the rows that
count now are read. So shards may be given twice, or in pieces, and the store ends the same.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .entry import Position
from .kept_state import KeptState
from .ledger import Ledger, iterate_rows
from .named_vectors import NamedVectors
from .noted_store import NotedStore
from .photos import payload_of
from .record import Record
from .store import VECTOR, Vectors

CHUNK = 1024
NOTED_EVERY = 65_536  # photos taken in


class Filling:
    """Brings stores to what the ledgers of a gallery say.

    Args:
        ledger: of the photos.
        named: vectors by other encoders.
        kept: what the ledger comes to.
    """

    def __init__(self, ledger: Ledger, named: NamedVectors, kept: KeptState) -> None:
        self._ledger = ledger
        self._named = named
        self._kept = kept

    def catch_up(self, live: NotedStore) -> None:
        """Give a store the shards that it misses, and those of named vectors.

        Shards that others append meanwhile are not noted: the next call takes them in.
        """
        lasts = self._named.lasts  # first, so that the photos of these vectors are among the missing
        missing = [number for number in self._ledger.numbers() if number > live.n_applied]
        behind = [name for name, last in lasts.items() if live.n_applied_of(name) < last]
        touched: set[str] = set()
        n_due = 0
        for number, ids in self._touched_in(missing):
            self.apply(live, [id for id in ids if id not in touched], {})  # with all their vectors
            touched.update(ids)
            n_due += len(ids)
            if n_due >= NOTED_EVERY:  # whoever is cut off goes on from here
                n_due = 0
                so_far = {name: live.n_applied_of(name) for name in lasts}
                live.note_applied(self._ledger, number, self._named, so_far)
        for name in behind:
            ledger, done = self._named.ledgers[name], live.n_applied_of(name)
            numbers = [number for number in ledger.numbers() if done < number <= lasts[name]]
            changed = (row.id for number in numbers for row in ledger.outcomes(number))
            self.set_named(live, name, [id for id in changed if id not in touched])
        if missing or behind:
            live.note_applied(self._ledger, max([live.n_applied, *missing]), self._named, lasts)

    def _touched_in(self, numbers: list[int]) -> Iterator[tuple[int, list[str]]]:
        """Ids that shards touch, in their order, of so many shards together as make a chunk.

        Each shard is then read once, and no more of them lie in memory than that.

        Yields:
            The number of the last of these shards, and the ids.
        """
        ids: dict[str, None] = {}
        for number in numbers:
            ids.update(dict.fromkeys(id for row in self._ledger.outcomes(number) for id in row.touched))
            if len(ids) >= CHUNK or number == numbers[-1]:
                yield number, list(ids)
                ids = {}

    def set_named(self, live: NotedStore, name: str, ids: list[str]) -> None:
        """Give the photos among some that the store has their vectors of one name."""
        shown = [id for id in dict.fromkeys(ids) if self._kept.state.positions(id) is not None]
        for start in range(0, len(shown), CHUNK):
            some = shown[start : start + CHUNK]
            found = self._named_of(name, some)
            if found:
                live.store.set_vectors(name, list(found), np.array(list(found.values()), np.float32))
            if gone := [id for id in some if id not in found]:
                live.store.delete_vectors(name, gone)

    def _named_of(self, name: str, ids: Iterable[str]) -> dict[str, Vectors]:
        """Vectors of one name of those photos that have one."""
        state = self._named.state(name)
        places = {id: state.embedded_at[id] for id in ids if state.keys.get(id)}
        rows = iterate_rows(self._named.ledgers[name], places.values())
        found = {id: rows[place].embedding for id, place in places.items()}
        return {id: one for id, one in found.items() if one is not None}  # None: erased

    def apply(self, live: NotedStore, touched: Iterable[str], rows: dict[Position, Record]) -> None:
        """Bring photos in a store to what the ledger says of them.

        Args:
            live: the store.
            touched: ids; those of photos that no key shows any more are taken out of the store.
            rows: rows of the ledger that are at hand already.
        """
        places = {id: self._kept.state.positions(id) for id in dict.fromkeys(touched)}
        shown = {id: place for id, place in places.items() if place is not None}
        needed = {position for place in shown.values() for position in place}
        known = rows | iterate_rows(self._ledger, needed - rows.keys())
        # Erased between the two looks: no embedding any more, and no photo.
        shown = {id: place for id, place in shown.items() if known[place[1]].embedding is not None}
        vectors: dict[str, dict[str, Any]] = {
            id: {VECTOR: known[embedded].embedding} for id, (_, embedded) in shown.items()
        }
        for name in self._named.cards:
            for id, vector in self._named_of(name, shown).items():
                vectors[id][name] = vector
        for ids in _in_chunks(list(shown)):
            payloads = [payload_of(known[shown[id][0]]) for id in ids]
            live.index_fields(payloads)
            live.store.upsert(ids, [vectors[id] for id in ids], payloads)
        for ids in _in_chunks([id for id in places if id not in shown]):
            live.store.delete(ids)


def _in_chunks(ids: list[str]) -> Iterator[list[str]]:
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
