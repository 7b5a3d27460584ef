"""What the tail of an encoder is given for each photo, computed once and kept in a file while it learns.

The trunk does not change and photos come to it by a transform without chance, so it has one answer for a
photo in all epochs. Half precision: rounding moves a unit embedding by about 1e-4 at most. The file is as
large as all photos need from the beginning, so that a disk that is too small says so before any work.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..captioning.photos import PhotoSource
from ..decoding import DecodePool
from ..errors import AnotherRun, InvalidOption, UnreadableImage, UnwritableFile
from ..location_files import write_atomically
from .splitting import SplitEncoder

INPUTS_FILE, STATE_FILE = "tail-inputs.f16", "tail-inputs.json"
SPARE_BYTES = 512 << 20
"""Of room on the disk beyond the file and the weights: for heads, logs and the report."""
_BATCH = 32
_NOTED_EVERY = 8  # batches between notes of how far it is
_Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class TailInputs:
    """Inputs of the tail by photo.

    Attributes:
        rows: (N, ...) of half precision, on disk; zeros for photos that could not be read.
        left_out: photos that could not be, by row, with the reason.
    """

    rows: NDArray[np.float16]
    left_out: dict[int, str] = field(default_factory=dict)

    def embed(
        self, split: SplitEncoder, some: NDArray[np.intp], *, batch_size: int = 64
    ) -> NDArray[np.float32]:
        """Embeddings of some photos by the tail as it is now: (n,) rows -> (n, D), unit length."""
        with torch.no_grad():
            parts = [
                split.tail(self.rows[some[start : start + batch_size]]).numpy()
                for start in range(0, len(some), batch_size)
            ]
        return np.concatenate([np.empty((0, split.encoder.fingerprint.dimension), np.float32), *parts])


def read_inputs(
    split: SplitEncoder,
    photos: Sequence[PhotoSource],
    folder: Path,
    *,
    workers: int | None = None,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> TailInputs:
    """Read photos, run the trunk on them and keep what it gives; goes on where it was interrupted.

    Args:
        split: the encoder.
        photos: what to read, in the order of the rows.
        folder: of the run.
        workers: processes that decode; all cores by default.
        show: called with the number of photos done and of all.

    Raises:
        UnwritableFile: not enough room on the disk, or no right to write.
        AnotherRun: the folder holds inputs of another encoder, other blocks or other photos.
        InvalidOption: the encoder's numbers are too large for half precision.
    """
    shape = split.trunk(np.zeros((1, *(split.encoder.preprocessing.size,) * 2, 3), np.uint8)).shape[1:]
    identity = {
        "shape": [len(photos), *shape],
        "encoder": split.encoder.fingerprint.id,
        "blocks": split.n_blocks,
    }
    state = _begun(folder, identity, split)
    rows = np.memmap(folder / INPUTS_FILE, np.float16, "r+", shape=(len(photos), *shape))
    left_out = {int(row): reason for row, reason in state["left_out"].items()}
    done = int(state["done"])
    show(done, len(photos))

    def note() -> None:
        rows.flush()
        write_atomically(
            folder / STATE_FILE, json.dumps({**identity, "done": done, "left_out": left_out}).encode()
        )

    if done == len(photos):
        return TailInputs(rows, left_out)
    try:
        with DecodePool(split.encoder.preprocessing, workers=workers) as pool:
            waiting: list[_Pixels | str] = []
            for outcome in pool.map(lambda photo: _pixels_of(photo, pool), photos[done:]):
                waiting.append(outcome)
                if len(waiting) < _BATCH and done + len(waiting) < len(photos):
                    continue
                left_out |= _write(rows, done, waiting, split)
                done, waiting = done + len(waiting), []
                if done // _BATCH % _NOTED_EVERY == 0:
                    note()
                show(done, len(photos))
    finally:  # also when it is interrupted
        note()
    return TailInputs(rows, left_out)


def forget_inputs(folder: Path) -> None:
    """Delete the file once nothing learns from it any more."""
    for name in (INPUTS_FILE, STATE_FILE):
        (folder / name).unlink(missing_ok=True)


def _begun(folder: Path, identity: dict[str, Any], split: SplitEncoder) -> dict[str, Any]:
    """How far the file of a folder is; a new one is made as large as it will be."""
    n_bytes = 2 * int(np.prod(identity["shape"]))
    inputs, noted = folder / INPUTS_FILE, folder / STATE_FILE
    if noted.exists() and inputs.exists() and inputs.stat().st_size == n_bytes:
        state: dict[str, Any] = json.loads(noted.read_text(encoding="utf-8"))
        if any(state.get(name) != value for name, value in identity.items()):
            raise AnotherRun(f"{inputs} is of another encoder or of other photos; choose another --out")
        return state
    inputs.unlink(missing_ok=True)
    # At the end of a run its checkpoint and the encoder's file are written beside it.
    n_weights = sum(one.numel() * one.element_size() for one in split.model.state_dict().values())
    needed, free = n_bytes + 3 * n_weights + SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise UnwritableFile(_no_room(inputs, identity, n_bytes, needed, free))
    try:
        with inputs.open("wb") as file:
            if n_bytes and hasattr(os, "posix_fallocate"):  # a memory map cannot say that a disk is full
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
    except OSError as error:
        inputs.unlink(missing_ok=True)
        raise UnwritableFile(
            f"{inputs}: {n_bytes / 1e9:.2f} GB cannot be written ({error.strerror})"
        ) from None
    return {"done": 0, "left_out": {}}


def _no_room(inputs: Path, identity: dict[str, Any], n_bytes: int, needed: int, free: int) -> str:
    n, *shape = identity["shape"]
    each = " × ".join(str(one) for one in shape)
    return (
        f"{inputs.parent}: {free / 1e9:.2f} GB are free where this run needs {needed / 1e9:.2f} GB; the "
        f"inputs of the last {identity['blocks']} blocks take {n_bytes / 1e9:.2f} GB of it ({n} photos of "
        f"{each} numbers, 2 bytes each). Choose an --out on a larger disk, or another number for --tune"
    )


def _pixels_of(photo: PhotoSource, pool: DecodePool) -> _Pixels | str:
    """The pixels of a photo, or why there are none."""
    if photo.problem is not None:
        return photo.problem
    try:
        return pool.decode(photo.read())[0]
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    except UnreadableImage as error:
        return str(error)


def _write(
    rows: NDArray[np.float16], start: int, outcomes: Sequence[_Pixels | str], split: SplitEncoder
) -> dict[int, str]:
    """Put what the trunk gives for some photos into their rows; those without pixels, and why."""
    read = [number for number, one in enumerate(outcomes) if not isinstance(one, str)]
    rows[start : start + len(outcomes)] = 0.0
    if read:
        given = split.trunk(np.stack([outcomes[number] for number in read]))
        if not np.abs(given).max() < np.finfo(np.float16).max:
            raise InvalidOption(
                f"--tune {split.n_blocks}: the encoder {split.encoder.fingerprint.name} gives its last "
                "blocks numbers beyond 65504, the largest of half precision; choose another number of blocks"
            )
        rows[start + np.array(read)] = given
    return {start + number: one for number, one in enumerate(outcomes) if isinstance(one, str)}
