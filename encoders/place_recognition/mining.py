"""Which positives and negatives a query is trained with: the best and the hardest by the last embeddings.

The gallery is embedded anew every so many queries, and everything is chosen by these cached embeddings
(Arandjelović et al. 2016). Everything random is a function of seed, epoch and query. N photos, D embedding.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .relations import Relations
from .settings import PlaceRun

_Rows = NDArray[np.intp]
_Embeddings = NDArray[np.float32]

# Streams of one seed that must not meet.
_ORDER, _VIEWS, _NEGATIVES = 1, 2, 3


@dataclass(frozen=True)
class MinedTuple:
    """One query, its best positive, and negatives that violate the margin; all rows."""

    query: int
    positive: int
    negatives: _Rows


def order_of(queries: _Rows, *, seed: int, epoch: int) -> _Rows:
    """The queries of one epoch in random order, each once."""
    return np.random.default_rng([seed, _ORDER, epoch]).permutation(queries)


def views_of(anchors: _Rows, relations: Relations, n_views: int, *, seed: int, step: int) -> _Rows:
    """A batch of places: each anchor and random potential positives of it, every photo once.

    Args:
        anchors: a query for each place.
        relations: of the photos.
        n_views: photos of a place, at most.
        seed: of the run.
        step: of the run.

    Returns:
        Rows, ascending.
    """
    rng = np.random.default_rng([seed, _VIEWS, step])
    chosen = [rng.permutation(relations.positives[anchor])[: n_views - 1] for anchor in anchors]
    return np.unique(np.concatenate([anchors, *chosen]))


def mine(
    query: int, embeddings: _Embeddings, relations: Relations, remembered: _Rows, run: PlaceRun, *, epoch: int
) -> tuple[MinedTuple | None, _Rows]:
    """Choose what to train a query with.

    Args:
        query: its row; it has a potential positive.
        embeddings: cached, of all photos, unit length, (N, D).
        relations: of the photos.
        remembered: hardest negatives of the last time, rows; -1 for none.
        run: margin and counts.
        epoch: from 0; of the random negatives.

    Returns:
        The tuple, None where no negative violates the margin; and the hardest negatives to remember,
        (n_remembered,), -1 for none.
    """
    drawn = np.random.default_rng([run.seed, _NEGATIVES, epoch, query]).permutation(len(embeddings))
    drawn = drawn[~np.isin(drawn, relations.near[query])][: run.n_random]
    candidates = np.union1d(drawn, remembered[remembered >= 0])
    own = embeddings[query]
    positives = relations.positives[query]
    to_positives = squared_distances(own, embeddings[positives])
    best = int(np.argmin(to_positives))
    to_candidates = squared_distances(own, embeddings[candidates])
    hardest = candidates[np.argsort(to_candidates, kind="stable")]
    memory = np.full(run.n_remembered, -1, np.intp)
    memory[: min(len(hardest), run.n_remembered)] = hardest[: run.n_remembered]
    n_violating = int((to_candidates < to_positives[best] + run.triplet_margin).sum())
    if n_violating == 0:
        return None, memory
    return MinedTuple(query, int(positives[best]), hardest[: min(n_violating, run.n_negatives)]), memory


def squared_distances(own: _Embeddings, others: _Embeddings) -> NDArray[np.float32]:
    """Squared Euclidean distances, (D,) and (n, D) -> (n,)."""
    found: NDArray[np.float32] = np.square(others - own).sum(axis=1)
    return found
