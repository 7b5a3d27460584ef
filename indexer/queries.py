"""Photos of known place as questions to a gallery, read from any source."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import UnreadableImage, UnreadableSource
from .gallery import Gallery
from .jpeg_comments import place_in_comments
from .photos import group_at
from .record import photo_id_of
from .sources import Item

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder


@dataclass(frozen=True, eq=False)
class Queries:
    """Photos of known place.

    Attributes:
        embeddings: (Q, D), unit length.
        lonlat: (Q, 2).
        groups: label of each photo, as the gallery has it for its own.
        ids: of each photo, whether in the gallery or not.
        are_all_in_gallery: whether the gallery has them all.
        skipped: a line for each item that could not be asked.
    """

    embeddings: NDArray[np.float32]
    lonlat: NDArray[np.float64]
    groups: list[str]
    ids: list[str]
    are_all_in_gallery: bool
    skipped: list[str]


def read_queries(items: Sequence[Item], gallery: Gallery, encoder: "ImageEncoder") -> Queries:
    """Read and embed photos; those that the gallery has are not embedded again.

    Raises:
        UnreadableSource: there is no readable photo with a place among them.
    """
    embeddings, lonlat, groups, ids, skipped, n_own = [], [], [], [], [], 0
    for item in items:
        try:
            content = item.read() if not item.problem else b""
            id = photo_id_of(content)
            known = gallery.get([id])
            if item.problem:
                raise UnreadableImage(item.problem)
            if known:
                embedding, place = gallery.embeddings([id])[0], (known[0].lon, known[0].lat)
            else:
                pixels, facts = encoder.preprocessing.read(content)
                told = (facts.lon, facts.lat) if facts.lon is not None else place_in_comments(content)
                embedding, place = encoder.embed_pixels(pixels[None])[0], told or (None, None)
        except (UnreadableImage, OSError) as error:
            skipped.append(f"{item.key}: {error}")
            continue
        lon, lat = (item.lon, item.lat) if item.lon is not None else place
        if lon is None or lat is None:
            skipped.append(f"{item.key}: its place is not known")
            continue
        n_own += bool(known)
        embeddings.append(embedding)
        lonlat.append((lon, lat))
        groups.append((known[0].group if known else item.group) or group_at(lon, lat))
        ids.append(id)
    if not embeddings:
        raise UnreadableSource(f"no readable photo with a place among {len(items)}; the first: {skipped[0]}")
    return Queries(np.stack(embeddings), np.array(lonlat), groups, ids, n_own == len(ids), skipped)
