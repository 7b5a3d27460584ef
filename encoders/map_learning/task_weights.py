"""Auxiliary losses brought to one scale: prices in yen must not drown classes in nats.

``equal`` takes the plain mean, the published 1/3 each. ``running-mean`` divides each loss by its own
running mean. ``log-variance`` learns how much noise each task has: exp(-s) L + s, after Kendall, Gal
and Cipolla 2018 (arXiv:1705.07115), s kept in [-4, 4].
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from .settings import Weighting

MOMENTUM = 0.98


class TaskWeights(nn.Module):
    """Weighs losses by name.

    Args:
        names: of all tasks.
        kind: how, see the head of this file.
    """

    means: Tensor

    def __init__(self, names: Sequence[str], kind: Weighting) -> None:
        super().__init__()
        self.names, self.kind = tuple(names), kind
        self.register_buffer("means", torch.zeros(len(self.names)))  # 0 until a first loss
        if kind == "log-variance":
            self.log_variance = nn.Parameter(torch.zeros(len(self.names)))

    def forward(self, losses: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weighted losses; in training mode the running means then move on.

        Args:
            losses: by name, scalars.
            present: whether the batch had any label for it, booleans. A task without one gives
                exactly 0: its mean and its variance stay as they are.
        """
        if self.kind == "log-variance":
            with torch.no_grad():  # clamped in the sum they would have no gradient, and never come back
                self.log_variance.clamp_(-4.0, 4.0)
        found = {}
        for number, name in enumerate(self.names):
            if name not in losses:
                continue
            loss = losses[name].float()
            is_present = torch.as_tensor(present[name], device=loss.device)
            weighted = self._weighted(number, loss, is_present)
            found[name] = torch.where(is_present, weighted, torch.zeros_like(weighted))
        return found

    def _weighted(self, number: int, loss: Tensor, is_present: Tensor) -> Tensor:
        if self.kind == "equal":
            return loss
        if self.kind == "log-variance":
            s = self.log_variance[number]
            return torch.exp(-s) * loss + s
        if self.training:
            with torch.no_grad():
                mean, now = self.means[number], loss.detach()
                moved = torch.where(mean == 0.0, now, MOMENTUM * mean + (1.0 - MOMENTUM) * now)
                self.means[number] = torch.where(is_present, moved, mean)
        return loss / self.means[number].clone().clamp(min=1e-12)
