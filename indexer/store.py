"""What the gallery asks of a vector store: Qdrant Edge in a folder, or a Qdrant server at a URL.

Both (`edge_store`, `server_store`) hold the same points: an id, a unit vector named ``image``, others by
other encoders under names of their own (`named_vectors`), which a point may lack, and a payload. Fields
of ours begin with an underscore; what a user's table says of a photo stands beside them under its own
names.

Filters are put into a store's words by `store_words`; the gallery closes other traps of Qdrant's:
vectors without direction and places not on Earth never get in, and a filtered search that an
approximate index would answer with too little is done exactly.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import PlaceprintError
from .store_words import CAPTURED_AT, GROUP, PLACE, Words

VECTOR = "image"
INDEXES = {
    PLACE: "geo", "_place.lon": "float", "_place.lat": "float", CAPTURED_AT: "datetime",
    GROUP: "keyword", "_h3_3": "keyword", "_h3_5": "keyword", "_h3_7": "keyword",
}  # fmt: skip
HNSW: dict[str, Any] = {"m": 16, "ef_construct": 128, "full_scan_threshold": 40_000}
EXACT_UP_TO = 20_000  # matches of a filter; up to here an exact search is also the faster one
ASKED_AT_ONCE = 64  # searches in one call of the store


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

    def query_many(
        self, vectors: Vectors, limit: int, condition: Any, *, exact: bool, using: str = VECTOR
    ) -> list[list[Found]]:
        """What `query` answers for each of some vectors, (n, D), asked in one go."""

    def scroll(self, condition: Any, limit: int, start: str | None = None) -> Iterator[Found]:
        """Points that match, in the order of their ids, from `start` on, which is in."""

    def count(self, condition: Any) -> int:
        """Exact number of points that match."""

    def has_few(self, condition: Any, most: int) -> bool:
        """Whether so few match that they are best searched one by one.

        So it is where at most `most` do. Where more do it may be said, too, if to find out would take as long
        as to search them.
        """

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


def find_nearest(
    store: Store,
    vector: Vectors,
    k: int,
    condition: Any,
    *,
    exact: bool = False,
    offset: int = 0,
    using: str = VECTOR,
) -> list[Found]:
    """The k most similar points that match, most similar first; never fewer than there are.

    A filter that leaves up to `EXACT_UP_TO` points is searched exactly; beyond that, an approximate
    answer that comes out short is asked for again exactly.
    """
    exact = exact or (condition is not None and store.has_few(condition, EXACT_UP_TO))
    found = store.query(vector, k, condition, exact=exact, offset=offset, using=using)
    if condition is None or exact or len(found) == k:
        return found
    if len(found) < min(k, store.count(condition) - offset):
        found = store.query(vector, k, condition, exact=True, offset=offset, using=using)
    return found


def find_nearest_many(
    store: Store, vectors: Vectors, k: int, condition: Any, *, exact: bool = False, using: str = VECTOR
) -> list[list[Found]]:
    """What `find_nearest` finds for each of some vectors, (n, D)."""
    exact = exact or (condition is not None and store.has_few(condition, EXACT_UP_TO))
    found: list[list[Found]] = []
    for start in range(0, len(vectors), ASKED_AT_ONCE):
        some = vectors[start : start + ASKED_AT_ONCE]
        found += store.query_many(some, k, condition, exact=exact, using=using)
    if condition is None or exact or all(len(hits) == k for hits in found):
        return found
    matches = store.count(condition)
    short = [i for i, hits in enumerate(found) if len(hits) < min(k, matches)]
    if short:
        again = store.query_many(vectors[short], k, condition, exact=True, using=using)
        for i, hits in zip(short, again, strict=True):
            found[i] = hits
    return found


def page_by_page(
    page: Callable[[int, Any], tuple[Sequence[Any], Any]], limit: int, start: str | None
) -> Iterator[Found]:
    """Points a thousand at a time.

    Args:
        page: asked for at most so many points from an offset on; gives them, and the next offset or None.
        limit: of points in all.
        start: the first offset.
    """
    offset: Any = start
    while limit > 0:
        points, offset = page(min(limit, 1000), offset)
        yield from (Found(str(p.id), 0.0, p.payload or {}) for p in points)
        limit -= len(points)
        if offset is None:
            return


def own_vector(named: Any) -> Vectors | None:
    """The gallery's own among a point's vectors; None where none were asked for."""
    return None if not named else np.asarray(named[VECTOR], np.float32)


def index_kind(value: object) -> str | None:
    """How a payload value is indexed; None for what is not a plain value."""
    kinds: Mapping[type, str] = {int: "integer", float: "float", str: "keyword"}
    return kinds.get(type(value))
