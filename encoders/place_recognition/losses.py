"""What says how well embeddings tell places apart: ranking of weak triplets, and multi-similarity.

Letters: B a batch, D embedding, J negatives of one query. Embeddings are of unit length.
"""

import torch
from torch import Tensor


def weak_triplet_loss(query: Tensor, positives: Tensor, negatives: Tensor, *, margin: float = 0.1) -> Tensor:
    """Rank one query: Σ_j max(0, min_i d²(q, p_i) + m - d²(q, n_j)), of **squared** distances.

    Arandjelović et al. 2016, arXiv:1511.07247. The positive is the potential one that is nearest as an
    embedding, not on the ground: nearby photos may look elsewhere. At a positive at distance 1 and a
    margin of 0.1, negatives give a gradient up to a distance of √1.1 = 1.049.

    Args:
        query: (D,).
        positives: potential ones, (P, D), at least one.
        negatives: definite ones, (J, D).
        margin: m, how much further, squared, a negative must lie before it stops giving a gradient.

    Returns:
        The sum over the negatives, a scalar; 0 without any.
    """
    nearest = (positives - query).square().sum(dim=1).min()
    return (nearest + margin - (negatives - query).square().sum(dim=1)).clamp(min=0.0).sum()


def multi_similarity_loss(
    embeddings: Tensor,
    is_positive: Tensor,
    is_negative: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 50.0,
    base: float = 0.0,
    margin: float = 0.1,
) -> Tensor:
    """Multi-similarity loss with its mining, Wang et al. 2019, arXiv:1904.06627.

    Of query i count the negatives more similar than its least similar positive less the margin, and the
    positives less similar than its most similar negative plus the margin; then, over these,
    1/α log(1 + Σ exp(-α (s - λ))) + 1/β log(1 + Σ exp(β (s - λ))). Pairs that are neither positives nor
    negatives say nothing.

    Args:
        embeddings: (B, D).
        is_positive: pairs of one place, (B, B); nothing is its own.
        is_negative: pairs of two places, (B, B).
        alpha: α, sharpness of the positives.
        beta: β, sharpness of the negatives.
        base: λ, the similarity between the two. The paper has 0.5; for aggregated local features, where
            other places are nearly at right angles, only negatives around λ are pushed away, and 0 is usual.
        margin: of the mining.

    Returns:
        The mean over the queries that have a positive and a negative, a scalar; 0 without any.
    """
    similarity = embeddings @ embeddings.T
    has_both = is_positive.any(dim=1) & is_negative.any(dim=1)
    with torch.no_grad():
        hardest_positive = similarity.masked_fill(~is_positive, torch.inf).amin(dim=1, keepdim=True)
        hardest_negative = similarity.masked_fill(~is_negative, -torch.inf).amax(dim=1, keepdim=True)
        positives = is_positive & (similarity < hardest_negative + margin)
        negatives = is_negative & (similarity > hardest_positive - margin)
    pull = _log_one_plus_sum(-alpha * (similarity - base), positives) / alpha
    push = _log_one_plus_sum(beta * (similarity - base), negatives) / beta
    return ((pull + push) * has_both).sum() / has_both.sum().clamp(min=1)


def _log_one_plus_sum(exponents: Tensor, counts: Tensor) -> Tensor:
    """log(1 + Σ exp) over the pairs that count, (B, B) -> (B,), without overflow."""
    counted = exponents.masked_fill(~counts, -torch.inf)
    return torch.cat([torch.zeros_like(counted[:, :1]), counted], dim=1).logsumexp(dim=1)
