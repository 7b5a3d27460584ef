"""How much a view says: bits of its histogram of classes, and which views to train on.

The sea says nothing, and so does a forest without an edge; a town says two bits and more. Views that say
little are drawn seldom, but never left out: a place at sea must have an embedding, too.
"""

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidOption
from .legend import N_CLASSES, NODATA

_Floats = NDArray[np.float64]


def class_shares(ids: NDArray[np.uint8]) -> _Floats:
    """Share of each class in each view: (B, H, W) -> (B, N_CLASSES); rows sum to 1."""
    # Comparing bytes sixteen times is faster than counting them once: a bin count wants eight bytes each.
    counts = [[np.count_nonzero(view == one) for one in range(N_CLASSES)] for view in ids]
    n_pixels = max(1, ids[0].size if len(ids) else 1)
    shares: _Floats = np.array(counts, np.float64).reshape(-1, N_CLASSES) / n_pixels
    return shares


def entropy_bits(ids: NDArray[np.uint8]) -> _Floats:
    """Entropy of the classes in each view, bits: (B, H, W) -> (B,), from 0 to log2(15) = 3.91.

    H = - Σ p log2 p over the shares p of the classes among the pixels that are covered, times the share
    of covered pixels: what is not covered says nothing, and a rim of it is no richness.

    Args:
        ids: class ids below `N_CLASSES`.
    """
    shares = class_shares(ids)
    known = 1.0 - shares[:, NODATA]
    p = np.delete(shares, NODATA, axis=1) / np.where(known > 0.0, known, 1.0)[:, None]
    bits = -(p * np.log2(np.where(p > 0.0, p, 1.0))).sum(axis=1)
    found: _Floats = np.maximum(bits, 0.0) * known
    return found


def sampling_weight(bits: _Floats, *, reference: float, keep_floor: float = 0.1) -> _Floats:
    """Probability to keep a view: keep_floor + (1 - keep_floor) min(1, H / reference), (B,).

    Args:
        bits: entropy of each view, (B,).
        reference: bits from which a view is always kept.
        keep_floor: probability to keep one that says nothing, in (0, 1].

    Raises:
        InvalidOption: a reference that is not positive, or a floor outside of (0, 1].
    """
    if not reference > 0.0:
        raise InvalidOption(f"the reference entropy must be positive bits, got {reference}")
    if not 0.0 < keep_floor <= 1.0:
        raise InvalidOption(
            f"keep_floor is the share kept of views that say nothing, above 0; got {keep_floor}"
        )
    weight: _Floats = keep_floor + (1.0 - keep_floor) * np.minimum(1.0, bits / reference)
    return weight
