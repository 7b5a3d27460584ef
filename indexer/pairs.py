"""Photos of known place out of a gallery, as pairs that location encoders are trained on."""

from collections import Counter
from typing import Any

import numpy as np

from ..encoders.csp_sampling import Pairs
from ..encoders.errors import TooFewPairs
from .caption_photos import sources_of_gallery
from .gallery import Gallery
from .listing import Item


def pairs_of(gallery: Gallery) -> tuple[Pairs, dict[str, Any]]:
    """Embeddings and places of all placed photos, ordered by id, and what they are.

    Photos without a place are left out and counted. A photo's group is what it was indexed with; one
    without a group is a group of its own. Labels and other payload are not read.

    Args:
        gallery: open.

    Returns:
        The pairs, and JSON facts for the card of what is trained on them: gallery, image encoder,
        numbers of photos, and the folders or tables they came from.

    Raises:
        TooFewPairs: no photo has a place.
    """
    photos, lonlat = gallery.placed()
    n_photos = len(gallery)
    if not photos:
        raise TooFewPairs(
            f"gallery {gallery.name!r} holds {n_photos} photos, none of known place; index photos with "
            "coordinates in their EXIF, or a table with lon and lat columns"
        )
    ids = [photo.id for photo in photos]
    pairs = Pairs(
        gallery.embeddings(ids),
        lonlat,
        np.array([photo.group or photo.id for photo in photos], dtype=str),
        gallery.fingerprint.id,
    )
    entries = gallery.state.entries
    sources = Counter(entries[photo.image].source for photo in photos if photo.image in entries)
    facts = {
        "gallery": gallery.name,
        "encoder": gallery.fingerprint.name,
        "photos": len(photos),
        "photos_without_place": n_photos - len(photos),
        "sources": dict(sources.most_common(10)),
    }
    return pairs, facts


def photos_of_pairs(gallery: Gallery) -> list[Item]:
    """Where the photos of `pairs_of` can be read again, in its order.

    One that is not where it was, or has changed, is listed with that problem.

    Args:
        gallery: open.

    Raises:
        TooFewPairs: no photo has a place.
    """
    found = {item.key: item for item in sources_of_gallery(gallery)[0]}
    return [found[photo.image] for photo in gallery.placed()[0]]
