"""An encoder of places whose embeddings say where they are, and tables to try it on."""

import hashlib

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from placeprint.encoders.sphere import as_lonlat, uniform_on_sphere, unit_vectors


class GlobeEncoder:
    """Embeds a place as its unit vector, `size` times over; counts the rows it was asked for."""

    def __init__(self, size: float = 1.0, *, repeats: int = 1) -> None:
        self.name = "globe"
        self.size = size
        self.dimension = 3 * repeats
        self.n_rows = 0
        self.longest_call = 0

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.size} {self.dimension}".encode()).hexdigest()[:16]

    def encode(self, lonlat: ArrayLike, *, batch_size: int = 8192) -> NDArray[np.float32]:
        places = as_lonlat(lonlat)
        self.n_rows += len(places)
        self.longest_call = max(self.longest_call, len(places))
        vectors = (self.size * unit_vectors(places)).astype(np.float32)
        return np.tile(vectors, (1, self.dimension // 3))


def table_of_places(n: int, *, seed: int = 0) -> pd.DataFrame:
    """Rows with an id, coordinates uniform on the sphere, and a country that may be NA."""
    rng = np.random.default_rng(seed)
    lonlat = uniform_on_sphere(n, rng).round(5)
    return pd.DataFrame(
        {
            "id": [f"{number:07d}" for number in range(n)],
            "country": rng.choice(["NA", "JP", "", 'Côte "d\'Or", FR'], n),
            "lon": lonlat[:, 0],
            "lat": lonlat[:, 1],
            "rooms": rng.integers(1, 9, n),
        }
    )
