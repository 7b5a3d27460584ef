"""A row of the ledger: what became of one key, a file's path, in one commit.

A photo is its bytes: its id comes from their SHA-256, whatever the key.
"""

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

NAMESPACE = uuid.UUID("b3a1f0f2-6f5c-5a44-9d0e-0d4c1f3c8a52")

NO_PAYLOAD = "{}"

Status = Literal["embedded", "seen", "failed", "removed", "deleted"]


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
    ``failed`` says why in `error`; ``removed`` ends a key; ``deleted`` ends the photo, and stays as
    the memory that it was not wanted.
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
    payload: str = NO_PAYLOAD  # JSON, what else the source says of the photo
    said: str = ""  # hash of all that the source says, to notice a changed table
    error: str | None = None
    replaces: str = ""  # sha256 of what the key held before, if that was another photo
    embedding: NDArray[np.float32] | None = field(default=None, compare=False)

    @cached_property
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


def encode_payload(payload: dict[str, Any]) -> str:
    """What else a source says of a photo, as JSON with sorted keys."""
    return json.dumps(payload, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)


def said_of(
    lon: float | None, lat: float | None, captured_at: datetime | None, group: str | None, payload: str
) -> str:
    """A hash of what a source says of a photo, by which a changed table is noticed."""
    told = [lon, lat, captured_at, group, payload]
    return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()[:16]


SAID_NOTHING = said_of(None, None, None, None, NO_PAYLOAD)
