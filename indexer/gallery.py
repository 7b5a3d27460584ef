"""The gallery: indexed photos, and the questions one asks of them.

A gallery is a folder: ``gallery.json`` (which encoder made it), ``ledger/`` (the truth, see
`ledger`), ``vectors/`` (what other encoders say of the same photos, see `named_vectors`), and a vector
store that follows them, either ``index/`` beside them or a collection on a Qdrant server. Whatever
happens to the store, the ledgers make it again.

One process holds a gallery at a time; one that may not be written can be searched by many, each on a
copy of the store. Writing goes to the ledger first, then to the store, then the number of the shard
is noted as applied; whoever opens the gallery next applies what is missing.
"""

import json
import os
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.errors import (
    FingerprintMismatch,
    InvalidCoordinate,
    InvalidFilter,
    PlaceprintError,
    ReadOnlyGallery,
    UnknownGallery,
    UnknownVector,
)
from ..encoders.fingerprint import Fingerprint
from ..encoders.sphere import as_lonlat
from .durable import write_atomically
from .erasing import Erasing
from .filters import Filter
from .gallery_files import COUNTS, FORMAT, gallery_folder, read_config, read_counts
from .gallery_files import gallery_names as gallery_names
from .index import Index
from .ledger import Ledger, iterate_rows
from .lock import GalleryLock
from .named_vectors import NamedVectors, VectorCard
from .photos import Photo, photo_of
from .record import Record
from .settings import Settings
from .state import Entry, State
from .store import EXACT_UP_TO, VECTOR
from .store_words import GROUP, translate


@dataclass(frozen=True, kw_only=True)
class Neighbor:
    """One answer of a search."""

    photo: Photo
    similarity: float  # cosine; higher is nearer; 0 where nothing was compared


@dataclass(frozen=True)
class Neighborhood:
    """The placed neighbors of one query, most similar first, as arrays."""

    similarity: NDArray[np.float64]  # (K,)
    lonlat: NDArray[np.float64]  # (K, 2)
    photos: list[Photo]


