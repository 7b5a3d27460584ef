"""How well photos find their places: candidates ranked by a dual encoder, beside baselines.

The question of the hold-out: here is a photo of a region that was not seen in training; which of
the known places does it belong to? The answer is a known place, so the distance to the nearest of
them is a floor that no method can pass, and is reported.

Letters: Q held-out photos, N candidates, D embedding. Places are `lonlat` degrees (..., 2).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from .sphere import great_circle_km, km_of_chord, unit_vectors

RADII_KM = (25.0, 200.0, 750.0, 2500.0)
_Floats = NDArray[np.float64]
_CHUNK_NUMBERS = 1 << 25  # similarities at a time, 128 MiB


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def best_candidates(queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.intp]:
    """Row of the most similar candidate of each query: (Q, D) and (N, D) unit rows -> (Q,)."""
    found = [np.argmax(queries[rows] @ candidates.T, axis=1) for rows in _chunks(queries, candidates)]
    return np.concatenate([np.empty(0, dtype=np.intp), *found])


def rank_shares(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], truth: NDArray[np.intp]
) -> _Floats:
    """Share of the other candidates that rank above the true one: 0 is best, 0.5 is chance.

    Ties count half. It moves with every improvement, where a median error jumps, and needs no
    temperature: so it is what the epoch is chosen by.

    Args:
        queries: (Q, D) unit rows.
        candidates: (N, D) unit rows, N at least 2.
        truth: row of each query's own place among the candidates, (Q,).
    """
    shares = np.empty(len(queries))
    for rows in _chunks(queries, candidates):
        similarity = queries[rows] @ candidates.T
        own = np.take_along_axis(similarity, truth[rows, None], axis=1)
        above = (similarity > own).sum(axis=1) + 0.5 * ((similarity == own).sum(axis=1) - 1)
        shares[rows] = above / (len(candidates) - 1)
    return shares


def best_constant(lonlat: _Floats, *, n_most: int = 2000, seed: int = 0) -> _Floats:
    """The one place that, always answered, has the least median error over these: (N, 2) -> (2,)."""
    rng = np.random.default_rng(seed)
    some = lonlat[rng.permutation(len(lonlat))[:n_most]] if len(lonlat) > n_most else lonlat
    place: _Floats = some[np.median(great_circle_km(some[:, None], some[None]), axis=1).argmin()]
    return place


def nearest_known_km(lonlat: _Floats, known: _Floats) -> _Floats:
    """Distance from each place to the nearest known one, kilometers: (Q, 2) and (N, 2) -> (Q,)."""
    chord, _ = cKDTree(unit_vectors(known)).query(unit_vectors(lonlat))
    return km_of_chord(chord)


def random_errors_km(lonlat: _Floats, known: _Floats, *, n_draws: int = 50, seed: int = 0) -> _Floats:
    """Errors of answers drawn at random from the known places, kilometers: (Q, n_draws)."""
    drawn = known[np.random.default_rng(seed).integers(0, len(known), (len(lonlat), n_draws))]
    return great_circle_km(lonlat[:, None], drawn)


def figures(error_km: _Floats, region: NDArray[np.intp], *, n_resamples: int = 1000) -> dict[str, Figure]:
    """Median error and shares within `RADII_KM`, with bootstrap intervals over regions.

    Photos of one region share their luck, so whole regions are drawn.

    Args:
        error_km: of each held-out photo, (Q,) or, of a method that draws, (Q, n_draws).
        region: of each held-out photo, (Q,).
        n_resamples: of the bootstrap; its seed is fixed.
    """
    errors = error_km.reshape(len(error_km), -1)
    names = [f"within_{radius:g}_km" for radius in RADII_KM]

    def of(rows: NDArray[np.intp]) -> list[float]:
        chosen = errors[rows]
        return [float(np.median(chosen)), *(float((chosen <= radius).mean()) for radius in RADII_KM)]

    rng = np.random.default_rng(0)
    members = [np.flatnonzero(region == one) for one in np.unique(region)]
    resampled = np.array(
        [
            of(np.concatenate([members[one] for one in rng.integers(0, len(members), len(members))]))
            for _ in range(n_resamples)
        ]
    )
    low, high = np.percentile(resampled, [2.5, 97.5], axis=0).tolist()
    values = of(np.arange(len(errors)))
    return {
        name: Figure(value, low[column], high[column])
        for column, (name, value) in enumerate(zip(["median_km", *names], values, strict=True))
    }


def _chunks(queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> Iterator[slice]:
    size = max(1, _CHUNK_NUMBERS // max(1, len(candidates)))
    return (slice(start, start + size) for start in range(0, len(queries), size))
