"""What is held out: whole sub-areas of each region, in turn, with a margin around them.

A random split asks of a street what its neighbor has told: the same block, the same landmark, the same day.
Here every region keeps some of its sub-areas to be asked about, and learns from others. Photos of one group
(a walk, a place) are never torn apart, so that sub-areas that share one are held out together.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ..sphere import chord_of_km, unit_vectors
from .material import RegionPhotos

_Rows = NDArray[np.intp]


def by_areas(photos: RegionPhotos, n_folds: int, *, seed: int) -> _Rows:
    """The fold that each photo is held out in, (N,): sub-areas whole, each region in as many as it can be.

    In random order, sub-areas go to the fold that has least of their region, then least of all.
    """
    joined = _joined(photos)
    size = np.bincount(photos.region, minlength=len(photos.names)).astype(np.float64)
    of_region = np.zeros((len(photos.names), n_folds))  # shares of the region's photos
    of_all = np.zeros(n_folds)
    fold = np.zeros(len(photos), dtype=np.intp)
    for part in np.random.default_rng([seed, 11]).permutation(joined.max() + 1):
        rows = np.flatnonzero(joined == part)
        share = np.bincount(photos.region[rows], minlength=len(size)) / size
        filled = of_region[share > 0.0].sum(axis=0)
        chosen = int(np.lexsort((of_all, np.round(filled, 9)))[0])
        of_region[:, chosen] += share
        of_all[chosen] += len(rows)
        fold[rows] = chosen
    return fold


def at_random(photos: RegionPhotos, n_folds: int, *, seed: int) -> _Rows:
    """The fold that each photo is held out in, (N,), were photos dealt like cards, region by region."""
    order = np.random.default_rng([seed, 12]).permutation(len(photos))
    fold = np.empty(len(photos), dtype=np.intp)
    for region in range(len(photos.names)):
        rows = order[photos.region[order] == region]
        fold[rows] = np.arange(len(rows)) % n_folds
    return fold


def near(photos: RegionPhotos, asked: NDArray[np.bool_], buffer_km: float) -> NDArray[np.bool_]:
    """Which photos lie within a distance of one that is asked about, those themselves included, (N,)."""
    found = asked.copy()
    if buffer_km > 0.0 and asked.any():
        points = unit_vectors(photos.lonlat)
        reach = float(chord_of_km(buffer_km))
        distance, _ = cKDTree(points[asked]).query(points, distance_upper_bound=reach * (1.0 + 1e-9))
        found |= np.isfinite(distance)
    return found


def _joined(photos: RegionPhotos) -> _Rows:
    """Number of what each photo is held out with, (N,): its sub-area, and all that share groups with it."""
    group = np.unique(photos.groups, return_inverse=True)[1].reshape(-1)
    n_areas = len(photos.area_names)
    n = n_areas + int(group.max()) + 1
    edges = coo_array((np.ones(len(photos)), (photos.area, n_areas + group)), shape=(n, n))
    part = connected_components(edges, directed=False)[1][photos.area]
    return np.unique(part, return_inverse=True)[1].reshape(-1).astype(np.intp)
