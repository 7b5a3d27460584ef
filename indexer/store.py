"""The vector stores: Qdrant Edge in a folder, a Qdrant server at a URL.

Both hold the same points: an id, a unit vector named ``image``, others by other encoders under names of
their own (`named_vectors`), which a point may lack, and a payload. Fields of ours begin with an
underscore; what a user's table says of a photo stands beside them under its own names.

Filters are put into a store's words by `store_words`; the gallery closes other traps of Qdrant's:
vectors without direction and places not on Earth never get in, and a filtered search that an
approximate index would answer with too little is done exactly.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import qdrant_edge as edge
from numpy.typing import NDArray

from ..encoders.errors import InvalidFilter, PlaceprintError
from .store_words import CAPTURED_AT, GROUP, PLACE, Words, edge_words, server_words

VECTOR = "image"
INDEXES = {
    PLACE: "geo", "_place.lon": "float", "_place.lat": "float", CAPTURED_AT: "datetime",
    GROUP: "keyword", "_h3_3": "keyword", "_h3_5": "keyword", "_h3_7": "keyword",
}  # fmt: skip
HNSW: dict[str, Any] = {"m": 16, "ef_construct": 128, "full_scan_threshold": 40_000}
EXACT_UP_TO = 20_000  # matches of a filter; up to here an exact search is also the faster one


Vectors = NDArray[np.float32]
Named = Mapping[str, Vectors]  # a point's vectors by name
Payload = dict[str, Any]
Payloads = Sequence[Payload]


@dataclass(frozen=True)
class VectorKind:
    """What a store must know of the vectors of one name.

    Attributes:
        dimension: D.
        is_quantized: searched as bytes, the best of which are compared again as they are; a quarter of
            the memory. It takes effect where the search index is built.
    """

    dimension: int
    is_quantized: bool = False


Kinds = Mapping[str, VectorKind]

QUANTILE = 0.99  # share of the numbers that a byte's range spans; the rest is cut off
OVERSAMPLING = 3.0
"""How many times as many quantized vectors are found as are wanted, and compared again as they are."""


class StoreUnavailable(PlaceprintError):
    """The vector store cannot be opened or reached."""


class Found(NamedTuple):
    """A point as a store returns it."""

    id: str
    similarity: float
    payload: Payload
    vector: Vectors | None = None


class Store(Protocol):
    """What the gallery asks of a store. Filters are already in the store's own words."""

    words: Words

    def upsert(self, ids: Sequence[str], vectors: Sequence[Named], payloads: Payloads) -> None:
        """Add points, or replace those of the same ids, with all their vectors. Done when it returns."""

    def set_vectors(self, name: str, ids: Sequence[str], vectors: Vectors) -> None:
        """Give points that are there their vectors of one name, (n, D). Done when it returns."""

    def delete(self, ids: Sequence[str]) -> None:
        """Take points away; unknown ids are nothing to complain of."""

    def delete_vectors(self, name: str, ids: Sequence[str]) -> None:
        """Take the vectors of one name away from points, which stay."""

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
        """Most similar points by the vectors of one name, most similar first.

        Approximate, with ACORN where there is a filter, unless `exact`. Points without such a vector
        are no answers.
        """

    def scroll(self, condition: Any, limit: int, start: str | None = None) -> Iterator[Found]:
        """Points that match, in the order of their ids, from `start` on, which is in."""

    def count(self, condition: Any) -> int:
        """Exact number of points that match."""

    def facet(self, key: str, condition: Any, limit: int) -> dict[Any, int]:
        """Numbers of points by the value of an indexed field, most frequent first."""

    def retrieve(self, ids: Sequence[str], *, with_vectors: bool) -> list[Found]:
        """The points of these ids that exist."""

    def create_index(self, key: str, kind: str) -> None:
        """Index a payload field: keyword, integer, float, bool, datetime or geo."""

    def flush(self) -> None:
        """Force everything to disk."""

    def close(self) -> None:
        """Let go of files and connections."""


