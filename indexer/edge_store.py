"""Qdrant Edge: the engine of the server, in this process, over one folder."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from ..encoders.errors import InvalidFilter
from .storage import AUTOMATIC, Storage
from .store import (
    HNSW,
    INDEXES,
    QUANTILE,
    VECTOR,
    Found,
    Kinds,
    Named,
    Payloads,
    StoreUnavailable,
    VectorKind,
    Vectors,
    own_vector,
    page_by_page,
)
from .store_words import Words

GUESSED_UP_TO = 1_000_000  # photos; of more, too many could be searched one by one by mistake


class EdgeStore:
    """The points of a gallery in one folder.

    Args:
        folder: opened; made where it is not there.
        kinds: of the vectors; None to open a folder as it is.
        storage: how they are to be kept. With `kinds` the folder takes it on, and `optimize` builds
            anew what is kept otherwise.
    """

    def __init__(self, folder: Path, kinds: Kinds | None = None, *, storage: Storage = AUTOMATIC) -> None:
        self.words: Words = _EdgeWords()
        self.oversampling = storage.oversampling
        self._is_frugal = storage.vectors == "disk"
        try:
            config = None if kinds is None else _edge_config(kinds, storage)
            if config is None or folder.exists():
                self._shard = edge.EdgeShard.load(str(folder), config)
                return
            folder.mkdir(parents=True)
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
            edge.Point(id, {name: one.tolist() for name, one in named.items()}, payload)
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
        params = self._search_params(condition, exact=exact)
        request = _request(vector, limit, condition, params, offset=offset, using=using)
        return _found(self._shard.query(request))

    def query_many(
        self, vectors: Vectors, limit: int, condition: Any, *, exact: bool, using: str = VECTOR
    ) -> list[list[Found]]:
        """Most similar points first, for each vector."""
        params = self._search_params(condition, exact=exact)
        requests = [_request(vector, limit, condition, params, using=using) for vector in vectors]
        answers = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [_found(points) for points in answers]

    def _search_params(self, condition: Any, *, exact: bool) -> edge.SearchParams:
        acorn = edge.AcornSearchParams(enable=True) if condition is not None and not exact else None
        again = edge.QuantizationSearchParams(rescore=True, oversampling=self.oversampling)
        return edge.SearchParams(exact=exact, acorn=acorn, quantization=again)

    def scroll(self, condition: Any, limit: int, start: str | None = None) -> Iterator[Found]:
        """Points that match, in the order of their ids."""

        def page(n: int, offset: Any) -> tuple[Sequence[Any], Any]:
            request = edge.ScrollRequest(offset=offset, limit=n, filter=condition, with_payload=True)
            points: tuple[Sequence[Any], Any] = self._shard.scroll(request)
            return points

        return page_by_page(page, limit, start)

    def count(self, condition: Any) -> int:
        """Exact number of points that match."""
        return int(self._shard.count(edge.CountRequest(exact=True, filter=condition)))

    def has_few(self, condition: Any, most: int) -> bool:
        """Whether at most so many match, or seem to.

        To count what a wide circle holds takes as long as to search it. The engine's guess takes 2 % of that,
        and is 0.01 to 5 times the number: what it takes for few is believed where to search all would do.
        """
        if self.guess(condition) <= most and self.guess(None) <= GUESSED_UP_TO:
            return True
        return self.count(condition) <= most

    def guess(self, condition: Any) -> int:
        """About how many match, in no time."""
        return int(self._shard.count(edge.CountRequest(exact=False, filter=condition)))

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
        return [Found(str(p.id), 0.0, p.payload or {}, own_vector(p.vector)) for p in found]

    def create_index(self, key: str, kind: str) -> None:
        """Index a payload field.

        Texts and times are read from mapped files: of 1.2 kB that a photo takes of the memory, vectors of
        512 bytes among them, that leaves 0.9, at the same speed. Circles would take 1.5 times as long so.
        Where the originals lie on disk, whose operator is short of memory, everything is read so, and nothing
        before it is needed. An index that is there is made anew if it was kept otherwise.
        """
        params, memory = _INDEXES[kind]
        if self._is_frugal:
            memory = edge.Memory.Cold
        # Links in the graph for each field's values made building longer, and no search better (ACORN).
        schema = params(enable_hnsw=False, memory=memory)
        self._shard.update(edge.UpdateOperation.create_field_index(key, schema))

    def optimize(self) -> None:
        """Build the search index, and what is to be kept otherwise than it is.

        The whole process stands still meanwhile: call it in a child.
        """
        for key, index in self._shard.info().payload_schema.items():
            self.create_index(key, str(index.data_type).rpartition(".")[2].lower())
        self._shard.optimize()

    def flush(self) -> None:
        """Force everything to disk."""
        self._shard.flush()

    def close(self) -> None:
        """Let go of the folder."""
        self._shard.close()


_INDEXES: Mapping[str, tuple[Any, edge.Memory | None]] = {
    "keyword": (edge.KeywordIndexParams, edge.Memory.Cached),
    "datetime": (edge.DatetimeIndexParams, edge.Memory.Cached),
    "integer": (edge.IntegerIndexParams, None),
    "float": (edge.FloatIndexParams, None),
    "bool": (edge.BoolIndexParams, None),
    "geo": (edge.GeoIndexParams, None),
}


class _EdgeWords:
    """Conditions in the words of Qdrant Edge."""

    filter = edge.Filter
    is_empty = edge.IsEmptyCondition

    @staticmethod
    def any_of(key: str, values: Sequence[Any]) -> Any:
        return edge.FieldCondition(key, match=edge.MatchAny(list(values)))

    @staticmethod
    def equals(key: str, value: Any) -> Any:
        return edge.FieldCondition(key, match=edge.MatchValue(value))

    @staticmethod
    def between(key: str, low: float | None, high: float | None) -> Any:
        return edge.FieldCondition(key, range=edge.RangeFloat(gte=low, lte=high))

    @staticmethod
    def during(key: str, start: datetime | None, end: datetime | None) -> Any:
        moments = edge.RangeDateTime(
            gte=start.isoformat() if start else None, lt=end.isoformat() if end else None
        )
        return edge.FieldCondition(key, range=moments)

    @staticmethod
    def has_id(ids: Sequence[str]) -> Any:
        return edge.HasIdCondition(set(ids))

    @staticmethod
    def radius(key: str, lon: float, lat: float, radius_m: float) -> Any:
        circle = edge.GeoRadius(edge.GeoPoint(lon=lon, lat=lat), radius_m)
        return edge.FieldCondition(key, geo_radius=circle)

    @staticmethod
    def polygon(key: str, exterior: Sequence[Any], holes: Sequence[Sequence[Any]]) -> Any:
        rings = [[edge.GeoPoint(lon=lon, lat=lat) for lon, lat in ring] for ring in (exterior, *holes)]
        return edge.FieldCondition(key, geo_polygon=edge.GeoPolygon(rings[0], rings[1:]))


def _no_facet(key: str, error: Exception) -> Exception:
    """What a facet that fails means: no photo has the field, unless something else is said."""
    if "index" in str(error).lower():
        return InvalidFilter(f"{key}: no photo of the gallery has a field of that name that can be counted")
    return error


def _request(
    vector: Vectors, limit: int, condition: Any, params: edge.SearchParams, *, using: str, offset: int = 0
) -> edge.QueryRequest:
    return edge.QueryRequest(
        limit=limit,
        offset=offset,
        query=edge.Query.Nearest(vector.tolist(), using=using),
        filter=condition,
        with_payload=True,
        params=params,
    )


def _found(points: Sequence[Any]) -> list[Found]:
    return [Found(str(point.id), point.score, point.payload or {}) for point in points]


def _edge_config(kinds: Kinds, storage: Storage) -> edge.EdgeConfig:
    quantization = {
        "none": None,
        "int8": edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, quantile=QUANTILE, memory=edge.Memory.Pinned
        ),
        "binary": edge.BinaryQuantizationConfig(memory=edge.Memory.Pinned),
    }

    def params(name: str, kind: VectorKind) -> edge.EdgeVectorParams:
        of_name = storage.quantization if name == VECTOR else "int8" if kind.is_quantized else "none"
        return edge.EdgeVectorParams(
            size=kind.dimension,
            distance=edge.Distance.Cosine,
            quantization_config=quantization[of_name or "none"],
            memory=edge.Memory.Cold if storage.vectors == "disk" else edge.Memory.Cached,
        )

    graph = edge.Memory.Cold if storage.graph == "disk" else edge.Memory.Cached
    return edge.EdgeConfig(
        vectors={name: params(name, kind) for name, kind in kinds.items()},
        hnsw_config=edge.HnswIndexConfig(**HNSW, memory=graph),
        id_tracker_memory=edge.Memory.Cached,
    )
