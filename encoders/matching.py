"""Local features of two pictures held against each other: how much of one is found in the other.

A picture is a grid of local features, P = H W rows of unit length, row by row from the top left; a place
of the grid is (x, y) in cells. Three scores of growing strictness, each higher for more alike pictures:

- `nearest`: the mean, over the query's features, of the best cosine anywhere in the other picture
  (the late interaction of ColBERT, Khattab and Zaharia 2020, arXiv:2004.12832, on a grid). What stands
  elsewhere in the picture still counts, so that a turned camera costs little.
- `mutual`: the sum of cosines over mutual nearest neighbors.
- the geometric checks of `match_geometry`, which ask that the matches move together as well.

Letters: P, N features of the two pictures, R candidates, D channels, M matches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .errors import InvalidOption


@dataclass(frozen=True, eq=False)
class Matches:
    """Mutual nearest neighbors of two pictures.

    Attributes:
        query: rows of the query's features, ascending, (M,).
        candidate: rows of the other's, (M,).
        cosine: of each pair, (M,).
    """

    query: Tensor
    candidate: Tensor
    cosine: Tensor

    def __len__(self) -> int:
        return len(self.query)


def unit_features(maps: Tensor, *, mean: Tensor | None = None) -> Tensor:
    """Grids of features as rows of unit length: (B, D, H, W) -> (B, H W, D) float32.

    Args:
        maps: of a layer, as `LocalFeatures` gives them.
        mean: taken off before, (D,) or (D, H, W): of the gallery's features. Features of a network share
            much of their direction, and a lens's rim or a car's hood is in every picture.
    """
    maps = maps.float()
    centered = maps if mean is None else maps - (mean if mean.ndim == 3 else mean[:, None, None])
    return F.normalize(centered, dim=1).flatten(2).transpose(1, 2).contiguous()


def grid_positions(height: int, width: int) -> Tensor:
    """Places of a grid in the order of its features, (H W, 2): x, y in cells."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y], dim=-1).reshape(-1, 2).float()


def mutual_matches(query: Tensor, candidate: Tensor) -> Matches:
    """Pairs that are each other's nearest: (P, D) and (N, D), unit rows.

    Of equal cosines the first counts, as everywhere here.
    """
    cosine = query @ candidate.T
    best, there = cosine.max(dim=1)
    rows = torch.arange(len(query))
    is_mutual = cosine.argmax(dim=0)[there] == rows
    return Matches(rows[is_mutual], there[is_mutual], best[is_mutual])


def nearest(query: Tensor, candidates: Tensor) -> Tensor:
    """Mean best cosine of the query's features in each candidate: (P, D) and (R, N, D) -> (R,)."""
    return _cosines(query, candidates).amax(dim=2).mean(dim=1)


def mutual(query: Tensor, candidates: Tensor) -> Tensor:
    """Sum of the cosines of mutual nearest neighbors over P: (P, D) and (R, N, D) -> (R,)."""
    cosine = _cosines(query, candidates)
    best, there = cosine.max(dim=2)  # (R, P)
    back = cosine.argmax(dim=1).gather(1, there)
    is_mutual = back == torch.arange(len(query))
    return (best * is_mutual).sum(dim=1) / len(query)


def _cosines(query: Tensor, candidates: Tensor) -> Tensor:
    """All cosines, (R, P, N)."""
    if candidates.ndim != 3 or query.ndim != 2 or query.shape[1] != candidates.shape[2]:
        raise InvalidOption(
            f"features of {tuple(query.shape)} against {tuple(candidates.shape)}: want (P, D) and (R, N, D)"
        )
    return torch.einsum("pd,rnd->rpn", query, candidates)
