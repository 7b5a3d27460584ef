"""The ledger: what was read, embedded or refused, as a row of Parquet shards. It is the truth.

A shard is one commit. It is written under another name, forced to disk, and renamed, so that it
is there whole or not at all, and it is never changed afterwards. The state of a collection is the
replay of its shards in order: the last row of a key (a file's path) tells what became of it. The
vector store follows the ledger and can be rebuilt from it at any time.

A photo is its bytes: its id comes from their SHA-256. Two keys with the same bytes are one photo,
whose facts are those of the key seen first; a moved file is the same photo under another key.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ..encoders.errors import DamagedLedger

FORMAT = 1
SHARD = "[0-9]" * 8 + ".parquet"
NAMESPACE = uuid.UUID("b3a1f0f2-6f5c-5a44-9d0e-0d4c1f3c8a52")

Status = Literal["embedded", "seen", "failed", "removed"]


def photo_id(sha256: str) -> str:
    """The id of a photo, a UUIDv5 of its bytes' SHA-256 (hexadecimal)."""
    return str(uuid.uuid5(NAMESPACE, sha256))


def photo_id_of(content: bytes) -> str:
    """The id of the photo that a file of these bytes is."""
    return photo_id(hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, kw_only=True)
class Record:
    """One row: what became of one key in one commit.

    ``embedded`` carries an embedding; ``seen`` is a key whose bytes were embedded before;
    ``failed`` says why in `error`; ``removed`` ends a key.
    """

    key: str
    status: Status
    source: str = ""
    sha256: str = ""  # of the file's bytes; of the key where there is no file
    size_bytes: int = -1
    mtime_ns: int = -1
    lon: float | None = None
    lat: float | None = None
    captured_at: datetime | None = None
    heading_deg: float | None = None
    width: int | None = None
    height: int | None = None
    group: str | None = None
    payload: str = "{}"  # JSON, what else the source says of the photo
    said: str = ""  # hash of all that the source says, to notice a changed table
    error: str | None = None
    replaces: str = ""  # sha256 of what the key held before, if that was another photo
    embedding: NDArray[np.float32] | None = field(default=None, compare=False)

    @property
    def id(self) -> str:
        """The photo's id."""
        return photo_id(self.sha256)

    @property
    def touched(self) -> tuple[str, ...]:
        """Ids of the photos that this row may have made, altered or ended."""
        return (self.id, photo_id(self.replaces)) if self.replaces else (self.id,)

    @property
    def is_live(self) -> bool:
        """Whether the key stands for a photo that is in the collection."""
        return self.status in ("embedded", "seen")


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


class Ledger:
    """A folder of shards.

    Args:
        folder: made when it is not there.
        fingerprint: goes into every shard.
        dimension: of the embeddings.
    """

    def __init__(self, folder: Path, *, fingerprint: str, dimension: int) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._schema = _schema(dimension)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.tmp"):  # of a commit that was cut off
            leftover.unlink()

    def __len__(self) -> int:
        """Number of shards, which is the number of the last one."""
        return max((int(path.stem) for path in self.folder.glob(SHARD)), default=0)

    def append(self, records: Sequence[Record]) -> int:
        """Commit rows as one shard. When this returns they are on the disk, whatever happens next.

        Returns:
            The number of the shard.
        """
        number = len(self) + 1
        metadata = {"placeprint_format": str(FORMAT), "placeprint_fingerprint": self.fingerprint}
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
        temporary.rename(path)
        sync_folder(self.folder)
        return number

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
        embeddings = iter(matrix.reshape(-1, self._schema.field("embedding").type.list_size))
        present = flat.is_valid().to_pylist()
        plain = table.drop_columns(["embedding"]).to_pylist()
        return [
            Record(**row, embedding=next(embeddings) if has_embedding else None)
            for row, has_embedding in zip(plain, present, strict=True)
        ]

    def outcomes(self, number: int) -> list[Record]:
        """All rows of a shard with what `State` needs of them only; quick to read."""
        columns = ["key", "status", "sha256", "source", "size_bytes", "mtime_ns", "said", "error", "replaces"]
        return [Record(**row) for row in self._read(number, columns).to_pylist()]

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


class State:
    """What a ledger's rows come to: the entries by key, the keys and the embedding by photo."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.keys: dict[str, list[str]] = {}  # live keys of each photo, first seen first
        self.embedded_at: dict[str, Position] = {}

    def apply(self, record: Record, position: Position) -> None:
        """Take in one row, later than all before."""
        before = self.entries.get(record.key)
        is_other = before is not None and (before.id != record.id or not record.is_live)
        if before is not None and before.status in ("embedded", "seen") and is_other:
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
        if record.is_live:
            keys = self.keys.setdefault(record.id, [])
            if record.key not in keys:
                keys.append(record.key)

    def is_known(self, sha256: str) -> bool:
        """Whether a photo of these bytes has an embedding, live or not."""
        return photo_id(sha256) in self.embedded_at

    def positions(self, photo: str) -> tuple[Position, Position] | None:
        """Where a live photo's facts and its embedding stand; None when no key shows it any more."""
        keys = self.keys.get(photo)
        if not keys or photo not in self.embedded_at:  # its shard may have been taken away
            return None
        return self.entries[keys[0]].position, self.embedded_at[photo]

    @property
    def live(self) -> Iterator[str]:
        """Ids of all photos in the collection, in the order of their first row."""
        return (photo for photo, keys in self.keys.items() if keys)


def encode_payload(payload: dict[str, Any]) -> str:
    """What else a source says of a photo, as JSON with sorted keys."""
    return json.dumps(payload, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)


def _cell(record: Record, name: str) -> Any:
    value = getattr(record, name)
    return value.tolist() if isinstance(value, np.ndarray) else value


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk, so that a rename survives a power cut."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_atomically(path: Path, text: str) -> None:
    """Replace a small file as a whole, durably."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


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
