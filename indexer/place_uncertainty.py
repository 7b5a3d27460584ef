"""How sure a place recognizer may be of an answer, and what heeding it buys.

Signs of doubt, higher where an answer is less to be trusted:

- `distance`: Euclidean distance of the query's embedding to the best one, √(2 - 2 s). Zaffar, Nan and Kooij
  (2024, arXiv:2404.00546) find that it beats learned uncertainties: the baseline.
- `ratio`: the best distance over the second best.
- `spread`: how far apart the first K answers lie on the ground: root of the weighted variance of their
  positions, after the idea of the same paper (SUE). Weights fall off with the embeddings' distance; at
  which rate is set without the truth (`fall_off`), where the paper tunes a slope.

They are judged by risk–coverage curves (El-Yaniv and Wiener 2010): queries are answered from the surest
on, and the risk is the share of wrong answers among them. Letters: Q queries, K neighbors, B resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoders.sphere import EARTH_RADIUS_KM, unit_vectors
from .place_recall import Interval, Rows, resampled_weights
from .surface import Floats

SPREAD_OVER = 10
"""How many answers the spread looks at."""
_NUMBERS_AT_ONCE = 1 << 21
_TIMES = 100.0  # how much more the best answer weighs than the Kth, in the geometric mean over queries


def distance_of(similarity: Floats) -> Floats:
    """Euclidean distance of unit vectors with a cosine; 2 where the cosine is -inf, for no neighbor."""
    return np.sqrt(np.clip(2.0 - 2.0 * np.maximum(similarity, -1.0), 0.0, None))


def best_distance(similarity: Floats) -> Floats:
    """Distance to the best match: cosines (Q, K), highest first -> (Q,)."""
    return distance_of(similarity[:, 0])


def distance_ratio(similarity: Floats) -> Floats:
    """Distance to the best match over that to the second, in [0, 1]: (Q, K) -> (Q,); 1 for a tie at 0."""
    if similarity.shape[1] < 2:
        return np.ones(len(similarity))
    first, second = distance_of(similarity[:, :2]).T
    ratio: Floats = np.divide(first, second, out=np.ones_like(first), where=second > 0.0)
    return ratio


def ground_positions(lonlat: Floats) -> Floats:
    """Places as points in space, meters, (..., 2) -> (..., 3): means need no map, nor a meridian."""
    return EARTH_RADIUS_KM * 1000.0 * unit_vectors(lonlat)


def fall_off(similarity: Floats) -> float:
    """By how much the distance must grow for a weight to fall by e, from (Q, K) cosines alone.

    So that over the queries the best answer weighs 100 times the last, in the geometric mean.
    """
    if similarity.shape[1] < 2:
        return 1.0
    distance = distance_of(similarity)
    gap = float((distance[:, -1] - distance[:, 0]).mean())
    return gap / np.log(_TIMES) if gap > 0.0 else 1.0


def spatial_spread(
    similarity: Floats, neighbors: Rows, positions: Floats, *, scale: float | None = None
) -> Floats:
    """Root of the weighted variance of the answers' positions, (Q,), in the unit of the positions.

    Args:
        similarity: cosines, highest first, (Q, K).
        neighbors: rows of `positions`, -1 for none, which then weighs nothing, (Q, K).
        positions: of the gallery's photos, (N, d): `ground_positions`, or frame numbers with d = 1.
        scale: what `fall_off` gives; by default of these cosines.
    """
    scale = fall_off(similarity) if scale is None else scale
    distance = distance_of(similarity)
    weights = np.exp((distance[:, :1] - distance) / scale) * (neighbors >= 0)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    where = positions[np.maximum(neighbors, 0)]  # (Q, K, d)
    mean = np.einsum("qk,qkd->qd", weights, where)
    squares = ((where - mean[:, None]) ** 2).sum(axis=2)
    variance: Floats = np.einsum("qk,qk->q", weights, squares)
    return np.sqrt(variance)


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """A risk–coverage curve and its area.

    Attributes:
        coverage: share of queries answered, rising to 1.
        risk: share of wrong ones among them.
        area: mean risk over all coverages (AURC); that of a random order is the error rate.
        interval: 95 % bootstrap interval of the area, over places.
    """

    coverage: Floats
    risk: Floats
    area: float
    interval: Interval


def risk_coverage(
    doubt: Floats, wrong: NDArray[np.bool_], *, place: NDArray[np.intp] | None = None, seed: int = 0
) -> RiskCoverage:
    """The curve of answering from the least doubt on; equal doubts are answered together.

    Args:
        doubt: higher is less sure, (Q,).
        wrong: whether the first answer is, (Q,).
        place: label of what is resampled together, (Q,); each query its own by default.
        seed: of the bootstrap.
    """
    order = np.argsort(doubt, kind="stable")
    last = np.append(np.diff(doubt[order]) != 0.0, True)
    place = np.arange(len(doubt)) if place is None else place
    coverage, risk, area = _curve(np.ones((1, len(doubt))), wrong[order], last)
    drawn = resampled_weights(place, seed=seed)[:, order]
    parts = np.array_split(drawn, max(1, drawn.size // _NUMBERS_AT_ONCE))
    areas = np.concatenate([_curve(part, wrong[order], last)[2] for part in parts])
    low, high = np.quantile(areas, (0.025, 0.975))
    return RiskCoverage(coverage[0], risk[0], float(area[0]), (float(low), float(high)))


def _curve(
    weights: Floats, wrong: NDArray[np.bool_], last: NDArray[np.bool_]
) -> tuple[Floats, Floats, Floats]:
    """Coverage and risk at each doubt, both (b, at most Q), and the area, (b,); the surest query first.

    Args:
        weights: how often each query counts, (b, Q).
        wrong: (Q,).
        last: whether the next query's doubt is another, (Q,).
    """
    answered = np.cumsum(weights, axis=1)[:, last]
    failed = np.cumsum(weights * wrong, axis=1)[:, last]
    coverage = answered / answered[:, -1:]
    risk = np.divide(failed, answered, out=np.zeros_like(failed), where=answered > 0.0)
    return coverage, risk, (risk * np.diff(coverage, axis=1, prepend=0.0)).sum(axis=1)


def least_area(n_wrong: int, n: int) -> float:
    """Area of the best order there could be, all right answers first: the floor of every AURC."""
    n_right = n - n_wrong
    return float((np.arange(1, n_wrong + 1) / np.arange(n_right + 1, n + 1)).sum() / n)
