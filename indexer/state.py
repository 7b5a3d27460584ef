"""What a ledger's rows come to: the present state of every key and every photo.

It is a SQLite file that follows the ledger, so that a gallery of a million photos opens at once and takes
no more memory than a small one. Like the vector store it can be made again from the ledger at any time.
"""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from .entry import ENTRY, FAILED, LIVE, STATUSES, Entry, Followed, Position, entry_of
from .record import SAID_NOTHING, Record, photo_id
from .state_views import Deleted, Embeddings, Entries, Keys

VERSION = 1
PAGE = 4096  # rows read at a time where all are asked for
MANY = 512  # keys asked for at a time

TABLES = """
CREATE TABLE sources (n INTEGER PRIMARY KEY, path TEXT UNIQUE);
CREATE TABLE photos (
    n INTEGER PRIMARY KEY, id TEXT UNIQUE, sha256 TEXT, shard INTEGER, row INTEGER,
    is_deleted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE entries (
    n INTEGER PRIMARY KEY, key TEXT UNIQUE, status INTEGER, photo INTEGER, source INTEGER,
    size_bytes INTEGER, mtime_ns INTEGER, said TEXT, shard INTEGER, row INTEGER, error TEXT,
    since INTEGER  -- where the key began to stand for its photo: keys of a photo are told in this order
);
CREATE INDEX of_photo ON entries (photo);
CREATE INDEX failures ON entries (key) WHERE status = 2;
CREATE TABLE followed (number INTEGER, shards INTEGER, commit_id TEXT);
INSERT INTO followed VALUES (0, 0, '');
"""


