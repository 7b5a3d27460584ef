"""Photos of made-up regions, for tests of learning them."""

import numpy as np
from numpy.typing import NDArray

from placeprint.encoders.region_learning.material import RegionPhotos
from placeprint.encoders.region_learning.settings import RegionRun
from placeprint.encoders.sphere import destination

R, AREAS, PER_AREA, D = 3, 6, 8, 12
RUN = RegionRun(crops=0, decays=(3.0, 0.3, 0.03), buffer_km=0.0, seed=3)


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def made(*, own_look: float = 0.6, seed: int = 0) -> RegionPhotos:
    """Regions with a look of their own, whose sub-areas have a stronger one, 30 km apart."""
    rng = np.random.default_rng(seed)
    region = np.repeat(np.arange(R), AREAS * PER_AREA)
    area = np.tile(np.repeat(np.arange(AREAS), PER_AREA), R)
    looks = own_look * rng.normal(size=(R, D))[region]
    looks += rng.normal(size=(R, AREAS, D))[region, area] + 0.3 * rng.normal(size=(len(region), D))
    place = np.array([178.0, -40.0]) + np.stack([region * 1.5, area * 0.3], axis=1)
    place[:, 0] = (place[:, 0] + 180.0) % 360.0 - 180.0
    place = destination(place, rng.uniform(0.0, 360.0, len(place)), rng.uniform(0.0, 1.0, len(place)))
    n = len(region)
    return RegionPhotos.of(
        tuple(f"p{row:03d}" for row in range(n)),
        unit(looks),
        place,
        np.array([f"p{row:03d}" for row in range(n)]),
        [f"region {one}" for one in region],
        [f"area {one}" for one in area],
        "an encoder",
    )
