"""What gets into a gallery: places on Earth, embeddings that have a direction, payloads that are JSON."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.errors import InvalidCoordinate, InvalidFilter
from ..encoders.sphere import as_lonlat
from .entry import Entry
from .record import NO_PAYLOAD, Record


def admitted(record: Record, before: Entry | None, *, dimension: int) -> Record:
    """A record fit for the ledger: on Earth, of unit length, and telling what it replaces.

    Args:
        record: as it came.
        before: what its key stood for until now.
        dimension: of the gallery's embeddings.

    Raises:
        InvalidCoordinate: a place that is not on Earth, or half of one.
        InvalidFilter: a name or a payload that no store can hold.
        ValueError: an embedding of another dimension, not finite, or zero.
    """
    if (record.lon is None) != (record.lat is None):
        raise InvalidCoordinate(f"{record.key}: lon and lat must be given together")
    changed: dict[str, Any] = {}
    if record.lon is not None and record.lat is not None:
        changed["lon"], changed["lat"] = as_lonlat([record.lon, record.lat]).tolist()
    if record.status == "embedded":
        changed["embedding"] = unit_vector(record.embedding, dimension)
    try:
        if record.payload != NO_PAYLOAD:
            json.dumps(json.loads(record.payload), allow_nan=False, ensure_ascii=False).encode()
        record.key.encode()
    except ValueError as error:
        raise InvalidFilter(f"{record.key!r}: its name or payload cannot be stored ({error})") from None
    if before is not None and before.sha256 != record.sha256:
        changed["replaces"] = before.sha256
    return replace(record, **changed) if changed else record


def unit_vector(embedding: ArrayLike | None, dimension: int) -> NDArray[np.float32]:
    """An embedding, (D,), as float32 of unit length.

    Raises:
        ValueError: it is of another dimension, not finite, or zero.
    """
    vector = np.asarray(embedding, np.float32)
    if vector.shape != (dimension,):
        raise ValueError(f"an embedding of shape {vector.shape}: the gallery holds ({dimension},)")
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not np.isfinite(length) or length == 0.0:
        raise ValueError("an embedding that is zero or not finite has no direction")
    # Encoders give unit vectors; only others are divided, so that theirs keep all their bits.
    return vector if abs(length - 1.0) < 1e-5 else (vector / length).astype(np.float32)
