"""The index of a gallery: its vector store, kept in step with the ledger.

On disk the store lives in generations, ``gen-0001``, ``gen-0002``, …; ``CURRENT`` names the one in
use and changes by an atomic rename. In each, ``applied.json`` has the number of the last shard of
the ledger that the store has taken in. A store that lags behind, because a process was killed or
a newer generation was being built, is given the shards that it misses; giving one twice does no
harm.
"""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..encoders.errors import PlaceprintError
from .ledger import Ledger, Position, Record, State, iterate_rows, write_atomically
from .photos import payload_of
from .store import EdgeStore, ServerStore, index_kind

MAX_INDEXED_FIELDS = 64
CHUNK = 1024


class _Live:
    """A store and the file that says which shards it has taken in."""

    def __init__(self, store: EdgeStore | ServerStore, applied: Path) -> None:
        self.store = store
        self.applied = applied
        self.indexed: set[str] = set()  # payload fields

    @property
    def n_applied(self) -> int:
        """Number of the last shard taken in."""
        return int(json.loads(_read_or(self.applied, "{}")).get("shards", 0))

    def note_applied(self, number: int) -> None:
        """Note a shard as taken in, once what it brought is on the disk."""
        self.store.flush()
        write_atomically(self.applied, json.dumps({"shards": number}))


class Index:
    """A vector store that follows a ledger.

    Args:
        folder: of the gallery.
        ledger: to follow.
        dimension: of the embeddings.
        server: how to reach the collection on a Qdrant server; None for a folder of our own.
        is_fresh: make the store anew instead of opening it.
    """

    def __init__(
        self,
        folder: Path,
        ledger: Ledger,
        dimension: int,
        *,
        server: dict[str, Any] | None = None,
        is_fresh: bool = False,
    ) -> None:
        self._folder = folder / "index"
        self._folder.mkdir(exist_ok=True)
        self._ledger = ledger
        self._dimension = dimension
        self._server = server
        self._state: State | None = None
        self.writing = threading.RLock()
        self._live: _Live
        if server is not None:
            remote = ServerStore(dimension=dimension, **server)
            self._live = _Live(remote, self._folder / "applied.json")
            if is_fresh or remote.count(None) == 0:  # emptied behind our back
                remote.clear()
                self._live.applied.unlink(missing_ok=True)
        else:
            if is_fresh:
                shutil.rmtree(self._folder)
                self._folder.mkdir()
            self._live = self._open_folder()
        self._catch_up(self._live)

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
            self._live.note_applied(number)

    def optimize(self) -> None:
        """Build the search index of a folder's store in a child process; a server does it by itself.

        Other threads may search and write meanwhile: the child works on a copy, which then takes in
        what the ledger has got since, and takes over.
        """
        if isinstance(self.store, ServerStore):
            return
        with self.writing:
            self.store.flush()
            number = self._current() + 1
            fresh = self._generation(number)
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(self._generation(self._current()), fresh)
        command = [sys.executable, "-P", "-m", "placeprint.indexer.optimize", str(fresh)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            raise PlaceprintError(
                f"building the search index failed ({child.stderr.strip()[-300:] or child.returncode}); "
                "the gallery goes on with the old one"
            )
        with self.writing:
            following = _Live(EdgeStore(fresh), fresh / "applied.json")
            self._catch_up(following)
            write_atomically(self._folder / "CURRENT", str(number))
            # Not closed: a search that began on the old store in another thread may still be in it.
            self._live = following
            shutil.rmtree(self._generation(number - 1), ignore_errors=True)

    def close(self) -> None:
        """Let go of the store."""
        self.store.close()

    def _open_folder(self) -> _Live:
        folder = self._generation(self._current())
        for leftover in self._folder.glob("gen-*"):  # of an optimization that was cut off
            if leftover != folder:
                shutil.rmtree(leftover)
        if not folder.exists():
            # Made aside and renamed: a process killed on the way leaves no half of a store.
            making = self._folder / "making"
            shutil.rmtree(making, ignore_errors=True)
            EdgeStore(making, self._dimension).close()
            making.rename(folder)
        return _Live(EdgeStore(folder), folder / "applied.json")

    def _generation(self, number: int) -> Path:
        return self._folder / f"gen-{number:04d}"

    def _current(self) -> int:
        return int(_read_or(self._folder / "CURRENT", "1"))

    def _catch_up(self, live: "_Live") -> None:
        """Give a store the shards that it misses."""
        missing = [number for number in self._ledger.numbers() if number > live.n_applied]
        if missing:
            rows = (record for number in missing for record in self._ledger.outcomes(number))
            self._apply(live, (id for record in rows for id in record.touched), {})
            live.note_applied(missing[-1])

    def _apply(self, live: "_Live", touched: Iterable[str], rows: dict[Position, Record]) -> None:
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
            if shown:
                vectors = np.array([known[embedded].embedding for _, embedded in shown.values()], np.float32)
                payloads = [payload_of(known[facts]) for facts, _ in shown.values()]
                self._index_fields(live, payloads)
                live.store.upsert(list(shown), vectors, payloads)
            if gone := [id for id, place in places.items() if place is None]:
                live.store.delete(gone)

    def _index_fields(self, live: "_Live", payloads: Iterable[dict[str, Any]]) -> None:
        """Index each payload field when it is first seen: filters on it stay fast, facets work."""
        for payload in payloads:
            for key in payload.keys() - live.indexed:
                kind = index_kind(payload[key])
                if kind and not key.startswith("_") and len(live.indexed) < MAX_INDEXED_FIELDS:
                    live.indexed.add(key)
                    live.store.create_index(key, kind)


def _read_or(path: Path, default: str) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return default
