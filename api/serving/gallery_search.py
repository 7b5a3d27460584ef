"""Searching a gallery under the operator's cap.

Under ``25km`` the store is asked more widely than the question was, and what it finds is compared and
ordered by the centers of coarse cells: an answer then tells no more of a place than the cell it lies in.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...encoders.areas import Circle
from ...indexer.filters import Filter
from ...indexer.gallery import Gallery
from ...indexer.photos import Photo
from ...indexer.ranking import (
    FARTHEST_KM,
    Ranked,
    Wish,
    by_similarity,
    fused,
    nearest_and_near,
    nearest_to_place,
)
from ...indexer.store import VECTOR
from . import metrics, precision
from .precision import Precision
from .refusals import InvalidQuestion, TooPrecise
from .sensitive import SensitiveAreas

FUSED_DEPTH = 1000
"""So many of each ranking are fused."""

PAGE = 200  # photos looked at in one go where places are compared coarsely

Embedding = NDArray[np.float32]
Question = Embedding | tuple[float, float]
"""An embedding, (D,), or a place, (lon, lat)."""

Keep = Callable[[Photo], bool]


@dataclass(frozen=True)
class GallerySearch:
    """Finds and counts photos of a gallery, as far as may be told.

    Attributes:
        gallery: that is searched.
        cap: how precisely places are told.
        sensitive: areas of which nothing is told.
        is_of_places: whether an embedding tells the place, as a map's does.
        using: which vectors similarities are of, the gallery's own or named ones.
    """

    gallery: Gallery
    cap: Precision
    sensitive: SensitiveAreas
    is_of_places: bool = False
    using: str = VECTOR

    def best(
        self,
        asked: Sequence[tuple[float, Question]],
        *,
        filter: Filter,
        wish: Wish | None,
        by_rankings: bool,
        k: int,
        offset: int,
    ) -> tuple[list[Ranked], Embedding | None]:
        """Photos that answer one or several questions, best first.

        Args:
            asked: questions with their weights.
            filter: which photos may answer.
            wish: for photos near a place.
            by_rankings: fuse rankings, not embeddings.
            k: how many.
            offset: how many of the best to leave out.

        Returns:
            The photos, and the embedding that similarities are to, where there is one.

        Raises:
            InvalidQuestion: the questions cancel each other out.
            TooPrecise: the answer would tell more than it may.
        """
        kind = "area" if filter.within or wish else "payload" if filter.where else "none"
        with metrics.SEARCH_SECONDS.labels(kind).time():
            filter = self._visible(filter)
            keep: Keep = lambda photo: True  # noqa: E731
            if self.cap == "25km" and filter.within is not None:
                # No exact edge of an area reaches the store: moved about, it would find each photo.
                area, filter = filter.within, replace(filter, within=precision.widened(filter.within))
                keep = lambda photo: precision.is_coarsely_within(photo, area)  # noqa: E731
            if not asked:
                passing = (photo for photo in self.gallery.find(filter) if keep(photo))
                return [Ranked(photo, 0.0) for photo in itertools.islice(passing, offset, offset + k)], None
            vectors = [(weight, one) for weight, one in asked if not isinstance(one, tuple)]
            if len(asked) == 1 and not vectors:
                ((lon, lat),) = (one for _, one in asked)
                return self._nearest_to(float(lon), float(lat), k, filter, offset, keep), None
            if by_rankings or len(vectors) < len(asked):
                rankings = [(weight, self._ranking(one, filter, wish, keep)) for weight, one in asked]
                return fused(rankings, k, offset=offset), _combined(vectors) if vectors else None
            together = _combined(vectors)
            return self._alike(together, k, filter, wish, offset, keep), together

    def _ranking(self, one: Question, filter: Filter, wish: Wish | None, keep: Keep) -> list[Ranked]:
        if isinstance(one, tuple):
            return self._nearest_to(one[0], one[1], FUSED_DEPTH, filter, 0, keep)
        return self._alike(one, FUSED_DEPTH, filter, wish, 0, keep)

    def _alike(
        self, embedding: Embedding, k: int, filter: Filter, wish: Wish | None, offset: int, keep: Keep
    ) -> list[Ranked]:
        if wish is not None:
            filter = self.sensitive.hidden(filter)
            if self.cap != "exact":
                return self._coarsely_near(embedding, wish, k, filter, offset, keep)
            return nearest_and_near(self.gallery, embedding, wish, k, filter=filter, offset=offset)
        if self.cap == "25km" and filter.within is not None:
            return self._coarsely_within(embedding, k, filter, offset, keep)
        return by_similarity(
            self.gallery.nearest(embedding, k, filter=filter, offset=offset, using=self.using)
        )

    def _nearest_to(
        self, lon: float, lat: float, k: int, filter: Filter, offset: int, keep: Keep
    ) -> list[Ranked]:
        filter = self.sensitive.hidden(replace(filter, is_placed=True))
        if self.cap == "exact":
            return nearest_to_place(self.gallery, lon, lat, k, filter=filter, offset=offset)
        # By the centers of cells, and among all photos that may be among the first by these: what is
        # told depends on centers alone.
        wanted = offset + k
        deep = nearest_to_place(self.gallery, lon, lat, wanted, filter=filter)
        if len(deep) == wanted:
            radius_km = (deep[-1].distance_km or 0.0) + 2.0 * precision.MARGIN_KM
            filter = replace(filter, near=Circle(lon, lat, min(radius_km, FARTHEST_KM)))
        coarse = sorted(
            (precision.coarse_distance_km(photo, lon, lat), photo.id, photo)
            for photo in self.gallery.find(filter)
            if keep(photo)
        )
        return [Ranked(photo, -km, None, km) for km, _, photo in coarse[offset:wanted]]

    def _coarsely_near(
        self, embedding: Embedding, wish: Wish, k: int, filter: Filter, offset: int, keep: Keep
    ) -> list[Ranked]:
        """As `nearest_and_near`, by the centers of cells, among the most similar photos."""
        ranked = []
        for one in self.gallery.nearest(embedding, FUSED_DEPTH, filter=filter):
            if keep(one.photo):
                km = precision.coarse_distance_km(one.photo, wish.lon, wish.lat)
                ranked.append(Ranked(one.photo, one.similarity + wish.bonus(km), one.similarity, km))
        return sorted(ranked, key=lambda one: (-one.score, one.photo.id))[offset : offset + k]

    def _coarsely_within(
        self, embedding: Embedding, k: int, filter: Filter, offset: int, keep: Keep
    ) -> list[Ranked]:
        depth = PAGE
        while True:
            page = self.gallery.nearest(embedding, depth, filter=filter, using=self.using)
            found = [one for one in page if keep(one.photo)]
            if len(found) >= offset + k or len(page) < depth:
                return by_similarity(found[offset : offset + k])
            depth *= 4

    def _visible(self, filter: Filter) -> Filter:
        """A filter that tells nothing of photos in sensitive areas.

        Raises:
            TooPrecise: it asks which photos have a place, and the answer would tell which lie there.
        """
        if filter.is_placed is not None and self.sensitive.area is not None:
            raise TooPrecise(
                "is_placed: there are areas here of which no place is told, and this would tell which photos "
                "lie in one"
            )
        is_by_place = filter.within is not None or filter.exclude_within is not None
        is_by_place = is_by_place or self.is_of_places
        return self.told_places(filter) if is_by_place or filter.where.keys() - {"year", "month"} else filter

    def told_places(self, filter: Filter) -> Filter:
        """A filter of photos whose places are told: without those in sensitive areas."""
        return self.sensitive.hidden(filter)

    def count(self, filter: Filter) -> int:
        """How many photos pass a filter, those in sensitive areas left out where it speaks of places."""
        return self.gallery.count(self._visible(filter))

    def n_matches(self, filter: Filter) -> int | None:
        """The same as it may be told: moved about, a count by exact places would find each photo."""
        is_by_place = filter.within is not None or filter.exclude_within is not None
        return None if is_by_place and self.cap != "exact" else self.count(filter)

    def facet(self, key: str, limit: int) -> dict[Any, int]:
        """Numbers of photos by the value of a payload field."""
        filter = Filter() if key in ("year", "month") else self.told_places(Filter())
        return self.gallery.facet(key, filter=filter, limit=limit)


def _combined(vectors: Sequence[tuple[float, Any]]) -> Embedding:
    """The direction of a weighted sum of embeddings."""
    total = np.sum([weight * np.asarray(vector, np.float64) for weight, vector in vectors], axis=0)
    length = float(np.linalg.norm(total))
    if length < 1e-9:
        raise InvalidQuestion("these queries cancel each other out; change their weights")
    return np.asarray(total / length, np.float32)
