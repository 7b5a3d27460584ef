"""Recognizing the very place of a photo in a gallery: similar photos first, and a second look where unsure.

The first look compares embeddings, of a place encoder for preference, and takes one photo of each group that
its source names: of frames of a walk, or cut-outs of a panorama, the most similar stands for all. Where the
second photo is about as near as the first, nobody can be sure of it; then the local features of the first
ones are held against the query's (`encoders.matching`), and these are put into the order of what is found.
A second look costs as much as some thousand first ones, and can spoil what a sure one had right.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ..encoders.errors import InvalidOption, UnreadableImage
from ..encoders.image import ImageEncoder, embed_images
from ..encoders.match_map import MatchMap, match_map
from ..encoders.photo import ImageLike
from ..encoders.reranking import Score, match_scores
from .filters import Filter
from .gallery import Gallery, Neighbor
from .originals import read_original
from .photos import Photo, group_at
from .place_matcher import LocalReader
from .place_uncertainty import distance_ratio
from .store import VECTOR

LOOKED_AT = 20
"""Photos that a second look is taken at."""

UNSURE = 0.97
"""Ratio of the best distance to the second from which nobody is sure; fitted ones lie at 0.96 to 0.98."""

DEPTH = 8
"""So many times as many photos are asked for as are wanted, for some are of one group."""


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
    first = _first_look(gallery, embedding, max(k, looked_at, 2), using, filter, one_of_group=one_of_group)
    doubt = _doubt(first)
    if not looked_at or not first or doubt < unsure:
        found = [Recognized(photo=one.photo, similarity=one.similarity) for one in first[:k]]
        return Recognition(found=found, doubt=doubt, looked_again=False, missing=[])
    again, missing = _second_look(gallery, reader or LocalReader(encoder), photo, first[:looked_at], score)
    rest = [Recognized(photo=one.photo, similarity=one.similarity) for one in first[looked_at:]]
    return Recognition(found=[*again, *rest][:k], doubt=doubt, looked_again=True, missing=missing)


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


def _first_look(
    gallery: Gallery,
    embedding: NDArray[np.float32],
    n: int,
    using: str,
    filter: Filter | None,
    *,
    one_of_group: bool,
) -> list[Neighbor]:
    """The n most similar photos, of groups apart."""
    depth = n * (DEPTH if one_of_group else 1)
    while True:
        page = gallery.nearest(embedding, depth, filter=filter, using=using)
        apart = list(
            {_standing_for(one.photo) if one_of_group else one.photo.id: one for one in page[::-1]}.values()
        )
        apart.sort(key=lambda one: -one.similarity)
        if len(apart) >= n or len(page) < depth:
            return apart[:n]
        depth *= 4


def _standing_for(photo: Photo) -> str:
    """What photos have in common of which one stands for all: a group that the source names, or nothing."""
    if photo.group is None or photo.lon is None or photo.lat is None:
        return photo.group or photo.id
    is_ours = photo.group == group_at(photo.lon, photo.lat)  # the area around, where nothing was named
    return photo.id if is_ours else photo.group


def _doubt(first: list[Neighbor]) -> float:
    if not first:
        return 1.0
    return float(distance_ratio(np.array([[one.similarity for one in first]]))[0])


def _second_look(
    gallery: Gallery, reader: LocalReader, photo: ImageLike, first: list[Neighbor], score: Score
) -> tuple[list[Recognized], list[str]]:
    """The photos of a first look by their local features; those without a file last."""
    asked = reader.read(photo)
    seen: list[tuple[Neighbor, torch.Tensor]] = []
    unseen: list[Neighbor] = []
    for one in first:
        try:
            content = read_original(one.photo.id, gallery.state.keys.get(one.photo.id, ()))
            seen.append((one, reader.read(content)))
        except UnreadableImage:
            unseen.append(one)
    found = []
    if seen:
        scores = match_scores(
            asked, torch.stack([features for _, features in seen]), reader.features.grid, score
        )
        for row in np.argsort(-scores, kind="stable").tolist():
            one = seen[row][0]
            found.append(Recognized(photo=one.photo, similarity=one.similarity, score=float(scores[row])))
    found += [Recognized(photo=one.photo, similarity=one.similarity) for one in unseen]
    return found, [one.photo.id for one in unseen]
