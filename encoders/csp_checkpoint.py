"""All that a pre-training run needs to go on, in one file that is there whole or not at all.

The file is safetensors: the model, the moments of the optimizer and the best weights so far; in its
header, as JSON, where the run stands, its settings and its log. No state of a random generator is
needed, see `csp_sampling`; nothing is pickled.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from .errors import DamagedCheckpoint
from .location_files import write_atomically

FORMAT = 1


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: epochs done.
        step: steps done.
        best_epoch: the epoch after which the validation was best, counted from 1; 0 before any.
        best_score: its score; lower is better.
        log: one record for each epoch done.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_score: float = float("inf")
    log: list[dict[str, Any]] = field(default_factory=list)


def write_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    progress: Progress,
    *,
    identity: dict[str, Any],
) -> None:
    """Write the state of a run.

    Args:
        path: replaced if it exists.
        model: its parameters and buffers are kept.
        optimizer: its moments are kept.
        best: state of the model at the best epoch, empty before any.
        progress: where the run stands.
        identity: settings and data of the run, JSON; `read_checkpoint` gives it back.

    Raises:
        UnwritableFile: the folder is missing, full or not ours to write to.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": torch.as_tensor(value) for name, value in moments.items()}
    header = {
        "format": FORMAT,
        "identity": identity,
        "epoch": progress.epoch,
        "step": progress.step,
        "best_epoch": progress.best_epoch,
        "best_score": progress.best_score,
        "log": progress.log,
    }
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_atomically(path, safetensors.torch.save(plain, {"placeprint": json.dumps(header)}))


def read_checkpoint(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Tensor], dict[str, Any]]:
    """Bring a model and its optimizer to where a run stood.

    Args:
        path: what `write_checkpoint` wrote.
        model: of the same settings; changed in place.
        optimizer: of the same settings; changed in place.

    Returns:
        Where the run stands, the best state so far, and the identity of the run.

    Raises:
        DamagedCheckpoint: no checkpoint, cut off, or of another model.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["placeprint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        if header["format"] != FORMAT:
            raise DamagedCheckpoint(
                f"{path}: written in format {header['format']}, this version reads {FORMAT}"
            )
        progress = Progress(
            header["epoch"], header["step"], header["best_epoch"], header["best_score"], header["log"]
        )
        model.load_state_dict(_part(tensors, "model."))
        state = optimizer.state_dict()
        state["state"] = {}
        for name, value in _part(tensors, "optimizer.").items():
            number, _, key = name.partition(".")
            state["state"].setdefault(int(number), {})[key] = value
        optimizer.load_state_dict(state)
    except DamagedCheckpoint:
        raise
    except Exception as error:  # the core of safetensors raises an error class of its own
        raise DamagedCheckpoint(
            f"{path}: cannot be read ({error}); delete it, and the run begins anew"
        ) from None
    return progress, _part(tensors, "best."), header["identity"]


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
