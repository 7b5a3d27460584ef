"""Recall of place recognition: how often one of the first N answers shows the right place.

recall@N is the share of queries with at least one right photo among their first N (Arandjelović et al.
2016, arXiv:1511.07247, following earlier work on place recognition). Beside it stands the chance level: on
a dense gallery a random ranking is right surprisingly often. Neighbors are rows of the gallery, most
similar first, -1 where there are fewer; ranks count from 0. Letters: Q queries, N photos of the gallery,
K neighbors, B resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ..encoders.errors import WrongPhotoSet
from ..encoders.sphere import great_circle_km
from .place_truth import Positives, counts_within
from .surface import Floats

Rows = NDArray[np.int64]
Interval = tuple[float, float]

RECALL_AT = (1, 5, 10, 20)
THRESHOLDS_M = (1.0, 5.0, 10.0, 25.0, 100.0, 1000.0)
AREA_LIMIT_M = 100.0
"""Up to here the curve of errors is integrated."""
N_RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Recall:
    """recall@N with its 95 % interval, and what a random ranking would have."""

    at: int
    value: float
    low: float
    high: float
    chance: float  # nan where it is not known


@dataclass(frozen=True, eq=False)
class Judged:
    """Queries that a recall is made of: which rank was right first, and how many photos were.

    Attributes:
        first_hit: rank of the first right neighbor, inf where none of the K is, (Q,).
        n_right: right photos in the gallery, or right groups where groups were collapsed; a share of a
            group counts as that share, (Q,).
        n_gallery: photos, or groups, among which they are; None where no chance level is known.
        place: label of what shares its luck, as frames of one place do, (Q,).
        are_all_counted: a query without any right photo is a failure; otherwise it is left out.
    """

    first_hit: Floats
    n_right: Floats
    n_gallery: int | None
    place: NDArray[np.intp]
    are_all_counted: bool = True

    @property
    def n_without(self) -> int:
        """Queries of which the gallery has no right photo."""
        return int((self.n_right == 0).sum())

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which queries count, (Q,)."""
        return np.full(len(self.n_right), True) if self.are_all_counted else self.n_right > 0

    def recalls(self, at: Sequence[int] = RECALL_AT, *, seed: int = 0) -> list[Recall]:
        """recall@N for each N, of the queries that count.

        The interval is Wilson's where each query is a place of its own, and a bootstrap over places where
        several share one.

        Raises:
            WrongPhotoSet: no query counts.
        """
        rows = np.flatnonzero(self.counted)
        if not len(rows):
            raise WrongPhotoSet(
                "no query has a right photo in the gallery: look at the coordinates, or at the truth"
            )
        place = self.place[rows]
        shares = []
        for n in at:
            hit = (self.first_hit[rows] < n).astype(np.float64)
            low, high = interval_of(hit, place, seed=seed)
            chance = np.nan
            if self.n_gallery is not None:
                chance = float(chance_recall(self.n_right[rows], self.n_gallery, n).mean())
            shares.append(Recall(at=n, value=float(hit.mean()), low=low, high=high, chance=chance))
        return shares


def judge(
    neighbors: Rows,
    positives: Positives,
    *,
    place: NDArray[np.generic] | None = None,
    gallery_group: NDArray[np.str_] | None = None,
    are_all_counted: bool = True,
) -> Judged:
    """Hold neighbors against the truth.

    Args:
        neighbors: (Q, K). With groups: as they were found, before any was collapsed.
        positives: what is right.
        place: label of each query's place, (Q,); each its own by default.
        gallery_group: of each photo of the gallery, (N,): those of one group, such as the cut-outs of a
            panorama, become one answer before the first N are taken, by the best of them.
        are_all_counted: whether a query without a right photo is a failure.
    """
    n_queries = len(neighbors)
    label = np.arange(n_queries) if place is None else np.unique(place, return_inverse=True)[1]
    n_right, n_gallery = positives.counts.astype(np.float64), positives.n_gallery
    if gallery_group is not None:
        neighbors = collapse(neighbors, gallery_group)
        n_right, n_gallery = _right_groups(positives, gallery_group)
    right = positives.hold(neighbors)
    first = np.where(right.any(axis=1), right.argmax(axis=1), np.inf)
    return Judged(first, n_right, n_gallery, label, are_all_counted)


