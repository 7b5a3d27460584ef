"""The ledger: what was read, embedded or refused, as a row of Parquet shards. It is the truth.

A shard is one commit. It is written under another name, forced to disk, and renamed, so that it
is there whole or not at all, and it is never changed afterwards, but by `Ledger.erase`. The state
of a collection is the replay of its shards in order: the last row of a key (a file's path) tells
what became of it. The vector store follows the ledger and can be rebuilt from it at any time.

Each shard has a checksum beside it (`checksums`) and is compared with it whenever it is read. Its commit
id is a hash of its rows and of the commit id before it: the same photos indexed in the same order give
the same files, whoever embedded them and wherever.

A photo is its bytes: its id comes from their SHA-256. Two keys with the same bytes are one photo,
whose facts are those of the key seen first, or of the first whose source says anything of it; a
moved file is the same photo under another key. A deleted photo stays deleted under whatever key
its bytes turn up, until a later row shows it again.
"""

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..encoders.errors import DamagedLedger
from .checksums import Checksums
from .durable import make_folder, sync_folder
from .entry import Followed, Position
from .record import Record, photo_id
from .state import State

FORMAT = 1
SHARD = "[0-9]" * 8 + ".parquet"
COMMIT_ID = "placeprint_commit"


def _schema(dimension: int) -> pa.Schema:
    kinds: dict[str, pa.DataType] = {
        "size_bytes": pa.int64(),
        "mtime_ns": pa.int64(),
        "lon": pa.float64(),
        "lat": pa.float64(),
        "captured_at": pa.timestamp("us", tz="UTC"),
        "heading_deg": pa.float64(),
        "width": pa.int32(),
        "height": pa.int32(),
        "embedding": pa.list_(pa.float32(), dimension),
    }
    return pa.schema([(column.name, kinds.get(column.name, pa.string())) for column in fields(Record)])


