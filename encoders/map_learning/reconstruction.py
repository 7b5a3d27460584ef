"""High-level reconstruction: from one view's embedding, say what lies under the mask of another.

After Bougie et al. 2023 (ACML, PMLR 222:185-200). The decoder sees a global view with half of its
patches covered, and the embedding of the *other* global view, turned and zoomed by its own: what lies
under the mask must come from what the embedding says of the place as a whole. Which of the paper's two
views is which is our reading.

Letters: B crops, C classes, D embedding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..processes import ALONE, World
from .network import planes

PATCHES = 8
"""Patches along a side of a view, each covered or not."""


def draw_mask(n: int, px: int, share: float) -> Tensor:
    """Which pixels are covered, (n, px, px) booleans, whole patches, from torch's CPU generator."""
    covered = torch.rand(n, PATCHES, PATCHES) < share
    return covered.repeat_interleave(px // PATCHES, 1).repeat_interleave(px // PATCHES, 2)


def masked_classes(logits: Tensor, ids: Tensor, mask: Tensor, nodata: int, world: World = ALONE) -> Tensor:
    """Mean cross-entropy of class ids over covered pixels of which the map has data.

    Args:
        logits: (B, C, px, px).
        ids: true classes, (B, px, px) uint8.
        mask: covered pixels, (B, px, px) booleans.
        nodata: the class that means nothing is known.
        world: the processes that each have a part of the crops.

    Returns:
        A scalar in nats; 0 where no pixel counts.
    """
    counts = mask & (ids != nodata)
    each = F.cross_entropy(logits.float(), ids.long(), reduction="none")
    total = world.total(torch.where(counts, each, torch.zeros_like(each)).sum())
    return total / world.total(counts.sum()).clamp(min=1)


def masked_colors(found: Tensor, colors: Tensor, mask: Tensor) -> Tensor:
    """The published form: squared norm of the error under the mask, mean over crops.

    Args:
        found: (B, 3, px, px).
        colors: true colors in [0, 1], (B, 3, px, px).
        mask: (B, px, px) booleans.
    """
    return (((colors - found.float()) * mask[:, None]) ** 2).sum(dim=(1, 2, 3)).mean()


class MaskedDecoder(nn.Module):
    """A small convolutional decoder at a quarter of the resolution, told of the embedding by FiLM.

    Args:
        n_classes: C.
        dimension: D.
        n_channels: of the output: C logits, or 3 colors.
        width: channels within.
    """

    def __init__(self, n_classes: int, dimension: int, n_channels: int, width: int = 32) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.stem = nn.Conv2d(n_classes + 1, width, 4, stride=4)
        self.film = nn.Linear(dimension, 2 * width)
        self.around = nn.Conv2d(width, width, 3, padding=1)
        self.farther = nn.Conv2d(width, width, 3, padding=2, dilation=2)
        self.output = nn.Conv2d(width, 16 * n_channels, 1)

    def forward(self, ids: Tensor, mask: Tensor, embedding: Tensor) -> Tensor:
        """Views (B, px, px), covered pixels (B, px, px), embeddings (B, D) -> (B, channels, px, px)."""
        hidden = mask[:, None].float()
        seen = torch.cat([planes(ids, self.n_classes) * (1.0 - hidden), hidden], dim=1)
        scale, shift = self.film(F.normalize(embedding, dim=-1) * embedding.shape[-1] ** 0.5).chunk(2, dim=1)
        cells = self.stem(seen) * (1.0 + scale[..., None, None]) + shift[..., None, None]
        cells = cells + self.around(F.gelu(cells))
        cells = cells + self.farther(F.gelu(cells))
        return F.pixel_shuffle(self.output(F.gelu(cells)), 4)
