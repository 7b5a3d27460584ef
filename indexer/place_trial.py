"""Ways of recognizing places, tried on the same queries: retrieval, a second look, and sequences.

A trial holds two embedded sets and a truth; each way answers with rows of the gallery and says how much it
doubts each answer. `place_report` makes figures of them. Letters: Q queries, N photos of the gallery, K
neighbors, D embedding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import InvalidOption
from ..encoders.reranking import ScoreOf, fit_threshold, rerank
from .place_recall import RECALL_AT, Rows
from .place_search import EmbeddedSet, exact_neighbors, first_of
from .place_truth import PlaceTruth, Positives
from .place_uncertainty import (
    SPREAD_OVER,
    best_distance,
    distance_ratio,
    ground_positions,
    spatial_spread,
)
from .sequences import SPEEDS, Window, sequence_differences
from .surface import Floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .place_sets import PlaceSet

MOST_NEIGHBORS = 2000
"""However large the groups of the gallery are, no more neighbors are kept of a query."""
MOST_PAIRS = 100_000_000
"""Of queries and photos, whose differences a sequence holds at once: some 5 GB."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What one way of recognizing places answers.

    Attributes:
        name: for tables.
        neighbors: rows of the gallery, best first, -1 for none, (Q, K).
        doubt: signs of doubt by name, higher is less sure, (Q,) each.
        seconds: per query, beside reading and embedding it.
        looked_at: share of the queries that had a second look; None where there are none.
    """

    name: str
    neighbors: Rows
    doubt: Mapping[str, Floats]
    seconds: float
    looked_at: float | None = None


@dataclass(frozen=True, eq=False)
class PlaceTrial:
    """Queries and a gallery to find their places in.

    Attributes:
        queries: with their embeddings, (Q, D).
        gallery: (N, D).
        truth: what is right.
        collapses: photos of one group of the gallery are one answer.
        are_all_counted: a query without a right photo is a failure, else it is left out.
        seed: of whatever is drawn.
    """

    queries: EmbeddedSet
    gallery: EmbeddedSet
    truth: PlaceTruth
    collapses: bool = False
    are_all_counted: bool = True
    seed: int = 0

    @cached_property
    def positives(self) -> Positives:
        """The right pairs."""
        return self.truth.positives(self.queries.photos, self.gallery.photos)

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """Label of what shares its luck, (Q,): queries at the very same coordinates, as cut-outs are."""
        return _places_of(self.queries.photos)

    @property
    def gallery_group(self) -> NDArray[np.str_] | None:
        """Of each photo, where groups are to be collapsed."""
        return self.gallery.photos.group if self.collapses else None

    @cached_property
    def n_neighbors(self) -> int:
        """K: enough that twenty groups are left of them, as long as `MOST_NEIGHBORS` lets it."""
        _, size = np.unique(self.gallery.photos.group, return_counts=True)
        return min(max(RECALL_AT) * int(size.max()), MOST_NEIGHBORS, len(self.gallery.photos))

    def retrieve(self, name: str = "retrieval") -> Answers:
        """By the embeddings alone, exactly."""
        began = time.perf_counter()
        neighbors, similarity = exact_neighbors(
            self.queries.embeddings, self.gallery.embeddings, self.n_neighbors
        )
        seconds = (time.perf_counter() - began) / len(neighbors)
        return Answers(name, neighbors, self._doubts(neighbors, similarity), seconds)

    def look_again(
        self,
        first: Answers,
        score_of: ScoreOf,
        *,
        k: int = 20,
        sign: str = "ratio",
        threshold: float | None = None,
        name: str = "+ second look",
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> Answers:
        """Put the first k answers into the order of local features, where the retriever is unsure.

        Args:
            first: what is looked at again.
            score_of: how well photos of the gallery match a query's.
            k: how many answers of a query.
            sign: of doubt, by which unsure queries are known.
            threshold: those above it are looked at again; None for all of them.
            name: of these answers.
            progress: called with queries done and their number.
        """
        began = time.perf_counter()
        limit = -np.inf if threshold is None else threshold
        again = rerank(
            first.neighbors, score_of, k=k, doubt=first.doubt[sign], threshold=limit, progress=progress
        )
        seconds = first.seconds + (time.perf_counter() - began) / len(first.neighbors)
        return Answers(name, again.neighbors, first.doubt, seconds, again.share)

    def follow(
        self,
        length: int,
        *,
        speeds: Sequence[float] = SPEEDS,
        both_ways: bool = False,
        window: Window = "centered",
        name: str = "+ sequence",
    ) -> Answers:
        """By lines through the differences of all pairs; the photos in the order of their frames.

        Args:
            length: photos of a window.
            speeds: references passed for each query.
            both_ways: also look for walks done backwards.
            window: the query in the middle of its window, or at its end.
            name: of these answers.

        Raises:
            WrongPhotoSet: a photo has no frame number, or a walk has one twice.
            InvalidOption: more pairs than `MOST_PAIRS`.
        """
        began = time.perf_counter()
        n_pairs = len(self.queries.photos) * len(self.gallery.photos)
        if n_pairs > MOST_PAIRS:
            raise InvalidOption(
                f"{n_pairs:,} pairs of frames do not fit into memory; take every second frame of each walk, "
                "or one walk at a time"
            )
        asked, query_walk = in_walking_order(self.queries.photos)
        there, gallery_walk = in_walking_order(self.gallery.photos)
        difference = 1.0 - self.queries.embeddings[asked] @ self.gallery.embeddings[there].T
        lines = sequence_differences(
            difference.astype(np.float64), length, speeds=speeds, both_ways=both_ways, window=window,
            query_walk=query_walk, reference_walk=gallery_walk,
        )  # fmt: skip
        columns, values = first_of(lines, self.n_neighbors)
        neighbors = np.empty_like(columns)
        neighbors[asked] = np.where(np.isfinite(values), there[columns], -1)
        similarity = np.empty_like(values)
        similarity[asked] = 1.0 - values
        seconds = (time.perf_counter() - began) / len(neighbors)
        return Answers(name, neighbors, self._doubts(neighbors, similarity), seconds)

    def right_first(self, answers: Answers) -> NDArray[np.bool_]:
        """Whether the first answer to each query is right, (Q,)."""
        right: NDArray[np.bool_] = self.positives.hold(answers.neighbors[:, :1])[:, 0]
        return right

    def cross_fitted(
        self, first: Answers, again: Answers, *, sign: str, n_folds: int = 5
    ) -> tuple[Answers, list[float]]:
        """Second looks behind a threshold that no query has a part in that is judged by it.

        Folds are stretches of the queries in their order, and queries of one place are in one fold: frames
        beside one another stay together.

        Args:
            first: without a second look.
            again: with a second look at every query.
            sign: of doubt.
            n_folds: for each, the threshold is fitted on all the others.

        Returns:
            The answers, and the threshold of each fold.
        """
        before, after = self.right_first(first), self.right_first(again)
        doubt, thresholds = first.doubt[sign], []
        looked_at = np.zeros(len(doubt), bool)
        _, first_row, label = np.unique(self.place, return_index=True, return_inverse=True)
        for places in np.array_split(np.argsort(first_row), n_folds):
            fold = np.flatnonzero(np.isin(label, places))
            others = np.setdiff1d(np.arange(len(doubt)), fold)
            thresholds.append(fit_threshold(doubt[others], before[others], after[others]))
            looked_at[fold] = doubt[fold] > thresholds[-1]
        neighbors = np.where(looked_at[:, None], again.neighbors, first.neighbors)
        share = float(looked_at.mean())
        seconds = first.seconds + share * (again.seconds - first.seconds)
        name = f"{again.name}, where unsure by {sign}"
        return Answers(name, neighbors, first.doubt, seconds, share), thresholds

    def _doubts(self, neighbors: Rows, similarity: Floats) -> dict[str, Floats]:
        signs = {"distance": best_distance(similarity), "ratio": distance_ratio(similarity)}
        positions = self._positions
        if positions is not None:
            few = slice(0, SPREAD_OVER)
            signs["spread"] = spatial_spread(similarity[:, few], neighbors[:, few], positions)
        return signs

    @cached_property
    def _positions(self) -> Floats | None:
        """Where the gallery's photos are: in meters, or by their frames; None where neither is known."""
        photos = self.gallery.photos
        if np.isfinite(photos.lonlat).all():
            return ground_positions(photos.lonlat)
        if (photos.frame >= 0).all():
            return photos.frame[:, None].astype(np.float64)
        return None


def _places_of(photos: PlaceSet) -> NDArray[np.intp]:
    # Walks are no places: of one or two of them no bootstrap would tell anything.
    if not np.isfinite(photos.lonlat).all():
        return np.arange(len(photos))
    return np.unique(photos.lonlat.round(6), axis=0, return_inverse=True)[1].reshape(-1)  # 0.1 m


def in_walking_order(photos: PlaceSet) -> tuple[NDArray[np.intp], NDArray[np.str_]]:
    """Rows sorted by walk and frame, and the walk of each; groups are walks where there are any.

    Raises:
        WrongPhotoSet: a photo has no frame number, or a walk has one twice.
    """
    walk = photos.group if photos.has_groups else np.full(len(photos), "")
    order = np.lexsort((photos.frame, walk))
    for one in np.unique(walk):
        photos.take(np.flatnonzero(walk == one)).require_frames()
    return order, walk[order]