class Ledger:
    """A folder of shards.

    Args:
        folder: made when it is not there.
        fingerprint: goes into every shard.
        dimension: of the embeddings.
        is_read_only: touch nothing, as someone who does not hold the gallery's lock must not.
    """

    def __init__(self, folder: Path, *, fingerprint: str, dimension: int, is_read_only: bool = False) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.dimension = dimension
        self._schema = _schema(dimension)
        self._is_read_only = is_read_only
        self._numbers: list[int] | None = None  # listed once by who alone may write
        self.checksums = Checksums(folder, is_read_only=is_read_only)
        if is_read_only:
            return
        make_folder(folder)
        for leftover in folder.glob("*.tmp"):  # of a commit that was cut off
            leftover.unlink()
        self._adopt_unsummed()

    def __len__(self) -> int:
        """Number of shards, which is the number of the last one."""
        return max(self.numbers()[-1:], default=0)

    def commit_id(self, number: int) -> str:
        """What tells a shard from another of its number: "" for none, or one of an early version."""
        try:
            metadata = pq.read_schema(self.path(number)).metadata or {}
        except (OSError, pa.ArrowException):  # none, or damaged, which reading its rows will say
            return ""
        return str(metadata.get(COMMIT_ID.encode(), b"").decode())

    @property
    def version(self) -> str:
        """What tells the present rows from those of any other time."""
        numbers = self.numbers()
        last = len(self)
        return f"{last} {len(numbers)} {self.commit_id(last)}"

    def append(self, records: Sequence[Record]) -> int:
        """Commit rows as one shard. When this returns they are on the disk, whatever happens next.

        Returns:
            The number of the shard.
        """
        number = len(self) + 1
        table = self._table(records)
        self._write(number, table, _commit_id_after(self.commit_id(number - 1), table))
        self._numbers = [*self.numbers(), number]
        return number

    def erase(self, ids: Collection[str], *, until: int | None = None) -> int:
        """Take all that is known of photos out of the shards: embeddings, places, payloads.

        Each row that showed them becomes one that says ``deleted``, with path, source and the bytes' hash,
        by which the photo is known when it turns up again. Every shard is replaced as a whole; cut
        off on the way, the same call goes on with the rest.

        Args:
            ids: of the photos.
            until: number of the last shard that is meant; later ones stay as they are.

        Returns:
            How many rows were emptied.
        """
        n_erased = 0
        for number in self.numbers():
            if until is not None and number > until:
                break
            found = self._read(number, ["sha256"]).column("sha256").to_pylist()
            rows = {row for row, sha256 in enumerate(found) if photo_id(sha256) in ids}
            records = self.records(number) if rows else []
            full = {row for row in rows if records[row] != _emptied(records[row])}
            if full:
                kept = [_emptied(record) if row in full else record for row, record in enumerate(records)]
                self.checksums.forget(self.path(number).name)  # cut off, it would not be the old shard's
                self._write(number, self._table(kept), self.commit_id(number))
                n_erased += len(full)
        return n_erased

    def _table(self, records: Sequence[Record]) -> pa.Table:
        columns = [
            self._embedding_column(records)
            if column.name == "embedding"
            else pa.array([getattr(record, column.name) for record in records], column.type)
            for column in self._schema
        ]
        return pa.Table.from_arrays(columns, schema=self._schema)

    def _embedding_column(self, records: Sequence[Record]) -> pa.Array:
        """As one block: number by number it would take most of a commit's time."""
        is_missing = np.array([record.embedding is None for record in records], bool)
        values = np.zeros((len(records), self.dimension), np.float32)
        for row, record in enumerate(records):
            if record.embedding is not None:
                values[row] = record.embedding
        return pa.FixedSizeListArray.from_arrays(values.ravel(), self.dimension, mask=pa.array(is_missing))

    def _write(self, number: int, table: pa.Table, commit_id: str) -> None:
        metadata = {
            "placeprint_format": str(FORMAT), "placeprint_fingerprint": self.fingerprint, COMMIT_ID: commit_id
        }  # fmt: skip
        content = pa.BufferOutputStream()
        # The checksum of each page is verified on reading, also by other programs that read the shard.
        pq.write_table(
            table.replace_schema_metadata(metadata), content, compression="zstd", write_page_checksum=True
        )
        path, written = self.path(number), content.getvalue()
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(self.folder)
        self.checksums.note(path.name, hashlib.sha256(written).hexdigest())

    def _adopt_unsummed(self) -> None:
        """Note the checksums of shards that have none: of an early version, or cut off in between."""
        for number in self.numbers():
            name = self.path(number).name
            if name not in self.checksums:
                content = self.path(number).read_bytes()
                try:
                    pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
                except pa.ArrowException:  # reading its rows will say so
                    continue
                self.checksums.note(name, hashlib.sha256(content).hexdigest())

    def path(self, number: int) -> Path:
        """The file of a shard."""
        return self.folder / f"{number:08d}.parquet"

    def numbers(self) -> list[int]:
        """The shards there are, in order; numbers are missing where a damaged one was taken away."""
        if self._numbers is None or self._is_read_only:
            self._numbers = sorted(int(path.stem) for path in self.folder.glob(SHARD))
        return list(self._numbers)

    def records(self, number: int, rows: Sequence[int] | None = None) -> list[Record]:
        """Rows of a shard, with their embeddings.

        Raises:
            DamagedLedger: the shard cannot be read or belongs to another encoder.
        """
        table = self._read(number)
        table = table if rows is None else table.take(rows)
        with self._told(number):
            return self._records(table)

    def _records(self, table: pa.Table) -> list[Record]:
        flat = table.column("embedding").combine_chunks()
        matrix = flat.flatten().to_numpy(zero_copy_only=False)
        embeddings = iter(matrix.reshape(-1, self.dimension))
        present = flat.is_valid().to_pylist()
        plain = table.drop_columns(["embedding"]).to_pylist()
        return [
            Record(**row, embedding=next(embeddings) if has_embedding else None)
            for row, has_embedding in zip(plain, present, strict=True)
        ]

    def embeddings(self, positions: Sequence[Position]) -> NDArray[np.float32]:
        """The embeddings of rows from anywhere, in the order asked: (n, D)."""
        rows = iterate_rows(self, positions)
        vectors = [rows[position].embedding for position in positions]
        return np.array(vectors, np.float32).reshape(len(positions), self.dimension)

    def outcomes(self, number: int) -> list[Record]:
        """All rows of a shard with what `State` needs of them only; quick to read."""
        columns = ["key", "status", "sha256", "source", "size_bytes", "mtime_ns", "said", "error", "replaces"]
        with self._told(number):
            return [Record(**row) for row in self._read(number, columns).to_pylist()]

    def is_placed(self, number: int) -> NDArray[np.bool_]:
        """Whether each row of a shard has a place, (n,)."""
        column = self._read(number, ["lon"]).column("lon")
        return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)

    def replay(self, state: State | None = None) -> State:
        """The state that all shards together leave behind.

        Args:
            state: a fresh one to take them in; a temporary one by default.
        """
        state = state or State()
        self.bring_up(state)
        return state

    def bring_up(self, state: State) -> None:
        """Let a state take in the shards that it misses."""
        numbers, done = self.numbers(), state.followed
        for shards, number in enumerate(numbers, 1):
            if number > done.number:
                rows = ((record, Position(number, row)) for row, record in enumerate(self.outcomes(number)))
                state.follow(rows, Followed(number, shards, self.commit_id(number)))

    def is_followed_by(self, state: State) -> bool:
        """Whether what a state has taken in is how this ledger begins."""
        number, shards, commit_id = state.followed
        return sum(one <= number for one in self.numbers()) == shards and self.commit_id(number) == commit_id

    def _read(self, number: int, columns: list[str] | None = None) -> pa.Table:
        path = self.path(number)
        with self._told(number):
            content = path.read_bytes()
            if not self.checksums.is_right(path.name, content):
                raise ValueError("not what was written: the checksum is another")
            table = pq.read_table(
                pa.BufferReader(content), columns=columns, page_checksum_verification=True, partitioning=None
            )
            metadata = table.schema.metadata or {}
            found = metadata.get(b"placeprint_fingerprint", b"").decode()
            if found != self.fingerprint:
                raise DamagedLedger(
                    f"{path}: embedded by encoder {found or 'unknown'}, not {self.fingerprint}; take the "
                    "file out of this gallery"
                )
            return table

    @contextmanager
    def _told(self, number: int) -> Iterator[None]:
        """What goes wrong while a shard is read, with the remedy; texts may be damaged, too."""
        try:
            yield
        except (OSError, ValueError, TypeError, pa.ArrowException) as error:
            raise DamagedLedger(
                f"{self.path(number)}: damaged ({error}). `placeprint doctor --repair` puts it aside; then "
                "index the same source again: only the photos of this shard are embedded anew"
            ) from None


def _commit_id_after(before: str, table: pa.Table) -> str:
    """What tells a commit from any other of its number: a hash of all rows until then."""
    content = pa.BufferOutputStream()
    with pa.ipc.new_stream(content, table.schema) as stream:
        stream.write_table(table)
    return hashlib.sha256(before.encode() + content.getvalue()).hexdigest()[:32]


def _emptied(record: Record) -> Record:
    """What remains of a row whose photo was erased."""
    return Record(
        key=record.key, status="removed" if record.status == "removed" else "deleted",
        source=record.source, sha256=record.sha256, size_bytes=record.size_bytes,
        mtime_ns=record.mtime_ns, replaces=record.replaces,
    )  # fmt: skip


def iterate_rows(ledger: Ledger, positions: Iterable[Position]) -> dict[Position, Record]:
    """Rows from anywhere in the ledger, each shard read once."""
    by_shard: dict[int, list[int]] = {}
    for position in positions:
        by_shard.setdefault(position.shard, []).append(position.row)
    found = {}
    for number, rows in by_shard.items():
        rows = sorted(set(rows))
        for row, record in zip(rows, ledger.records(number, rows), strict=True):
            found[Position(number, row)] = record
    return found
