"""Recognizing where a walk leads: several photos in the order they were taken, against a gallery's walks.

The photos vote for walks by their nearest neighbors. On each of the walks that got most votes the whole query
is laid along lines of constant speed, forward and backward (`sequences`), and the photo that the last one of
the query comes to lie on answers for that walk. One photo of a corridor looks like the next; ten seldom do.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import InvalidOption
from .filters import Filter
from .gallery import Gallery
from .neighbors import Neighbor
from .photos import Photo, group_or_itself
from .place_uncertainty import distance_ratio
from .recognize import Recognition, Recognized
from .sequences import sequence_differences
from .store import VECTOR

MOST_PHOTOS = 64
"""Photos of a query; what lies further back says little of where one is."""

VOTES = 50  # nearest photos of each photo of the query that vote for their walks
MOST_WALKS = 20  # that the query is laid along
LONGEST_WALK = 20_000  # photos of one walk that are looked at
APART = 10  # photos of a walk between two answers that are different places

_Embeddings = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class WalkedGallery:
    """What is asked of a gallery to recognize a walk.

    Attributes:
        nearest: (embedding, k) -> the most similar photos that may answer.
        members: photos of a walk that may answer, in any order, at most so many.
        embeddings: of photos, by id, (n, D).
    """

    nearest: Callable[[_Embeddings, int], Sequence[Neighbor]]
    members: Callable[[str, int], Sequence[Photo]]
    embeddings: Callable[[Sequence[str]], _Embeddings]

    @classmethod
    def of(cls, gallery: Gallery, *, using: str = VECTOR, filter: Filter | None = None) -> "WalkedGallery":
        """A gallery that is open here.

        Args:
            gallery: to search.
            using: which vectors, the gallery's own or named ones.
            filter: which photos may answer.
        """
        wanted = filter or Filter()

        def members(walk: str, most: int) -> list[Photo]:
            found = gallery.find(replace(wanted, groups=frozenset({walk})), limit=most)
            return with_vectors(gallery, using, list(found))

        return cls(
            nearest=lambda embedding, k: gallery.nearest(embedding, k, filter=wanted, using=using),
            members=members,
            embeddings=partial(gallery.embeddings, using=using),
        )


def recognize_walk(gallery: WalkedGallery, embeddings: _Embeddings, *, k: int = 10) -> Recognition:
    """Find photos of the place where a walk has come to.

    Args:
        gallery: to search.
        embeddings: of the photos of the query in the order they were taken, unit length, (Q, D).
        k: how many answers.

    Returns:
        Photos of the last photo's place, best first: of each walk the best one, and others that lie ten or
        more photos from it. The similarity is the mean along the line, the doubt that of the best against
        the second.

    Raises:
        InvalidOption: one photo, or too many, or no photo of the gallery belongs to a walk.
    """
    n = len(embeddings)
    if not 2 <= n <= MOST_PHOTOS or k < 1:
        raise InvalidOption(f"a walk of {n} photos, {k} answers: 2 to {MOST_PHOTOS} photos, 1 answer or more")
    votes: Counter[str] = Counter()
    for embedding in embeddings:
        for rank, one in enumerate(gallery.nearest(embedding, VOTES)):
            if (walk := group_or_itself(one.photo)) != one.photo.id:
                votes[walk] += VOTES - rank
    if not votes:
        raise InvalidOption(
            "the photos found belong to no walk: index the gallery's photos with --group-column COLUMN, "
            "which says which of them were taken on one walk"
        )
    found = [
        answer for walk, _ in votes.most_common(MOST_WALKS) for answer in _along(gallery, walk, embeddings)
    ]
    found.sort(key=lambda one: -one.similarity)
    best = np.array([[one.similarity for one in found]])
    doubt = float(distance_ratio(best)[0]) if found else 1.0
    return Recognition(found=found[:k], doubt=doubt, looked_again=False, missing=[])


def with_vectors(gallery: Gallery, using: str, photos: Sequence[Photo]) -> list[Photo]:
    """Those of some photos that have a vector of a name."""
    if using == VECTOR:
        return list(photos)
    having = set(gallery.vectors.having(using, [photo.id for photo in photos]))
    return [photo for photo in photos if photo.id in having]


def _along(gallery: WalkedGallery, walk: str, embeddings: _Embeddings) -> list[Recognized]:
    """Photos of one walk for the last photo of the query, none within `APART` photos of a better one."""
    photos = in_order(gallery.members(walk, LONGEST_WALK))
    if not photos:
        return []
    known = gallery.embeddings([photo.id for photo in photos])
    difference = np.asarray(1.0 - embeddings @ known.T, dtype=np.float64)
    last = sequence_differences(difference, len(embeddings), both_ways=True, window="past")[-1]
    answers: list[Recognized] = []
    free = np.isfinite(last)
    for row in np.argsort(last, kind="stable").tolist():
        if free[row]:
            answers.append(Recognized(photo=photos[row], similarity=1.0 - float(last[row])))
            free[max(0, row - APART + 1) : row + APART] = False
    return answers


def in_order(photos: Sequence[Photo]) -> list[Photo]:
    """Photos of a walk as they were taken: by time where all have one, else by the numbers in their names."""
    times = [photo.captured_at.timestamp() for photo in photos if photo.captured_at is not None]
    if len(set(times)) == len(photos):  # a second has several frames where times are whole seconds
        return [photos[row] for row in np.argsort(times).tolist()]
    return sorted(photos, key=lambda photo: _natural(photo.image))


def _natural(name: str) -> list[tuple[int, int, str]]:
    """A key by which frame 9 comes before frame 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name)]
