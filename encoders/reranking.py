"""Look again, closely, at the first answers of a query, where the retriever is unsure of them.

A second look costs a hundred times the first one, and can spoil what a strong retriever had right; so only
queries of which a sign of doubt lies above a threshold get it. The threshold is given, or fitted on queries
that are not judged by it. Letters: Q queries, K neighbors, k of them looked at again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .errors import InvalidOption
from .match_geometry import ransac, votes
from .matching import grid_positions, mutual, mutual_matches, nearest

Score = Literal["nearest", "mutual", "votes", "ransac"]
ScoreOf = Callable[[int, NDArray[np.int64]], NDArray[np.float64]]
"""Scores of some gallery rows for one query's row."""

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def match_scores(
    query: Tensor, candidates: Tensor, grid: tuple[int, int], score: Score = "nearest"
) -> Floats:
    """How alike pictures are by their local features; higher is more alike.

    Args:
        query: of the query, (P, D), unit rows.
        candidates: of R pictures on the same grid, (R, P, D).
        grid: H and W, P = H W.
        score: by what. ``votes`` and ``ransac`` look at mutual matches, and give the share of the query's
            features whose matches move together, by displacement or by an affine transform.

    Raises:
        InvalidOption: no such score.
    """
    if score not in get_args(Score):
        raise InvalidOption(f"no score {score!r} of local features; there are {', '.join(get_args(Score))}")
    if score == "nearest":
        return nearest(query, candidates).double().numpy()
    if score == "mutual":
        return mutual(query, candidates).double().numpy()
    places = grid_positions(*grid)
    found = []
    for candidate in candidates:
        matches = mutual_matches(query, candidate)
        source, target = places[matches.query], places[matches.candidate]
        if score == "votes":
            found.append(votes(source, target, weights=matches.cosine.clamp(min=0.0)))
        else:
            found.append(float(ransac(source, target).n_inliers))
    return np.array(found) / len(query)


@dataclass(frozen=True, eq=False)
class Reranked:
    """Answers in their new order.

    Attributes:
        neighbors: (Q, K); the first k of each query that was looked at again are in the order of their
            scores, all others where they were.
        looked_at: which queries were, (Q,).
    """

    neighbors: Rows
    looked_at: NDArray[np.bool_]

    @property
    def share(self) -> float:
        """Share of the queries that were looked at again."""
        return float(self.looked_at.mean()) if len(self.looked_at) else 0.0


def rerank(
    neighbors: Rows,
    score_of: ScoreOf,
    *,
    k: int = 20,
    doubt: Floats | None = None,
    threshold: float = -np.inf,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Reranked:
    """Put the first k answers of unsure queries into the order of their scores.

    Args:
        neighbors: rows of the gallery, most similar first, -1 for none, (Q, K). Not changed.
        score_of: scores of gallery rows for a query's row; equal scores stay in the order of similarity.
        k: how many are looked at again.
        doubt: of each query, higher is less sure, (Q,); needed with a threshold.
        threshold: queries with a doubt above it are looked at again; all of them by default.
        progress: called with queries done and their number.
    """
    if k < 1:
        raise InvalidOption(f"k={k}: looking again takes at least one answer")
    if doubt is None and threshold > -np.inf:
        raise InvalidOption("a threshold of doubt needs the doubt of each query")
    looked_at = np.full(len(neighbors), True) if doubt is None else doubt > threshold
    again = neighbors.copy()
    asked = np.flatnonzero(looked_at)
    for done, row in enumerate(asked, start=1):
        first = neighbors[row, :k]
        first = first[first >= 0]
        again[row, : len(first)] = first[np.argsort(-score_of(int(row), first), kind="stable")]
        progress(done, len(asked))
    return Reranked(again, looked_at)


def fit_threshold(doubt: Floats, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> float:
    """The threshold of doubt with the most right answers; of equal ones that with the fewest second looks.

    Args:
        doubt: of queries of known truth that are not judged afterwards, (Q,).
        before: whether the retriever's first answer is right, (Q,).
        after: whether the first answer after a second look is, (Q,).

    Returns:
        A threshold for `rerank`: inf where no second look pays, -inf where all do.
    """
    order = np.argsort(-doubt, kind="stable")
    gain = np.cumsum(after[order].astype(int) - before[order].astype(int))
    is_cut = np.append(np.diff(doubt[order]) != 0.0, True)  # equal doubts fall together
    cuts = np.flatnonzero(is_cut)
    if not len(cuts) or gain[cuts].max() <= 0:
        return float(np.inf)
    last = cuts[int(gain[cuts].argmax())]
    return float(doubt[order][last + 1]) if last + 1 < len(doubt) else float(-np.inf)
