"""How good answers are: errors in kilometers, GeoScore, and how much probabilities can be believed.

Radii are inclusive, an error of exactly 25 km is within 25 km (OSV-5M counts it out). GeoScore is
5000 · exp(-d / 1492.7), d in km, not rounded. Letters: n photos, C cells.
"""

import numpy as np
from numpy.typing import NDArray

from ..sphere import great_circle_km

RADII_KM = (1.0, 25.0, 200.0, 750.0, 2500.0)
GEOSCORE_KM = 1492.7
_Floats = NDArray[np.float64]


def place_figures(answer: _Floats, truth: _Floats) -> dict[str, float]:
    """Shares within the radii, median and mean error in km, mean GeoScore; (n, 2) and (n, 2) degrees."""
    error_km = great_circle_km(answer, truth)
    shares = {f"within_{radius:g}_km": float((error_km <= radius).mean()) for radius in RADII_KM}
    return shares | {
        "median_km": float(np.median(error_km)),
        "mean_km": float(error_km.mean()),
        "geoscore": float(geoscore(error_km).mean()),
    }


def geoscore(error_km: _Floats) -> _Floats:
    """5000 where there is no error, falling to 1839 at 1,492.7 km."""
    return np.asarray(5000.0 * np.exp(-error_km / GEOSCORE_KM))


def cell_figures(log_p: _Floats, cell: NDArray[np.intp]) -> dict[str, float]:
    """NLL of the cells that hold the photos (nats), share of right top cells, and its ECE.

    Args:
        log_p: log-probabilities, (n, C).
        cell: the cells that hold the photos, (n,).
    """
    top = log_p.argmax(axis=1)
    stated = np.exp(log_p[np.arange(len(cell)), top])
    return {
        "nll": -float(log_p[np.arange(len(cell)), cell].mean()),
        "cell_at_1": float((top == cell).mean()),
        "ece": calibration_error(stated, top == cell),
    }


def calibration_error(
    stated: _Floats, is_right: NDArray[np.bool_], *, weights: _Floats | None = None, n_bins: int = 15
) -> float:
    """Expected calibration error of stated probabilities, in [0, 1] (Naeini et al. 2015, Guo et al. 2017).

    The mean, over equal bins of [0, 1] and weighted by their photos, of how far the mean probability
    stated is from the share that was right.

    Args:
        stated: (n,).
        is_right: (n,).
        weights: how much each photo counts, (n,); by default all alike.
        n_bins: number of bins.
    """
    counts = np.ones(len(stated)) if weights is None else weights
    bins = np.minimum((stated * n_bins).astype(np.intp), n_bins - 1)
    gap = np.bincount(bins, counts * (stated - is_right), n_bins)
    return float(np.abs(gap).sum() / counts.sum())


def top_cells(log_p: _Floats, center_lonlat: _Floats) -> _Floats:
    """Center of the likeliest cell, (n, C) -> (n, 2) degrees."""
    center: _Floats = center_lonlat[log_p.argmax(axis=1)]
    return center


def best_expected(log_p: _Floats, center_lonlat: _Floats) -> _Floats:
    """The center with the largest expected GeoScore, were the truth at a center: (n, C) -> (n, 2) degrees.

    It avoids grave errors: three cells of one country with 0.2 each beat a lone one with 0.25.
    """
    score = geoscore(great_circle_km(center_lonlat[:, None], center_lonlat[None]))
    center: _Floats = center_lonlat[(np.exp(log_p) @ score).argmax(axis=1)]
    return center


def nearest_image(queries: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.intp]:
    """Row of the most similar known photo of each query, unit rows (n, D) and (N, D) -> (n,)."""
    step = max(1, (1 << 24) // max(len(known), 1))
    found = [np.argmax(queries[row : row + step] @ known.T, axis=1) for row in range(0, len(queries), step)]
    return np.concatenate([np.empty(0, dtype=np.intp), *found])
