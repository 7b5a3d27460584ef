"""Where an image encoder computes: the processor of this machine, or a GPU."""

import re

import torch

from .errors import InvalidOption


def compute_device(name: str = "auto") -> torch.device:
    """The device that a name stands for.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1`` for the second GPU, or ``auto``: a GPU where there is one.

    Raises:
        InvalidOption: no such name, or no such device here.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise InvalidOption(f"device {name}: auto, cpu or cuda, cuda:1 for the second GPU")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if n_gpus else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= n_gpus:
        raise InvalidOption(
            f"device {name}: PyTorch finds {n_gpus or 'no'} GPU{'s' if n_gpus > 1 else ''} here; take cpu, "
            "or see whether the driver and a PyTorch built for CUDA are installed"
        )
    return device
