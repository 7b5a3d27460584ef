"""Objectives of contrastive spatial pre-training (CSP): MC and NCE, each of three parts B, L and D.

After Mai et al. 2023 (CSP, ICML, arXiv:2305.01118), equations 1-4, in our own words:

- **B**, in batch: a photo belongs to its place, not to the other places of the batch.
- **L**, random locations: a photo belongs to its place, not to C places drawn at random.
- **D**, dropout (SimCSE, Gao et al. 2021, arXiv:2104.08821): the embeddings of one place under two
  dropout masks belong together, those of two places do not.

**MC** (multi-class, InfoNCE) is the cross-entropy of naming the right partner among all offered;
**NCE** asks of each pair by itself whether it belongs together.

Where the released code of CSP and the formulas differ we keep the formulas: the logarithm is that
of the sigmoid itself, not of sigmoid + 1e-5. Ours also are `ignored` pairs: two photos of one place
are no evidence that they do not belong together, so such pairs are left out of the negatives.

A note on temperature. The similarities are cosines, so a softmax at temperature 1 can hardly tell a
perfect fit from chance: with 1,024 pairs, positives at 1 and negatives at 0 still cost 5.93 nats at
temperature 1 and 6.88 at 20, against log 1024 = 6.93 for chance. At 0.07 they cost 0.0007.

Letters: B pairs of a batch, C random locations for each pair, d embedding. All embeddings have unit
length; `scale` is 1 / temperature; losses are means over pairs, in nats, and scalars.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def mc_in_batch(
    locations: Tensor,
    images: Tensor,
    scale: Tensor | float,
    *,
    ignored: Tensor | None = None,
    is_symmetric: bool = True,
) -> Tensor:
    """MC, part B: which photo of the batch was taken at this place, and at which place this photo.

    Equation 2 with the in-batch negatives. The paper and its ``contsoftmax`` ask the first question
    only; the mean of both, as in CLIP, is ``contsoftmaxsym``.

    Args:
        locations: embeddings of places, (B, d).
        images: embeddings of the photos taken there, (B, d).
        scale: 1 / temperature.
        ignored: pairs (place i, photo j) that are no negatives, (B, B) booleans; the diagonal may
            be true and stays the positive.
        is_symmetric: ask both questions.
    """
    logits = _masked(scale * locations @ images.T, _off_diagonal(ignored))
    partner = torch.arange(len(logits), device=logits.device)
    places = F.cross_entropy(logits, partner)
    return (places + F.cross_entropy(logits.T, partner)) / 2 if is_symmetric else places


def mc_random_locations(
    locations: Tensor,
    images: Tensor,
    negatives: Tensor,
    scale: Tensor | float,
    *,
    ignored: Tensor | None = None,
) -> Tensor:
    """MC, part L: where was this photo taken, at its place or at one of C drawn at random?

    Args:
        locations: embeddings of places, (B, d).
        images: embeddings of the photos taken there, (B, d).
        negatives: embeddings of the random places, (B, C, d), or (C, d) for the same at all photos.
        scale: 1 / temperature.
        ignored: random places that are the photo's own, (B, C) booleans.
    """
    positive = (locations * images).sum(-1, keepdim=True)  # (B, 1)
    negative = _masked(scale * _each_with_each(images, negatives), ignored)
    logits = torch.cat([scale * positive, negative], dim=1)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


def mc_dropout(
    locations: Tensor, again: Tensor, scale: Tensor | float, *, ignored: Tensor | None = None
) -> Tensor:
    """MC, part D: which of the embeddings under the second dropout mask is of the same place?

    Args:
        locations: embeddings of places under one mask, (B, d).
        again: of the same places under another, (B, d).
        scale: 1 / temperature.
        ignored: pairs of places that are one, (B, B) booleans.
    """
    return mc_in_batch(locations, again, scale, ignored=ignored, is_symmetric=False)


def nce_in_batch(
    locations: Tensor,
    images: Tensor,
    scale: Tensor | float = 1.0,
    bias: Tensor | float = 0.0,
    *,
    ignored: Tensor | None = None,
) -> Tensor:
    """NCE, part B: does this photo belong to this place? Over all B² pairs of the batch.

    Equation 1: the mean over the B pairs that belong together, plus the mean over those that do
    not, so that both weigh the same however many there are.

    Args:
        locations: embeddings of places, (B, d).
        images: embeddings of the photos taken there, (B, d).
        scale: 1 / temperature; 1 in the paper.
        bias: added to the logits; 0 in the paper. Cosines of strangers gather at 0, where a
            sigmoid without bias says one half; a learned bias (Zhai et al. 2023, SigLIP,
            arXiv:2303.15343) lets it say no.
        ignored: pairs that are no negatives, (B, B) booleans; the diagonal stays positive.
    """
    logits = scale * locations @ images.T + bias
    eye = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    negatives = ~eye if ignored is None else ~(eye | ignored)
    return -F.logsigmoid(logits.diagonal()).mean() + _mean_where(-F.logsigmoid(-logits), negatives)


def nce_random_locations(
    images: Tensor,
    negatives: Tensor,
    scale: Tensor | float = 1.0,
    bias: Tensor | float = 0.0,
    *,
    ignored: Tensor | None = None,
) -> Tensor:
    """NCE, part L: does this photo belong to a random place? Never; there is no positive here.

    Args:
        images: embeddings of photos, (B, d).
        negatives: embeddings of the random places, (B, C, d), or (C, d) for the same at all photos.
        scale: 1 / temperature; 1 in the paper.
        bias: as in `nce_in_batch`.
        ignored: random places that are the photo's own, (B, C) booleans.
    """
    logits = scale * _each_with_each(images, negatives) + bias
    kept = torch.ones_like(logits, dtype=torch.bool) if ignored is None else ~ignored
    return _mean_where(-F.logsigmoid(-logits), kept)


def nce_dropout(
    locations: Tensor,
    again: Tensor,
    scale: Tensor | float = 1.0,
    bias: Tensor | float = 0.0,
    *,
    ignored: Tensor | None = None,
) -> Tensor:
    """NCE, part D: are these two embeddings, under different dropout masks, of one place?

    Args as in `mc_dropout` and `nce_in_batch`.
    """
    return nce_in_batch(locations, again, scale, bias, ignored=ignored)


def _each_with_each(images: Tensor, negatives: Tensor) -> Tensor:
    """Cosines of photos (B, d) and their random places, (B, C, d) or (C, d): (B, C)."""
    return images @ negatives.T if negatives.ndim == 2 else torch.einsum("bcd,bd->bc", negatives, images)


def _off_diagonal(ignored: Tensor | None) -> Tensor | None:
    """The positives stand on the diagonal; no mask may take them out."""
    if ignored is None:
        return None
    return ignored & ~torch.eye(len(ignored), dtype=torch.bool, device=ignored.device)


def _masked(logits: Tensor, ignored: Tensor | None) -> Tensor:
    return logits if ignored is None else logits.masked_fill(ignored, float("-inf"))


def _mean_where(values: Tensor, kept: Tensor) -> Tensor:
    """Mean over the kept; 0, not NaN, where nothing is kept, as in a batch of a single place."""
    return (values * kept).sum() / kept.sum().clamp(min=1)
