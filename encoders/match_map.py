"""What in two photos decided that one answers the other: a map over each, in the unit of the score.

The score of a second look, `matching.nearest`, is a mean over the query's local features of their best
cosine in the answer. So it comes apart exactly: what a feature adds to the lead of an answer is its best
cosine there less its mean best cosine in the other answers, and the mean over features is the lead of the
score. A feature that finds itself everywhere, as sky does, decided nothing. On the answer's side stands
what its features were the best for.

Letters: P = H W features of the query, N of an answer, R other answers, D channels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .matching import nearest

_Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class MatchMap:
    """What each local feature adds to the lead of an answer.

    Attributes:
        query: over the query's grid, (H, W); its mean is `lead`.
        answer: over the answer's grid, (H, W): the sum of what it was the best match of, over the number of
            the query's features, so that it adds up to `lead`.
        lead: score of the answer less the mean score of the others.
        score: of the answer.
    """

    query: _Floats
    answer: _Floats
    lead: float
    score: float


def match_map(query: Tensor, answer: Tensor, others: Tensor, grid: tuple[int, int]) -> MatchMap:
    """Take the lead of an answer apart.

    Args:
        query: local features of the query, unit rows, (P, D).
        answer: of the answer, on the same grid, (N, D).
        others: of the answers that it is compared with, (R, N, D); with none the score itself comes apart.
        grid: H and W.
    """
    best, there = (query @ answer.T).max(dim=1)
    elsewhere = (
        torch.einsum("pd,rnd->rpn", query, others).amax(dim=2).mean(dim=0)
        if len(others)
        else torch.zeros_like(best)
    )
    gain = (best - elsewhere).double()
    on_answer = torch.zeros(len(answer), dtype=torch.float64).index_add_(0, there, gain / len(query))
    rest = float(nearest(query, others).mean()) if len(others) else 0.0
    score = float(nearest(query, answer[None])[0])
    return MatchMap(gain.reshape(grid).numpy(), on_answer.reshape(grid).numpy(), score - rest, score)
