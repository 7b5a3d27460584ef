"""The index of a gallery: its vector store, kept in step with the ledger.

In a folder the store lives in generations (`generations`), and beside each is noted what it has taken in
(`noted_store`). A store that lags behind, because a process was killed or a newer generation was being
built, is given the shards that it misses; giving one twice does no harm. A store that knows a shard
which a ledger has not, because one of the two came back from a backup, is made anew.
"""

import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.errors import PlaceprintError, ReadOnlyGallery
from .edge_store import EdgeStore
from .generations import Generations
from .ledger import Ledger, iterate_rows
from .named_vectors import NamedVectors
from .noted_store import NotedStore
from .photos import payload_of
from .record import Record
from .server_store import ServerStore
from .state import Entry, Position, State
from .store import VECTOR, Kinds, VectorKind, Vectors

CHUNK = 1024


class Index:
    """A vector store that follows a ledger.

    Args:
        folder: of the gallery.
        ledger: to follow.
        dimension: of the embeddings.
        named: vectors by other encoders.
        server: how to reach the collection on a Qdrant server; None for a folder of our own.
        is_fresh: make the store anew instead of opening it.
        is_read_only: leave the gallery's folder as it is, and work on a copy of the store, which
            its engine cannot open otherwise.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        dimension: int,
        named: NamedVectors,
        *,
        server: dict[str, Any] | None = None,
        is_fresh: bool = False,
        is_read_only: bool = False,
    ) -> None:
        self._copy = tempfile.TemporaryDirectory(prefix="placeprint-") if is_read_only else None
        self._generations = Generations(folder / "index")
        self._ledger = ledger
        self._dimension = dimension
        self._named = named
        self._server = server
        self._state: State | None = None
        self.writing = threading.RLock()
        self._exchanging = threading.Lock()  # one generation is made at a time
        self._live: NotedStore
        try:
            self._open(is_fresh=is_fresh)
        except BaseException:
            if self._copy is not None:
                self._copy.cleanup()
            raise

    def _open(self, *, is_fresh: bool) -> None:
        """Open the store, and bring it in step with the ledger."""
        if self._copy is None:
            self._generations.folder.mkdir(exist_ok=True)
        else:
            copy = Path(self._copy.name) / "index"
            self._generations = self._generations.copied(copy, is_whole=not self._server)
        if self._server is not None:
            remote = ServerStore(kinds=self._kinds, **self._server)
            self._live = NotedStore(remote, self._generations.folder / "applied.json")
        else:
            if is_fresh:
                self._generations.clear_all()
            self._live = self._open_folder()
        is_anew = (is_fresh and self._server is not None) or self._live.is_astray(self._ledger, self._named)
        is_behind = self._live.n_applied < len(self._ledger)
        if self._copy is not None and self._server is not None and (is_anew or is_behind):
            raise ReadOnlyGallery(
                "the collection on the server is not what the gallery's ledger says, and the folder may not "
                "be written. Open it once as someone who may, with: placeprint rebuild"
            )
        if is_anew:
            self._start_anew()
        self._catch_up(self._live)
        if is_behind and self.store.count(None) != self.state.n_shown:  # the store was changed by others
            self._start_anew()
            self._catch_up(self._live)

    @property
    def _kinds(self) -> Kinds:
        return {VECTOR: VectorKind(self._dimension), **self._named.kinds}

    @property
    def store(self) -> EdgeStore | ServerStore:
        """The store to ask, in step with the ledger."""
        return self._live.store

    @property
    def state(self) -> State:
        """What the ledger comes to; read on first use, then kept in step."""
        if self._state is None:
            self._state = self._ledger.replay()
        return self._state

    def append(self, records: list[Record]) -> None:
        """Commit rows to the ledger, then to the store."""
        with self.writing:
            state = self.state  # read before the new shard is there, which it would otherwise hold
            number = self._ledger.append(records)
            rows = {Position(number, row): record for row, record in enumerate(records)}
            for position, record in rows.items():
                state.apply(record, position)
            self._apply(self._live, (id for record in records for id in record.touched), rows)
            self._live.note_applied(self._ledger, number, self._named, self._named.lasts)

    def delete(self, ids: Collection[str]) -> int:
        """Commit that photos are not wanted any more; those that are not in the collection do nothing.

        Returns:
            How many were taken out.
        """
        with self.writing:
            live = [id for id in ids if self.state.keys.get(id)]
            keys = [key for id in live for key in self.state.keys[id]]
            if keys:
                self.append([_deleted(key, self.state.entries[key]) for key in keys])
            return len(live)

    def append_named(self, name: str, records: list[Record]) -> None:
        """Commit embeddings to the ledger of a named vector, then to the store."""
        with self.writing:
            state = self._named.state(name)
            number = self._named.ledgers[name].append(records)
            for row, record in enumerate(records):
                state.apply(record, Position(number, row))
            self._set_named(self._live, name, [record.id for record in records])
            self._live.note_applied(self._ledger, len(self._ledger), self._named, self._named.lasts)

    def read_state_anew(self) -> None:
        """Take the ledgers' rows for what they are now, after some were emptied."""
        with self.writing:
            self._state = self._ledger.replay()
            self._named.forget_states()

    def renew(self) -> bool:
        """Make the store anew from the ledger; of the old one nothing stays on the disk.

        Other threads may search and write meanwhile: a folder's store is made beside the old one, which
        answers until the new one has taken in all, and then they are exchanged. A collection on a server
        is emptied and filled, and writing waits.

        Returns:
            Whether all of the old one is gone; else the rest goes when the gallery is opened again.
        """
        with self._exchanging:
            if isinstance(self.store, ServerStore):
                with self.writing:
                    self._start_anew()
                    self._catch_up(self._live)
                return True
            number, fresh = self._generations.following()
            self._make_store(fresh)
            following = NotedStore(EdgeStore(fresh), fresh / "applied.json")
            self._catch_up(following)
            self._exchange(following, number)
            return not self._generations.path(number - 1).exists()

    def optimize(self) -> None:
        """Build the search index of a folder's store in a child process; a server does it by itself.

        Other threads may search and write meanwhile: the child works on a copy, which then takes in
        what the ledger has got since, and takes over.
        """
        if isinstance(self.store, ServerStore):
            return
        with self._exchanging:
            with self.writing:
                self.store.flush()
                number, fresh = self._generations.following()
                shutil.copytree(self._generations.current, fresh)
            command = [sys.executable, "-P", "-m", "placeprint.indexer.optimize", str(fresh)]
            child = subprocess.run(command, capture_output=True, text=True, check=False)
            if child.returncode != 0:
                shutil.rmtree(fresh, ignore_errors=True)
                raise PlaceprintError(
                    f"building the search index failed ({child.stderr.strip()[-300:] or child.returncode}); "
                    "the gallery goes on with the old one"
                )
            self._exchange(NotedStore(EdgeStore(fresh), fresh / "applied.json"), number)

    def _exchange(self, following: NotedStore, number: int) -> None:
        """Let a generation take in what it misses, and put it in the place of the one before."""
        with self.writing:
            self._catch_up(following)
            self._generations.use(number)
            # Not closed: a search that began on the old store in another thread may still be in it.
            self._live = following
        self._generations.clear(number - 1)

    def drop(self) -> None:
        """Let go of the store for good; of a collection on a server nothing stays there."""
        if isinstance(self.store, ServerStore):
            self.store.drop()
        self.close()

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()
        if self._copy is not None:
            self._copy.cleanup()

    def _start_anew(self) -> None:
        """An empty store in the place of the one there is."""
        if isinstance(self.store, ServerStore):
            self.store.clear(self._kinds)
            self._live.applied.unlink(missing_ok=True)
            self._live.indexed.clear()
        else:
            self.store.close()
            self._generations.clear_all()
            self._live = self._open_folder()

    def _open_folder(self) -> NotedStore:
        self._generations.clear_others()
        folder = self._generations.current
        if not folder.exists():
            self._make_store(folder)
        return NotedStore(EdgeStore(folder), folder / "applied.json")

    def _make_store(self, folder: Path) -> None:
        """An empty store, made aside and renamed: a process killed on the way leaves no half of one."""
        making = self._generations.folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        EdgeStore(making, self._kinds).close()
        making.rename(folder)

    def _catch_up(self, live: NotedStore) -> None:
        """Give a store the shards that it misses, and those of named vectors.

        Shards that others append meanwhile are not noted: the next call takes them in.
        """
        lasts = self._named.lasts  # first, so that the photos of these vectors are among the missing
        missing = [number for number in self._ledger.numbers() if number > live.n_applied]
        behind = [name for name, last in lasts.items() if live.n_applied_of(name) < last]
        touched: dict[str, None] = {}  # in the order of the shards, each of which is then read once
        if missing:
            rows = (record for number in missing for record in self._ledger.outcomes(number))
            touched = dict.fromkeys(id for record in rows for id in record.touched)
            self._apply(live, touched, {})  # with all their vectors
        for name in behind:
            ledger, done = self._named.ledgers[name], live.n_applied_of(name)
            numbers = [number for number in ledger.numbers() if done < number <= lasts[name]]
            changed = (row.id for number in numbers for row in ledger.outcomes(number))
            self._set_named(live, name, [id for id in changed if id not in touched])
        if missing or behind:
            live.note_applied(self._ledger, max([live.n_applied, *missing]), self._named, lasts)

    def _set_named(self, live: NotedStore, name: str, ids: list[str]) -> None:
        """Give the photos among some that the store has their vectors of one name."""
        shown = [id for id in dict.fromkeys(ids) if self.state.positions(id) is not None]
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

    def _apply(self, live: NotedStore, touched: Iterable[str], rows: dict[Position, Record]) -> None:
        """Bring photos in a store to what the ledger says of them.

        Args:
            live: the store.
            touched: ids; those of photos that no key shows any more are taken out of the store.
            rows: rows of the ledger that are at hand already.
        """
        wanted = list(dict.fromkeys(touched))
        for start in range(0, len(wanted), CHUNK):
            places = {id: self.state.positions(id) for id in wanted[start : start + CHUNK]}
            shown = {id: place for id, place in places.items() if place is not None}
            needed = {position for place in shown.values() for position in place}
            known = rows | iterate_rows(self._ledger, needed - rows.keys())
            # Erased between the two looks: no embedding any more, and no photo.
            shown = {id: place for id, place in shown.items() if known[place[1]].embedding is not None}
            if shown:
                vectors: dict[str, dict[str, Any]] = {
                    id: {VECTOR: known[embedded].embedding} for id, (_, embedded) in shown.items()
                }
                for name in self._named.cards:
                    for id, vector in self._named_of(name, shown).items():
                        vectors[id][name] = vector
                payloads = [payload_of(known[facts]) for facts, _ in shown.values()]
                live.index_fields(payloads)
                live.store.upsert(list(shown), list(vectors.values()), payloads)
            if gone := [id for id in places if id not in shown]:
                live.store.delete(gone)


def _deleted(key: str, entry: Entry) -> Record:
    """The row that ends the photo of a key."""
    return Record(
        key=key, status="deleted", sha256=entry.sha256, source=entry.source,
        size_bytes=entry.size_bytes, mtime_ns=entry.mtime_ns,
    )  # fmt: skip
