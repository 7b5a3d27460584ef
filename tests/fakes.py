"""Stand-ins that mean something: an encoder of mean colors, rows and vectors made up on the spot."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from placeprint.encoders.errors import NoTextTower
from placeprint.encoders.fingerprint import Fingerprint
from placeprint.encoders.preprocessing import Preprocessing
from placeprint.indexer.ledger import Record


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
        self.n_embedded += len(pixels)
        return self._unit(pixels.mean(axis=(1, 2)) / 255.0)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if any(text not in self.COLORS for text in texts):
            raise NoTextTower("knows red, green and blue only")
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
