"""Losses of the geographic heads, each over the rows that have a label, each a scalar.

The first of each pair is the form of Bougie et al. 2023 (ACML, PMLR 222:185-200), the second ours. A
row without a label adds nothing, and a batch without any gives 0 with gradients of 0.

Letters: N rows, K density bins, G geocells. `has` is (N,) booleans; values where it is False may be
anything, NaN too.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_mean(values: Tensor, has: Tensor) -> Tensor:
    """Mean of the values, (N,), that have a label; 0 where none has."""
    return torch.where(has, values, torch.zeros_like(values)).sum() / has.sum().clamp(min=1)


def _known(values: Tensor, has: Tensor) -> Tensor:
    """Values with 0 in place of what is missing: NaN times 0 would be NaN in the gradient."""
    return torch.where(has.view(-1, *[1] * (values.ndim - 1)), values, torch.zeros_like(values))


# --- land price -----------------------------------------------------------------------------------


def price_squared(found: Tensor, price: Tensor, has: Tensor) -> Tensor:
    """Squared error of the price itself: found and price (N,), in the currency of the labels."""
    return masked_mean((_known(price, has) - found) ** 2, has)


def price_huber(found: Tensor, standardized: Tensor, has: Tensor) -> Tensor:
    """Huber loss, bend at 1, of log(1 + price), standardized on the training labels: (N,), (N,)."""
    return masked_mean(F.huber_loss(found, _known(standardized, has), reduction="none"), has)


# --- population density ---------------------------------------------------------------------------


def class_cross_entropy(logits: Tensor, bins: Tensor, has: Tensor) -> Tensor:
    """Cross-entropy over bins or geocells as unordered classes: (N, K), (N,) int64."""
    return masked_mean(F.cross_entropy(logits, _known(bins, has), reduction="none"), has)


def density_coral(logits: Tensor, bins: Tensor, has: Tensor) -> Tensor:
    """Ordered bins: is the density above threshold k, for each of K - 1 thresholds?

    Cao, Mirjalili and Raschka 2020 (CORAL, arXiv:1901.07884): binary cross-entropies, here their mean
    over the thresholds, so that the number of bins does not set the scale.

    Args:
        logits: of being above each threshold, (N, K - 1); the head shares one direction among them.
        bins: 0..K - 1, (N,) int64.
        has: which rows have a label.
    """
    thresholds = torch.arange(logits.shape[1], device=logits.device)
    above = (_known(bins, has)[:, None] > thresholds).to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, above, reduction="none")
    return masked_mean(each.mean(dim=1), has)


def soft_bins(log_density: Tensor, centers: Tensor, width: float) -> Tensor:
    """Shares of the bins that a density belongs to: (N,), (K,) -> (N, K), rows sum to 1.

    A Gaussian of `width` in the logarithm around the density, read at the bins' centers.
    """
    return torch.softmax(-0.5 * ((log_density[:, None] - centers) / width) ** 2, dim=1)


def density_soft_bins(
    logits: Tensor, log_density: Tensor, centers: Tensor, width: float, has: Tensor
) -> Tensor:
    """Cross-entropy against `soft_bins`: a bin beside the true one costs less than one far off."""
    wanted = soft_bins(_known(log_density, has), centers, width)
    return masked_mean(-(wanted * F.log_softmax(logits, dim=1)).sum(1), has)


# --- position -------------------------------------------------------------------------------------


def position_degrees(found: Tensor, lonlat: Tensor, has: Tensor) -> Tensor:
    """Squared error of lon and lat, in square degrees: (N, 2), (N, 2).

    It knows neither that 179.9 and -179.9 are neighbors nor that degrees of longitude shrink.
    """
    return masked_mean(((_known(lonlat, has) - found) ** 2).sum(-1), has)


def position_sphere(found: Tensor, vectors: Tensor, has: Tensor, spread: float = 1.0) -> Tensor:
    """1 - cosine of the angle between unit vectors, over `spread`: (N, 3), (N, 3).

    It is taken as half the squared chord, which is the same and does not cancel: in float32
    1 - cosine cannot tell places 2 km apart.

    Args:
        found: predicted, (N, 3), unit length.
        vectors: true, (N, 3), unit length.
        has: which rows count.
        spread: the loss of the best constant answer, so that 1 means nothing was learned and a town
            weighs as much as a continent.
    """
    half_chord2 = 0.5 * ((_known(vectors, has) - found) ** 2).sum(-1)
    return masked_mean(half_chord2 / spread, has)
