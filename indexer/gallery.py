"""The gallery: indexed photos, from its making to its end; the questions one asks of it are in `questions`.

A gallery is a folder: ``gallery.json`` (which encoder made it), ``ledger/`` (the truth, see
`ledger`), ``vectors/`` (what other encoders say of the same photos, see `named_vectors`), and a vector
store that follows them, either ``index/`` beside them or a collection on a Qdrant server. Whatever
happens to the store, the ledgers make it again.

One process holds a gallery at a time; one that may not be written can be searched by many, each on a
copy of the store. Writing goes to the ledger first, then to the store, then the number of the shard
is noted as applied; whoever opens the gallery next applies what is missing.
"""

import shutil
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ..encoders.errors import FingerprintMismatch, PlaceprintError, ReadOnlyGallery
from ..encoders.fingerprint import Fingerprint
from .admission import admitted
from .durable import make_folder, require_room, write_atomically
from .erasing import Erasing
from .filters import Filter
from .gallery_files import (
    CONFIG,
    existing_folder,
    gallery_folder,
    is_writable,
    keep_counts,
    keep_storage,
    new_config,
    read_config,
    read_counts,
    write_config,
)
from .index import Index
from .ledger import Ledger
from .lock import GalleryLock
from .named_vectors import NamedVectors
from .photo_vectors import PhotoVectors
from .questions import Questions
from .record import Record
from .server_options import server_of
from .settings import Settings
from .storage import Storage, storage_of
from .store import VECTOR