class EdgeStore:
    """Qdrant Edge: the engine of the server, in this process, over one folder."""

    def __init__(self, folder: Path, kinds: Kinds | None = None) -> None:
        """Open the folder, or create it for vectors of some kinds."""
        self.words = edge_words()
        try:
            if kinds is None:
                self._shard = edge.EdgeShard.load(str(folder))
                return
            folder.mkdir(parents=True)
            vectors = {name: _edge_params(kind) for name, kind in kinds.items()}
            config = edge.EdgeConfig(vectors=vectors, hnsw_config=edge.HnswIndexConfig(**HNSW))
            self._shard = edge.EdgeShard.create(str(folder), config)
        except Exception as error:  # the engine raises bare exceptions
            raise StoreUnavailable(
                f"{folder}: the vector store cannot be opened ({error}). If no other process holds it, "
                "`placeprint rebuild` makes it anew from the ledger"
            ) from None
        for key, kind in INDEXES.items():
            self.create_index(key, kind)

    def upsert(self, ids: Sequence[str], vectors: Sequence[Named], payloads: Payloads) -> None:
        """Add or replace points."""
        points = [
            edge.Point(id, dict(named), payload)  # type: ignore[arg-type]  # takes arrays too
            for id, named, payload in zip(ids, vectors, payloads, strict=True)
        ]
        self._shard.update(edge.UpdateOperation.upsert_points(points))

    def set_vectors(self, name: str, ids: Sequence[str], vectors: Vectors) -> None:
        """Give points their vectors of one name."""
        points = [edge.PointVectors(id, {name: vector}) for id, vector in zip(ids, vectors, strict=True)]
        self._shard.update(edge.UpdateOperation.update_vectors(points))

    def delete_vectors(self, name: str, ids: Sequence[str]) -> None:
        """Take the vectors of one name away."""
        self._shard.update(edge.UpdateOperation.delete_vectors(list(ids), [name]))

    def delete(self, ids: Sequence[str]) -> None:
        """Take points away."""
        self._shard.update(edge.UpdateOperation.delete_points(list(ids)))

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
        acorn = edge.AcornSearchParams(enable=True) if condition is not None and not exact else None
        again = edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        request = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=edge.Query.Nearest(vector, using=using),  # type: ignore[arg-type]  # takes arrays too
            filter=condition,
            with_payload=True,
            params=edge.SearchParams(exact=exact, acorn=acorn, quantization=again),
        )
        return [Found(str(p.id), p.score, p.payload or {}) for p in self._shard.query(request)]

    def scroll(self, condition: Any, limit: int, start: str | None = None) -> Iterator[Found]:
        """Points that match, in the order of their ids."""
        offset: Any = start
        while limit > 0:
            request = edge.ScrollRequest(
                offset=offset, limit=min(limit, 1000), filter=condition, with_payload=True
            )
            points, offset = self._shard.scroll(request)
            yield from (Found(str(p.id), 0.0, p.payload or {}) for p in points)
            limit -= len(points)
            if offset is None:
                return

    def count(self, condition: Any) -> int:
        """Exact number of points that match."""
        return int(self._shard.count(edge.CountRequest(exact=True, filter=condition)))

    def facet(self, key: str, condition: Any, limit: int) -> dict[Any, int]:
        """Numbers of points by value."""
        # "Not exact" counts by the index of the field, which in one shard gives the same numbers, 60 times
        # as fast for a million points; only values that no point has any more are told with 0.
        request = edge.FacetRequest(key, limit=limit, exact=False, filter=condition)
        try:
            return {hit.value: hit.count for hit in self._shard.facet(request).hits if hit.count}
        except Exception as error:  # the engine raises bare exceptions
            raise _no_facet(key, error) from None

    def retrieve(self, ids: Sequence[str], *, with_vectors: bool) -> list[Found]:
        """The points of these ids that exist."""
        found = self._shard.retrieve(list(ids), with_payload=True, with_vector=with_vectors)
        return [Found(str(p.id), 0.0, p.payload or {}, _vector(p.vector)) for p in found]

    def create_index(self, key: str, kind: str) -> None:
        """Index a payload field."""
        schema = getattr(edge.PayloadSchemaType, kind.capitalize())
        self._shard.update(edge.UpdateOperation.create_field_index(key, schema))

    def optimize(self) -> None:
        """Build the search index. The whole process stands still meanwhile: call it in a child."""
        self._shard.optimize()

    def flush(self) -> None:
        """Force everything to disk."""
        self._shard.flush()

    def close(self) -> None:
        """Let go of the folder."""
        self._shard.close()


