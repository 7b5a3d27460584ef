"""Searching a gallery of places, of which nothing is told in sensitive areas.

It is served where places are told exactly, or not at all: see `ServedGallery.check_told`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...encoders.areas import Area
from ...encoders.errors import InvalidOption
from ...indexer.filters import Filter
from ...indexer.gallery import Gallery
from ...indexer.place_list import place_id
from ...indexer.places_like import direction, likest
from ...indexer.ranking import Ranked
from . import metrics
from .refusals import InvalidQuestion
from .sensitive import SensitiveAreas

Places = NDArray[np.float64]
Embedding = NDArray[np.float32]


@dataclass(frozen=True)
class PlaceSearch:
    """Finds places like others, as far as may be told.

    Attributes:
        gallery: of places.
        sensitive: areas of which nothing is told.
    """

    gallery: Gallery
    sensitive: SensitiveAreas

    def own(self, lonlat: Places) -> list[Embedding | None]:
        """The gallery's embeddings of places; None where it has none, or may not tell that it has one."""
        may_tell = [not self.sensitive.holds(lon, lat) for lon, lat in lonlat.tolist()]
        ids = [
            place_id(lon, lat) if may else ""
            for (lon, lat), may in zip(lonlat.tolist(), may_tell, strict=True)
        ]
        there = [photo.id for photo in self.gallery.get([id for id in ids if id])]
        known = dict(zip(there, self.gallery.embeddings(there), strict=True)) if there else {}
        return [known.get(id) for id in ids]

    def likest(
        self,
        like: tuple[Places, Embedding],
        unlike: tuple[Places, Embedding],
        *,
        unlike_weight: float,
        k: int,
        within: Area | None,
        apart_m: float,
        is_thinned: bool,
    ) -> tuple[list[Ranked], Embedding]:
        """Places like some and unlike others, best first, and the embedding they were compared to.

        Args:
            like: places, (n, 2), with their embeddings, (n, D).
            unlike: the same of those to be unlike.
            unlike_weight: how much these count.
            k: how many.
            within: area that answers must lie in.
            apart_m: how far they lie from what was asked, meters.
            is_thinned: and from each other.

        Raises:
            InvalidQuestion: like and unlike cancel each other out.
        """
        filter = Filter(within=within, is_placed=True)
        with metrics.SEARCH_SECONDS.labels("places").time():
            try:
                embedding = direction(like[1], unlike[1], unlike_weight=unlike_weight)
            except InvalidOption as error:
                raise InvalidQuestion(str(error)) from None
            found = likest(
                self.gallery, embedding, k, like=like[0], unlike=unlike[0], apart_m=apart_m,
                is_thinned=is_thinned, filter=self.sensitive.hidden(filter),
            )  # fmt: skip
        return [
            Ranked(one.photo, one.similarity, one.similarity, one.distance_km) for one in found
        ], embedding
