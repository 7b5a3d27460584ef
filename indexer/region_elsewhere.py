"""A region classifier asked about another gallery: whether the places were learned, or the source.

Photos of one source share more than places: a camera, a season, a way of looking. What a classifier is worth
shows on photos that somebody else took.
"""

from collections.abc import Collection
from typing import Any

import numpy as np

from ..encoders.errors import TooFewPairs
from ..encoders.region_head import RegionHead
from ..encoders.region_learning.figures import Resamples, stated_figures
from .gallery import Gallery
from .region_photos import Regionalization, region_photos
from .store import VECTOR


def ask_elsewhere(
    head: RegionHead,
    gallery: Gallery,
    how: Regionalization,
    *,
    using: str = VECTOR,
    known: Collection[str] = (),
) -> tuple[int, dict[str, Any]]:
    """Ask about the photos of a gallery that lie in the classifier's regions.

    Args:
        head: the classifier.
        gallery: of photos it did not learn from.
        how: what the regions are, as it was trained.
        using: vectors of the gallery, by the classifier's encoder.
        known: ids of photos that it learned from, which are not asked about.

    Returns:
        How many photos were asked about, and their `stated_figures`; the mean recall is that of the regions
        that have photos.

    Raises:
        TooFewPairs: no such photo.
        FingerprintMismatch: the vectors are by another encoder.
        UnknownVector, UnreadableSource, UnknownColumns: as `region_photos`.
    """
    head.require(gallery.vectors.fingerprint(using).id)
    photos, _ = region_photos(gallery, how, using=using)
    number = {name: row for row, name in enumerate(head.names)}
    is_asked = np.array([name in number for name in photos.names])[photos.region]
    is_asked &= np.array([id not in known for id in photos.ids])
    if not is_asked.any():
        raise TooFewPairs(
            f"gallery {gallery.name!r} has no photo in the classifier's regions "
            f"({', '.join(head.names[:5])} …) that it did not learn from"
        )
    asked = photos.take(np.flatnonzero(is_asked))
    present = [number[name] for name in asked.names]
    others = [row for row in range(len(head.names)) if row not in set(present)]
    log_p = head.log_probabilities(asked.embeddings)[:, present + others]
    figures = stated_figures(asked, log_p, Resamples.of(asked))
    return len(asked), figures | {"even_nll": float(np.log(len(head.names)))}
