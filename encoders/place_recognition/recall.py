"""Recall on held-out photos: does one of the most similar others show the same place?

For a query, the first k of the gallery are a hit where at least one of them lies within the negative
distance (25 m) and fulfills the run's conditions. Queries that nothing in the gallery could answer are
left out, and counted. Every photo asks all others but those that the conditions rule out as an answer
where they stand near: the next frame of the same walk would be no achievement.

Letters: Q queries, N photos.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .photos import PlacePhotos
from .relations import Relations
from .settings import Nearness

KS = (1, 5, 10)


@dataclass(frozen=True)
class HeldOutTruth:
    """What counts for the photos that are held out.

    Attributes:
        queries: rows that have an answer, (Q,).
        answers: rows that answer each, Q arrays.
        hidden: rows that each does not see: itself, and what stands near without being an answer.
        n_photos: N.
    """

    queries: NDArray[np.intp]
    answers: tuple[NDArray[np.intp], ...]
    hidden: tuple[NDArray[np.intp], ...]
    n_photos: int

    @classmethod
    def of(cls, photos: PlacePhotos, nearness: Nearness) -> "HeldOutTruth":
        """Positives up to the negative distance, under the conditions of a run."""
        wide = replace(nearness, positive_to_m=nearness.negative_from_m)
        relations = Relations(photos, wide)
        queries = relations.queries
        return cls(
            queries,
            tuple(relations.positives[row] for row in queries),
            tuple(np.setdiff1d(relations.near[row], relations.positives[row]) for row in queries),
            len(photos),
        )

    @property
    def chance(self) -> float:
        """Recall at 1 of a random answer."""
        shares = [
            len(answers) / (self.n_photos - len(hidden))
            for answers, hidden in zip(self.answers, self.hidden, strict=True)
        ]
        return float(np.mean(shares)) if shares else 0.0

    def recall(self, embeddings: NDArray[np.float32], ks: Sequence[int] = KS) -> dict[str, float]:
        """Share of the queries that are hit, by k.

        Args:
            embeddings: of the photos, unit length, (N, D).
            ks: how many count.

        Returns:
            ``recall_at_1`` and so on, shares in [0, 1]; empty without queries.
        """
        if not len(self.queries):
            return {}
        first_hit = np.full(len(self.queries), self.n_photos)
        for start in range(0, len(self.queries), 1024):
            block = slice(start, start + 1024)
            similarity = embeddings[self.queries[block]] @ embeddings.T
            for number, (answers, hidden) in enumerate(
                zip(self.answers[block], self.hidden[block], strict=True)
            ):
                one = similarity[number]
                best = one[answers].max()
                one[hidden] = -np.inf
                one[answers] = -np.inf  # what stands before the best answer is wrong
                first_hit[start + number] = int((one >= best).sum())
        return {f"recall_at_{k}": float((first_hit < k).mean()) for k in ks}