class State:
    """What a ledger's rows come to: the entries by key, the keys and the embedding by photo.

    Threads may share one.

    Args:
        path: of the SQLite file, made where there is none; None for a temporary one.

    Raises:
        sqlite3.Error: the file is damaged, or of another version.

    Attributes:
        entries: by key.
        keys: live keys by photo, first seen first.
        embedded_at: where the embedding of a photo stands, live or not.
        deleted: photos that are not wanted, under whatever key.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._using = threading.RLock()
        self._database = sqlite3.connect(path or "", check_same_thread=False, isolation_level=None)
        try:
            self._begin(is_temporary=path is None)
        except sqlite3.Error:
            self._database.close()
            raise
        self.entries: Mapping[str, Entry] = Entries(self)
        self.keys: Mapping[str, list[str]] = Keys(self)
        self.embedded_at: Mapping[str, Position] = Embeddings(self)
        self.deleted: Set[str] = Deleted(self)

    def _begin(self, *, is_temporary: bool) -> None:
        # What a power cut takes of a log is read from the ledger again; the rest stays consistent.
        self._database.execute("PRAGMA journal_mode = " + ("MEMORY" if is_temporary else "WAL"))
        self._database.execute("PRAGMA synchronous = " + ("OFF" if is_temporary else "NORMAL"))
        version = self._database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._database.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT")
        elif version != VERSION:
            raise sqlite3.DatabaseError(f"made by another version ({version})")

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows that answer a question."""
        with self._using:
            return self._database.execute(sql, values).fetchall()

    def page_by_page(self, sql: str, column: int) -> Iterator[Any]:
        """All rows that answer a question of any length.

        Args:
            sql: takes a number that all rows must be above and a number of rows.
            column: in which a row has its own number.
        """
        last = -1
        while rows := self.ask(sql, (last, PAGE)):
            yield from rows
            last = rows[-1][column]

    # --- following the ledger -----------------------------------------------------------------

    @property
    def followed(self) -> Followed:
        """How much of the ledger was taken in."""
        return Followed(*self.ask("SELECT number, shards, commit_id FROM followed")[0])

    def follow(self, rows: Iterable[tuple[Record, Position]], followed: Followed) -> None:
        """Take in rows of the ledger, later than all before; all of them, or none."""
        with self._using:
            self._database.execute("BEGIN")
            try:
                for record, position in rows:
                    self.apply(record, position)
                self._database.execute("UPDATE followed SET number = ?, shards = ?, commit_id = ?", followed)
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise

    def apply(self, record: Record, position: Position) -> None:
        """Take in one row, later than all before."""
        run = self._database.execute
        with self._using:
            if record.status == "removed":
                run("DELETE FROM entries WHERE key = ?", (record.key,))
                return
            photo = self._number_of(record)
            before = run("SELECT photo, status, since FROM entries WHERE key = ?", (record.key,)).fetchone()
            since = (position.shard << 32) + position.row
            if before is not None and before[0] == photo and before[1] < LIVE:
                since = before[2]
            entry = (
                record.key, STATUSES.index(record.status), photo, self._source_of(record.source),
                record.size_bytes, record.mtime_ns, record.said, *position, record.error, since,
            )  # fmt: skip
            run(
                "INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (key) DO UPDATE SET status = excluded.status, photo = excluded.photo, "
                "source = excluded.source, size_bytes = excluded.size_bytes, mtime_ns = excluded.mtime_ns, "
                "said = excluded.said, shard = excluded.shard, row = excluded.row, error = excluded.error, "
                "since = excluded.since",
                entry,
            )
            if record.status == "embedded":
                run("UPDATE photos SET shard = ?, row = ?, is_deleted = 0 WHERE n = ?", (*position, photo))
            elif record.status != "failed":
                is_deleted = record.status == "deleted"
                run("UPDATE photos SET is_deleted = ? WHERE n = ?", (is_deleted, photo))

    def _number_of(self, record: Record) -> int:
        photo = record.id
        found = self._database.execute("SELECT n FROM photos WHERE id = ?", (photo,)).fetchone()
        if found is None:
            made = "INSERT INTO photos (id, sha256) VALUES (?, ?)"
            return int(self._database.execute(made, (photo, record.sha256)).lastrowid or 0)
        return int(found[0])

    def _source_of(self, path: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO sources (path) VALUES (?)", (path,))
        return int(self._database.execute("SELECT n FROM sources WHERE path = ?", (path,)).fetchone()[0])

    def close(self) -> None:
        """Let go of the file."""
        with self._using:
            self._database.close()

    # --- questions ----------------------------------------------------------------------------

    def is_known(self, sha256: str) -> bool:
        """Whether a photo of these bytes has an embedding, live or not."""
        return photo_id(sha256) in self.embedded_at

    def knows(self, photo: str) -> bool:
        """Whether a photo, by its id, is in the collection, or was."""
        return bool(self.keys.get(photo)) or photo in self.embedded_at or photo in self.deleted

    def entries_of(self, keys: Sequence[str]) -> dict[str, Entry]:
        """The entries of those among many keys that have one; quicker than to ask for each."""
        found: dict[str, Entry] = {}
        for start in range(0, len(keys), MANY):
            some = keys[start : start + MANY]
            rows = self.ask(f"{ENTRY} WHERE e.key IN ({', '.join('?' * len(some))})", some)
            found |= {row[10]: entry_of(row) for row in rows}
        return found

    def positions(self, photo: str) -> tuple[Position, Position] | None:
        """Where a live photo's facts and its embedding stand; None when no key shows it any more."""
        rows = self.ask(
            "SELECT e.shard, e.row, e.said, p.shard, p.row FROM photos p JOIN entries e ON e.photo = p.n "
            "WHERE p.id = ? AND p.shard IS NOT NULL AND e.status < ? ORDER BY e.since",
            (photo, LIVE),
        )
        if not rows:  # the shard of its embedding may have been taken away
            return None
        told = next((row for row in rows if row[2] != SAID_NOTHING), rows[0])
        return Position(*told[:2]), Position(*rows[0][3:])

    @property
    def n_shown(self) -> int:
        """Number of photos in the collection."""
        count = "SELECT COUNT(DISTINCT e.photo) FROM entries e JOIN photos p ON p.n = e.photo"
        return int(self.ask(f"{count} WHERE e.status < ? AND p.shard IS NOT NULL", (LIVE,))[0][0])

    @property
    def live(self) -> Iterator[str]:
        """Ids of all photos in the collection, in the order of their first row."""
        return iter(self.keys)

    def known_sha256s(self, *, undelete: bool) -> Iterator[str]:
        """Hashes of the photos that have an embedding, and unless they are wanted again of the deleted."""
        wanted = "shard IS NOT NULL" if undelete else "(shard IS NOT NULL OR is_deleted)"
        sql = f"SELECT sha256, n FROM photos WHERE {wanted} AND n > ? ORDER BY n LIMIT ?"
        return (row[0] for row in self.page_by_page(sql, 1))

    def keys_in(self, shard: int) -> list[str]:
        """Keys whose present row stands in a shard, in its order."""
        sql = "SELECT key FROM entries WHERE shard = ? ORDER BY row"
        return [row[0] for row in self.ask(sql, (shard,))]

    @property
    def failures(self) -> list[tuple[str, str]]:
        """Keys that could not be embedded, in order, and why."""
        return self.ask(f"SELECT key, error FROM entries WHERE status = {FAILED} ORDER BY key")
