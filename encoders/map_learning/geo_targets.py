"""Labels of places, and the scales that are fitted to those of training alone.

Letters: N places, K density bins, G geocells. NaN stands for a missing label.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from ..errors import MissingLabels
from ..sphere import unit_vectors

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlaceLabels:
    """What is known of N places beside the map.

    Attributes:
        price: of land, any currency per any area, the same for all, (N,); NaN where unknown.
        density: people per km², (N,); NaN where unknown.
        notes: what was left out and why, for the report.
    """

    price: _Floats
    density: _Floats
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check units as far as numbers tell.

        Raises:
            MissingLabels: lengths differ, or a label is negative or infinite.
        """
        if self.price.shape != self.density.shape:
            raise MissingLabels(f"{self.price.shape} prices and {self.density.shape} densities: one a place")
        for name, values in (("price", self.price), ("density", self.density)):
            bad = np.flatnonzero(np.isinf(values) | (values < 0.0))
            if len(bad):
                raise MissingLabels(
                    f"{name} {values[bad[0]]:g} of place {bad[0]} ({len(bad)} such): labels are 0 or more, "
                    "and NaN where unknown; is it a logarithm, or a no-data value?"
                )

    @classmethod
    def none(cls, n: int) -> "PlaceLabels":
        """N places of which nothing is known."""
        return cls(np.full(n, np.nan), np.full(n, np.nan))

    def take(self, rows: NDArray[np.intp]) -> "PlaceLabels":
        """The labels of some rows."""
        return PlaceLabels(self.price[rows], self.density[rows], self.notes)

    @property
    def coverage(self) -> dict[str, Any]:
        """How many places have each label."""
        return {
            name: {"labeled": int((~np.isnan(values)).sum()), "places": len(values)}
            for name, values in (("price", self.price), ("density", self.density))
        }


@dataclass(frozen=True)
class GeoScales:
    """Everything that heads take from training labels, fitted once.

    Attributes:
        price_mean: of log(1 + price).
        price_scale: standard deviation of the same, above 0.
        density_edges: between bins of log(1 + people per km²), (K - 1,), rising.
        density_centers: medians of the bins, (K,).
        center: mean unit vector of the places, (3,).
        spread: mean 1 - cosine of the places to their mean direction, above 0.
        geocell_centers: unit vectors, (G, 3).
    """

    price_mean: float
    price_scale: float
    density_edges: _Floats
    density_centers: _Floats
    center: _Floats
    spread: float
    geocell_centers: _Floats

    @classmethod
    def fit(
        cls, lonlat: _Floats, labels: PlaceLabels, *, n_density_bins: int, n_geocells: int, seed: int
    ) -> "GeoScales":
        """Fit to training places, (N, 2) degrees, and their labels.

        Bins hold about as many places each. Geocells are k-means clusters of the places themselves,
        which suit a town as well as the world; the world's cells would put a town into one.
        """
        price = np.log1p(labels.price[~np.isnan(labels.price)])
        scale = float(price.std()) if len(price) > 1 else 1.0
        density = np.log1p(labels.density[~np.isnan(labels.density)])
        edges, centers = _bins(density, n_density_bins)
        vectors = unit_vectors(lonlat)
        center = vectors.mean(axis=0)
        spread = 1.0 - float(np.linalg.norm(center))
        n = min(n_geocells, len(np.unique(vectors, axis=0)))
        cells = KMeans(n, n_init=1, random_state=seed).fit(vectors).cluster_centers_
        return cls(
            float(price.mean()) if len(price) else 0.0,
            scale if scale > 1e-6 else 1.0,  # equal prices differ by rounding
            edges,
            centers,
            center,
            max(spread, 1e-15),
            cells / np.linalg.norm(cells, axis=1, keepdims=True).clip(1e-12),
        )


def _bins(values: _Floats, n: int) -> tuple[_Floats, _Floats]:
    """Edges (n - 1,) and centers (n,); evenly spaced on [0, log 10^5] where no value is known."""
    if not len(values):
        step = np.log(1e5) / n
        return step * np.arange(1, n), step * (np.arange(n) + 0.5)
    edges = np.quantile(values, np.arange(1, n) / n)
    # Many equal densities, as at sea, would put edges on top of each other.
    edges = np.maximum.accumulate(edges + 1e-9 * np.arange(n - 1))
    bins = np.searchsorted(edges, values, side="left")
    bounds = np.concatenate([[values.min()], edges, [values.max()]])
    middle = (bounds[:-1] + bounds[1:]) / 2.0
    counts = np.bincount(bins, minlength=n)
    centers = np.array([np.median(values[bins == one]) if counts[one] else middle[one] for one in range(n)])
    return edges, centers
