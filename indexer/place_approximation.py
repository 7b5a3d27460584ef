"""How near a gallery's own, approximate search comes to the exact one, on a fixed sample of queries.

Letters: q sampled queries, K neighbors.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .filters import Filter
from .place_recall import RECALL_AT, Rows
from .place_search import exact_neighbors
from .place_trial import PlaceTrial

if TYPE_CHECKING:
    from ..encoders.image import Embeddings
    from .gallery import Gallery

N_CHECKED = 200


@dataclass(frozen=True)
class Approximation:
    """What approximate search costs.

    Attributes:
        n_queries: q.
        k: K, answers compared.
        agreement: share of the exact answers that it found.
        recall_lost: by N of recall@N, exact less approximate, shares; negative where it was luckier.
        seconds: per query.
    """

    n_queries: int
    k: int
    agreement: float
    recall_lost: dict[int, float]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "n_queries": self.n_queries,
            "k": self.k,
            "agreement": self.agreement,
            "recall_lost": {str(at): loss for at, loss in self.recall_lost.items()},
            "seconds_per_query": self.seconds,
        }


def held_against_exact(trial: PlaceTrial, gallery: Gallery, ids: list[str]) -> Approximation:
    """Ask a gallery's search what exact search was asked.

    Args:
        trial: whose gallery it is.
        gallery: open.
        ids: of its photos, in the order of the trial's.
    """
    n, k = min(N_CHECKED, len(trial.queries.photos)), min(max(RECALL_AT), len(ids))
    sample = np.random.default_rng(trial.seed).choice(len(trial.queries.photos), n, replace=False)
    rows = np.sort(sample).astype(np.int64)
    asked = trial.queries.embeddings[rows]
    exact, _ = exact_neighbors(asked, trial.gallery.embeddings, k)
    began = time.perf_counter()
    found = approximate_neighbors(gallery, ids, asked, k)
    seconds = (time.perf_counter() - began) / n
    exact_hit, found_hit = (trial.positives.hold(some, rows) for some in (exact, found))
    lost = {
        at: float(exact_hit[:, :at].any(axis=1).mean() - found_hit[:, :at].any(axis=1).mean())
        for at in RECALL_AT
    }
    return Approximation(n, k, agreement(found, exact), lost, seconds)


def approximate_neighbors(gallery: Gallery, ids: list[str], queries: Embeddings, k: int) -> Rows:
    """What the gallery's own search answers, as rows of `ids`, -1 where it answers less: (q, K).

    Args:
        gallery: open.
        ids: of its photos that may answer, which are all the placed ones.
        queries: (q, D).
        k: K.
    """
    row_of = {id: row for row, id in enumerate(ids)}  # one added meanwhile is not among them
    only_placed = Filter(is_placed=True) if len(ids) < len(gallery) else None
    rows = np.full((len(queries), k), -1, np.int64)
    for number, query in enumerate(queries):
        found = gallery.nearest(query, k, filter=only_placed)
        rows[number, : len(found)] = [row_of.get(neighbor.photo.id, -1) for neighbor in found]
    return rows


def agreement(found: Rows, exact: Rows) -> float:
    """Share of the exact neighbors that an approximate search found as well: two of (q, K)."""
    same = [np.isin(there, here).sum() for here, there in zip(found, exact, strict=True)]
    return float(np.sum(same) / max(1, exact.size))
