"""The vector stores: Qdrant Edge in a folder, a Qdrant server at a URL. Nothing else imports Qdrant.

Both hold the same points: an id, one unit vector named ``image``, and a payload. Fields of ours
begin with an underscore; what a user's table says of a photo stands beside them under its own
names.

Qdrant's traps are closed here: polygons come cut where the map ends and keep what lies on that
edge; boxes and circles keep their edges, which Qdrant's own do not. The gallery closes the others:
vectors without direction and places not on Earth never get in, and a filtered search that an
approximate index would answer with too little is done exactly.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import qdrant_edge as edge
import shapely
from numpy.typing import NDArray

from ..encoders.areas import Area, Box, Circle
from ..encoders.errors import InvalidFilter, PlaceprintError
from .filters import Filter

VECTOR = "image"
PLACE, CAPTURED_AT, GROUP = "_place", "_captured_at", "_group"
INDEXES = {
    PLACE: "geo", "_place.lon": "float", "_place.lat": "float", CAPTURED_AT: "datetime",
    GROUP: "keyword", "_h3_3": "keyword", "_h3_5": "keyword", "_h3_7": "keyword",
}  # fmt: skip
HNSW: dict[str, Any] = {"m": 16, "ef_construct": 128, "full_scan_threshold": 40_000}
EXACT_UP_TO = 20_000  # matches of a filter; up to here an exact search is also the faster one


Vectors = NDArray[np.float32]
Payload = dict[str, Any]
Payloads = Sequence[Payload]


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

    words: Any

    def upsert(self, ids: Sequence[str], vectors: Vectors, payloads: Payloads) -> None:
        """Add points, or replace those of the same ids. Done when it returns."""

    def delete(self, ids: Sequence[str]) -> None:
        """Take points away; unknown ids are nothing to complain of."""

    def query(
        self, vector: NDArray[np.float32], limit: int, condition: Any, *, exact: bool, offset: int = 0
    ) -> list[Found]:
        """Most similar points first. Approximate, with ACORN where there is a filter, unless `exact`."""

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

    def __init__(self, folder: Path, dimension: int | None = None) -> None:
        """Open the folder, or create it for vectors of `dimension`."""
        self.words = _EdgeWords
        try:
            if dimension is None:
                self._shard = edge.EdgeShard.load(str(folder))
                return
            folder.mkdir(parents=True)
            params = edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)
            config = edge.EdgeConfig(vectors={VECTOR: params}, hnsw_config=edge.HnswIndexConfig(**HNSW))
            self._shard = edge.EdgeShard.create(str(folder), config)
        except Exception as error:  # the engine raises bare exceptions
            raise StoreUnavailable(
                f"{folder}: the vector store cannot be opened ({error}). If no other process holds it, "
                "`placeprint rebuild` makes it anew from the ledger"
            ) from None
        for key, kind in INDEXES.items():
            self.create_index(key, kind)

    def upsert(self, ids: Sequence[str], vectors: Vectors, payloads: Payloads) -> None:
        """Add or replace points."""
        points = [
            edge.Point(id, {VECTOR: vector}, payload)
            for id, vector, payload in zip(ids, vectors, payloads, strict=True)
        ]
        self._shard.update(edge.UpdateOperation.upsert_points(points))

    def delete(self, ids: Sequence[str]) -> None:
        """Take points away."""
        self._shard.update(edge.UpdateOperation.delete_points(list(ids)))

    def query(
        self, vector: NDArray[np.float32], limit: int, condition: Any, *, exact: bool, offset: int = 0
    ) -> list[Found]:
        """Most similar points first."""
        acorn = edge.AcornSearchParams(enable=True) if condition is not None and not exact else None
        request = edge.QueryRequest(
            limit=limit,
            offset=offset,
            query=edge.Query.Nearest(vector, using=VECTOR),  # type: ignore[arg-type]  # takes arrays too
            filter=condition,
            with_payload=True,
            params=edge.SearchParams(exact=exact, acorn=acorn),
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

    def __init__(self, url: str, collection: str, dimension: int, *, api_key: str | None = None) -> None:
        """Connect, and create the collection when it is not there."""
        import qdrant_client  # two seconds, which users of Edge need not wait

        self._models = qdrant_client.models
        self.words = _ServerWords(self._models)
        self._collection = collection
        self._dimension = dimension
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
            vectors_config={
                VECTOR: self._models.VectorParams(size=self._dimension, distance=self._models.Distance.COSINE)
            },
            hnsw_config=self._models.HnswConfigDiff(**HNSW),
            # A forgotten index becomes an error and not a slow query; exact search must stay allowed.
            strict_mode_config=self._models.StrictModeConfig(enabled=True, search_allow_exact=True),
        )
        for key, kind in INDEXES.items():
            self.create_index(key, kind)

    def upsert(self, ids: Sequence[str], vectors: Vectors, payloads: Payloads) -> None:
        """Add or replace points."""
        points = [
            self._models.PointStruct(id=id, vector={VECTOR: vector.tolist()}, payload=payload)
            for id, vector, payload in zip(ids, vectors, payloads, strict=True)
        ]
        for start in range(0, len(points), 256):
            self._client.upsert(self._collection, points[start : start + 256], wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        """Take points away."""
        self._client.delete(self._collection, self._models.PointIdsList(points=list(ids)), wait=True)

    def query(
        self, vector: NDArray[np.float32], limit: int, condition: Any, *, exact: bool, offset: int = 0
    ) -> list[Found]:
        """Most similar points first."""
        acorn = self._models.AcornSearchParams(enable=True) if condition is not None and not exact else None
        answer = self._client.query_points(
            self._collection,
            query=vector.tolist(),
            using=VECTOR,
            query_filter=condition,
            limit=limit,
            offset=offset,
            with_payload=True,
            # In memory every search is exact, and its settings are warned of.
            search_params=None if self._is_memory else self._models.SearchParams(exact=exact, acorn=acorn),
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

    def clear(self) -> None:
        """Empty the collection."""
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


def _vector(named: Any) -> Vectors | None:
    return None if not named else np.asarray(named[VECTOR], np.float32)


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


class _ServerWords:
    """Conditions in the words of the server's client."""

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


