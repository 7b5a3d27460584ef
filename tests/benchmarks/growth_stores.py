"""Who answers in `growth`: the gallery, its bare engine, and vector indexes that live in the process."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from growth_data import DIMENSION, K, Vectors
from numpy.typing import NDArray

from placeprint.encoders.areas import Circle
from placeprint.encoders.fingerprint import Fingerprint
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import Record
from placeprint.indexer.settings import Settings
from placeprint.indexer.store import HNSW

NAME = "growth"
SHARD = 8192
EF = (32, 64, 128, 256, 512)
"""How wide a peer's graph is searched: the least that finds as much as ours does."""


def settings_of(folder: Path) -> Settings:
    return Settings(home=folder / "home", qdrant_url=None)


def fill(folder: Path, vectors: Vectors, lonlat: NDArray[np.float64]) -> float:
    """Make the gallery; seconds that adding took."""
    print_ = Fingerprint(name="made-up", weights_sha256="0", preprocessing="none", dimension=DIMENSION)
    spent = 0.0
    with Gallery.create(NAME, print_, settings=settings_of(folder)) as gallery:
        for start in range(0, len(vectors), SHARD):
            some, places = np.array(vectors[start : start + SHARD]), lonlat[start : start + SHARD].tolist()
            records = [
                Record(key=str(start + i), status="embedded", sha256=str(start + i), embedding=some[i],
                       lon=lon, lat=lat)
                for i, (lon, lat) in enumerate(places)
            ]  # fmt: skip
            began = time.perf_counter()
            gallery.add(records)
            spent += time.perf_counter() - began
    return spent


class Ours:
    """The gallery."""

    title = "placeprint"

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery

    def search(self, vector: Vectors) -> list[int]:
        return [int(one.photo.image) for one in self.gallery.nearest(vector, K)]

    def search_many(self, vectors: Vectors) -> list[list[int]]:
        found = self.gallery.nearest_many(vectors, K)
        return [[int(one.photo.image) for one in neighbors] for neighbors in found]

    def search_within(self, vector: Vectors, circle: Circle) -> list[int]:
        found = self.gallery.nearest(vector, K, filter=Filter(within=circle))
        return [int(one.photo.image) for one in found]


class Bare:
    """Plain calls of Qdrant Edge on the gallery's own shard, with the same settings of the search."""

    title = "qdrant-edge"

    def __init__(self, gallery: Gallery) -> None:
        import qdrant_edge as edge

        self.edge, store = edge, gallery._index.store
        self.shard, self.oversampling = store._shard, store.oversampling

    def _request(self, vector: Vectors) -> Any:
        edge = self.edge
        again = edge.QuantizationSearchParams(rescore=True, oversampling=self.oversampling)
        return edge.QueryRequest(
            limit=K, query=edge.Query.Nearest(vector, using="image"), with_payload=True,
            params=edge.SearchParams(quantization=again),
        )  # fmt: skip

    def search(self, vector: Vectors) -> list[int]:
        return [int(point.payload["_image"]) for point in self.shard.query(self._request(vector))]

    def search_many(self, vectors: Vectors) -> list[list[int]]:
        batch = self.edge.QueryBatchRequest([self._request(vector) for vector in vectors])
        return [
            [int(point.payload["_image"]) for point in points] for points in self.shard.query_batch(batch)
        ]


class Peer(Protocol):
    """An index in this process, which knows vectors and nothing else."""

    title: str

    def add(self, keys: NDArray[np.int64], vectors: Vectors) -> None: ...
    def save(self, path: Path) -> None: ...
    def widen(self, ef: int) -> None: ...
    def search(self, vector: Vectors) -> list[int]: ...
    def search_many(self, vectors: Vectors) -> list[list[int]]: ...


class USearch:
    """USearch: a graph over float32, with as many links as ours."""

    title = "usearch"

    def __init__(self, path: Path) -> None:
        from usearch.index import Index

        self.index = Index(
            ndim=DIMENSION, metric="cos", dtype="f32",
            connectivity=HNSW["m"], expansion_add=HNSW["ef_construct"],
        )  # fmt: skip
        if path.exists():
            self.index.load(str(path))

    def add(self, keys: NDArray[np.int64], vectors: Vectors) -> None:
        self.index.add(keys, vectors)

    def save(self, path: Path) -> None:
        self.index.save(str(path))

    def widen(self, ef: int) -> None:
        self.index.expansion_search = ef

    def search(self, vector: Vectors) -> list[int]:
        return [int(key) for key in self.index.search(vector, K).keys]

    def search_many(self, vectors: Vectors) -> list[list[int]]:
        return [[int(key) for key in keys] for keys in self.index.search(vectors, K).keys]


class Faiss:
    """FAISS: IndexHNSWFlat, with as many links as ours."""

    title = "faiss"

    def __init__(self, path: Path) -> None:
        import faiss

        self.faiss = faiss
        if path.exists():
            self.index = faiss.read_index(str(path))
            return
        self.index = faiss.IndexHNSWFlat(DIMENSION, HNSW["m"], faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = HNSW["ef_construct"]

    def add(self, keys: NDArray[np.int64], vectors: Vectors) -> None:
        self.index.add(vectors)

    def save(self, path: Path) -> None:
        self.faiss.write_index(self.index, str(path))

    def widen(self, ef: int) -> None:
        self.index.hnsw.efSearch = ef

    def search(self, vector: Vectors) -> list[int]:
        return [int(key) for key in self.index.search(vector[None], K)[1][0]]

    def search_many(self, vectors: Vectors) -> list[list[int]]:
        return [[int(key) for key in keys] for keys in self.index.search(vectors, K)[1]]


PEERS: dict[str, type[Peer]] = {"usearch": USearch, "faiss": Faiss}


class Scan:
    """numpy: every vector, exactly."""

    title = "numpy scan"

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = np.array(vectors)

    def search(self, vector: Vectors) -> list[int]:
        return self.search_many(vector[None])[0]

    def search_many(self, vectors: Vectors) -> list[list[int]]:
        similarity = vectors @ self.vectors.T
        some = np.argpartition(-similarity, K, axis=1)[:, :K]
        order = np.argsort(-np.take_along_axis(similarity, some, axis=1), axis=1)
        return np.take_along_axis(some, order, axis=1).tolist()


def recall(found: Sequence[Sequence[int]], best: Sequence[Any]) -> float:
    """Mean share of the right answers that were found."""
    return float(np.mean([len({*map(int, b)} & set(f)) / len(b) for f, b in zip(found, best, strict=True)]))


def widened(peer: Any, vectors: Vectors, best: NDArray[np.int64], at_least: float) -> tuple[int, float]:
    """Set the least width with which a peer finds as much as ours does; the width and its recall."""
    for ef in EF:
        peer.widen(ef)
        found = recall([peer.search(vector) for vector in vectors], best)
        if found >= at_least:
            break
    return ef, found
