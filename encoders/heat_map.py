"""What in a photo mattered for an answer: a map over the photo, in the answer's own unit.

An answer is any number that comes of an embedding: how probable a place is, how similar another photo,
how sure a classifier. It is measured while parts of the photo are hidden (`occlusion`), and what a part
adds is how much stronger the answer is with the part in sight than without, on average over what else
is seen. So nothing need be known of encoder or answer, and negative values have a meaning: the answer
is stronger without that part.

In the theory of games this average is the part's Banzhaf value, here from a sample of all ways of
hiding the others. Where parts act by themselves the values add up to what the whole sight adds. Like
every map of its kind it tells of this encoder and this answer, not of the world.

Conventions: those of `occlusion`. No randomness: the same photo has the same map.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from .image import Embeddings, ImageEncoder
from .occlusion import N_SIDE, Box, design, effects, embed_hidden, hidden_shares, seen_box, spread
from .photo import ImageLike

Score = Callable[[Embeddings], NDArray[np.float64]]
"""The answer as a number: embeddings (n, D) -> (n,)."""

_CLEAR = 4.0  # times chance: where nothing matters, the largest of 36 values is so large in one map of 16


@dataclass(frozen=True, eq=False)
class HeatMap:
    """What the sight of each part of a photo adds to an answer.

    Attributes:
        values: for a cell around each pixel of the encoder's input, (S, S), in the unit of the score. A
            cell is 1/g of the input's side.
        noise: how large such a value is by chance.
        seen: the part of the upright photo that the input shows.
        score: the answer with the whole photo.
        everything: what the answer loses when all details are hidden.
        n_passes: how many pictures were embedded for it.
    """

    values: NDArray[np.float64]
    noise: float
    seen: Box
    score: float
    everything: float
    n_passes: int

    def strongest(self, sign: int = 1) -> NDArray[np.bool_]:
        """The part that adds most: of what has half the highest value or more, what hangs together, (S, S).

        Args:
            sign: 1 for what speaks for the answer, −1 for what speaks against it.

        Returns:
            No pixel at all where no value of that sign stands out from chance.
        """
        values = sign * self.values
        peak = values.max()
        if peak <= _CLEAR * self.noise:
            return np.zeros(values.shape, dtype=np.bool_)
        parts: NDArray[np.intp] = label(values >= 0.5 * peak)[0]
        added = np.bincount(parts.ravel(), values.ravel())
        found: NDArray[np.bool_] = parts == 1 + added[1:].argmax()
        return found

    def worth(self, part: NDArray[np.bool_]) -> float:
        """What the sight of a part, (S, S), adds to the answer: the sum over its cells."""
        return float(self.values[part].sum()) * N_SIDE**2 / self.values.size


def heat_map(
    encoder: ImageEncoder,
    photo: ImageLike,
    score: Score,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeatMap:
    """Map what in a photo an answer rests on, by 96 passes of the encoder and as many scores.

    Args:
        encoder: that embeds.
        photo: anything that `open_photo` takes.
        score: what is measured; asked once, for all the pictures.
        progress: called with the pictures embedded and their number.

    Raises:
        UnreadableImage: see `open_photo`.
        ValueError: scores that are not one finite number for each picture.
    """
    pixels, facts = encoder.preprocessing.read(photo)
    n_passes = len(design())
    embeddings = embed_hidden(
        encoder, pixels, hidden_shares(len(pixels)), progress=lambda done: progress(done, n_passes)
    )
    scores = np.asarray(score(embeddings), dtype=np.float64)
    if scores.shape != (n_passes,) or not np.isfinite(scores).all():
        raise ValueError(
            f"the score gave numbers of shape {scores.shape} for {n_passes} pictures, or infinite ones"
        )
    whole, nothing = float(scores[0]), float(scores[n_passes // 2])
    cells, noise = effects(scores)
    seen = seen_box(encoder.preprocessing, (facts.width, facts.height))
    return HeatMap(spread(cells, len(pixels)), noise, seen, whole, whole - nothing, n_passes)
