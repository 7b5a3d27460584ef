"""What is known of one key, a file's path: its entry in the state of a collection."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .record import Status

STATUSES: tuple[Status, ...] = ("embedded", "seen", "failed", "deleted")
LIVE = 2  # statuses below this one stand for a photo in the collection
FAILED = STATUSES.index("failed")
ENTRY = """
SELECT e.status, p.id, p.sha256, s.path, e.size_bytes, e.mtime_ns, e.said, e.shard, e.row, e.error, e.key, e.n
FROM entries e JOIN photos p ON p.n = e.photo JOIN sources s ON s.n = e.source
"""


class Position(NamedTuple):
    """Where a row stands."""

    shard: int
    row: int


class Entry(NamedTuple):
    """The present state of a key."""

    status: Status
    id: str
    sha256: str
    source: str
    size_bytes: int
    mtime_ns: int
    said: str
    position: Position
    error: str | None

    @property
    def is_live(self) -> bool:
        """Whether the key stands for a photo that is in the collection."""
        return self.status in ("embedded", "seen")


class Followed(NamedTuple):
    """How much of its ledger a state has taken in.

    Attributes:
        number: of the last shard.
        shards: how many up to there.
        commit_id: of the last shard.
    """

    number: int
    shards: int
    commit_id: str


def entry_of(row: Sequence[Any]) -> Entry:
    """A row that answers `ENTRY`."""
    _, id, sha256, source, size_bytes, mtime_ns, said, shard, number, error, *_ = row
    status, position = STATUSES[row[0]], Position(shard, number)
    return Entry(status, id, sha256, source, size_bytes, mtime_ns, said, position, error)
