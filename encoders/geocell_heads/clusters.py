"""Clusters of photos inside each geocell: places where several were taken, and photos apart.

OPTICS (Ankerst et al. 1999) on great-circle distances. Distances are not let below 10 m: many photos
share one coordinate, and ratios of zeros say nothing. Letters: n photos.
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from ..sphere import as_lonlat, great_circle_km

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]
LEAST_KM = 0.01
POSITIONS = 1000
"""Of a cell that are compared with each other; a cell with more takes every second, third, ... of them."""


def clusters_in(
    lonlat: _Floats, *, min_samples: int = 3, xi: float = 0.15
) -> tuple[_Numbers, NDArray[np.bool_]]:
    """Divide the photos of one cell: (n, 2) -> number of each photo's cluster (n,), and which are noise (n,).

    A photo in no cluster is one of its own, and noise. A cell with fewer photos than `min_samples` is one
    cluster. Photos at one coordinate always share a cluster. Numbers follow the order of the places, not
    of the photos.

    Args:
        lonlat: degrees.
        min_samples: photos that make a place dense, 2 or more; 3 as PIGEON's for Street View.
        xi: how steep the density must fall at a cluster's edge, in (0, 1).
    """
    places, inverse, count = np.unique(as_lonlat(lonlat), axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    if len(lonlat) < min_samples or len(places) == 1:
        return np.zeros(len(lonlat), dtype=np.intp), np.zeros(len(lonlat), dtype=np.bool_)
    label = _labels(places, count, min_samples, xi)
    alone = label < 0
    # A coordinate with photos enough is a place by itself.
    is_noise = alone & (count < min_samples)
    label[alone] = label.max(initial=-1) + 1 + np.arange(int(alone.sum()))
    number = np.unique(label, return_inverse=True)[1].reshape(-1)
    return number[inverse].astype(np.intp), is_noise[inverse]


def _labels(places: _Floats, count: _Numbers, min_samples: int, xi: float) -> _Numbers:
    """Clusters of distinct places, -1 for none. A place counts for its photos, up to `min_samples`."""
    from sklearn.cluster import OPTICS  # a second to import, for those alone who make prototypes

    every = -(-len(places) // POSITIONS)
    some = np.arange(0, len(places), every)
    repeated = np.repeat(some, np.minimum(count[some], min_samples))
    label = np.full(len(places), -1, dtype=np.intp)
    distance = np.maximum(great_circle_km(places[repeated, None], places[None, repeated]), LEAST_KM)
    np.fill_diagonal(distance, 0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of places equally far apart
        label[repeated] = OPTICS(min_samples=min_samples, xi=xi, metric="precomputed").fit(distance).labels_
    if every > 1:
        nearest = some[np.argmin(great_circle_km(places[:, None], places[None, some]), axis=1)]
        label = label[nearest]
    return label
