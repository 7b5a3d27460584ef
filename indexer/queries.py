"""Photos of known place as questions to a gallery, read from any source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.burned_in import LONGEST, may_show_text
from ..encoders.errors import UnreadableImage, UnreadableSource
from ..encoders.photo import open_photo
from .gallery import Gallery
from .jpeg_comments import place_in_comments
from .listing import Item
from .photos import group_at
from .record import photo_id_of

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
        told: what else is known of each photo, such as its author.
        burned_in: those that may show text burned in, by their name; they are asked all the same.
    """

    embeddings: NDArray[np.float32]
    lonlat: NDArray[np.float64]
    groups: list[str]
    ids: list[str]
    are_all_in_gallery: bool
    skipped: list[str]
    told: list[Mapping[str, Any]] = field(default_factory=list)
    burned_in: list[str] = field(default_factory=list)


def read_queries(
    items: Sequence[Item], gallery: Gallery, encoder: "ImageEncoder", *, without_burned_in: bool = False
) -> Queries:
    """Read and embed photos; those that the gallery has are not embedded again.

    Args:
        items: the photos; their places from the source, from EXIF, or from JPEG comments.
        gallery: which may have them already.
        encoder: of the gallery.
        without_burned_in: leave out photos that may show text burned in, such as coordinates.

    Raises:
        UnreadableSource: there is no readable photo with a place among them.
    """
    embeddings, lonlat, groups, ids, skipped, n_own = [], [], [], [], [], 0
    told: list[Mapping[str, Any]] = []
    burned_in: list[str] = []
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
                stands = (facts.lon, facts.lat) if facts.lon is not None else place_in_comments(content)
                embedding, place = encoder.embed_pixels(pixels[None])[0], stands or (None, None)
            shows_text = may_show_text(open_photo(content, at_least=LONGEST)[0])
        except (UnreadableImage, OSError) as error:
            skipped.append(f"{item.key}: {error}")
            continue
        lon, lat = (item.lon, item.lat) if item.lon is not None else place
        if lon is None or lat is None:
            skipped.append(f"{item.key}: its place is not known")
            continue
        if shows_text and without_burned_in:
            skipped.append(f"{item.key}: it may show text burned in, such as coordinates")
            continue
        burned_in += [item.key] if shows_text else []
        told.append(known[0].payload if known else item.payload)
        n_own += bool(known)
        embeddings.append(embedding)
        lonlat.append((lon, lat))
        groups.append((known[0].group if known else item.group) or group_at(lon, lat))
        ids.append(id)
    if not embeddings:
        raise UnreadableSource(f"no readable photo with a place among {len(items)}; the first: {skipped[0]}")
    is_own = n_own == len(ids)
    return Queries(
        np.stack(embeddings), np.array(lonlat), groups, ids, is_own, skipped, told, burned_in
    )  # fmt: skip