class Gallery:
    """A named collection of photos. Make or open one with `create`, `open` or `open_or_create`."""

    def __init__(self, folder: Path, settings: Settings, *, is_rebuilt: bool = False) -> None:
        self.folder = folder
        self.name = folder.name
        self._settings = settings
        self.is_read_only = not is_writable(folder)
        self._lock = GalleryLock(
            folder / "lock", timeout_s=settings.lock_timeout_s, is_shared=self.is_read_only
        )
        config = read_config(folder / "gallery.json")
        self.fingerprint = Fingerprint(**config["fingerprint"])
        self.encoder: str = config["encoder"]
        self.weights: str | None = config["weights"]
        self.url: str | None = config["qdrant_url"]
        self._collection: str = config["collection"]
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
            self.named = NamedVectors(folder, is_read_only=self.is_read_only)
            self._erasing = Erasing(folder, self.ledger, self.named)
            is_erasing = not self.is_read_only and self._erasing.empty()
            self._index = Index(
                folder,
                self.ledger,
                self.fingerprint.dimension,
                self.named,
                server=self._server(),
                is_fresh=is_rebuilt or is_erasing,
                is_read_only=self.is_read_only,
            )
            if is_erasing:
                self._erasing.end()
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
        if (folder / "gallery.json").exists():
            raise PlaceprintError(f"gallery {name!r} exists already in {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {
            "format": FORMAT,
            "fingerprint": asdict(fingerprint),
            "encoder": encoder or fingerprint.name,
            "weights": None if weights is None else str(Path(weights).resolve()),
            "qdrant_url": settings.qdrant_url,
            # Of its own: two people may both call a gallery trips on one server.
            "collection": f"{name}-{uuid.uuid4().hex[:8]}",
        }
        write_atomically(folder / "gallery.json", json.dumps(config, indent=1))
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
        folder = gallery_folder(name, settings)
        if not (folder / "gallery.json").exists():
            known = ", ".join(gallery_names(settings)) or "none yet"
            raise UnknownGallery(
                f"no gallery {name!r} in {folder.parent} (there: {known}); "
                f"make it with: placeprint index FOLDER --gallery {name}"
            )
        gallery = cls(folder, settings, is_rebuilt=is_rebuilt)
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
        if (gallery_folder(name, settings) / "gallery.json").exists():
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
        ours = self.fingerprint_of(using)
        if fingerprint.id != ours.id and using != VECTOR:
            raise FingerprintMismatch(
                f"the vectors {using!r} of gallery {self.name!r} are by encoder {ours.name} ({ours.id}), not "
                f"by {fingerprint.name} ({fingerprint.id}): their embeddings cannot be compared. Use that "
                f"encoder, or have them made anew"
            )
        if fingerprint.id != ours.id:
            raise FingerprintMismatch(
                f"gallery {self.name!r} was built by encoder {ours.name} ({ours.id}), not by "
                f"{fingerprint.name} ({fingerprint.id}): their embeddings cannot be compared. Use "
                f"--encoder {ours.name!r} with the same weights, or index into another gallery"
            )

    def fingerprint_of(self, using: str) -> Fingerprint:
        """The encoder of the gallery's own vectors, ``image``, or of the named ones.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        if using == VECTOR:
            return self.fingerprint
        if using not in self.named.cards:
            known = ", ".join([VECTOR, *self.named.cards])
            raise UnknownVector(f"gallery {self.name!r} has no vectors {using!r}; there are {known}")
        return self.named.cards[using].fingerprint

    def remember_weights(self, path: str | Path) -> None:
        """Note where the file of the encoder's weights is now; the next search finds it there."""
        self._require_writable()
        weights = str(Path(path).resolve())
        if weights != self.weights:
            config = read_config(self.folder / "gallery.json") | {"weights": weights}
            write_atomically(self.folder / "gallery.json", json.dumps(config, indent=1))
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
        """
        self._require_writable()
        if not records:
            return
        with self._index.writing:
            entries = self._index.state.entries
            self._index.append([self._checked(record, entries.get(record.key)) for record in records])

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
        if not is_erased:
            return self._delete(set(ids))
        n_known = self.begin_erasing(ids)
        self.finish_erasing()
        return n_known

    def begin_erasing(self, ids: Iterable[str]) -> int:
        """The first and short part of `delete` with `is_erased`: on return nobody finds the photos.

        The store's files still hold them until `finish_erasing`, for which no write has to wait.
        """
        self._require_writable()
        with self._index.writing:
            known = {id for id in ids if self.knows(id)}
            is_any_live = any(self.state.keys.get(id) for id in known)
            self._erasing.begin(known, len(self.ledger) + is_any_live)  # the shard that deletes them
            self._delete(known)
            if self._erasing.empty():
                self._index.read_state_anew()
            return len(known)

    def finish_erasing(self) -> None:
        """Take what was erased out of the store's files too. Questions and writes go on meanwhile."""
        self._require_writable()
        begun = self._erasing.begun
        if not begun:
            return
        is_gone = self._index.renew()
        with self._index.writing:
            if is_gone and self._erasing.begun == begun:  # else more was begun since, and is not done
                self._erasing.end()

    def _delete(self, ids: Collection[str]) -> int:
        self._require_writable()
        with self._index.writing:
            state = self._index.state
            live = [id for id in ids if self.knows(id) and state.keys.get(id)]
            self.add(
                [
                    Record(
                        key=key, status="deleted", sha256=entry.sha256, source=entry.source,
                        size_bytes=entry.size_bytes, mtime_ns=entry.mtime_ns,
                    )
                    for id in live
                    for key in state.keys[id]
                    for entry in [state.entries[key]]
                ]
            )  # fmt: skip
            return len(live)

    def begin_vectors(self, card: VectorCard) -> None:
        """Make room for what another encoder says of the photos, under a name; or note its card anew.

        The vector store is made anew where its shape changes, while questions go on.

        Raises:
            FingerprintMismatch: there are vectors of that name by another encoder.
            InvalidOption: a name that cannot be.
        """
        self._require_writable()
        with self._index.writing:
            before = self.named.cards.get(card.name)
            if before is not None:
                self.check(card.fingerprint, using=card.name)
            self.named.keep(card)
        if before is None or before.is_quantized != card.is_quantized:
            self._index.renew()

    def add_vectors(
        self, name: str, sha256s: Sequence[str], embeddings: ArrayLike, *, said: Sequence[str] = ()
    ) -> None:
        """Commit what another encoder says of photos. On return it is durable and found.

        Args:
            name: of the vectors, as `begin_vectors` was told.
            sha256s: of the photos' bytes; they may be known or not.
            embeddings: (n, D), of any length but 0.
            said: for each, a mark of what the encoder looked at, by which `vector_marks` tells that it
                has changed; none by default.

        Raises:
            UnknownVector: there are no vectors of that name.
            ValueError: an embedding of another dimension, not finite, or zero.
        """
        self._require_writable()
        dimension = self.fingerprint_of(name).dimension
        rows = [
            Record(key=sha256, status="embedded", sha256=sha256, said=mark, embedding=_unit(one, dimension))
            for sha256, mark, one in zip(
                sha256s, said or [""] * len(sha256s), np.asarray(embeddings), strict=True
            )
        ]
        if rows:
            self._index.append_named(name, rows)

    def take_vectors(self, name: str, sha256s: Iterable[str]) -> None:
        """Take the vectors of a name away from photos; the photos stay.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        self._require_writable()
        self.fingerprint_of(name)
        known = self.named.state(name).entries
        rows = [Record(key=sha256, status="removed", sha256=sha256) for sha256 in sha256s if sha256 in known]
        if rows:
            self._index.append_named(name, rows)

    def vector_marks(self, name: str) -> dict[str, str]:
        """What was told with the vectors of a name, by the hash of each photo that has one.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        self.fingerprint_of(name)
        return {key: entry.said for key, entry in self.named.state(name).entries.items() if entry.is_live}

    def lacking(self, name: str) -> list[str]:
        """Ids of the photos in the gallery that have no vector of a name.

        Raises:
            UnknownVector: there are no vectors of that name.
        """
        self.fingerprint_of(name)
        known = self.named.state(name).keys
        return [id for id in self.state.live if id in self.state.embedded_at and not known.get(id)]

    def end_vectors(self, name: str) -> None:
        """Forget the vectors of a name.

        Raises:
            UnknownVector: there are none.
        """
        self._require_writable()
        self.fingerprint_of(name)
        with self._index.writing:
            self.named.remove(name)
        self._index.renew()

    def knows(self, id: str) -> bool:
        """Whether a photo is in the gallery, or was."""
        state = self._index.state
        return bool(state.keys.get(id)) or id in state.embedded_at or id in state.deleted

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
        vector = _unit(embedding, self.fingerprint_of(using).dimension)
        if k < 1:
            raise InvalidFilter(f"k is the number of neighbors wanted, at least 1; got {k}")
        condition = translate(filter or Filter(), self._index.store.words)
        matches = None if condition is None else self._index.store.count(condition)
        exact = exact or (matches is not None and matches <= EXACT_UP_TO)
        ask = partial(self._index.store.query, vector, k, condition, offset=offset, using=using)
        found = ask(exact=exact)
        if matches is not None and len(found) < min(k, matches - offset) and not exact:
            found = ask(exact=True)
        return [Neighbor(photo=photo_of(point), similarity=point.similarity) for point in found]

    def locate_neighbors(
        self, embedding: ArrayLike, k: int = 100, *, filter: Filter | None = None
    ) -> Neighborhood:
        """The k most similar photos of known place, as the geolocation needs them."""
        placed = replace(filter or Filter(), is_placed=True)
        neighbors = self.nearest(embedding, k, filter=placed)
        return Neighborhood(
            np.array([neighbor.similarity for neighbor in neighbors]),
            np.array([[neighbor.photo.lon, neighbor.photo.lat] for neighbor in neighbors]).reshape(-1, 2),
            [neighbor.photo for neighbor in neighbors],
        )

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
        dimension = self.fingerprint_of(using).dimension
        is_own = using == VECTOR
        embedded_at = self.state.embedded_at if is_own else self.named.state(using).embedded_at
        places = [embedded_at[id] for id in ids]
        rows = iterate_rows(self.ledger if is_own else self.named.ledgers[using], places)
        vectors = [rows[place].embedding for place in places]
        return np.array(vectors, np.float32).reshape(len(places), dimension)

    def sample(self, n: int, *, using: str = VECTOR) -> NDArray[np.float32]:
        """The embeddings of at most n photos: (S, D), unit length. Always the same ones."""
        ids = [photo.id for photo in self.find(limit=n)]
        if using != VECTOR:
            known = self.named.state(using).keys
            return self.embeddings([id for id in ids if known.get(id)], using=using)
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

    def optimize(self) -> None:
        """Build the search index, for some ten thousand photos and more. Questions go on meanwhile."""
        self._require_writable()
        self._index.optimize()

    def keep(self, name: str, content: str | bytes) -> None:
        """Keep a file beside the gallery, for next time; one that may not be written keeps nothing."""
        if not self.is_read_only:
            write_atomically(self.folder / name, content)

    def _keep_counts(self) -> None:
        kept = read_counts(self.folder)
        if kept is None or kept["ledger"] != self.ledger.version:
            counts = {"photos": len(self), "placed": self.count(Filter(is_placed=True))}
            self.keep(COUNTS, json.dumps({"ledger": self.ledger.version, **counts}))

    def _require_writable(self) -> None:
        if self.is_read_only:
            raise ReadOnlyGallery(
                f"gallery {self.name!r} may be searched but not changed: {self.folder} is not writable here"
            )

    def _checked(self, record: Record, before: Entry | None) -> Record:
        """A record fit for the ledger: on Earth, of unit length, and telling what it replaces."""
        if (record.lon is None) != (record.lat is None):
            raise InvalidCoordinate(f"{record.key}: lon and lat must be given together")
        if record.lon is not None and record.lat is not None:
            lon, lat = as_lonlat([record.lon, record.lat]).tolist()
            record = replace(record, lon=lon, lat=lat)
        if record.status == "embedded":
            record = replace(record, embedding=_unit(record.embedding, self.fingerprint.dimension))
        try:
            told = json.dumps(json.loads(record.payload), allow_nan=False, ensure_ascii=False)
            (told + record.key).encode()
        except ValueError as error:
            raise InvalidFilter(f"{record.key!r}: its name or payload cannot be stored ({error})") from None
        if before is not None and before.sha256 != record.sha256:
            record = replace(record, replaces=before.sha256)
        return record

    def _server(self) -> dict[str, Any] | None:
        if self.url is None:
            return None
        key = self._settings.qdrant_api_key
        return {
            "url": self.url,
            "collection": self._collection,
            "api_key": key.get_secret_value() if key else None,
        }  # fmt: skip


def is_writable(folder: Path) -> bool:
    """Whether all that a gallery writes may be written."""
    parts = [folder, folder / "lock", folder / "ledger", folder / "index", folder / "vectors"]
    return all(os.access(part, os.W_OK) for part in parts if part.exists())


def _unit(embedding: ArrayLike | None, dimension: int) -> NDArray[np.float32]:
    vector = np.asarray(embedding, np.float32)
    if vector.shape != (dimension,):
        raise ValueError(f"an embedding of shape {vector.shape}: the gallery holds ({dimension},)")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length) or length == 0.0:
        raise ValueError("an embedding that is zero or not finite has no direction")
    # Encoders give unit vectors; only others are divided, so that theirs keep all their bits.
    return vector if abs(length - 1.0) < 1e-5 else (vector / length).astype(np.float32)
