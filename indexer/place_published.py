"""Published results on small benchmarks of place recognition, to be read beside one's own.

The corridor (Milford 2013, in VPR-Bench, Zaffar et al. 2021, arXiv:2005.08135) is 111 and 111 frames of two
walks down one corridor, 160 × 120 pixels. Its figures were computed anew from the similarity matrices that
VPR-Bench publishes, by the rule recall@N of `place_recall`; one query is 0.9 points.
"""

from __future__ import annotations

import hashlib
from typing import Final

from .place_sets import PlaceSet

# In %, at the answers of `place_recall.RECALL_AT`: 1, 5, 10, 20.
CORRIDOR: Final = {
    "HybridNet": (90.1, 99.1, 100.0, 100.0),
    "AMOSNet": (84.7, 99.1, 100.0, 100.0),
    "denseVLAD": (70.3, 95.5, 98.2, 100.0),
    "AlexNet": (68.5, 90.1, 94.6, 95.5),
    "NetVLAD": (67.6, 93.7, 99.1, 100.0),
    "CoHOG": (62.2, 89.2, 93.7, 98.2),
    "AP-GeM": (53.2, 81.1, 85.6, 92.8),
    "HOG": (47.7, 72.1, 82.9, 89.2),
    "RegionVLAD": (43.2, 71.2, 82.0, 92.8),
    "CALC": (32.4, 48.6, 60.4, 79.3),
}

_N_FRAMES = 111
# SHA-256 of the first frame of either walk.
_FIRST_FRAMES: Final = (
    "c2d6b31fd878641c8ad3bbe19b940f9c5e360a5e7dc8cbe64f3f8a259f020720",
    "619307059af406de4ce553cbf75a0060984aa455142065ef72c8ac8eac324bc0",
)


def published_on(queries: PlaceSet, gallery: PlaceSet) -> dict[str, tuple[float, ...]]:
    """What was published on these very photos, recall@1, 5, 10, 20 in %; {} where we know nothing."""
    if len(queries) != _N_FRAMES or len(gallery) != _N_FRAMES:
        return {}
    if not all(photos.items[0].path.is_file() for photos in (queries, gallery)):
        return {}
    first = tuple(hashlib.sha256(photos.items[0].read()).hexdigest() for photos in (queries, gallery))
    return dict(CORRIDOR) if first == _FIRST_FRAMES else {}
