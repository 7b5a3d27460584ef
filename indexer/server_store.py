"""A collection on a Qdrant server, or in memory with the URL ``:memory:`` (for tests)."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from .store import (
    HNSW,
    INDEXES,
    OVERSAMPLING,
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


class ServerStore:
    """The points of a gallery in one collection."""

    def __init__(self, url: str, collection: str, kinds: Kinds, *, api_key: str | None = None) -> None:
        """Connect, and create the collection when it is not there."""
        import qdrant_client  # two seconds, which users of Edge need not wait

        self._models = qdrant_client.models
        self.words: Words = _ServerWords(self._models)
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

        def page(n: int, offset: Any) -> tuple[Sequence[Any], Any]:
            return self._client.scroll(self._collection, condition, limit=n, offset=offset, with_payload=True)

        return page_by_page(page, limit, start)

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
        return [Found(str(p.id), 0.0, p.payload or {}, own_vector(p.vector)) for p in found]

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


class _ServerWords:
    """Conditions in the words of the server's client.

    Args:
        models: of the client, ``qdrant_client.models``, which takes two seconds to import.
    """

    def __init__(self, models: Any) -> None:
        self._models = models
        self.filter = models.Filter

    def _field(self, key: str, **condition: Any) -> Any:
        return self._models.FieldCondition(key=key, **condition)

    def is_empty(self, key: str) -> Any:
        return self._models.IsEmptyCondition(is_empty=self._models.PayloadField(key=key))

    def any_of(self, key: str, values: Sequence[Any]) -> Any:
        return self._field(key, match=self._models.MatchAny(any=list(values)))

    def equals(self, key: str, value: Any) -> Any:
        return self._field(key, match=self._models.MatchValue(value=value))

    def between(self, key: str, low: float | None, high: float | None) -> Any:
        return self._field(key, range=self._models.Range(gte=low, lte=high))

    def during(self, key: str, start: datetime | None, end: datetime | None) -> Any:
        return self._field(key, range=self._models.DatetimeRange(gte=start, lt=end))

    def has_id(self, ids: Sequence[str]) -> Any:
        return self._models.HasIdCondition(has_id=list(ids))

    def radius(self, key: str, lon: float, lat: float, radius_m: float) -> Any:
        center = self._models.GeoPoint(lon=lon, lat=lat)
        return self._field(key, geo_radius=self._models.GeoRadius(center=center, radius=radius_m))

    def polygon(self, key: str, exterior: Sequence[Any], holes: Sequence[Sequence[Any]]) -> Any:
        rings = [
            self._models.GeoLineString(points=[self._models.GeoPoint(lon=lon, lat=lat) for lon, lat in ring])
            for ring in (exterior, *holes)
        ]
        polygon = self._models.GeoPolygon(exterior=rings[0], interiors=rings[1:] or None)
        return self._field(key, geo_polygon=polygon)
