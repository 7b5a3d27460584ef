"""Recognizing the very place of a photo for a caller, see `indexer.recognize`.

The first look runs as a search does. The second one is patient: while anybody searches, one photo at a time
is decoded, by a sandboxed process, and read by the model.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ...encoders.errors import InvalidOption, UnreadableImage
from ...encoders.match_map import MatchMap
from ...encoders.photo import PhotoFacts
from ...encoders.preprocessing import Preprocessing
from ...indexer.filters import Filter
from ...indexer.neighbors import Neighbor
from ...indexer.originals import read_original
from ...indexer.photos import Photo
from ...indexer.place_card import MAP
from ...indexer.recognize import (
    LOOKED_AT,
    Recognition,
    by_first_look,
    by_second_look,
    doubt_of,
    first_look,
    vectors_to_compare,
)
from ...indexer.recognize_walk import WalkedGallery, recognize_walk, with_vectors
from ...indexer.store import VECTOR
from .local_reading import Look, ServedReader
from .models import ServedModel
from .photo_decoders import Pixels
from .refusals import EncoderNotServed, InvalidQuestion, NotOffered, UnknownPhoto
from .served_gallery import ServedGallery
from .served_map import ServedMap
from .service import Service

DEEPEST = 10_000
"""Photos among which those of different groups are looked for, as deep as a search goes."""

PIECE = 500  # embeddings of a walk that the store is asked for at a time

AT_ONCE = 2
"""Photos of one question that are decoded at a time; thumbnails wait for the same threads."""

PICTURE_PX = 540
_LONGEST = 4.0  # ratio of sides of a picture; a strip of 20,000 by 10 pixels is shown squeezed
_PICTURE = Preprocessing(size=PICTURE_PX, resize="squash")


@dataclass(frozen=True, kw_only=True)
class PlaceQuestion:
    """A photo whose place is looked for.

    Attributes:
        content: its file.
        filter: which photos may answer.
        using: vectors to compare; None for those named ``place``, or the gallery's own.
        k: how many answers.
        look_again: at so many of the first; None for as many as is usual.
        unsure: the doubt from which they are looked at again.
    """

    content: bytes
    filter: Filter
    using: str | None
    k: int
    look_again: int | None
    unsure: float


@dataclass(frozen=True, eq=False, kw_only=True)
class PlaceAnswer:
    """What a gallery says of it.

    Attributes:
        recognition: photos and doubt.
        using: vectors that were compared.
        embedding: of the photo, (D,).
        looks: at photos that were looked at again, by id, with features where these were asked for.
        asked: local features of the photo, where any were looked at.
        reader: of local features, where the layers of the encoder can be read.
        n_compared: how many photos are looked at again, or would be.
    """

    recognition: Recognition
    using: str
    embedding: NDArray[np.float32]
    looks: dict[str, Look]
    asked: torch.Tensor | None
    reader: ServedReader | None
    n_compared: int


async def recognized(
    service: Service, gallery: ServedGallery, question: PlaceQuestion, *, keep_features: bool = False
) -> PlaceAnswer:
    """Find photos of the very place of a photo.

    Args:
        service: that serves the gallery.
        gallery: to search.
        question: the photo, and how to look.
        keep_features: of photos that were looked at again, for a picture of the match.

    Raises:
        InvalidQuestion: no such vectors, or a second look that nobody can take.
        EncoderNotServed: the encoder of the vectors is not loaded.
        NotForPhotos: a gallery of places.
        UnreadableImage: the photo cannot be decoded.
    """
    using, model = _model_of(service, gallery, question.using)
    reader = await service.models.reader_of(model)
    looked_at = _looked_at(service, question.look_again, reader)
    embedding = await service.embed_photo(question.content, model)
    first = await service.in_store(_first, gallery, using, embedding, question, max(question.k, looked_at, 2))
    doubt = doubt_of(first)
    asked, looks = None, {}
    if not looked_at or not first or doubt < question.unsure or reader is None:
        recognition = by_first_look(first, doubt, question.k)
    else:
        asked = await _read(service, reader, question.content)
        again = [one.photo for one in first[:looked_at]]
        looks = await _look_at(service, gallery, reader, asked, again, keep_features=keep_features)
        scored = [
            (one, looks[one.photo.id].score if one.photo.id in looks else None) for one in first[:looked_at]
        ]
        recognition = by_second_look(scored, first[looked_at:], doubt, question.k)
    return PlaceAnswer(
        recognition=recognition, using=using, embedding=embedding, looks=looks, asked=asked, reader=reader,
        n_compared=looked_at or min(LOOKED_AT, service.settings.max_look_again),
    )  # fmt: skip


async def explained(
    service: Service, gallery: ServedGallery, question: PlaceQuestion
) -> tuple[Image.Image, Image.Image, MatchMap]:
    """What made the first answer the first: the photo, that answer, and the map over both.

    Raises:
        UnknownPhoto: nothing answers, or the file of the first answer is not at hand.
        InvalidQuestion: the encoder's layers cannot be read.
        others: see `recognized`.
    """
    if not service.settings.max_look_again:
        raise NotOffered(
            "no second looks are taken here; the operator may allow PLACEPRINT_MAX_LOOK_AGAIN=50"
        )
    answer = await recognized(service, gallery, question, keep_features=True)
    reader, found = answer.reader, answer.recognition.found
    if reader is None:
        raise InvalidQuestion(_UNREADABLE)
    if not found:
        raise UnknownPhoto("no photo answers, so there is no match to show")
    first, *others = [one.photo for one in found[: answer.n_compared]]
    asked = answer.asked if answer.asked is not None else await _read(service, reader, question.content)
    looks = answer.looks
    if not answer.recognition.looked_again:
        looks = await _look_at(service, gallery, reader, asked, [first, *others], keep_features=True)
    features = {id: look.features for id, look in looks.items() if look.features is not None}
    if first.id not in features:
        raise UnknownPhoto("the file of the first answer is not at hand, so there is no picture of the match")
    rest = [features[photo.id] for photo in others if photo.id in features]
    stacked = torch.stack(rest) if rest else torch.empty((0, *features[first.id].shape))
    match: Any = await service.embed(reader.explain, (asked, features[first.id], stacked), is_patient=True)
    shown = _upright(*await service.decoders.decode(question.content, _PICTURE, is_patient=True))
    return shown, _upright(*await service.in_files(_decoded, service, gallery, first, _PICTURE)), match


async def recognized_walk(
    service: Service, gallery: ServedGallery, contents: Sequence[bytes], *, using: str | None, k: int
) -> PlaceAnswer:
    """Find photos of the place where a walk has come to, see `indexer.recognize_walk`.

    The store is asked piece by piece, so that searches come in between.

    Args:
        service: that serves the gallery.
        gallery: to search.
        contents: files of the photos, in the order they were taken.
        using: vectors to compare, as in `PlaceQuestion`.
        k: how many answers.

    Raises:
        InvalidQuestion: no such vectors, too few photos, or the gallery has no walks.
        EncoderNotServed, NotForPhotos, UnreadableImage: as `recognized`.
    """
    using, model = _model_of(service, gallery, using)
    embedded = [service.embed_photo(one, model, is_patient=True) for one in contents]
    embeddings = np.stack(await asyncio.gather(*embedded))
    loop = asyncio.get_running_loop()
    search = replace(gallery.search, using=using)

    def best(asked: NDArray[np.float32] | None, filter: Filter, most: int) -> list[Neighbor]:
        # What walk a photo in a sensitive area belongs to is told by nothing, not even by an order.
        filter = search.sensitive.hidden(filter)
        questions = [] if asked is None else [(1.0, asked)]
        ranked, _ = search.best(questions, filter=filter, wish=None, by_rankings=False, k=most, offset=0)
        return [Neighbor(photo=one.photo, similarity=one.score) for one in ranked]

    def in_store(function: Any, *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(service.in_store(function, *arguments), loop).result()

    def members(walk: str, most: int) -> list[Photo]:
        there = best(None, Filter(groups=frozenset({walk})), most)
        return with_vectors(gallery.gallery, using, [one.photo for one in there])

    def embeddings_of(ids: Sequence[str]) -> NDArray[np.float32]:
        pieces = [ids[start : start + PIECE] for start in range(0, len(ids), PIECE)]
        return np.concatenate([
            in_store(lambda piece=piece: gallery.gallery.embeddings(piece, using=using)) for piece in pieces
        ])  # fmt: skip

    walked = WalkedGallery(
        nearest=lambda embedding, n: in_store(best, embedding, Filter(), n),
        members=lambda walk, most: in_store(members, walk, most),
        embeddings=embeddings_of,
    )
    try:
        found = await service.in_locator(lambda: recognize_walk(walked, embeddings, k=k))
    except InvalidOption as error:
        raise InvalidQuestion(str(error)) from None
    last = embeddings[-1]
    return PlaceAnswer(
        recognition=found, using=using, embedding=last, looks={}, asked=None, reader=None, n_compared=0
    )


_UNREADABLE = "look_again: the layers of this encoder cannot be read, so nobody can look again; ask with 0"


def _model_of(service: Service, gallery: ServedGallery, using: str | None) -> tuple[str, ServedModel]:
    """Which vectors are compared, and their encoder.

    Raises:
        InvalidQuestion: there are no such vectors of photos.
        EncoderNotServed: their encoder is not loaded.
        NotForPhotos: a gallery of places.
    """
    if isinstance(gallery.model, ServedMap):
        _ = gallery.model.preprocessing  # says what such a gallery can be asked
    there = [name for name in gallery.gallery.vectors.cards if name != MAP]
    chosen = vectors_to_compare(there, using)
    if chosen == VECTOR and isinstance(gallery.model, ServedModel):
        return chosen, gallery.model
    if chosen in gallery.beside:
        return chosen, gallery.beside[chosen]
    if chosen not in there:
        raise InvalidQuestion(
            f"using: gallery {gallery.name!r} has no vectors {chosen[:100]!r} of photos; there are "
            f"{', '.join([VECTOR, *there])}"
        )
    loaded = json.dumps(sorted({*service.settings.vectors, chosen}))
    raise EncoderNotServed(
        f"the encoder of the vectors {chosen!r} is not loaded here; ask with using={VECTOR}, the own ones. "
        f"The operator may load it with PLACEPRINT_VECTORS='{loaded}', and where that was done the log "
        "says why it could not be"
    )


def _looked_at(service: Service, asked: int | None, reader: ServedReader | None) -> int:
    most = service.settings.max_look_again
    if asked is None:
        return 0 if reader is None else min(LOOKED_AT, most)
    if asked > most:
        raise InvalidQuestion(f"look_again: at most {most} photos here (PLACEPRINT_MAX_LOOK_AGAIN)")
    if asked and reader is None:
        raise InvalidQuestion(_UNREADABLE)
    return asked


def _first(
    gallery: ServedGallery, using: str, embedding: NDArray[np.float32], question: PlaceQuestion, n: int
) -> list[Neighbor]:
    """The first look, in the store's thread, under the operator's cap."""
    search = replace(gallery.search, using=using)

    def nearest(depth: int) -> Sequence[Neighbor]:
        ranked, _ = search.best(
            [(1.0, embedding)], filter=question.filter, wish=None, by_rankings=False, k=depth, offset=0
        )
        return [Neighbor(photo=one.photo, similarity=one.score) for one in ranked]

    return first_look(nearest, n, gallery.standing_for, deepest=DEEPEST)


async def _read(service: Service, reader: ServedReader, content: bytes) -> torch.Tensor:
    """Local features of the photo asked about, (P, D)."""
    async with service.patience:
        pixels, _ = await service.decoders.decode(content, reader.preprocessing, is_patient=True)
        found: Any = await service.embed(reader.read, pixels, is_patient=True)
    return found  # type: ignore[no-any-return]


async def _look_at(
    service: Service,
    gallery: ServedGallery,
    reader: ServedReader,
    asked: torch.Tensor,
    photos: Sequence[Photo],
    *,
    keep_features: bool,
) -> dict[str, Look]:
    """A second look at photos, by id; those whose files are not at hand are left out."""
    room = asyncio.Semaphore(AT_ONCE)

    async def look(photo: Photo) -> Look | None:
        async with room, service.patience:
            try:
                pixels, _ = await service.in_files(_decoded, service, gallery, photo, reader.preprocessing)
            except UnreadableImage:
                return None
            told: Any = await service.embed(reader.look, (pixels, asked), is_patient=True)
        found: Look = told
        return found if keep_features else replace(found, features=None)

    looks = await asyncio.gather(*(look(photo) for photo in photos))
    return {photo.id: one for photo, one in zip(photos, looks, strict=True) if one is not None}


def _decoded(
    service: Service, gallery: ServedGallery, photo: Photo, preprocessing: Preprocessing
) -> tuple[Pixels, PhotoFacts]:
    """A photo of the gallery, from its file."""
    content = read_original(photo.id, gallery.gallery.state.keys.get(photo.id, ()))
    return service.decoders.decode_own(content, preprocessing)


def _upright(pixels: Pixels, facts: PhotoFacts) -> Image.Image:
    """A photo in its proportions, of pixels that a sandboxed process gave."""
    ratio = min(max(facts.width / max(facts.height, 1), 1.0 / _LONGEST), _LONGEST)
    return Image.fromarray(pixels).resize((PICTURE_PX, max(1, round(PICTURE_PX / ratio))))
