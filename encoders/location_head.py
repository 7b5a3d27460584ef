"""What a photo says about places, through what is known of the places: a bilinear head.

    score(photo, place) = aᵀ W b  ≈  log p(place | photo) / p(place), up to a term of the photo alone

a is the photo's embedding and b the place's location embedding, both on their principal axes; only W
is learned, from photos of known place against places drawn from the prior. That is the contrastive
objective of CSP (Mai et al. 2023, eq. 3) and of GeoCLIP with both encoders frozen and the prior's
places as negatives, or a conditional logit (McFadden 1974) over the Earth. In W the objective is
convex: there is one optimum, no seed and no learning rate.

A classifier of geocells has to see photos of every cell. This one has not: that a photo shows a
desert speaks for all deserts, since their embeddings are alike, also for those without a photo.

Letters: n photos, m places, C contrast places, D image numbers, E location numbers, k and p axes kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import TooFewPairs

_Matrix = NDArray[np.float32]

PENALTIES = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
"""Tried from the strongest on; on some 1,500 photos with weak features 3e-4 predicts others best."""

_N_IMAGE, _N_PLACE = 256, 128
_FLATTEN = 0.1  # exponent by which the spectrum of location embeddings is made flatter


@dataclass(frozen=True, eq=False)
class Axes:
    """Principal axes of some vectors, scaled so that the vectors' mean square length is 1.

    Attributes:
        mean: (D,).
        basis: scaled axes in columns, (D, k).
    """

    mean: _Matrix
    basis: _Matrix

    @classmethod
    def of(cls, vectors: ArrayLike, n_axes: int, *, flatten: float = 0.0) -> Axes:
        """Fit to vectors, (n, D); with `flatten` an axis is divided by its spread to that power."""
        rows = np.asarray(vectors, dtype=np.float64)
        mean = rows.mean(axis=0)
        variances, axes = np.linalg.eigh((rows - mean).T @ (rows - mean) / len(rows))
        kept = slice(None, -min(n_axes, len(rows) - 1, rows.shape[1]) - 1, -1)
        spread = np.sqrt(np.maximum(variances[kept], 1e-12))
        scale = (spread / spread[0]) ** -flatten
        scale /= max(float(np.linalg.norm(spread * scale)), 1e-12)
        return cls(mean.astype(np.float32), (axes[:, kept] * scale).astype(np.float32))

    def __call__(self, vectors: ArrayLike) -> _Matrix:
        """Coordinates on the axes: (n, D) -> (n, k)."""
        rows: _Matrix = np.asarray(vectors, dtype=np.float32)
        coordinates: _Matrix = np.matmul(rows - self.mean, self.basis, dtype=np.float32)
        return coordinates


@dataclass(frozen=True, eq=False)
class LocationHead:
    """The fitted head.

    Attributes:
        image: axes of the image embeddings.
        place: axes of the location embeddings.
        weight: W, (k, p).
        penalty: with which W was fitted.
    """

    image: Axes
    place: Axes
    weight: _Matrix
    penalty: float

    def queries(self, embeddings: ArrayLike) -> _Matrix:
        """Image embeddings as directions among the places, aᵀ W: (n, D) -> (n, p)."""
        result: _Matrix = self.image(embeddings) @ self.weight
        return result

    def keys(self, place_embeddings: ArrayLike) -> _Matrix:
        """Location embeddings on their axes, b: (m, E) -> (m, p)."""
        return self.place(place_embeddings)

    def scores(self, embeddings: ArrayLike, place_embeddings: ArrayLike) -> _Matrix:
        """What each photo says about each place: (n, D), (m, E) -> (n, m)."""
        result: _Matrix = self.queries(embeddings) @ self.keys(place_embeddings).T
        return result


def fit_location_head(
    embeddings: ArrayLike,
    place_embeddings: ArrayLike,
    contrast: ArrayLike,
    *,
    penalty: float = 3e-4,
    start: LocationHead | None = None,
    n_steps: int = 80,
) -> LocationHead:
    """Maximize the mean log-likelihood of the photos' places among the contrast places.

    Args:
        embeddings: of the photos, (n, D).
        place_embeddings: of their places, (n, E).
        contrast: location embeddings of places drawn from the prior, (C, E).
        penalty: times the half square of W, taken from the mean log-likelihood.
        start: a head fitted to the same photos with another penalty, to go on from.
        n_steps: of L-BFGS.

    Raises:
        TooFewPairs: fewer than two photos or contrast places.
    """
    photos, places = np.asarray(embeddings, np.float32), np.asarray(place_embeddings, np.float32)
    others = np.asarray(contrast, np.float32)
    if len(photos) != len(places):
        raise ValueError(f"{len(photos)} photos and {len(places)} places; one place for each photo")
    if len(photos) < 2 or len(others) < 2:
        raise TooFewPairs(
            f"a location head needs two photos and two contrast places at least, not {len(photos)} "
            f"and {len(others)}"
        )
    if start is None:
        image, place = Axes.of(photos, _N_IMAGE), Axes.of(others, _N_PLACE, flatten=_FLATTEN)
        first = np.zeros((image.basis.shape[1], place.basis.shape[1]), np.float32)
    else:
        image, place, first = start.image, start.place, start.weight
    a, b, c = image(photos), place(places), place(others)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = flat.reshape(first.shape).astype(np.float32)
        query = a @ weight
        logits = query @ c.T
        peak = logits.max(axis=1, keepdims=True)
        share = np.exp(logits - peak)
        total = share.sum(axis=1, keepdims=True)
        share /= total
        held = peak[:, 0] + np.log(total[:, 0]) - (query * b).sum(axis=1)
        slope = a.T @ (share @ c - b) / len(a) + penalty * weight
        value = float(held.mean(dtype=np.float64)) + penalty / 2.0 * float((weight**2).sum())
        return value, slope.ravel().astype(np.float64)

    from scipy.optimize import minimize  # a service only asks heads

    best = minimize(
        loss, first.ravel().astype(np.float64), jac=True, method="L-BFGS-B", options={"maxiter": n_steps}
    )
    return LocationHead(image, place, best.x.reshape(first.shape).astype(np.float32), penalty)


def information_bits(scores: ArrayLike, contrast_scores: ArrayLike) -> NDArray[np.float64]:
    """What a head says about each photo's place beyond the prior, log₂ p(place | photo) / p(place).

    Args:
        scores: of each photo at its own place, (n,).
        contrast_scores: at places drawn from the prior, (n, C).
    """
    logits = np.asarray(contrast_scores, dtype=np.float64)
    peak = logits.max(axis=1, keepdims=True)
    normalizer = peak[:, 0] + np.log(np.exp(logits - peak).mean(axis=1))
    result: NDArray[np.float64] = (np.asarray(scores, dtype=np.float64) - normalizer) / np.log(2.0)
    return result


def fit_over_penalties(
    embeddings: ArrayLike,
    place_embeddings: ArrayLike,
    contrast: ArrayLike,
    folds: NDArray[np.intp],
    *,
    penalties: Sequence[float] = PENALTIES,
) -> tuple[LocationHead, list[LocationHead]]:
    """Choose the penalty by photos held out, then fit all photos.

    The penalties are gone through from the strongest on, each fit going on from the one before,
    until two in a row predict no better: there the optimum is behind.

    Args:
        embeddings: (n, D).
        place_embeddings: (n, E).
        contrast: (C, E).
        folds: fold of each photo, (n,), groups whole: 0, 1, ...
        penalties: to choose from.

    Returns:
        The head of all photos, and for each fold the head of the other folds' photos.
    """
    photos, places = np.asarray(embeddings, np.float32), np.asarray(place_embeddings, np.float32)
    others = np.asarray(contrast, np.float32)
    n_folds = int(folds.max()) + 1
    heads: list[LocationHead | None] = [None] * n_folds
    best, best_heads, n_worse = -np.inf, [], 0
    for penalty in sorted(penalties, reverse=True):
        bits = np.empty(len(photos))
        for fold in range(n_folds):
            asked, known = folds == fold, folds != fold
            head = fit_location_head(photos[known], places[known], others, penalty=penalty, start=heads[fold])
            heads[fold] = head
            own = (head.queries(photos[asked]) * head.keys(places[asked])).sum(axis=1)
            bits[asked] = information_bits(own, head.scores(photos[asked], others))
        if bits.mean() > best:
            best, n_worse = float(bits.mean()), 0
            best_heads = [head for head in heads if head is not None]
        elif (n_worse := n_worse + 1) == 2:
            break
    chosen = best_heads[0].penalty
    head = fit_location_head(photos, places, others, penalty=chosen, n_steps=200)
    return replace(head, penalty=chosen), best_heads
