"""Surroundings: from a crop's embedding, say what the map shows around it, where the network does not look.

What a place is, its neighborhood tells: hex2vec (Woźniak and Szymański 2021, arXiv:2111.00970) learns
cells of a grid from the tags of the cells next to them. Here the neighbors are a ring around the crop, and
what is said of it is a distribution over the classes of the legend. Ours; not in Bougie et al. 2023.

Letters: B places, C classes, D embedding.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..mosaics.entropy import class_shares
from ..mosaics.legend import NODATA
from .crop_source import CropSource

RING_PX = 48
"""Pixels along a side of the square that the ring is counted in."""

LEAST_KNOWN = 0.5
"""Share of a ring that the map must cover."""


def ring_shares(
    source: CropSource, lonlat: NDArray[np.float64], *, ground_m: float, zoom: float
) -> NDArray[np.float32]:
    """How much of the ring around each crop every class covers.

    Args:
        source: of the crops.
        lonlat: places, degrees, longitude first, (B, 2).
        ground_m: width of the crop in the middle, which is left out.
        zoom: width of the outer square over `ground_m`, above 1.

    Returns:
        Shares of the known part, (B, C) float32, rows sum to 1; NaN where too little is known.
    """
    ids = source.crops(lonlat, ground_m=zoom * ground_m, px=RING_PX)
    offset = np.abs(np.arange(RING_PX) - (RING_PX - 1) / 2.0) * zoom
    is_outside = np.maximum.outer(offset, offset) > RING_PX / 2.0
    shares = class_shares(ids[:, is_outside][:, None])
    known = 1.0 - shares[:, NODATA]
    shares[:, NODATA] = 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(known[:, None] >= LEAST_KNOWN, shares / known[:, None], np.nan)
    return found.astype(np.float32)


class SurroundingsHead(nn.Module):
    """One linear layer on the embedding at unit length: what it can read, a user can read.

    Args:
        dimension: D.
        n_classes: C.
    """

    def __init__(self, dimension: int, n_classes: int) -> None:
        super().__init__()
        self.output = nn.Linear(dimension, n_classes)

    def forward(self, embedding: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Mean divergence of what is said from what is there, nats, and whether any ring is known.

        Args:
            embedding: (B, D).
            shares: (B, C), NaN rows where unknown.
        """
        read = F.normalize(embedding.float(), dim=-1) * embedding.shape[-1] ** 0.5
        is_known = ~shares.isnan().any(dim=1)
        wanted = torch.nan_to_num(shares)
        each = (torch.special.xlogy(wanted, wanted) - wanted * F.log_softmax(self.output(read), -1)).sum(-1)
        loss = torch.where(is_known, each, torch.zeros_like(each)).sum() / is_known.sum().clamp(min=1)
        return loss, is_known.any()
