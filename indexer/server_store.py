"""A gallery on a Qdrant server, or in memory with the URL ``:memory:`` (for tests).

Its points lie in a collection behind an alias (`server_collections`); requests are repeated while the server
fails (`server_calls`).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .server_calls import ServerCalls
from .server_collections import ServerCollections
from .server_options import MEMORY, ServerOptions
from .server_words import server_words
from .storage import AUTOMATIC, Storage
from .store import (
    VECTOR,
    Found,
    Kinds,
    Named,
    Payloads,
    StoreUnavailable,
    Vectors,
    own_vector,
    page_by_page,
)
from .store_words import Words


class ServerStore:
    """The points of a gallery on a server.

    Args:
        options: of the server.
        kinds: of the vectors.
        storage: how a new collection keeps them, and how many are compared again in a search.
        is_read_only: make nothing and remove nothing.

    Attributes:
        is_new: the collection was made just now, and is empty.
    """

    def __init__(
        self,
        options: ServerOptions,
        kinds: Kinds,
        *,
        storage: Storage = AUTOMATIC,
        is_read_only: bool = False,
    ) -> None:
        self._call, self._models = _connect(options)
        self.words: Words = server_words(self._models)
        self._options, self._kinds = options, kinds
        self.storage = storage
        self._is_memory = options.url == MEMORY
        self._collections = ServerCollections(self._call, self._models, options)
        self._name = options.alias
        self._open(is_read_only=is_read_only)

    def _open(self, *, is_read_only: bool) -> None:
        self.is_new = self._collections.used is None
        if self.is_new:
            if is_read_only:
                raise StoreUnavailable(
                    f"{self._options.url}: the gallery has no collection there. Open it once as someone who "
                    "may write, with: placeprint rebuild"
                )
            first = self._collections.make(
                self._kinds, self.storage, is_filled_first=self._options.is_filled_first
            )
            self._collections.use(first)
        elif not is_read_only:
            self._collections.clear_others()

    @property
    def oversampling(self) -> float:
        """See `storage.OVERSAMPLING`."""
        return self.storage.oversampling

    def upsert(self, ids: Sequence[str], vectors: Sequence[Named], payloads: Payloads) -> None:
        """Add or replace points."""
        points = [
            self._models.PointStruct(
                id=id, vector={name: one.tolist() for name, one in named.items()}, payload=payload
            )
            for id, named, payload in zip(ids, vectors, payloads, strict=True)
        ]
        self._in_streams("upsert", points)

    def set_vectors(self, name: str, ids: Sequence[str], vectors: Vectors) -> None:
        """Give points their vectors of one name."""
        points = [
            self._models.PointVectors(id=id, vector={name: vector.tolist()})
            for id, vector in zip(ids, vectors, strict=True)
        ]
        self._in_streams("update_vectors", points)

    def _in_streams(self, method: str, points: Sequence[Any]) -> None:
        """Write points, several batches at a time; each waited for."""
        size = self._options.batch
        batches = [points[start : start + size] for start in range(0, len(points), size)]

        def write(batch: Sequence[Any]) -> None:
            self._call(method, self._name, batch, wait=True, **self._ordering)

        n_streams = 1 if self._is_memory else min(self._options.streams, len(batches))
        if n_streams <= 1:
            for batch in batches:
                write(batch)
            return
        with ThreadPoolExecutor(n_streams) as streams:
            for _ in streams.map(write, batches):
                pass

    def delete_vectors(self, name: str, ids: Sequence[str]) -> None:
        """Take the vectors of one name away."""
        points = self._models.PointIdsList(points=list(ids))
        self._call("delete_vectors", self._name, [name], points, wait=True, **self._ordering)

    def delete(self, ids: Sequence[str]) -> None:
        """Take points away."""
        points = self._models.PointIdsList(points=list(ids))
        self._call("delete", self._name, points, wait=True, **self._ordering)

    def query(
        self,
        vector: Vectors,
        limit: int,
        condition: Any,
        *,
        exact: bool,
        offset: int = 0,
        using: str = VECTOR,
    ) -> list[Found]:
        """Most similar points first."""
        answer = self._call(
            "query_points",
            self._name,
            query=vector.tolist(),
            using=using,
            query_filter=condition,
            limit=limit,
            offset=offset,
            with_payload=True,
            search_params=self._search_params(condition, exact=exact),
            **self._consistency,
        )
        return _found(answer.points)

    def query_many(
        self, vectors: Vectors, limit: int, condition: Any, *, exact: bool, using: str = VECTOR
    ) -> list[list[Found]]:
        """Most similar points first, for each vector."""
        params = self._search_params(condition, exact=exact)
        requests = [
            self._models.QueryRequest(
                query=vector.tolist(), using=using, filter=condition, limit=limit, with_payload=True,
                params=params,
            )
            for vector in vectors
        ]  # fmt: skip
        answers = self._call("query_batch_points", self._name, requests, **self._consistency)
        return [_found(answer.points) for answer in answers]

    def _search_params(self, condition: Any, *, exact: bool) -> Any:
        if self._is_memory:  # there every search is exact, and its settings are warned of
            return None
        again = self._models.QuantizationSearchParams(rescore=True, oversampling=self.oversampling)
        acorn = self._models.AcornSearchParams(enable=True) if condition is not None and not exact else None
        return self._models.SearchParams(exact=exact, acorn=acorn, quantization=again)

    def scroll(self, condition: Any, limit: int, start: str | None = None) -> Iterator[Found]:
        """Points that match, in the order of their ids."""

        def page(n: int, offset: Any) -> tuple[Sequence[Any], Any]:
            points: tuple[Sequence[Any], Any] = self._call(
                "scroll", self._name, condition, limit=n, offset=offset, with_payload=True,
                **self._consistency,
            )  # fmt: skip
            return points

        return page_by_page(page, limit, start)

    def count(self, condition: Any) -> int:
        """Exact number of points that match."""
        return int(self._call("count", self._name, condition, exact=True).count)

    def has_few(self, condition: Any, most: int) -> bool:
        """Whether at most so many match, exactly: among a hundred million a wrong guess would cost much."""
        return self.count(condition) <= most

    def facet(self, key: str, condition: Any, limit: int) -> dict[Any, int]:
        """Numbers of points by value."""
        answer = self._call(
            "facet", self._name, key, facet_filter=condition, limit=limit, exact=True, **self._consistency
        )
        return {hit.value: hit.count for hit in answer.hits}

    def retrieve(self, ids: Sequence[str], *, with_vectors: bool) -> list[Found]:
        """The points of these ids that exist."""
        found = self._call(
            "retrieve", self._name, list(ids), with_payload=True, with_vectors=with_vectors,
            **self._consistency,
        )  # fmt: skip
        return [Found(str(p.id), 0.0, p.payload or {}, own_vector(p.vector)) for p in found]

    def create_index(self, key: str, kind: str) -> None:
        """Index a payload field."""
        self._collections.index(self._name, key, kind)

    def configure(self, storage: Storage) -> None:
        """Keep vectors otherwise from now on; the server goes over to it by itself."""
        self.storage = storage
        name = self._collections.used
        if name is not None and not self._is_memory:
            self._collections.configure(name, self._kinds, storage)

    # --- another collection in the place of this one -------------------------------------------

    def successor(self, kinds: Kinds) -> "ServerStore":
        """A store over a new, empty collection, which nobody finds until `take_over`."""
        self._collections.clear_others()
        other = copy.copy(self)
        other._kinds = kinds
        other._name = self._collections.make(kinds, self.storage, is_filled_first=True)
        return other

    def link(self) -> None:
        """Build the search index of what was filled, before it takes over."""
        name = self._collections.used if self._name == self._options.alias else self._name
        if name is not None:
            self._collections.link(name, self.storage)

    def take_over(self) -> None:
        """Put this collection in the place of the one in use, in one step."""
        self._collections.use(self._name)
        self._name = self._options.alias

    def clear_others(self) -> None:
        """Remove collections that are not in use."""
        self._collections.clear_others()

    def drop(self) -> None:
        """Delete all of the gallery on the server."""
        self._collections.drop()

    def flush(self) -> None:
        """Nothing to do: every write waited for the server's log."""

    def close(self) -> None:
        """Close the connection."""
        self._call.client.close()

    @property
    def _ordering(self) -> dict[str, Any]:
        told = self._options.write_ordering
        return {"ordering": self._models.WriteOrdering(told)} if told else {}

    @property
    def _consistency(self) -> dict[str, Any]:
        told = self._options.read_consistency
        if told is None:
            return {}
        kinds: Callable[[str], Any] = self._models.ReadConsistencyType
        return {"consistency": told if isinstance(told, int) else kinds(told)}


def remove_collections(options: ServerOptions) -> None:
    """Remove all of a gallery from a server, whatever is there."""
    call, models = _connect(options)
    ServerCollections(call, models, options).drop()
    call.client.close()


def _connect(options: ServerOptions) -> tuple[ServerCalls, Any]:
    """A client that is called with patience, and the client's models."""
    import qdrant_client  # two seconds, which users of Edge need not wait

    if options.url == MEMORY:
        return ServerCalls(qdrant_client.QdrantClient(MEMORY), options), qdrant_client.models
    try:
        client = qdrant_client.QdrantClient(
            options.url,
            api_key=options.api_key,
            timeout=options.timeout_s,
            check_compatibility=False,  # it warns where the server is not there yet
        )
    except ValueError as error:
        raise StoreUnavailable(
            f"{options.url}: no URL of a Qdrant server ({error}); one looks like http://localhost:6333"
        ) from None
    return ServerCalls(client, options), qdrant_client.models


def _found(points: Sequence[Any]) -> list[Found]:
    return [Found(str(point.id), point.score, point.payload or {}) for point in points]
