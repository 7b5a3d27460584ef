"""A partition by nearest centers, quick to make, and photos that say where they were taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from placeprint.encoders.sphere import as_lonlat, great_circle_km, unit_vectors

Floats = NDArray[np.float64]


@dataclass
class NearestCells:
    """Each point belongs to the nearest center."""

    center_lonlat: Floats
    country: NDArray[np.object_]
    admin1: NDArray[np.object_]
    rms_km: Floats
    p95_km: Floats
    cells_id: str = "cells-of-a-test"

    @property
    def admin1_shares(self) -> Sequence[Mapping[str, float]]:
        return [{str(name): 1.0} for name in self.admin1]

    def __len__(self) -> int:
        return len(self.center_lonlat)

    def assign(self, lonlat: ArrayLike) -> NDArray[np.intp]:
        points = as_lonlat(lonlat).reshape(-1, 2)
        return np.argmin(great_circle_km(points[:, None], self.center_lonlat[None]), axis=1)


def cells_at(
    centers: ArrayLike, *, radius_km: float = 500.0, cells_id: str = "cells-of-a-test"
) -> NearestCells:
    """Cells around centers; the first half lies in AA, the rest in BB, two cells to an admin-1."""
    center = as_lonlat(centers)
    n = len(center)
    country = np.array(["AA" if row < (n + 1) // 2 else "BB" for row in range(n)], dtype=object)
    admin1 = np.array([f"region {row // 2}" for row in range(n)], dtype=object)
    spread = np.full(n, radius_km)
    return NearestCells(center, country, admin1, spread / 2.0, spread, cells_id)


def photos_at(
    lonlat: Floats, *, dimension: int = 16, noise: float = 0.1, seed: int = 0
) -> NDArray[np.float32]:
    """Unit embeddings (n, D) that are a smooth function of the place, and noise."""
    mixing = np.random.default_rng(99).normal(size=(3, dimension))
    waves = np.sin(3.0 * unit_vectors(lonlat) @ mixing)
    shown = waves + noise * np.random.default_rng(seed).normal(size=waves.shape)
    return (shown / np.linalg.norm(shown, axis=1, keepdims=True)).astype(np.float32)
