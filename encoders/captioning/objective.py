"""The contrastive loss between photos and captions, its false negatives, and large batches in parts.

Letters: B pairs of a batch, D embedding.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..csp_sampling import same_place
from ..processes import ALONE, World

MAX_SCALE = 100.0
"""The scale of the logits is kept at or below this, as in CLIP."""


def contrastive_loss(
    images: Tensor, texts: Tensor, log_scale: Tensor, is_same: Tensor | None = None
) -> Tensor:
    """Symmetric InfoNCE with a learned scale (Radford et al. 2021, CLIP, arXiv:2103.00020), nats.

    Args:
        images: unit embeddings, (B, D).
        texts: unit embeddings of their captions, in the same order, (B, D).
        log_scale: natural logarithm of 1 / temperature, one number.
        is_same: (B, B) booleans: pairs that are no negatives of each other. They are left out, not
            wanted: a caption that is true of another photo too does not say so in full. The diagonal is
            of no account.
    """
    logits = log_scale.exp().clamp(max=MAX_SCALE) * images @ texts.T
    if is_same is not None:
        others = is_same & ~torch.eye(len(images), dtype=torch.bool, device=is_same.device)
        logits = logits.masked_fill(others, -torch.inf)
    own = torch.arange(len(images), device=images.device)
    return 0.5 * (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own))


def false_negatives(
    lonlat: NDArray[np.float64], captions: Sequence[str] | None, radius_km: float | None
) -> Tensor:
    """Which pairs of a batch are no negatives of each other: (B, B) booleans, symmetric.

    Args:
        lonlat: where the photos were taken, (B, 2) degrees.
        captions: of the photos; those of equal words are true of each other. None: words do not count.
        radius_km: nor are photos taken within this distance; None: distance does not count.
    """
    is_same = np.eye(len(lonlat), dtype=bool)
    if radius_km is not None:
        is_same |= same_place(lonlat, lonlat, radius_km)
    if captions is not None:
        number = np.unique(np.array(captions), return_inverse=True)[1].reshape(-1)
        is_same |= number[:, None] == number
    return torch.from_numpy(is_same)


def backward_in_parts(
    embed: Callable[[slice], tuple[Tensor, Tensor]],
    n: int,
    part_size: int,
    loss_of: Callable[[Tensor, Tensor], Tensor],
    world: World = ALONE,
) -> float:
    """Loss and gradients of a whole batch, in the memory of a part of it.

    Embeddings are computed first without a graph, then the gradient of the loss by each of them, then
    each part once more with a graph, for the gradients of the weights (GradCache, Gao et al. 2021,
    arXiv:2101.06983). That is exact where `embed` gives the same twice, so it must draw nothing.

    Args:
        embed: unit embeddings of the photos and captions of some of this process's rows, (rows, D) each.
        n: number of rows of the batch.
        part_size: rows at a time; with n or more it is one pass with a graph.
        loss_of: the loss of all embeddings, (n, D) each.
        world: the processes that each have a part of the rows; see `World.average_gradients`.

    Returns:
        The loss; gradients are added to those of the weights.
    """
    mine = world.part(n)
    n_mine = mine.stop - mine.start
    parts = [slice(start, min(start + part_size, n_mine)) for start in range(0, n_mine, part_size)]
    if len(parts) == 1:
        loss = loss_of(*(world.gathered(side, n) for side in embed(parts[0])))
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())
    with torch.no_grad():
        embedded = [embed(part) for part in parts]
    images, texts = (
        world.gathered(torch.cat(side), n).requires_grad_() for side in zip(*embedded, strict=True)
    )
    loss = loss_of(images, texts)
    loss.backward()  # type: ignore[no-untyped-call]
    for part in parts:
        sides = embed(part)
        gradients = [
            world.size * whole.grad[mine][part]  # type: ignore[index]
            for whole in (images, texts)
        ]
        learning = [
            (side, gradient) for side, gradient in zip(sides, gradients, strict=True) if side.requires_grad
        ]
        if learning:
            torch.autograd.backward(*zip(*learning, strict=True))
    return float(loss.detach())
