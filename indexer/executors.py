"""Who does the work of indexing: chunks of photos go in, rows of the ledger come out in the same order.

The executor in this process is the default; `ray_executor` sends chunks to a cluster. Both give the same
rows to the bit, and neither writes anything: what comes back is committed by `ingest`.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

from ..encoders.decoding import DecodePool
from . import chunks
from .chunks import Chunk, IsKnown, decode_item
from .listing import Item
from .record import Record, photo_id
from .state import State

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder


class Executor(Protocol):
    """Turns photos into rows of the ledger."""

    def run(self, items: Iterable[Item], state: State, *, undelete: bool) -> Iterator[list[Record]]:
        """Rows of all items, `COMMIT` at a time, in their order.

        Photos that `state` knows may come without an embedding, and so may deleted ones unless they are
        wanted again. Only a few chunks are taken ahead, however many there are.
        """


def known_to(state: State, *, undelete: bool) -> IsKnown:
    """Asks a state, as it is at that moment, whether a photo needs no embedding."""
    return lambda sha256: state.is_known(sha256) or (not undelete and photo_id(sha256) in state.deleted)


class LocalExecutor:
    """Decodes in processes of this machine, and embeds in this one.

    Args:
        encoder: of the gallery.
        workers: processes that decode; all cores by default.
    """

    def __init__(self, encoder: "ImageEncoder", *, workers: int | None = None) -> None:
        self._encoder = encoder
        self._workers = workers

    def run(self, items: Iterable[Item], state: State, *, undelete: bool) -> Iterator[list[Record]]:
        """See `Executor.run`. When it is interrupted, it gives what it has before it passes that on."""
        is_known = known_to(state, undelete=undelete)
        chunk = Chunk(self._encoder, is_known)
        with DecodePool(self._encoder.preprocessing, workers=self._workers) as pool:
            try:
                for photo in pool.map(lambda item: decode_item(pool, item), items):
                    chunk.take(photo)
                    if len(chunk) == chunks.COMMIT:
                        yield chunk.finished()
                        chunk = Chunk(self._encoder, is_known)
                yield chunk.finished()
            except KeyboardInterrupt:
                yield chunk.rows
                raise
