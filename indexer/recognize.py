"""Recognizing the very place of a photo in a gallery: similar photos first, and a second look where unsure.

The first look compares embeddings, of a place encoder for preference, and takes one photo of each group that
its source names: of frames of a walk, or cut-outs of a panorama, the most similar stands for all. Where the
second photo is about as near as the first, nobody can be sure of it; then the local features of the first
ones are held against the query's (`encoders.matching`), and these are put into the order of what is found.
A second look costs as much as some thousand first ones, and can spoil what a sure one had right.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..encoders.errors import InvalidOption, UnreadableImage
from ..encoders.image import ImageEncoder, embed_images
from ..encoders.match_map import MatchMap, match_map
from ..encoders.photo import ImageLike
from ..encoders.reranking import Score, match_scores
from .filters import Filter
from .gallery import Gallery
from .neighbors import Neighbor
from .originals import read_original
from .photos import Photo, group_or_itself
from .place_matcher import LocalReader
from .place_uncertainty import distance_ratio
from .store import VECTOR

PLACE = "place"
"""Name of the vectors that are compared by default, where a gallery has such."""

LOOKED_AT = 20
"""Photos that a second look is taken at."""

UNSURE = 0.97
"""Ratio of the best distance to the second from which nobody is sure; fitted ones lie at 0.96 to 0.98."""

DEPTH = 8
"""So many times as many photos are asked for as are wanted, for some are of one group."""

Nearest = Callable[[int], Sequence[Neighbor]]
"""Gives the n photos most similar to the one asked about, most similar first, or all there are."""

StandingFor = Callable[[Photo], str]
"""What photos have in common of which one stands for all."""


@dataclass(frozen=True, kw_only=True)
class Recognized:
    """A photo that answers.

    Attributes:
        photo: as the gallery has it.
        similarity: cosine of the embeddings.
        score: how much of the query's local features is found in it, where it was looked at again.
    """

    photo: Photo
    similarity: float
    score: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Recognition:
    """What a gallery says of the place of a photo.

    Attributes:
        found: photos, best first.
        doubt: distance to the best over that to the second, in [0, 1]; near 1 nobody is sure.
        looked_again: whether local features decided on the order.
        missing: ids of photos that could not be looked at again, for their files are not at hand; they
            come after those that could, in their order.
    """

    found: list[Recognized]
    doubt: float
    looked_again: bool
    missing: list[str]


def recognize(
    gallery: Gallery,
    encoder: ImageEncoder,
    photo: ImageLike,
    *,
    using: str = VECTOR,
    k: int = 10,
    filter: Filter | None = None,
    looked_at: int = LOOKED_AT,
    unsure: float = UNSURE,
    score: Score = "nearest",
    one_of_group: bool = True,
    reader: LocalReader | None = None,
) -> Recognition:
    """Find photos of the very place of a photo.

    Args:
        gallery: to search.
        encoder: of the vectors that are compared.
        photo: path, bytes, PIL image or array.
        using: which vectors, the gallery's own or named ones.
        k: how many answers.
        filter: which photos may answer.
        looked_at: how many of the first are looked at again; 0 for none.
        unsure: the doubt from which they are; 0 for always.
        score: by what a second look compares.
        one_of_group: whether of photos of one group, as their source names it, only the most similar answers.
        reader: of local features; by default of a middle layer of the encoder, made when it is needed.

    Raises:
        FingerprintMismatch: the vectors are by another encoder.
        InvalidOption: a number of no use, or an encoder whose layers cannot be read.
        UnreadableImage: the photo cannot be decoded.
    """
    if k < 1 or looked_at < 0 or not 0.0 <= unsure <= 1.0:
        raise InvalidOption(
            f"k={k}, looked_at={looked_at}, unsure={unsure:g}: k is at least 1, looked_at not negative, and "
            "unsure in [0, 1]"
        )
    gallery.check(encoder.fingerprint, using=using)
    embedding = embed_images(encoder, [photo])[0]
    first = first_look(
        lambda n: gallery.nearest(embedding, n, filter=filter, using=using),
        max(k, looked_at, 2),
        group_or_itself if one_of_group else itself,
    )
    doubt = doubt_of(first)
    if not looked_at or not first or doubt < unsure:
        return by_first_look(first, doubt, k)
    scored = _scored(gallery, reader or LocalReader(encoder), photo, first[:looked_at], score)
    return by_second_look(scored, first[looked_at:], doubt, k)


def vectors_to_compare(there: Collection[str], using: str | None) -> str:
    """Which vectors a place is recognized by: those asked for, else those named ``place``, else the own ones.

    Args:
        there: names of the vectors that the gallery has beside its own.
        using: those asked for, if any.
    """
    return using or (PLACE if PLACE in there else VECTOR)


def explain(
    gallery: Gallery, reader: LocalReader, photo: ImageLike, recognition: Recognition
) -> tuple[bytes, MatchMap]:
    """What in a photo and in its first answer made that one the first.

    Args:
        gallery: that was searched.
        reader: of local features.
        photo: the one asked about.
        recognition: its answers; the others are what the first one is compared with.

    Returns:
        The file of the first answer, and the map over both.

    Raises:
        UnreadableImage: there is no answer, or its file is not at hand.
    """
    contents = []
    for number, one in enumerate(recognition.found):
        try:
            contents.append(read_original(one.photo.id, gallery.state.keys.get(one.photo.id, ())))
        except UnreadableImage:
            if number == 0:
                raise
    if not contents:
        raise UnreadableImage("no photo answers, so there is no match to show")
    answer, *others = [reader.read(content) for content in contents]
    asked = reader.read(photo)
    stacked = torch.stack(others) if others else torch.empty((0, *answer.shape))
    return contents[0], match_map(asked, answer, stacked, reader.features.grid)


def first_look(
    nearest: Nearest, n: int, standing_for: StandingFor, *, deepest: int | None = None
) -> list[Neighbor]:
    """The n most similar photos, of which no two stand for the same.

    Args:
        nearest: the store, asked with the photo's embedding.
        n: how many.
        standing_for: what must be different, such as `group_or_itself`.
        deepest: so many photos are asked for at most; there may then be fewer than n answers.
    """
    depth = n if standing_for is itself else n * DEPTH
    while True:
        asked = depth if deepest is None else min(depth, deepest)
        page = nearest(asked)
        apart = list({standing_for(one.photo): one for one in page[::-1]}.values())
        apart.sort(key=lambda one: -one.similarity)
        if len(apart) >= n or len(page) < asked or asked == deepest:
            return apart[:n]
        depth *= 4


def itself(photo: Photo) -> str:
    """Every photo stands for itself."""
    return photo.id


def doubt_of(first: Sequence[Neighbor]) -> float:
    """Distance to the best over that to the second, in [0, 1]; 1 where nothing was found."""
    if not first:
        return 1.0
    return float(distance_ratio(np.array([[one.similarity for one in first]]))[0])


def by_first_look(first: Sequence[Neighbor], doubt: float, k: int) -> Recognition:
    """The answer where nobody looks again."""
    found = [Recognized(photo=one.photo, similarity=one.similarity) for one in first[:k]]
    return Recognition(found=found, doubt=doubt, looked_again=False, missing=[])


def by_second_look(
    scored: Sequence[tuple[Neighbor, float | None]], rest: Sequence[Neighbor], doubt: float, k: int
) -> Recognition:
    """The answer after a second look.

    Args:
        scored: the first ones, most similar first, with what was found of the query in each; None where
            the photo's file is not at hand.
        rest: those after them.
        doubt: of the first look.
        k: how many answers.
    """
    seen = [
        Recognized(photo=one.photo, similarity=one.similarity, score=score)
        for one, score in scored
        if score is not None
    ]
    seen.sort(key=lambda one: -(one.score or 0.0))  # equal scores stay in the order of similarity
    unseen = [one for one, score in scored if score is None]
    after = [Recognized(photo=one.photo, similarity=one.similarity) for one in (*unseen, *rest)]
    missing = [one.photo.id for one in unseen]
    return Recognition(found=[*seen, *after][:k], doubt=doubt, looked_again=True, missing=missing)


def _scored(
    gallery: Gallery, reader: LocalReader, photo: ImageLike, first: Sequence[Neighbor], score: Score
) -> list[tuple[Neighbor, float | None]]:
    """What of the local features of a photo is found in others; None in those without a file."""
    asked = reader.read(photo)
    seen: dict[str, torch.Tensor] = {}
    for one in first:
        try:
            content = read_original(one.photo.id, gallery.state.keys.get(one.photo.id, ()))
            seen[one.photo.id] = reader.read(content)
        except UnreadableImage:
            pass
    found: dict[str, float] = {}
    if seen:
        scores = match_scores(asked, torch.stack(list(seen.values())), reader.features.grid, score)
        found = dict(zip(seen, scores.tolist(), strict=True))
    return [(one, found.get(one.photo.id)) for one in first]
