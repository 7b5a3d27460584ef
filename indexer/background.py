"""How similar a random photo is to a question: what makes similarities comparable.

A cosine of 0.3 is much between a text and a photo and nothing between two photos, and each encoder
has its own scale. How many standard deviations a photo stands above random photos of the gallery
*for the same question* means the same everywhere.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .gallery import Gallery
from .store import VECTOR

SAMPLE = 1000
_LEAST = 8  # photos, fewer of which have no spread worth the name


class Background(NamedTuple):
    """A random sample of a gallery.

    Attributes:
        embeddings: (S, D), unit length.
    """

    embeddings: NDArray[np.float32]

    @classmethod
    def of(cls, gallery: Gallery, n: int = SAMPLE, *, using: str = VECTOR) -> "Background":
        """Draw at most n photos. Ids are hashes, so that the first in their order are a random sample."""
        return cls(gallery.sample(n, using=using))

    def z_scores(self, embedding: ArrayLike, similarity: ArrayLike) -> NDArray[np.float64] | None:
        """How far similarities to a question lie above those of random photos, in standard deviations.

        Args:
            embedding: of the question, (D,), unit length.
            similarity: (n,).

        Returns:
            (n,); None where the gallery is too small or too uniform to tell.
        """
        if len(self.embeddings) < _LEAST:
            return None
        random = self.embeddings.astype(np.float64) @ np.asarray(embedding, np.float64)
        spread = float(random.std())
        if spread < 1e-6:
            return None
        scores: NDArray[np.float64] = (np.asarray(similarity, np.float64) - random.mean()) / spread
        return scores