def translate(filter: Filter, words: Any) -> Any:
    """A filter in a store's own words; None when it lets everything through."""
    if filter.is_empty:
        return None
    must = [_equal(words, key, value) for key, value in filter.where.items()]
    must_not: list[Any] = []
    if filter.within is not None:
        must.append(_inside(words, filter.within))
    if filter.near is not None:
        must.append(_inside(words, filter.near))
    if filter.captured_from or filter.captured_until:
        must.append(words.during(CAPTURED_AT, filter.captured_from, filter.captured_until))
    if filter.is_placed is not None:
        (must_not if filter.is_placed else must).append(words.is_empty(PLACE))
    if filter.exclude_ids:
        must_not.append(words.has_id(sorted(filter.exclude_ids)))
    if filter.exclude_groups:
        must_not.append(words.any_of(GROUP, sorted(filter.exclude_groups)))
    if filter.exclude_within is not None:
        must_not.append(_inside(words, filter.exclude_within))
    return words.filter(must=must or None, must_not=must_not or None)


def _equal(words: Any, key: str, value: Any) -> Any:
    if key.startswith("_"):
        raise InvalidFilter(f"--where {key}: names that begin with an underscore are the store's own")
    if not re.fullmatch(r"\w+", key):
        raise InvalidFilter(f"--where {key}: a field's name has letters, digits and _ only")
    values = [value] if isinstance(value, str | int | float) else list(value)
    if any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in values):
        raise InvalidFilter(f"--where {key}: {value} is beyond 64 bits; put it in quotes to compare texts")
    conditions = [condition for v in values for condition in _same(words, key, v)]
    return conditions[0] if len(conditions) == 1 else words.filter(should=conditions)


def _same(words: Any, key: str, value: Any) -> list[Any]:
    """Conditions of which one holds: 12 may be stored as 12, as 12.0 or as the text 12."""
    if isinstance(value, bool):  # kept as texts: Edge finds no booleans
        return [words.equals(key, str(value).lower())]
    if isinstance(value, str):
        return [words.equals(key, value)]
    as_number = words.between(key, float(value), float(value))
    return (
        [as_number]
        if isinstance(value, float)
        else [words.equals(key, value), as_number, words.equals(key, str(value))]
    )


def _inside(words: Any, area: Area) -> Any:
    if isinstance(area, Circle):
        # Qdrant's circle is open, ours is closed: a millimeter, and the rounding of its own radius.
        radius_m = 1000.0 * area.radius_km * (1 + 1e-12) + 1e-3
        return words.radius(PLACE, area.lon, area.lat, radius_m)
    if isinstance(area, Box):
        return _inside_box(words, area)
    parts = [part for piece in area.pieces for part in _halves(piece)]
    pieces = [
        words.polygon(PLACE, _ring(part.exterior), [_ring(hole) for hole in part.interiors]) for part in parts
    ]
    return words.filter(should=pieces + [edge for part in parts for edge in _outer_edges(words, part)])


def _halves(piece: shapely.Polygon) -> list[shapely.Polygon]:
    """A polygon that spans all longitudes as two; Qdrant takes one from -180 to 180 for empty."""
    west, _, east, _ = piece.bounds
    if east - west < 360.0:
        return [piece]
    sides = [shapely.box(-180.0, -90.0, 0.0, 90.0), shapely.box(0.0, -90.0, 180.0, 90.0)]
    halves = shapely.get_parts([shapely.intersection(piece, side) for side in sides])
    return [half for half in halves if half.geom_type == "Polygon"]


def _ring(ring: shapely.LinearRing) -> list[tuple[float, float]]:
    """Corners as lon, lat; those at the north pole 0.1 mm short of it, or Qdrant finds nothing."""
    return [(lon, min(lat, 90.0 - 1e-9)) for lon, lat in ring.coords]


def _outer_edges(words: Any, part: shapely.Polygon) -> list[Any]:
    """Where the map ends, not the polygon: its edges along the antimeridian, and the poles it holds."""
    west, south, east, north = part.bounds
    edges = [words.between("_place.lat", pole, pole) for pole in (south, north) if abs(pole) == 90.0]
    for meridian in {west, east} & {-180.0, 180.0}:
        line = shapely.LineString([(meridian, -90.0), (meridian, 90.0)])
        for stretch in shapely.get_parts(shapely.intersection(part, line)):
            _, low, _, high = stretch.bounds
            seam = words.between("_place.lon", -180.0, -180.0)
            edges.append(words.filter(must=[seam, words.between("_place.lat", low, high)]))
    return edges


def _inside_box(words: Any, box: Box) -> Any:
    """A box as ranges of lon and lat: closed, and right at the poles and the antimeridian."""
    sides = [words.between("_place.lon", west, east) for west, east in box.spans]
    if any(east == 180.0 for _, east in box.spans):
        sides.append(words.between("_place.lon", -180.0, -180.0))  # the same meridian, as it is stored
    sides += [words.between("_place.lat", pole, pole) for pole in (box.south, box.north) if abs(pole) == 90.0]
    return words.filter(must=[words.between("_place.lat", box.south, box.north), words.filter(should=sides)])


def index_kind(value: object) -> str | None:
    """How a payload value is indexed; None for what is not a plain value."""
    kinds: Mapping[type, str] = {int: "integer", float: "float", str: "keyword"}
    return kinds.get(type(value))
