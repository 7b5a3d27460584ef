"""What one commit takes: a chunk of photos, decoded, embedded in batches, and told as rows of the ledger.

A chunk is the unit of work of every executor (`executors`), and its rows depend on its photos alone: each
batch has the same shape, so that a photo's embedding has the same bits whichever others it stands among,
whoever computes it, and however often a chunk that was lost is done again.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.decoding import DecodePool
from ..encoders.errors import UnreadableImage
from ..encoders.photo import PhotoFacts
from .listing import Item
from .record import Record, encode_payload

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder

BATCH = 16  # on a CPU the fastest for small networks, and large ones lose little
GPU_BATCH = 256  # a GPU is not busy with less
COMMIT = 256  # photos; at most so many are embedded again after a kill

IsKnown = Callable[[str], bool]  # whether the bytes of a hash need no embedding


class Decoded(NamedTuple):
    """A photo after reading: its pixels and facts, or why there are none."""

    item: Item
    sha256: str
    pixels: NDArray[np.uint8] | None
    facts: PhotoFacts | None
    error: str | None


def decode_item(pool: DecodePool, item: Item) -> Decoded:
    """Read a photo's file and decode it in the calling thread's process."""
    if item.problem:
        return Decoded(item, "", None, None, item.problem)
    try:
        content = item.read()
    except OSError as error:
        return Decoded(item, "", None, None, f"cannot be read: {error.strerror}")
    sha256 = hashlib.sha256(content).hexdigest()
    if not content:
        return Decoded(item, sha256, None, None, "an empty file")
    try:
        return Decoded(item, sha256, *pool.decode(content), None)
    except UnreadableImage as error:
        return Decoded(item, sha256, None, None, str(error))


def batch_of(encoder: "ImageEncoder") -> int:
    """How many photos an encoder embeds at once; fewer are filled up to as many."""
    device = getattr(encoder, "device", None)  # those that know the processor alone need not name it
    return BATCH if device is None or device.type == "cpu" else GPU_BATCH


class Chunk:
    """Rows of the ledger in the making, in the order in which photos are taken.

    Args:
        encoder: embeds what is new.
        is_known: asked for the hash of each photo; those it knows are not embedded.
    """

    def __init__(self, encoder: "ImageEncoder", is_known: IsKnown) -> None:
        self._encoder = encoder
        self._batch = batch_of(encoder)
        self._is_known = is_known
        self._waiting: list[Decoded] = []
        self._new: dict[str, NDArray[np.uint8]] = {}  # of those that wait, by hash
        self._done: set[str] = set()
        self.rows: list[Record] = []

    def __len__(self) -> int:
        return len(self.rows) + len(self._waiting)

    def take(self, photo: Decoded) -> None:
        """Take one more photo, and embed those that wait when they fill a batch."""
        if photo.pixels is not None and photo.sha256 not in self._done and not self._is_known(photo.sha256):
            self._new.setdefault(photo.sha256, photo.pixels)
        self._waiting.append(photo._replace(pixels=None))
        if len(self._new) == self._batch:
            self._embed()

    def finished(self) -> list[Record]:
        """All rows; no more photos are taken."""
        self._embed()
        return self.rows

    def _embed(self) -> None:
        """Make rows of all photos that wait."""
        embeddings = self._embedded()
        broken = {sha256 for sha256, embedding in embeddings.items() if not _has_direction(embedding)}
        for photo in self._waiting:
            if photo.sha256 in broken:
                photo = photo._replace(error="the encoder gave no embedding with a direction")
            self.rows.append(_row(photo, embeddings.pop(photo.sha256, None)))  # the first of equal bytes
        self._done |= self._new.keys() - broken
        self._new, self._waiting = {}, []

    def _embedded(self) -> dict[str, NDArray[np.float32]]:
        """Embeddings of the new ones among those that wait, by hash."""
        if not self._new:
            return {}
        pixels = np.stack(list(self._new.values()))
        filling = np.repeat(pixels[-1:], self._batch - len(pixels), axis=0)
        embeddings = self._encoder.embed_pixels(np.concatenate([pixels, filling]))
        return dict(zip(self._new, embeddings, strict=False))


def _has_direction(embedding: NDArray[np.float32]) -> bool:
    return 0.0 < float(np.linalg.norm(embedding)) < np.inf


def _row(photo: Decoded, embedding: NDArray[np.float32] | None) -> Record:
    item, facts = photo.item, photo.facts
    common: dict[str, Any] = {
        "key": item.key, "source": item.source, "sha256": photo.sha256,
        "size_bytes": item.size_bytes, "mtime_ns": item.mtime_ns, "said": item.said,
    }  # fmt: skip
    if photo.error is not None or facts is None:
        return Record(**common, status="failed", error=photo.error or "no facts")
    lon, lat = (item.lon, item.lat) if item.lon is not None else (facts.lon, facts.lat)
    return Record(
        **common,
        status="seen" if embedding is None else "embedded",
        lon=lon,
        lat=lat,
        captured_at=item.captured_at or facts.captured_at,
        heading_deg=facts.heading_deg,
        width=facts.width,
        height=facts.height,
        group=item.group,
        payload=encode_payload(item.payload),
        embedding=embedding,
    )
