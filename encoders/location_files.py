"""Location encoders as files: safetensors, with a description in JSON in the file's own header.

Nothing is ever pickled, so that a file from elsewhere cannot run code.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from .errors import InvalidOption, UnwritableFile, WeightsUnavailable

FORMAT = "placeprint-location-encoder"
VERSION = 1
DTYPES = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, kw_only=True)
class LocationCard:
    """The description in a file."""

    name: str
    config: dict[str, Any]  # arguments of `LocationEncoder`
    dtype: str  # of its parameters, as torch names it
    card: dict[str, Any]  # free facts: training data, licence, command, ...


def write_encoder(
    path: Path,
    state: Mapping[str, Tensor],
    *,
    name: str,
    config: Mapping[str, Any],
    dtype: str,
    card: Mapping[str, Any],
) -> None:
    """Write tensors and description to one file, whole or not at all.

    Args:
        path: replaced if it exists.
        state: tensors by name.
        name: of the encoder.
        config: JSON arguments that make the encoder again.
        dtype: of its parameters, one of `DTYPES`.
        card: JSON facts to keep with it.

    Raises:
        UnwritableFile: the folder is missing, full or not ours to write to.
        InvalidOption: a value that is no JSON.
    """
    description = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "dimension": config["dimension"],
        "axis_order": "lonlat",
        "units": "degrees",
        "datum": "WGS84",
        "config": dict(config),
        "dtype": dtype,
        "card": dict(card),
    }
    write_described(path, state, description, name=name)


def write_described(
    path: Path, state: Mapping[str, Tensor], description: Mapping[str, Any], *, name: str
) -> None:
    """Write tensors with a description in the header, whole or not at all; the same is the same bytes.

    Args:
        path: replaced if it exists.
        state: tensors by name, on any device; no two share memory.
        description: JSON, which `read_description` gives back.
        name: of what is written, for the message.

    Raises:
        UnwritableFile: the folder is missing, full or not ours to write to.
        InvalidOption: a value that is no JSON.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    try:
        text = json.dumps(description, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"the card of {name!r} must be JSON: {error}") from None
    write_atomically(path, safetensors.torch.save(tensors, {"placeprint": text}))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that readers see the old one or the new one, also after a power cut.

    Raises:
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    temporary: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # temporary files are private, results are not
        temporary.replace(path)
    except OSError as error:
        raise UnwritableFile(f"{path}: cannot be written ({error.strerror or error})") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def read_card(path: Path) -> LocationCard:
    """Read the description only.

    Raises:
        WeightsUnavailable: no such file, damaged, or of another kind; the message says which.
    """
    description = read_description(path, FORMAT, VERSION, "a location encoder of Placeprint")
    name, config, dtype, card = (description.get(key) for key in ("name", "config", "dtype", "card"))
    if not (
        isinstance(name, str) and isinstance(config, dict) and isinstance(card, dict) and dtype in DTYPES
    ):
        raise WeightsUnavailable(f"{path}: its description is incomplete")
    return LocationCard(name=name, config=config, dtype=dtype, card=card)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        WeightsUnavailable: no such file, or damaged.
    """
    if not path.is_file():
        raise WeightsUnavailable(f"{path}: no such file")
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # its Rust core raises an error class of its own
        raise WeightsUnavailable(f"{path}: not a safetensors file, or damaged ({error})") from None


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself in its header.

    Raises:
        WeightsUnavailable: no such file, or damaged.
    """
    if not path.is_file():
        raise WeightsUnavailable(f"{path}: no such file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:  # as above
        raise WeightsUnavailable(f"{path}: not a safetensors file, or damaged ({error})") from None


def read_description(path: Path, kind: str, version: int, called: str) -> dict[str, Any]:
    """The description in a file's header, of the kind and version wanted.

    Args:
        path: what `write_described` wrote.
        kind: ``format`` of the description.
        version: ``version`` of the description.
        called: what such a file is of, in words.

    Raises:
        WeightsUnavailable: no such file, damaged, or of another kind; the message says which.
    """
    try:
        description = json.loads(read_metadata(path).get("placeprint", "{}"))
    except ValueError as error:
        raise WeightsUnavailable(f"{path}: its description is damaged ({error})") from None
    found = description.get("format") if isinstance(description, dict) else None
    if found != kind:
        holds = "weights alone" if found is None else repr(found)
        raise WeightsUnavailable(f"{path}: holds {holds}, not the file of {called}")
    if description.get("version") != version:
        raise WeightsUnavailable(
            f"{path}: written in version {description.get('version')!r} of the format, this Placeprint reads "
            f"version {version}; update one or the other"
        )
    return dict(description)
