"""Low-rank adapters: a weight W is trained as W + (α / r) B A, with W itself frozen.

A is (r, in), B is (out, r) and starts at zero, so that training starts from the model as it was (LoRA, Hu
et al. 2021, arXiv:2106.09685). Adapters sit on the weights themselves, so they reach the attention of
torch, whose query, key and value are one matrix: those three share an A. At the end they are added in,
and nothing of them is left to be carried or computed.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Adds a trained matrix of low rank to a weight.

    Args:
        weight: (out, in).
        rank: r, at least 1.
        alpha: α; the change is scaled by α / r.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        self.scale = alpha / rank
        self.down = nn.Parameter(torch.empty(rank, weight.shape[1], device=weight.device))
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """The weight as it is used: (out, in) -> (out, in)."""
        return weight + self.scale * self.up @ self.down


def add_adapters(model: nn.Module, *, rank: int, alpha: float) -> int:
    """Put adapters on all linear layers of a model, those of its attention included.

    Args:
        model: changed in place; its own weights are left as they are.
        rank: of the adapters.
        alpha: their strength.

    Returns:
        How many weights got one.
    """
    found = list(_linear_weights(model))
    for module, name in found:
        weight = getattr(module, name)
        parametrize.register_parametrization(module, name, LowRank(weight, rank, alpha))
    return len(found)


def merge_adapters(model: nn.Module) -> None:
    """Add the adapters' changes to the weights and take the adapters away."""
    for module in list(model.modules()):
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _linear_weights(model: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    for module in model.modules():
        if isinstance(module, nn.Linear):  # the attention's last layer is one, too
            yield module, "weight"
        elif isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            yield module, "in_proj_weight"
