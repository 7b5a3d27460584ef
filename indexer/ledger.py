"""The ledger: what was read, embedded or refused, as a row of Parquet shards. It is the truth.

A shard is one commit. It is written under another name, forced to disk, and renamed, so that it
is there whole or not at all, and it is never changed afterwards, but by `Ledger.erase`. The state
of a collection is the replay of its shards in order: the last row of a key (a file's path) tells
what became of it. The vector store follows the ledger and can be rebuilt from it at any time.

A photo is its bytes: its id comes from their SHA-256. Two keys with the same bytes are one photo,
whose facts are those of the key seen first, or of the first whose source says anything of it; a
moved file is the same photo under another key. A deleted photo stays deleted under whatever key
its bytes turn up, until a later row shows it again.
"""

import os
import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..encoders.errors import DamagedLedger
from .durable import sync_folder
from .record import Record, photo_id
from .state import Position, State

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
        self._dimension = dimension
        self._schema = _schema(dimension)
        if is_read_only:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):  # of a commit that was cut off
            leftover.unlink()

    def __len__(self) -> int:
        """Number of shards, which is the number of the last one."""
        return max(self.numbers(), default=0)

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
        last = max(numbers, default=0)
        return f"{last} {len(numbers)} {self.commit_id(last)}"

    def append(self, records: Sequence[Record]) -> int:
        """Commit rows as one shard. When this returns they are on the disk, whatever happens next.

        Returns:
            The number of the shard.
        """
        number = len(self) + 1
        self._write(number, records, uuid.uuid4().hex)
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
                self._write(number, kept, self.commit_id(number))
                n_erased += len(full)
        return n_erased

    def _write(self, number: int, records: Sequence[Record], commit_id: str) -> None:
        metadata = {
            "placeprint_format": str(FORMAT), "placeprint_fingerprint": self.fingerprint, COMMIT_ID: commit_id
        }  # fmt: skip
        columns = [
            pa.array([_cell(record, column.name) for record in records], column.type)
            for column in self._schema
        ]
        table = pa.Table.from_arrays(columns, schema=self._schema.with_metadata(metadata))
        path = self.path(number)
        temporary = path.with_suffix(".tmp")
        with temporary.open("wb") as file:
            # The checksum of each page is verified on reading: a flipped bit is an error, not an answer.
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(self.folder)

    def path(self, number: int) -> Path:
        """The file of a shard."""
        return self.folder / f"{number:08d}.parquet"

    def numbers(self) -> list[int]:
        """The shards there are, in order; numbers are missing where a damaged one was taken away."""
        return sorted(int(path.stem) for path in self.folder.glob(SHARD))

    def records(self, number: int, rows: Sequence[int] | None = None) -> list[Record]:
        """Rows of a shard, with their embeddings.

        Raises:
            DamagedLedger: the shard cannot be read or belongs to another encoder.
        """
        table = self._read(number)
        table = table if rows is None else table.take(rows)
        flat = table.column("embedding").combine_chunks()
        matrix = flat.flatten().to_numpy(zero_copy_only=False)
        embeddings = iter(matrix.reshape(-1, self._dimension))
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
        return np.array(vectors, np.float32).reshape(len(positions), self._dimension)

    def outcomes(self, number: int) -> list[Record]:
        """All rows of a shard with what `State` needs of them only; quick to read."""
        columns = ["key", "status", "sha256", "source", "size_bytes", "mtime_ns", "said", "error", "replaces"]
        return [Record(**row) for row in self._read(number, columns).to_pylist()]

    def is_placed(self, number: int) -> NDArray[np.bool_]:
        """Whether each row of a shard has a place, (n,)."""
        column = self._read(number, ["lon"]).column("lon")
        return np.asarray(column.is_valid().to_numpy(zero_copy_only=False), dtype=bool)

    def replay(self) -> "State":
        """The state that all shards together leave behind."""
        state = State()
        for number in self.numbers():
            for row, record in enumerate(self.outcomes(number)):
                state.apply(record, Position(number, row))
        return state

    def _read(self, number: int, columns: list[str] | None = None) -> pa.Table:
        path = self.path(number)
        try:
            table = pq.read_table(path, columns=columns, page_checksum_verification=True, partitioning=None)
            metadata = table.schema.metadata or {}
            found = metadata.get(b"placeprint_fingerprint", b"").decode()
            if found != self.fingerprint:
                raise DamagedLedger(
                    f"{path}: embedded by encoder {found or 'unknown'}, not {self.fingerprint}; take the "
                    "file out of this gallery"
                )
            return table
        except (OSError, pa.ArrowException) as error:
            raise DamagedLedger(
                f"{path}: damaged ({error}). Move it away, run `placeprint rebuild` and index the same "
                "source again: only the photos of this shard are embedded anew"
            ) from None


def _emptied(record: Record) -> Record:
    """What remains of a row whose photo was erased."""
    return Record(
        key=record.key, status="removed" if record.status == "removed" else "deleted",
        source=record.source, sha256=record.sha256, size_bytes=record.size_bytes,
        mtime_ns=record.mtime_ns, replaces=record.replaces,
    )  # fmt: skip


def _cell(record: Record, name: str) -> Any:
    value = getattr(record, name)
    return value.tolist() if isinstance(value, np.ndarray) else value


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
