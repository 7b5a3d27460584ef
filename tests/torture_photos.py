"""Photos that cost nothing to decode, so that indexing can be tortured many thousand times.

A file holds three bytes of color and a number; `InstantPool` stands in the place of the pool of decoders,
which has tests of its own.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from placeprint.encoders.photo import PhotoFacts
from placeprint.indexer import chunks, executors
from placeprint.indexer.record import photo_id_of


class InstantPool:
    """Decodes what `write_photos` wrote."""

    def __init__(self, preprocessing: Any, workers: int | None = None) -> None:
        self._side = preprocessing.size

    def __enter__(self) -> "InstantPool":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[Any]:
        """In order, one after the other."""
        return map(function, jobs)

    def decode(self, content: bytes) -> tuple[NDArray[np.uint8], PhotoFacts]:
        """A picture of one color."""
        color = np.frombuffer(content[:3], np.uint8)
        return np.broadcast_to(color, (self._side, self._side, 3)), PhotoFacts(width=16, height=16)


def decode_at_once(patch: Callable[[Any, str, Any], None], *, commit: int = 256, batch: int = 16) -> None:
    """Let `ingest.index` read what `write_photos` wrote.

    Args:
        patch: such as ``setattr``.
        commit: photos of one commit.
        batch: photos that are embedded together.
    """
    patch(executors, "DecodePool", InstantPool)
    patch(chunks, "COMMIT", commit)
    patch(chunks, "BATCH", batch)


def content_of(i: int) -> bytes:
    """The bytes of the i-th file."""
    color = np.random.default_rng(i).integers(0, 256, 3, dtype=np.uint8)
    return color.tobytes() + b"%08d" % i


def vector_of(content: bytes) -> NDArray[np.float32]:
    """What `fakes.ColorEncoder` makes of a file, (4,)."""
    vector = np.append(np.frombuffer(content[:3], np.uint8) / 255.0 - 0.5, 0.1)
    unit: NDArray[np.float32] = (vector / np.linalg.norm(vector)).astype("f4")
    return unit


def write_photos(folder: Path, n: int) -> dict[str, NDArray[np.float32]]:
    """Write n files; the vector of each by its photo's id."""
    folder.mkdir(parents=True, exist_ok=True)
    expected = {}
    for i in range(n):
        content = content_of(i)
        (folder / f"{i:08d}.jpg").write_bytes(content)
        expected[photo_id_of(content)] = vector_of(content)
    return expected