class ServerStore:
    """A collection on a Qdrant server, or in memory with the URL ``:memory:`` (for tests)."""

    def __init__(self, url: str, collection: str, kinds: Kinds, *, api_key: str | None = None) -> None:
        """Connect, and create the collection when it is not there."""
        import qdrant_client  # two seconds, which users of Edge need not wait

        self._models = qdrant_client.models
        self.words = server_words(self._models)
        self._collection = collection
        self._kinds = kinds
        self._is_memory = url == ":memory:"
        try:
            self._client = (
                qdrant_client.QdrantClient(":memory:")
                if self._is_memory
                else qdrant_client.QdrantClient(url, api_key=api_key, timeout=60)
            )
            if not self._client.collection_exists(collection):
                self._create()
        except Exception as error:  # connection errors come in many classes
            raise StoreUnavailable(
                f"no Qdrant server answers at {url} ({type(error).__name__}: {error}). Start it, or unset "
                "PLACEPRINT_QDRANT_URL to keep galleries in folders"
            ) from None

    def _create(self) -> None:
        self._client.create_collection(
            self._collection,
            vectors_config={name: self._params(kind) for name, kind in self._kinds.items()},
            hnsw_config=self._models.HnswConfigDiff(**HNSW),
            # A forgotten index becomes an error and not a slow query; exact search must stay allowed.
            strict_mode_config=self._models.StrictModeConfig(enabled=True, search_allow_exact=True),
        )
        for key, kind in INDEXES.items():
            self.create_index(key, kind)

    def _params(self, kind: VectorKind) -> Any:
        models = self._models
        scalar = models.ScalarQuantizationConfig(
            type=models.ScalarType.INT8, quantile=QUANTILE, always_ram=True
        )
        return models.VectorParams(
            size=kind.dimension,
            distance=models.Distance.COSINE,
            quantization_config=models.ScalarQuantization(scalar=scalar) if kind.is_quantized else None,
        )

    def upsert(self, ids: Sequence[str], vectors: Sequence[Named], payloads: Payloads) -> None:
        """Add or replace points."""
        points = [
            self._models.PointStruct(
                id=id, vector={name: one.tolist() for name, one in named.items()}, payload=payload
            )
            for id, named, payload in zip(ids, vectors, payloads, strict=True)
        ]
        for start in range(0, len(points), 256):
            self._client.upsert(self._collection, points[start : start + 256], wait=True)

    def set_vectors(self, name: str, ids: Sequence[str], vectors: Vectors) -> None:
        """Give points their vectors of one name."""
        points = [
            self._models.PointVectors(id=id, vector={name: vector.tolist()})
            for id, vector in zip(ids, vectors, strict=True)
        ]
        for start in range(0, len(points), 256):
            self._client.update_vectors(self._collection, points[start : start + 256], wait=True)

    def delete_vectors(self, name: str, ids: Sequence[str]) -> None:
        """Take the vectors of one name away."""
        points = self._models.PointIdsList(points=list(ids))
        self._client.delete_vectors(self._collection, [name], points, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Take points away."""
        self._client.delete(self._collection, self._models.PointIdsList(points=list(ids)), wait=True)

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
        again = self._models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
        acorn = self._models.AcornSearchParams(enable=True) if condition is not None and not exact else None
        answer = self._client.query_points(
            self._collection,
            query=vector.tolist(),
            using=using,
            query_filter=condition,
            limit=limit,
            offset=offset,
            with_payload=True,
            # In memory every search is exact, and its settings are warned of.
            search_params=None
            if self._is_memory
            else self._models.SearchParams(exact=exact, acorn=acorn, quantization=again),
        )
        return [Found(str(p.id), p.score, p.payload or {}) for p in answer.points]

    def scroll(self, condition: Any, limit: int, start: str | None = None) -> Iterator[Found]:
        """Points that match, in the order of their ids."""
        offset: Any = start
        while limit > 0:
            points, offset = self._client.scroll(
                self._collection, condition, limit=min(limit, 1000), offset=offset, with_payload=True
            )
            yield from (Found(str(p.id), 0.0, p.payload or {}) for p in points)
            limit -= len(points)
            if offset is None:
                return

    def count(self, condition: Any) -> int:
        """Exact number of points that match."""
        return self._client.count(self._collection, condition, exact=True).count

    def facet(self, key: str, condition: Any, limit: int) -> dict[Any, int]:
        """Numbers of points by value."""
        answer = self._client.facet(self._collection, key, facet_filter=condition, limit=limit, exact=True)
        return {hit.value: hit.count for hit in answer.hits}

    def retrieve(self, ids: Sequence[str], *, with_vectors: bool) -> list[Found]:
        """The points of these ids that exist."""
        found = self._client.retrieve(
            self._collection, list(ids), with_payload=True, with_vectors=with_vectors
        )
        return [Found(str(p.id), 0.0, p.payload or {}, _vector(p.vector)) for p in found]

    def create_index(self, key: str, kind: str) -> None:
        """Index a payload field. The store in memory has no indexes and would only warn."""
        if not self._is_memory:
            self._client.create_payload_index(
                self._collection, key, self._models.PayloadSchemaType(kind), wait=True
            )

    def clear(self, kinds: Kinds) -> None:
        """Empty the collection, and make it one for vectors of some kinds."""
        self._kinds = kinds
        self.drop()
        self._create()

    def drop(self) -> None:
        """Delete the collection."""
        self._client.delete_collection(self._collection)

    def flush(self) -> None:
        """Nothing to do: every write waited for the server's log."""

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _no_facet(key: str, error: Exception) -> Exception:
    """What a facet that fails means: no photo has the field, unless something else is said."""
    if "index" in str(error).lower():
        return InvalidFilter(f"{key}: no photo of the gallery has a field of that name that can be counted")
    return error


def _edge_params(kind: VectorKind) -> edge.EdgeVectorParams:
    scalar = edge.ScalarQuantizationConfig(edge.ScalarType.Int8, quantile=QUANTILE, always_ram=True)
    return edge.EdgeVectorParams(
        size=kind.dimension,
        distance=edge.Distance.Cosine,
        quantization_config=scalar if kind.is_quantized else None,
    )


def _vector(named: Any) -> Vectors | None:
    return None if not named else np.asarray(named[VECTOR], np.float32)


def index_kind(value: object) -> str | None:
    """How a payload value is indexed; None for what is not a plain value."""
    kinds: Mapping[type, str] = {int: "integer", float: "float", str: "keyword"}
    return kinds.get(type(value))
