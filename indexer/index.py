"""The index of a gallery: its vector store, kept in step with the ledger.

In a folder the store lives in generations (`generations`), and beside each is noted what it has taken in
(`noted_store`). A store that lags behind, because a process was killed or a newer generation was being
built, is given the shards that it misses; giving one twice does no harm. A store that knows a shard
which a ledger has not, because one of the two came back from a backup, is made anew.
"""

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from ..encoders.errors import PlaceprintError, ReadOnlyGallery
from . import optimize
from .edge_store import EdgeStore
from .entry import Entry, Position
from .filling import Filling
from .generations import Generations
from .kept_state import KeptState
from .ledger import Ledger
from .named_vectors import NamedVectors
from .noted_store import NotedStore
from .record import Record
from .server_options import ServerOptions
from .server_store import ServerStore
from .state import State
from .storage import AUTOMATIC, Storage
from .store import VECTOR, Kinds, StoreUnavailable, VectorKind

COMMITS_A_NOTE = 16


class Index:
    """A vector store that follows a ledger.

    Args:
        folder: of the gallery.
        ledger: to follow.
        dimension: of the embeddings.
        named: vectors by other encoders.
        server: how to reach the collection on a Qdrant server; None for a folder of our own.
        storage: how the store is to keep vectors, from the next `optimize` on.
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
        server: ServerOptions | None = None,
        storage: Storage = AUTOMATIC,
        is_fresh: bool = False,
        is_read_only: bool = False,
    ) -> None:
        self._copy = tempfile.TemporaryDirectory(prefix="placeprint-") if is_read_only else None
        self._generations = Generations(folder / "index")
        self._ledger = ledger
        self._dimension = dimension
        self._named = named
        self._server = server
        self.storage = storage
        self._kept = KeptState(ledger, folder, is_fresh=is_fresh, is_read_only=is_read_only)
        self._filling = Filling(ledger, named, self._kept)
        self.writing = threading.RLock()
        self._n_unnoted = 0  # commits that the store has taken in since that was noted
        self._exchanging = threading.Lock()  # one generation is made at a time
        self._live: NotedStore
        try:
            self._open(is_fresh=is_fresh)
        except BaseException:
            self._kept.close()
            named.close()
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
            is_read_only = self._copy is not None
            remote = ServerStore(self._server, self._kinds, storage=self.storage, is_read_only=is_read_only)
            self._live = NotedStore(remote, self._generations.folder / "applied.json")
            if remote.is_new:
                self._live.note_nothing(self._named)
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
        self._filling.catch_up(self._live)
        if is_behind and self.store.count(None) != self.state.n_shown:  # the store was changed by others
            self._start_anew()
            self._filling.catch_up(self._live)

    @property
    def _kinds(self) -> Kinds:
        return {VECTOR: VectorKind(self._dimension), **self._named.kinds}

    @property
    def store(self) -> EdgeStore | ServerStore:
        """The store to ask, in step with the ledger."""
        return self._live.store

    @property
    def state(self) -> State:
        """What the ledger comes to; opened on first use, then kept in step."""
        return self._kept.state

    def append(self, records: list[Record]) -> None:
        """Commit rows to the ledger, then to the store."""
        with self.writing:
            number = self._ledger.append(records)
            rows = {Position(number, row): record for row, record in enumerate(records)}
            self._kept.follow(number, records)
            self._filling.apply(self._live, (id for record in records for id in record.touched), rows)
            self._note_now_and_then()

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
            number = self._named.ledgers[name].append(records)
            self._named.kept_state(name).follow(number, records)
            self._filling.set_named(self._live, name, [record.id for record in records])
            self._note_now_and_then()

    def _note_now_and_then(self) -> None:
        """Note what the store has taken in, but not at each commit: to force it to disk takes half of one.

        What is not noted when the process ends is given to the store again on opening.
        """
        self._n_unnoted += 1
        if self._n_unnoted >= COMMITS_A_NOTE:
            self._note()

    def _note(self) -> None:
        self._live.note_applied(self._ledger, len(self._ledger), self._named, self._named.lasts)
        self._n_unnoted = 0

    def read_state_anew(self) -> None:
        """Take the ledgers' rows for what they are now, after some were emptied."""
        with self.writing:
            self._kept.renew()
            self._named.renew_states()

    def renew(self) -> bool:
        """Make the store anew from the ledger; of the old one nothing stays on the disk.

        Other threads may search and write meanwhile: a folder's store is made beside the old one, which
        answers until the new one has taken in all, and then they are exchanged, and so is a collection on
        a server.

        Returns:
            Whether all of the old one is gone; else the rest goes when the gallery is opened again.
        """
        with self._exchanging:
            if isinstance(self.store, ServerStore):
                self._renew_on_server(self.store)
                return True
            number, fresh = self._generations.following()
            self._make_store(fresh)
            following = self._opened(fresh)
            self._filling.catch_up(following)
            self._exchange(following, number)
            return not self._generations.path(number - 1).exists()

    def optimize(self) -> Storage:
        """Build the search index of a folder's store in a child process; a server does it by itself.

        Other threads may search and write meanwhile: the child works on a copy, which then takes in
        what the ledger has got since, and takes over. What is not kept as `storage` says is made anew.

        Returns:
            How vectors are kept now.
        """
        storage = self.storage.resolved(self.store.count(None))
        if isinstance(self.store, ServerStore):
            self.store.configure(storage)
            return storage
        with self._exchanging:
            with self.writing:
                self.store.flush()
                number, fresh = self._generations.following()
                shutil.copytree(self._generations.current, fresh)
            command = optimize.order(fresh, self._kinds, storage)
            child = subprocess.run(command, capture_output=True, text=True, check=False)
            if child.returncode != 0:
                shutil.rmtree(fresh, ignore_errors=True)
                raise PlaceprintError(
                    f"building the search index failed ({child.stderr.strip()[-300:] or child.returncode}); "
                    "the gallery goes on with the old one"
                )
            self._exchange(self._opened(fresh), number)
            return storage

    def _exchange(self, following: NotedStore, number: int) -> None:
        """Let a generation take in what it misses, and put it in the place of the one before."""
        with self.writing:
            self._filling.catch_up(following)
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
        if self._n_unnoted:
            with suppress(OSError):  # on a full disk the store is given these shards again
                self._note()
        self.store.close()
        self._kept.close()
        self._named.close()
        if self._copy is not None:
            self._copy.cleanup()

    def _renew_on_server(self, store: ServerStore) -> None:
        """Fill a new collection, and let it take over from the one there is."""
        note = self._generations.folder / "following.json"
        note.unlink(missing_ok=True)
        successor = store.successor(self._kinds)
        following = NotedStore(successor, note)
        following.note_nothing(self._named)
        self._filling.catch_up(following)
        successor.link()
        with self.writing:
            self._filling.catch_up(following)
            n_there, n_wanted = successor.count(None), self.state.n_shown
            if n_there != n_wanted:
                raise StoreUnavailable(
                    f"the new collection has {n_there} photos and the ledger {n_wanted}; the old one stays "
                    "in use. Try again, and see whether others write into it"
                )
            successor.take_over()
            note.replace(self._live.applied)
            following.applied = self._live.applied
            self._live = following
        successor.clear_others()

    def _start_anew(self) -> None:
        """A store in the place of the one there is: empty, or on a server filled."""
        if isinstance(self.store, ServerStore):
            self._renew_on_server(self.store)
        else:
            self.store.close()
            self._generations.clear_all()
            self._live = self._open_folder()

    def _open_folder(self) -> NotedStore:
        self._generations.clear_others()
        folder = self._generations.current
        if not folder.exists():
            self._make_store(folder)
        return self._opened(folder)

    def _opened(self, folder: Path) -> NotedStore:
        return NotedStore(EdgeStore(folder, storage=self.storage), folder / "applied.json")

    def _make_store(self, folder: Path) -> None:
        """An empty store, made aside and renamed: a process killed on the way leaves no half of one."""
        making = self._generations.folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        store = EdgeStore(making, self._kinds, storage=self.storage)
        NotedStore(store, making / "applied.json").note_nothing(self._named)
        store.close()
        making.rename(folder)


def _deleted(key: str, entry: Entry) -> Record:
    """The row that ends the photo of a key."""
    return Record(
        key=key, status="deleted", sha256=entry.sha256, source=entry.source,
        size_bytes=entry.size_bytes, mtime_ns=entry.mtime_ns,
    )  # fmt: skip
