"""What a head is trained to make small. Every term is an average over photos, lower is better.

Letters: B photos, C cells, L labels of a level.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_cross_entropy(log_p: Tensor, targets: Tensor) -> Tensor:
    """-Σ y log p, (B, C) and (B, C) -> a number; least where p = y, if the rows of y sum to 1."""
    return -(targets * log_p).sum(dim=1).mean()


def level_cross_entropy(log_p: Tensor, targets: Tensor, shares: Tensor) -> Tensor:
    """The cross-entropy of a coarser level, whose probabilities are sums over cells.

    As OSV-5M (Astruc et al. 2024) has it for the parents of its quadtree. A country missed costs, wherever
    in it the photo was; a cell missed within the right country costs nothing here.

    Args:
        log_p: of the cells, (B, C).
        targets: of the cells, (B, C).
        shares: of each cell in each label, (C, L).
    """
    peak = log_p.detach().amax(dim=1, keepdim=True)
    # A label below 1e-30 of the likeliest cell gives no gradient; the cells' own term does.
    log_label = ((log_p - peak).exp() @ shares).clamp_min(1e-30).log() + peak
    return soft_cross_entropy(log_label, targets @ shares)


def offset_error(offset_km: Tensor, true_km: Tensor, radius_km: Tensor) -> Tensor:
    """Squared error within the cell, in squares of its radius; photos of cells without extent do not count.

    Args:
        offset_km: answers for the cell that holds each photo, (B, 2).
        true_km: where they were, (B, 2); what lies beyond the radius is wanted on the circle.
        radius_km: of those cells, (B,).
    """
    has_room = radius_km > 0.0
    if not has_room.any():
        return offset_km.sum() * 0.0
    radius = radius_km[has_room, None]
    wanted = true_km[has_room]
    wanted = wanted * (radius / wanted.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp_max(1.0)
    squared: Tensor = (((offset_km[has_room] - wanted) / radius) ** 2).sum(dim=1)
    return squared.mean()


def task_error(output: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of classes or squared error of a number, over the photos that have a label.

    Args:
        output: logits (B, K), or a standardized number (B, 1).
        labels: class numbers or standardized numbers, (B,); NaN is missing.
    """
    has_label = ~labels.isnan()
    if not has_label.any():
        return output.sum() * 0.0
    if output.shape[1] == 1:
        return F.mse_loss(output[has_label, 0], labels[has_label])
    return F.cross_entropy(output[has_label], labels[has_label].to(torch.long))
