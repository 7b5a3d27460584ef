"""Searching a gallery of places under the operator's cap.

Under ``25km`` the place that is asked about is taken at the center of its coarse cell, like the places
that answer: asked to the meter, the similarity to a place's map would find that place to the meter.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...encoders.areas import Area
from ...encoders.errors import InvalidOption
from ...indexer.filters import Filter
from ...indexer.gallery import Gallery
from ...indexer.photos import Photo
from ...indexer.place_list import place_id, rounded
from ...indexer.places_like import direction, likest
from ...indexer.ranking import Ranked
from . import metrics, precision
from .precision import Precision
from .refusals import InvalidQuestion
from .sensitive import SensitiveAreas

Places = NDArray[np.float64]
Embedding = NDArray[np.float32]


@dataclass(frozen=True)
class PlaceSearch:
    """Finds places like others, as far as may be told.

    Attributes:
        gallery: of places.
        cap: how precisely places are told.
        sensitive: areas of which nothing is told.
    """

    gallery: Gallery
    cap: Precision
    sensitive: SensitiveAreas

    def asked(self, lonlat: Places) -> Places:
        """Places as they may be asked about, (n, 2)."""
        return rounded(precision.coarse_lonlat(lonlat, self.cap)).reshape(-1, 2)

    def own(self, lonlat: Places) -> list[Embedding | None]:
        """The gallery's embeddings of places; None where it has none, or may not tell that it has one."""
        may_tell = [
            self.cap == "exact" and not self.sensitive.holds(lon, lat) for lon, lat in lonlat.tolist()
        ]
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
        keep, place_of = _everywhere, None
        if self.cap == "25km":
            place_of = _coarse_place
            if within is not None:
                filter = replace(filter, within=precision.widened(within))
                keep = lambda photo: precision.is_coarsely_within(photo, within)  # noqa: E731
        with metrics.SEARCH_SECONDS.labels("places").time():
            try:
                embedding = direction(like[1], unlike[1], unlike_weight=unlike_weight)
            except InvalidOption as error:
                raise InvalidQuestion(str(error)) from None
            found = likest(
                self.gallery, embedding, k, like=like[0], unlike=unlike[0], apart_m=apart_m,
                is_thinned=is_thinned, filter=self.sensitive.hidden(filter), place_of=place_of, keep=keep,
            )  # fmt: skip
        return [
            Ranked(one.photo, one.similarity, one.similarity, one.distance_km) for one in found
        ], embedding


def _everywhere(photo: Photo) -> bool:
    return True


def _coarse_place(photo: Photo) -> tuple[float, float]:
    place = np.array([[photo.lon or 0.0, photo.lat or 0.0]])
    lon, lat = precision.coarse_lonlat(place, "25km")[0].tolist()
    return lon, lat
