"""A closer look at the photos that regions are learned from: parts of each, and which show no place.

Parts of a photo, in another light, are learned from beside the whole: what tells a region is rarely the
picture as it was framed (Ogaki's "reverse street view" crops strongly, too). They are not mirrored, for
scripts and the side of the road that is driven on are not. Their embeddings are kept in the folder of the
run, 64 photos a file, so that an interruption costs one file.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.array_files import read_arrays, write_arrays
from ..encoders.errors import InvalidOption, NoTextTower, UnknownWords, UnreadableImage
from ..encoders.image import ImageEncoder
from ..encoders.photo import open_photo
from ..encoders.place_recognition.looks import look
from ..encoders.region_learning.settings import RegionRun
from .gallery import Gallery
from .imagery_placeholders import SIDE_PX, why_no_photo
from .originals import read_original

AT_A_TIME, BATCH = 64, 32
INDOOR = 0.5
"""Probability from which a photo is taken for one of an interior."""

LOGIT_SCALE = 100.0  # of CLIP, whose temperature was held at 0.01
INDOORS = (
    "a photo taken indoors",
    "a photo of the inside of a room",
    "a photo of the interior of a building",
)
OUTDOORS = (
    "a photo taken outdoors",
    "a photo of a street",
    "a photo of buildings seen from outside",
    "a photo of a landscape",
)

Count = Callable[[int, int], None]


class Looks(NamedTuple):
    """What a closer look at N photos gave.

    Attributes:
        parts: embeddings of K parts of each, (N, K, D) float32; NaN where a file is not at hand.
        is_blank: whether a photo has one color nearly all over, (N,).
        n_missing: photos whose file is not at hand.
    """

    parts: NDArray[np.float32]
    is_blank: NDArray[np.bool_]
    n_missing: int


def look_closer(
    gallery: Gallery,
    encoder: ImageEncoder,
    ids: Sequence[str],
    folder: Path,
    run: RegionRun,
    *,
    count: Count = lambda done, total: None,
) -> Looks:
    """Embed parts of photos, and see which photos are blank.

    Args:
        gallery: that has the photos.
        encoder: of the vectors that are learned from.
        ids: of the photos, N.
        folder: that keeps what was looked at; what is there is not looked at again.
        run: how many parts, and how small.
        count: called with the photos done, and N.

    Raises:
        UnwritableFile: no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = (run.crops, encoder.fingerprint.dimension)
    found = []
    with ThreadPoolExecutor() as pool:  # decoding leaves the interpreter free
        for start in range(0, len(ids), AT_A_TIME):
            count(start, len(ids))
            some = ids[start : start + AT_A_TIME]
            path = folder / f"{start:07d}.npz"
            part = _read(path, (len(some), *shape))
            if part is None:
                part = _look_at(gallery, encoder, some, start, run, pool)
                write_arrays(path, **part._asdict())
            found.append(part)
    count(len(ids), len(ids))
    return Looks(
        np.concatenate([np.empty((0, *shape), np.float32), *(one.parts for one in found)]),
        np.concatenate([np.empty(0, np.bool_), *(one.is_blank for one in found)]),
        sum(one.n_missing for one in found),
    )


def indoor(encoder: ImageEncoder, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """How probably photos show an interior, told by words, (n, D) -> (n,).

    Raises:
        InvalidOption: the encoder understands no words, or not these.
    """
    try:
        inside, outside = encoder.embed_texts(INDOORS), encoder.embed_texts(OUTDOORS)
    except (NoTextTower, UnknownWords) as error:
        raise InvalidOption(
            f"photos of interiors are told by words, which this encoder cannot ({error}): index the photos "
            "with an image–text model, or leave them in"
        ) from None
    logits = [LOGIT_SCALE * (embeddings @ one.mean(axis=0)) for one in (inside, outside)]
    return np.asarray(1.0 / (1.0 + np.exp(np.clip(logits[1] - logits[0], -50.0, 50.0))), np.float64)


def _look_at(
    gallery: Gallery,
    encoder: ImageEncoder,
    ids: Sequence[str],
    start: int,
    run: RegionRun,
    pool: ThreadPoolExecutor,
) -> Looks:
    preprocessing = encoder.preprocessing

    def of(numbered: tuple[int, str]) -> tuple[list[NDArray[np.uint8]], bool] | None:
        row, id = numbered
        try:
            content = read_original(id, gallery.state.keys.get(id, ()))
            picture, _ = open_photo(content, at_least=SIDE_PX)
            parts = [
                look(content, preprocessing, number, least_area=run.least_area, seed=run.seed, row=row)
                for number in range(1, run.crops + 1)
            ]
        except UnreadableImage:
            return None
        return parts, bool(why_no_photo(picture))

    seen = list(pool.map(of, enumerate(ids, start)))
    shape = (len(ids), run.crops, encoder.fingerprint.dimension)
    parts = np.full(shape, np.nan, np.float32)
    there = [row for row, one in enumerate(seen) if one is not None]
    if there and run.crops:
        pixels = np.stack([part for one in seen if one is not None for part in one[0]])
        batches = [encoder.embed_pixels(pixels[at : at + BATCH]) for at in range(0, len(pixels), BATCH)]
        parts[there] = np.concatenate(batches).reshape(-1, *shape[1:])
    is_blank = np.array([one is not None and one[1] for one in seen])
    return Looks(parts, is_blank, len(ids) - len(there))


def _read(path: Path, shape: tuple[int, ...]) -> Looks | None:
    """What was looked at before; None where there is nothing, or something of use no more."""
    try:
        file = read_arrays(path)
        found = Looks(file["parts"], file["is_blank"], int(file["n_missing"]))
    except (OSError, ValueError, KeyError):
        return None
    return found if found.parts.shape == shape else None