class Gallery(Questions):
    """A named collection of photos. Make or open one with `create`, `open` or `open_or_create`.

    What one may ask of it is in `questions`.
    """

    def __init__(self, folder: Path, settings: Settings, *, is_rebuilt: bool = False) -> None:
        self.folder = folder
        self.name = folder.name
        self.is_read_only = not is_writable(folder)
        self._lock = GalleryLock(
            folder / "lock", timeout_s=settings.lock_timeout_s, is_shared=self.is_read_only
        )
        config = read_config(folder / CONFIG)
        self.fingerprint = Fingerprint(**config["fingerprint"])
        self.encoder: str = config["encoder"]
        self.weights: str | None = config["weights"]
        self.url: str | None = config["qdrant_url"]
        if is_rebuilt:
            self._require_writable()
        self._lock.acquire()
        try:
            self.ledger = Ledger(
                folder / "ledger",
                fingerprint=self.fingerprint.id,
                dimension=self.fingerprint.dimension,
                is_read_only=self.is_read_only,
            )
            named = NamedVectors(folder, is_read_only=self.is_read_only)
            self._erasing = Erasing(folder, self.ledger, named)
            is_erasing = not self.is_read_only and self._erasing.empty()
            self._index = Index(
                folder,
                self.ledger,
                self.fingerprint.dimension,
                named,
                server=server_of(config, settings, is_read_only=self.is_read_only),
                storage=storage_of(config),
                is_fresh=is_rebuilt or is_erasing,
                is_read_only=self.is_read_only,
            )
            if is_erasing:
                self._erasing.end()
            self.vectors = PhotoVectors(
                self.name, self.fingerprint, named, self._index, require_writable=self._require_writable
            )
        except BaseException:
            self._lock.release()
            raise

    # --- life ---------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        name: str,
        fingerprint: Fingerprint,
        *,
        encoder: str | None = None,
        weights: str | Path | None = None,
        settings: Settings | None = None,
    ) -> "Gallery":
        """Make an empty gallery for the embeddings of one encoder.

        Args:
            name: lower-case letters, digits, - and _; at most 63.
            fingerprint: of the encoder; kept, and asked of everyone who opens the gallery.
            encoder: what `load_encoder` calls it, so that a search can load it again.
            weights: local file of its weights, if it came from one.
            settings: where galleries live; from the environment by default.

        Raises:
            PlaceprintError: the name is taken or not allowed.
        """
        settings = settings or Settings()
        folder = gallery_folder(name, settings)
        if (folder / CONFIG).exists():
            raise PlaceprintError(f"gallery {name!r} exists already in {folder}")
        make_folder(folder)
        config = new_config(name, fingerprint, encoder=encoder, weights=weights, url=settings.qdrant_url)
        write_config(folder / CONFIG, config)
        return cls(folder, settings)

    @classmethod
    def open(
        cls,
        name: str,
        *,
        fingerprint: Fingerprint | None = None,
        settings: Settings | None = None,
        is_rebuilt: bool = False,
    ) -> "Gallery":
        """Open a gallery.

        Args:
            name: as given to `create`.
            fingerprint: of the encoder that the caller will embed queries with; checked.
            settings: where galleries live.
            is_rebuilt: make the vector store anew from the ledger, whatever is left of the old one.

        Raises:
            UnknownGallery: there is none of that name.
            FingerprintMismatch: it was built by another encoder.
            GalleryLocked: another process holds it.
        """
        settings = settings or Settings()
        gallery = cls(existing_folder(name, settings), settings, is_rebuilt=is_rebuilt)
        if fingerprint is not None:
            try:
                gallery.check(fingerprint)
            except FingerprintMismatch:
                gallery.close()
                raise
        return gallery

    @classmethod
    def open_or_create(
        cls,
        name: str,
        fingerprint: Fingerprint,
        *,
        encoder: str | None = None,
        weights: str | Path | None = None,
        settings: Settings | None = None,
    ) -> "Gallery":
        """Open a gallery, or make it when there is none of that name.

        An open one notes where the weights of its encoder are now.
        """
        settings = settings or Settings()
        if (gallery_folder(name, settings) / CONFIG).exists():
            gallery = cls.open(name, fingerprint=fingerprint, settings=settings)
            try:
                gallery._require_writable()
            except ReadOnlyGallery:
                gallery.close()
                raise
            if weights is not None:
                gallery.remember_weights(weights)
            return gallery
        return cls.create(name, fingerprint, encoder=encoder, weights=weights, settings=settings)

    @classmethod
    def remove(cls, name: str, *, settings: Settings | None = None) -> None:
        """Delete a gallery with its ledger and its store; the photos' own files stay.

        Raises:
            UnknownGallery: there is none of that name.
            GalleryLocked: another process holds it.
        """
        cls.open(name, settings=settings).discard()

    def discard(self) -> None:
        """Delete the gallery, and close it.

        Raises:
            ReadOnlyGallery: it may not be written.
        """
        self._require_writable()
        self._index.drop()
        # Renamed first: a process killed on the way leaves nothing that looks like a gallery.
        doomed = self.folder.with_name(f".removed-{uuid.uuid4().hex[:8]}")
        self.folder.rename(doomed)
        self._lock.release()
        shutil.rmtree(doomed, ignore_errors=True)

    def check(self, fingerprint: Fingerprint, *, using: str = VECTOR) -> None:
        """See that an encoder is the one that built the gallery, or one of its named vectors.

        Raises:
            FingerprintMismatch: it is another, or has other weights or preprocessing.
            UnknownVector: there are no vectors of that name.
        """
        self.vectors.check(fingerprint, using)

    def remember_weights(self, path: str | Path) -> None:
        """Note where the file of the encoder's weights is now; the next search finds it there."""
        self._require_writable()
        weights = str(Path(path).resolve())
        if weights != self.weights:
            config = read_config(self.folder / CONFIG) | {"weights": weights}
            write_config(self.folder / CONFIG, config)
            self.weights = weights

    def close(self) -> None:
        """Let go of the store and of the lock, and leave the numbers of photos for `overview`."""
        try:
            with suppress(OSError):  # on a full disk they are counted when they are asked for
                self._keep_counts()
            self._index.close()
        finally:
            self._lock.release()

    def __enter__(self) -> "Gallery":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- writing ------------------------------------------------------------------------------

    def add(self, records: Sequence[Record]) -> None:
        """Commit records: to the ledger, then to the store. On return they are durable and found.

        Raises:
            ValueError: an embedding of another dimension, not finite, or zero.
            InvalidCoordinate: a place that is not on Earth.
            OSError: the disk is full, or nearly.
        """
        self._require_writable()
        if not records:
            return
        require_room(self.folder)
        with self._index.writing:
            entries = self._index.state.entries_of([one.key for one in records])
            dimension = self.fingerprint.dimension
            self._index.append([admitted(one, entries.get(one.key), dimension=dimension) for one in records])

    def delete(self, ids: Iterable[str], *, is_erased: bool = False) -> int:
        """Take photos out of the gallery; unknown ids do nothing. The files stay where they are.

        A deleted photo stays out, also when its source is indexed again, until it is added again
        by `add` or indexed with `undelete`.

        Args:
            ids: of photos.
            is_erased: also take embeddings, places and payloads of these photos, deleted now or
                earlier, out of the ledger's files, and make the store and the calibration, which
                know them too, anew. Path and hash stay, as the memory that they are not wanted.
                Questions are answered and photos added meanwhile. Whatever ends the process on the
                way, whoever opens the gallery next ends the erasing first.

        Returns:
            How many photos were taken out, or with `is_erased` how many were known.
        """
        if is_erased:
            n_known = self.begin_erasing(ids)
            self.finish_erasing()
            return n_known
        self._require_writable()
        return self._index.delete(set(ids))

    def begin_erasing(self, ids: Iterable[str]) -> int:
        """The first and short part of `delete` with `is_erased`: on return nobody finds the photos.

        The store's files still hold them until `finish_erasing`, for which no write has to wait.
        """
        self._require_writable()
        return self._erasing.begin(self._index, ids)

    def finish_erasing(self) -> None:
        """Take what was erased out of the store's files too. Questions and writes go on meanwhile."""
        self._require_writable()
        self._erasing.finish(self._index)

    def knows(self, id: str) -> bool:
        """Whether a photo is in the gallery, or was."""
        return self.state.knows(id)

    # --- upkeep -------------------------------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """How the store is to keep vectors."""
        return self._index.storage

    def optimize(self, storage: Storage | None = None) -> Storage:
        """Build the search index, for some ten thousand photos and more. Questions go on meanwhile.

        Args:
            storage: how vectors are to be kept from now on; as before by default.

        Returns:
            How they are kept now.
        """
        self._require_writable()
        if storage is not None and storage != self.storage:
            keep_storage(self.folder, storage)
            self._index.storage = storage
        return self._index.optimize()

    def keep(self, name: str, content: str | bytes) -> None:
        """Keep a file beside the gallery, for next time; one that may not be written keeps nothing."""
        if not self.is_read_only:
            write_atomically(self.folder / name, content)

    def _keep_counts(self) -> None:
        kept = read_counts(self.folder)
        if not self.is_read_only and (kept is None or kept["ledger"] != self.ledger.version):
            placed = self.count(Filter(is_placed=True))
            keep_counts(self.folder, ledger=self.ledger.version, photos=len(self), placed=placed)

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise ReadOnlyGallery(
                f"gallery {self.name!r} may be searched but not changed: {self.folder} is not writable here"
            )
