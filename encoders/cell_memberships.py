"""Places as shares of geocells: what makes a classifier of cells of a bilinear head.

    y_i(x) = softmax_i −H(g_i, x) / τ

with H the great-circle distance, g_i the cells' centers. A `location_head` over these numbers scores a
place by Σ_i logit_i(photo) y_i(place): the expected logit under the haversine-smoothed label of the place
(Haas et al. 2024, eq. 2, normalized), which is a linear softmax classifier of geocells trained on such
labels, with the prior of the places taken out. Letters: N photos, n places, C cells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from .geocells import Geocells
from .sphere import EARTH_RADIUS_KM, km_of_chord, unit_vectors

MAX_CELLS = 1000
_SPACINGS = 2.0
_LEAST_TAU_KM = 5.0


@dataclass(frozen=True, eq=False)
class CellMemberships:
    """Shares of C cells.

    Attributes:
        centers: of the cells, unit vectors, (C, 3).
        tau_km: τ.
    """

    centers: NDArray[np.float64]
    tau_km: float

    @classmethod
    def of_photos(cls, cells: Geocells, lonlat: ArrayLike) -> "CellMemberships":
        """The cells that hold photos, (N, 2) degrees; of very many those that hold the most.

        τ is twice the usual distance to the next center. On 1,700 photos with weak features that told
        more than half of it, which is enough where photos name their cell (`geocell_targets`).
        """
        held, counts = np.unique(cells.assign(lonlat), return_counts=True)
        kept = np.sort(held[np.argsort(-counts, kind="stable")[:MAX_CELLS]])
        centers = unit_vectors(cells.center_lonlat[kept])
        if len(centers) == 1:
            return cls(centers, _LEAST_TAU_KM)
        apart_km = km_of_chord(cKDTree(centers).query(centers, k=2)[0][:, 1])
        return cls(centers, max(_SPACINGS * float(np.median(apart_km)), _LEAST_TAU_KM))

    def encode(self, lonlat: ArrayLike) -> NDArray[np.float32]:
        """Shares that add up to 1: (n, 2) degrees -> (n, C)."""
        cosine = np.clip(unit_vectors(np.asarray(lonlat, dtype=np.float64)) @ self.centers.T, -1.0, 1.0)
        logit = (-EARTH_RADIUS_KM / self.tau_km * np.arccos(cosine)).astype(np.float32)
        share: NDArray[np.float32] = np.exp(logit - logit.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        return share
