"""The arithmetic of image encoders: float32, or bfloat16 where the device has instructions for it."""

import torch

from .errors import InvalidOption


def photo_dtype(name: str, precision: str, device: torch.device) -> torch.dtype:
    """What an encoder computes photos in.

    Args:
        name: of the encoder, for messages.
        precision: ``fp32`` or ``bf16``.
        device: where.

    Raises:
        InvalidOption: another precision, or one that this device would take many times longer for.
    """
    if precision not in ("fp32", "bf16"):
        raise InvalidOption(f"{name}: precision={precision} is not fp32 or bf16")
    # Without such instructions bfloat16 takes up to 80 times as long as float32.
    if precision == "bf16" and not _has_bf16(device):
        which = "processor" if device.type == "cpu" else "GPU"
        raise InvalidOption(
            f"{name}: this {which} has no instructions for bf16; use the encoder without ?precision=bf16, "
            "with an index of its own"
        )
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return torch.cuda.get_device_capability(device) >= (8, 0)
