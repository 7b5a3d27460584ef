"""A photo with parts of it hidden, as an encoder sees it.

The square that an encoder is given is cut into cells, and about half of them are hidden at a time, with
soft edges. What is hidden is replaced by a strong blur of the photo itself: the details go, color and
light stay. A hard edge or a patch of gray is something that no photo shows, and would be measured along
with what it hides.

Which cells are hidden together is no matter of chance, as in RISE (Petsiuk, Das and Saenko, BMVC 2018,
arXiv 1806.07421), but a two-level factorial design (Plackett and Burman, Biometrika 1946): the rows of a
Hadamard matrix, and the same rows with seen and hidden exchanged. Over all patterns every cell is seen
as often with any other cell as without it, so what one cell adds is a plain difference of two means; it
is mixed up neither with what other cells add, nor with what pairs of cells add together.

Conventions: `pixels` are (S, S, 3) bytes, an encoder's input; rows run down, columns to the right;
hidden shares lie in [0, 1], 1 where nothing is seen. Letters: g cells along a side, n pictures,
D embedding.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .image import Embeddings, ImageEncoder
from .preprocessing import Preprocessing

Shares = NDArray[np.float32]

N_SIDE = 6
"""g. All g² cells need a column of the Hadamard matrix each; the others show how large chance is."""

BLUR = 0.1
"""Standard deviation of the blur that stands for what is hidden, as a share of the side."""

_ORDER = 48  # of the Hadamard matrix: a multiple of 4, and one more than a prime
_STRIP = 4.0  # the longest ratio of sides that `Preprocessing.pixels` resizes as a whole


@cache
def design() -> NDArray[np.int8]:
    """What is seen in each picture, (96, 48): 1 or −1; the first g² columns are the cells, row by row.

    The first row sees everything, and row 48 nothing.
    """
    half = _hadamard()
    return np.concatenate([half, -half])


def _hadamard() -> NDArray[np.int8]:
    """A matrix of 1 and −1 whose rows are orthogonal, (48, 48), by Paley's first construction (1933)."""
    q = _ORDER - 1
    character = np.full(q, -1)
    character[[x * x % q for x in range(1, q)]] = 1
    character[0] = 0
    number = np.arange(q)
    matrix = np.ones((_ORDER, _ORDER), dtype=np.int8)
    matrix[1:, 0] = -1
    matrix[1:, 1:] = character[(number[:, None] - number) % q] + np.eye(q, dtype=np.int8)
    return matrix


def effects(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """What each cell adds to a score, from the scores of all pictures of the design, (96,).

    Returns:
        The mean score of the pictures that show a cell, less that of those that do not, (g, g); and how
        large such a difference is by chance: the root mean square over the columns that stand for no cell.
    """
    contrasts = design().T @ scores / _ORDER
    n_cells = N_SIDE**2
    return contrasts[:n_cells].reshape(N_SIDE, N_SIDE), float(np.sqrt(np.mean(contrasts[n_cells:] ** 2)))


def hidden_shares(size: int) -> Iterator[Shares]:
    """What each picture of the design hides, (S, S) each."""
    for seen in design()[:, : N_SIDE**2]:
        yield spread(0.5 - 0.5 * seen.reshape(N_SIDE, N_SIDE), size).astype(np.float32)


def spread(cells: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Values of cells, blended by raised cosines and level beyond the outer middles: (g, g) -> (S, S)."""
    n_side = len(cells)
    place = np.clip((np.arange(size) + 0.5) / size * n_side - 0.5, 0.0, n_side - 1.0)
    away = np.minimum(np.abs(place[:, None] - np.arange(n_side)), 1.0)
    weight = 0.5 + 0.5 * np.cos(np.pi * away)  # (S, g); those of a pixel add up to 1
    result: NDArray[np.float64] = weight @ cells @ weight.T
    return result


def blurred(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture without its details, (S, S, 3)."""
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(BLUR * len(pixels))))


def embed_hidden(
    encoder: ImageEncoder,
    pixels: NDArray[np.uint8],
    hidden: Iterable[Shares],
    *,
    batch_size: int = 16,
    progress: Callable[[int], None] = lambda done: None,
) -> Embeddings:
    """Embed a photo once for each way of hiding parts of it.

    Args:
        encoder: that embeds.
        pixels: its input, (S, S, 3).
        hidden: shares, (S, S) each; n of them.
        batch_size: how many are embedded at once.
        progress: told how many are done.

    Returns:
        Embeddings in the order of `hidden`, (n, D).
    """
    seen, instead = pixels.astype(np.float32), blurred(pixels).astype(np.float32)
    waiting, parts, done = iter(hidden), [np.empty((0, encoder.fingerprint.dimension), np.float32)], 0
    while batch := list(islice(waiting, batch_size)):
        pictures = [seen + share[..., None] * (instead - seen) for share in batch]
        parts.append(encoder.embed_pixels(np.rint(np.stack(pictures)).astype(np.uint8)))
        done += len(batch)
        progress(done)
    return np.concatenate(parts)


class Box(NamedTuple):
    """A part of a picture, as shares of its width and height, from its left and its top."""

    left: float
    top: float
    right: float
    bottom: float


def seen_box(preprocessing: Preprocessing, size: tuple[int, int]) -> Box:
    """The part of an upright photo that reaches the encoder; the rest is cut off by `Preprocessing.pixels`.

    Args:
        preprocessing: of the encoder.
        size: width and height of the photo, pixels.
    """
    if preprocessing.resize == "squash":
        return Box(0.0, 0.0, 1.0, 1.0)
    # Of a long strip the middle is taken, and its short side resized to more than is kept of it; whole
    # pixels all along, so that the box fits the input to the pixel.
    short = min(size)
    kept = [min(along, int(_STRIP * short) or 1) for along in size]
    side = round(preprocessing.size / preprocessing.crop_share)
    starts, ends = [], []
    for along, part in zip(size, kept, strict=True):
        resized = int(side * part / short)
        start = round((resized - preprocessing.size) / 2.0)
        starts.append(((along - part) // 2 + start * part / resized) / along)
        ends.append(((along - part) // 2 + (start + preprocessing.size) * part / resized) / along)
    return Box(starts[0], starts[1], ends[0], ends[1])
