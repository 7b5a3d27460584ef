"""The questions one asks of a gallery: which photos are like this one, which are there, how many.

All go to the vector store, with filters in its words; embeddings come from the ledger, to the bit as they
were committed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.errors import InvalidFilter
from ..encoders.fingerprint import Fingerprint
from .admission import unit_vector
from .filters import Filter
from .index import Index
from .ledger import Ledger
from .neighbors import Neighbor, Neighborhood
from .photo_vectors import PhotoVectors
from .photos import Photo, photo_of
from .state import State
from .store import VECTOR, find_nearest, find_nearest_many
from .store_words import GROUP, translate


class Questions:
    """What a `Gallery` answers.

    Attributes:
        fingerprint: of the encoder whose embeddings these are.
        ledger: the rows that count.
        vectors: what other encoders say of the photos.
    """

    fingerprint: Fingerprint
    ledger: Ledger
    vectors: PhotoVectors
    _index: Index

    @property
    def state(self) -> State:
        """What the ledger comes to: which key has become what."""
        return self._index.state

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
