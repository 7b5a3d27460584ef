"""Signs that photos were located by themselves: what to ask an evaluation before it is believed."""

from __future__ import annotations

import numpy as np

from ..encoders.sphere import great_circle_km
from .held_out import HeldOut

BURNED_IN = "may show text burned in"
"""What the count of such photos is called; they have been found by looking at the photos themselves."""

_SAME_KM = 1.0
_SAME_SIMILARITY = 0.999


def leakage_audit(photos: HeldOut) -> dict[str, int]:
    """Photos whose nearest neighbor, though of another group, may be the same scene.

    By its distance, by its similarity, and, where columns of the gallery tell of them, by its author or
    sequence: labels of groups are often those of one corpus alone, and the same drive has another in the
    next. Where copies were hidden, it is also counted for how many photos there were any.
    """
    found = np.isfinite(photos.similarity[:, 0])
    distance_km = great_circle_km(photos.lonlat, photos.neighbor_lonlat[:, 0])
    audit = {
        "nearest neighbor within 1 km": int(np.sum(found & (distance_km < _SAME_KM))),
        "nearest neighbor above similarity 0.999": int(np.sum(photos.similarity[:, 0] > _SAME_SIMILARITY)),
    }
    if photos.is_kin is not None:
        audit["nearest neighbor by the same author or of the same sequence"] = int(photos.is_kin.sum())
    if photos.n_copies is not None:
        limit = f"{photos.exclude_similarity:g}"
        audit[f"neighbors above similarity {limit}, hidden as copies"] = int(np.sum(photos.n_copies > 0))
    return audit
