"""Named arrays in one file (NumPy's .npz), written whole or not at all; nothing is pickled."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .location_files import write_atomically


def write_arrays(path: Path, **arrays: ArrayLike) -> None:
    """Write arrays by name.

    Raises:
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    buffer = io.BytesIO()
    named: dict[str, Any] = {name: np.asarray(one) for name, one in arrays.items()}
    np.savez_compressed(buffer, **named)
    write_atomically(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or something else.
    """
    content = io.BytesIO(path.read_bytes())  # NumPy leaves a damaged file open
    try:
        with np.load(content, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from None
