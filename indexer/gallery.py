"""The gallery: indexed photos, and the questions one asks of them.

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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.errors import FingerprintMismatch, InvalidFilter, PlaceprintError, ReadOnlyGallery
from ..encoders.fingerprint import Fingerprint
from .admission import admitted, unit_vector
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
from .neighbors import Neighbor, Neighborhood
from .photo_vectors import PhotoVectors
from .photos import Photo, photo_of
from .record import Record
from .server_options import server_of
from .settings import Settings
from .state import State
from .storage import Storage, storage_of
from .store import VECTOR, find_nearest, find_nearest_many
from .store_words import GROUP, translate


class Gallery:
    """A named collection of photos. Make or open one with `create`, `open` or `open_or_create`."""

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

    @property
    def state(self) -> State:
        """What the ledger comes to: which key has become what."""
        return self._index.state

    # --- questions ----------------------------------------------------------------------------

    def nearest(
        self,
        embedding: ArrayLike,
        k: int = 10,
        *,
        filter: Filter | None = None,
        exact: bool = False,
        offset: int = 0,
        using: str = VECTOR,
    ) -> list[Neighbor]:
        """The k most similar photos that pass the filter, most similar first.

        A filter that leaves up to 20,000 photos is searched exactly; beyond that, an approximate
        answer that comes out short is asked for again exactly.

        Args:
            embedding: of a photo or text, (D,), by the encoder that built the gallery.
            k: how many.
            filter: which photos may answer.
            exact: search every photo.
            offset: how many of the most similar to leave out, for paging.
            using: which vectors to compare, the gallery's own or some by another encoder; photos without
                such a vector are no answers.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        vector = unit_vector(embedding, self.vectors.fingerprint(using).dimension)
        if k < 1:
            raise InvalidFilter(f"k is the number of neighbors wanted, at least 1; got {k}")
        condition = translate(filter or Filter(), self._index.store.words)
        found = find_nearest(self._index.store, vector, k, condition, exact=exact, offset=offset, using=using)
        return [Neighbor(photo=photo_of(point), similarity=point.similarity) for point in found]

    def nearest_many(
        self,
        embeddings: ArrayLike,
        k: int = 10,
        *,
        filter: Filter | None = None,
        exact: bool = False,
        using: str = VECTOR,
    ) -> list[list[Neighbor]]:
        """What `nearest` finds for each of many embeddings, quicker than one by one.

        Args:
            embeddings: of photos or texts, (n, D), by the encoder that built the gallery.
            k: how many for each.
            filter: which photos may answer.
            exact: search every photo.
            using: which vectors to compare.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        dimension = self.vectors.fingerprint(using).dimension
        vectors = [unit_vector(one, dimension) for one in np.asarray(embeddings)]
        if k < 1:
            raise InvalidFilter(f"k is the number of neighbors wanted, at least 1; got {k}")
        if not vectors:
            return []
        condition = translate(filter or Filter(), self._index.store.words)
        found = find_nearest_many(
            self._index.store, np.stack(vectors), k, condition, exact=exact, using=using
        )
        return [
            [Neighbor(photo=photo_of(point), similarity=point.similarity) for point in points]
            for points in found
        ]

    def locate_neighbors(
        self, embedding: ArrayLike, k: int = 100, *, filter: Filter | None = None
    ) -> Neighborhood:
        """The k most similar photos of known place, as the geolocation needs them."""
        placed = replace(filter or Filter(), is_placed=True)
        return Neighborhood.of(self.nearest(embedding, k, filter=placed))

    def find(
        self, filter: Filter | None = None, *, limit: int = 1_000_000_000, after: str | None = None
    ) -> Iterator[Photo]:
        """Photos that pass the filter, in the order of their ids; those after an id, for paging."""
        condition = translate(filter or Filter(), self._index.store.words)
        found = self._index.store.scroll(condition, limit + (after is not None), after)
        return islice((photo_of(point) for point in found if point.id != after), limit)

    def count(self, filter: Filter | None = None) -> int:
        """How many photos pass the filter, exactly."""
        return self._index.store.count(translate(filter or Filter(), self._index.store.words))

    def facet(self, key: str, *, filter: Filter | None = None, limit: int = 100) -> dict[Any, int]:
        """Numbers of photos by the value of one field, most frequent first.

        Args:
            key: ``group``, ``h3_3``, ``h3_5``, ``h3_7`` (cells of the H3 grid), or a field of the
                photos' own payload.
            filter: which photos count.
            limit: at most so many values.
        """
        own = {"group": GROUP, "h3_3": "_h3_3", "h3_5": "_h3_5", "h3_7": "_h3_7"}
        condition = translate(filter or Filter(), self._index.store.words)
        return self._index.store.facet(own.get(key, key), condition, limit)

    def get(self, ids: Sequence[str]) -> list[Photo]:
        """The photos of these ids that are in the gallery, in the order asked."""
        found = {point.id: photo_of(point) for point in self._index.store.retrieve(ids, with_vectors=False)}
        return [found[id] for id in ids if id in found]

    def embeddings(self, ids: Sequence[str], *, using: str = VECTOR) -> NDArray[np.float32]:
        """The embeddings of photos in the gallery, as the ledger has them: (n, D).

        Raises:
            KeyError: for an id that was never in the gallery, or has no vector of that name.
            UnknownVector: there are no vectors of that name.
        """
        if using != VECTOR:
            return self.vectors.embeddings(using, ids)
        return self.ledger.embeddings([self.state.embedded_at[id] for id in ids])

    def stored_vectors(self, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """The gallery's own vectors of photos as the store has them, by id; of those that it has."""
        found = self._index.store.retrieve(ids, with_vectors=True)
        return {point.id: point.vector for point in found if point.vector is not None}

    def sample(self, n: int, *, using: str = VECTOR) -> NDArray[np.float32]:
        """The embeddings of at most n photos: (S, D), unit length. Always the same ones."""
        ids = [photo.id for photo in self.find(limit=n)]
        if using != VECTOR:
            return self.vectors.embeddings(using, self.vectors.having(using, ids))
        found = self._index.store.retrieve(ids, with_vectors=True)
        vectors = [point.vector for point in found if point.vector is not None]
        return np.array(vectors, np.float32).reshape(len(vectors), self.fingerprint.dimension)

    def placed(self) -> tuple[list[Photo], NDArray[np.float64]]:
        """All photos of known place, ordered by id, and their coordinates (n, 2)."""
        photos = sorted(self.find(Filter(is_placed=True)), key=lambda photo: photo.id)
        return photos, np.array([[photo.lon, photo.lat] for photo in photos]).reshape(-1, 2)

    def __len__(self) -> int:
        return self.count()

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
