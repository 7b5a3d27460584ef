"""The vocabulary of a NetVLAD layer, from cached photos; all there is to AnyLoc-like use without training."""

import numpy as np
import torch
from numpy.typing import NDArray

from ..netvlad import NetVLAD, images_to_sample, sample_descriptors
from .cached_photos import BATCH, CachedPhotos
from .pooling import Aggregator


@torch.no_grad()
def fit_vocabulary(
    aggregator: Aggregator, cache: CachedPhotos, rows: NDArray[np.intp], *, seed: int
) -> float | None:
    """Fit a NetVLAD layer to whole photos; any other aggregation has no vocabulary.

    Args:
        aggregator: changed in place.
        cache: of the photos.
        rows: of the photos to learn from.
        seed: of the draws and the k-means.

    Returns:
        α of the layer; None without one.

    Raises:
        TooFewPairs: photos that do not differ enough.
    """
    if not isinstance(aggregator, NetVLAD):
        return None
    chosen = rows[images_to_sample(len(rows), cache.n_places, seed=seed)]
    parts = [
        sample_descriptors(cache.features(chosen[start : start + BATCH]).cpu().numpy(), seed=seed + start)
        for start in range(0, len(chosen), BATCH)
    ]
    return aggregator.fit(np.concatenate(parts), seed=seed)