def judge_within(
    neighbors: Rows,
    query_lonlat: Floats,
    gallery_lonlat: Floats,
    meters: float,
    *,
    place: NDArray[np.generic] | None = None,
    gallery_group: NDArray[np.str_] | None = None,
    are_all_counted: bool = True,
) -> Judged:
    """As `judge` by a distance, without a list of right pairs, of which a wide one makes too many.

    There is no chance level where groups are collapsed.
    """
    label = np.arange(len(neighbors)) if place is None else np.unique(place, return_inverse=True)[1]
    if gallery_group is not None:
        neighbors = collapse(neighbors, gallery_group)
    away_m = great_circle_km(query_lonlat[:, None], gallery_lonlat[np.maximum(neighbors, 0)]) * 1000.0
    right = (away_m <= meters) & (neighbors >= 0)
    first = np.where(right.any(axis=1), right.argmax(axis=1), np.inf)
    n_right = counts_within(query_lonlat, gallery_lonlat, meters).astype(np.float64)
    n_gallery = None if gallery_group is not None else len(gallery_lonlat)
    return Judged(first, n_right, n_gallery, label, are_all_counted)


def collapse(neighbors: Rows, gallery_group: NDArray[np.str_]) -> Rows:
    """Keep the first neighbor of each group and close the gaps: (Q, K) -> (Q, K), filled with -1.

    Known as panorama NMS: Tokyo 24/7 counts the 12 cut-outs of a panorama as one answer.
    """
    label = np.unique(gallery_group, return_inverse=True)[1]
    kept = np.full_like(neighbors, -1)
    for row, found in enumerate(neighbors):
        found = found[found >= 0]
        _, first = np.unique(label[found], return_index=True)
        kept[row, : len(first)] = found[np.sort(first)]
    return kept


def _right_groups(positives: Positives, gallery_group: NDArray[np.str_]) -> tuple[Floats, int]:
    """For each query the number of right groups, a share of a group as that share; and all groups."""
    _, label, size = np.unique(gallery_group, return_inverse=True, return_counts=True)
    shares = 1.0 / size[label[positives.reference]]
    n_right: Floats = np.bincount(positives.query, shares, minlength=positives.n_queries).astype(np.float64)
    return n_right, len(size)


def chance_recall(n_right: Floats, n_gallery: int, n: int) -> Floats:
    """Probability that a random ranking has a right photo among its first n: (Q,) -> (Q,).

    1 - C(M - p, n) / C(M, n) for p right among M. With collapsed groups it is exact where groups are
    equally large and right as a whole, as panoramas are; shares of groups are interpolated.
    """
    n = min(n, n_gallery)
    wrong = n_gallery - n_right
    possible = wrong - n > -1.0  # so many wrong ones that all n may be
    wrong = np.where(possible, wrong, float(n))
    all_wrong = gammaln(wrong + 1.0) - gammaln(wrong - n + 1.0)
    log_miss = all_wrong - (gammaln(n_gallery + 1.0) - gammaln(n_gallery - n + 1.0))
    return np.where(possible, 1.0 - np.exp(np.minimum(log_miss, 0.0)), 1.0)


def interval_of(values: Floats, place: NDArray[np.intp], *, seed: int = 0) -> Interval:
    """95 % interval of a mean of (Q,) values: Wilson's for shares of separate places, else a bootstrap."""
    if len(np.unique(place)) == len(place) and np.isin(values, (0.0, 1.0)).all():
        return wilson(float(values.sum()), len(values))
    means = resampled_means(values, place, seed=seed)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def wilson(n_hits: float, n: int, *, z: float = 1.959964) -> Interval:
    """Interval of a share (Wilson 1927): it stays in [0, 1], and has a width also at 0 and 1."""
    share, spread = n_hits / n, z * z / n
    middle = (share + spread / 2.0) / (1.0 + spread)
    half = z * np.sqrt(share * (1.0 - share) / n + spread / (4.0 * n)) / (1.0 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def resampled_means(values: Floats, place: NDArray[np.intp], *, seed: int = 0) -> Floats:
    """Means of (Q,) values over resampled places, (B,)."""
    weights = resampled_weights(place, seed=seed)
    means: Floats = weights @ values / weights.sum(axis=1)
    return means


def resampled_weights(place: NDArray[np.intp], *, seed: int = 0) -> Floats:
    """How often each query is drawn when places are drawn with replacement, (B, Q)."""
    _, label = np.unique(place, return_inverse=True)
    n_places = int(label.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(n_places, np.full(n_places, 1.0 / n_places), N_RESAMPLES)
    return drawn[:, label].astype(np.float64)


def error_m(neighbors: Rows, query_lonlat: Floats, gallery_lonlat: Floats) -> Floats:
    """Great-circle meters from each query to its first answer, (Q,); inf without an answer."""
    first = neighbors[:, 0]
    meters = great_circle_km(query_lonlat, gallery_lonlat[np.maximum(first, 0)]) * 1000.0
    return np.where(first >= 0, meters, np.inf)


def error_area(meters: Floats, *, limit_m: float = AREA_LIMIT_M) -> float:
    """Area under the curve of shares of queries within x meters, x from 0 to a limit, over the limit.

    1 where every error is 0, and 0 where none is below the limit.
    """
    return float(np.clip(1.0 - meters / limit_m, 0.0, 1.0).mean())
