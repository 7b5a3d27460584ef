"""What a ledger's rows come to: the present state of every key and every photo."""

from collections.abc import Iterator
from typing import NamedTuple

from .record import SAID_NOTHING, Record, Status, photo_id


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


class State:
    """What a ledger's rows come to: the entries by key, the keys and the embedding by photo."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.keys: dict[str, list[str]] = {}  # live keys of each photo, first seen first
        self.embedded_at: dict[str, Position] = {}
        self.deleted: set[str] = set()  # photos that are not wanted, under whatever key

    def apply(self, record: Record, position: Position) -> None:
        """Take in one row, later than all before."""
        before = self.entries.get(record.key)
        is_other = before is not None and (before.id != record.id or not record.is_live)
        if before is not None and before.is_live and is_other:
            self.keys[before.id].remove(record.key)
        if record.status == "removed":
            self.entries.pop(record.key, None)
            return
        self.entries[record.key] = Entry(
            record.status, record.id, record.sha256, record.source, record.size_bytes,
            record.mtime_ns, record.said, position, record.error,
        )  # fmt: skip
        if record.status == "embedded":
            self.embedded_at[record.id] = position
        elif record.status == "deleted":
            self.deleted.add(record.id)
        if record.is_live:
            self.deleted.discard(record.id)
            keys = self.keys.setdefault(record.id, [])
            if record.key not in keys:
                keys.append(record.key)

    def is_known(self, sha256: str) -> bool:
        """Whether a photo of these bytes has an embedding, live or not."""
        return photo_id(sha256) in self.embedded_at

    def knows(self, photo: str) -> bool:
        """Whether a photo, by its id, is in the collection, or was."""
        return bool(self.keys.get(photo)) or photo in self.embedded_at or photo in self.deleted

    def positions(self, photo: str) -> tuple[Position, Position] | None:
        """Where a live photo's facts and its embedding stand; None when no key shows it any more."""
        keys = self.keys.get(photo)
        if not keys or photo not in self.embedded_at:  # its shard may have been taken away
            return None
        entries = [self.entries[key] for key in keys]
        told = next((entry for entry in entries if entry.said != SAID_NOTHING), entries[0])
        return told.position, self.embedded_at[photo]

    @property
    def n_shown(self) -> int:
        """Number of photos in the collection."""
        return sum(photo in self.embedded_at for photo in self.live)

    @property
    def live(self) -> Iterator[str]:
        """Ids of all photos in the collection, in the order of their first row."""
        return (photo for photo, keys in self.keys.items() if keys)
