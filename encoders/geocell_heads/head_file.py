"""Geocell heads as files: safetensors with a card in JSON in its header. Nothing is pickled."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch

from ..errors import WeightsUnavailable
from ..location_files import read_description, read_tensors, write_atomically

if TYPE_CHECKING:
    from ..geocell_head import GeocellHead

FORMAT = "placeprint-geocell-head"
VERSION = 1


def write_head(head: "GeocellHead", path: Path) -> None:
    """Write a head, whole or not at all; the same head is the same bytes.

    Raises:
        UnwritableFile: there is no such folder, or no right to write.
    """
    description = {
        "format": FORMAT,
        "version": VERSION,
        "cells_id": head.cells_id,
        "encoder": head.encoder,
        "axis_order": "lonlat",
        "config": head.config.to_dict(),
        "card": head.card,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}
    text = json.dumps(description, sort_keys=True)
    write_atomically(path, safetensors.torch.save(tensors, {"placeprint": text}))


def read_head(path: Path) -> "GeocellHead":
    """Read what `write_head` wrote.

    Raises:
        WeightsUnavailable: no such file, damaged, or of another kind; the message says which.
    """
    from ..geocell_head import GeocellHead, HeadConfig

    description = read_description(path, FORMAT, VERSION, "a geocell head")
    try:
        head = GeocellHead(
            HeadConfig(**description["config"]),
            cells_id=description["cells_id"],
            encoder=description["encoder"],
            card=description["card"],
        )
        head.load_state_dict(read_tensors(path))
    except (KeyError, TypeError, RuntimeError) as error:
        raise WeightsUnavailable(
            f"{path}: its parts do not fit each other ({error}); copy it again"
        ) from None
    return head.eval()
