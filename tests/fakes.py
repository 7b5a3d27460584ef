"""Stand-ins that mean something: an encoder of mean colors, rows and vectors made up on the spot."""

from collections.abc import Hashable, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from placeprint.encoders.errors import UnknownWords
from placeprint.encoders.fingerprint import Fingerprint
from placeprint.encoders.preprocessing import Preprocessing
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.held_out import HeldOut
from placeprint.indexer.record import Record


class ColorEncoder:
    """Embeds the mean color around gray, so that red finds red."""

    COLORS: ClassVar = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}

    def __init__(self, name: str = "color") -> None:
        self.preprocessing = Preprocessing(size=16)
        self.fingerprint = Fingerprint(
            name=name, weights_sha256=name, preprocessing=self.preprocessing.canonical, dimension=4
        )
        self.n_embedded = 0

    def embed_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.n_embedded += len({photo.tobytes() for photo in pixels})  # what fills a batch aside
        return self._unit(pixels.mean(axis=(1, 2)) / 255.0)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any(text not in self.COLORS for text in texts):
            raise UnknownWords("knows red, green and blue only")
        return self._unit(np.array([self.COLORS[text] for text in texts], float))

    def _unit(self, colors: NDArray[np.float64]) -> NDArray[np.float32]:
        extended = np.concatenate([colors - 0.5, np.full((len(colors), 1), 0.1)], axis=1)
        unit: NDArray[np.float32] = (extended / np.linalg.norm(extended, axis=1, keepdims=True)).astype("f4")
        return unit


def fingerprint_of(dimension: int, name: str = "made-up") -> Fingerprint:
    return Fingerprint(name=name, weights_sha256=name, preprocessing="none", dimension=dimension)


def record(key: str, embedding: NDArray[np.float32], **facts: object) -> Record:
    """A ledger row for a photo that has no file."""
    return Record(key=key, status="embedded", sha256=f"sha-{key}", embedding=embedding, **facts)  # type: ignore[arg-type]


def unit_rows(rng: np.random.Generator, n: int, dimension: int = 8) -> NDArray[np.float32]:
    vectors = rng.normal(size=(n, dimension))
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")
    return unit


def exact_neighbors(
    embeddings: NDArray[np.floating],
    lonlat: NDArray[np.float64],
    groups: Sequence[Hashable] | None = None,
    *,
    k: int = 200,
    exclude_km: float = 0.0,
) -> HeldOut:
    """Neighbors of other groups by a scan of all pairs; without groups, photos of one place are one."""
    labels = groups if groups is not None else [tuple(place) for place in lonlat.tolist()]
    group = np.array([str(label) for label in labels])
    similarity = np.asarray(embeddings @ embeddings.T, dtype=np.float64)
    similarity[group[:, None] == group] = -np.inf
    if exclude_km > 0.0:
        similarity[great_circle_km(lonlat[:, None], lonlat) <= exclude_km] = -np.inf
    order = np.argsort(-similarity, axis=1, kind="stable")[:, : min(k, len(lonlat))]
    return HeldOut(lonlat, group, np.take_along_axis(similarity, order, axis=1), lonlat[order])
