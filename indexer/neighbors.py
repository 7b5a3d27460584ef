"""What a search of the gallery answers: its neighbors, one by one or as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .photos import Photo


@dataclass(frozen=True, kw_only=True)
class Neighbor:
    """One answer of a search."""

    photo: Photo
    similarity: float  # cosine; higher is nearer; 0 where nothing was compared


@dataclass(frozen=True)
class Neighborhood:
    """The placed neighbors of one query, most similar first, as arrays."""

    similarity: NDArray[np.float64]  # (K,)
    lonlat: NDArray[np.float64]  # (K, 2)
    photos: list[Photo]

    @classmethod
    def of(cls, neighbors: Sequence[Neighbor]) -> "Neighborhood":
        """Neighbors, all of known place, as arrays."""
        places = [[neighbor.photo.lon, neighbor.photo.lat] for neighbor in neighbors]
        return cls(
            np.array([neighbor.similarity for neighbor in neighbors]),
            np.array(places).reshape(-1, 2),
            [neighbor.photo for neighbor in neighbors],
        )
