"""Photos of known place with neighbors that cannot know them: what models are fitted and judged on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoders.areas import Circle
from .filters import Filter
from .gallery import Gallery

K = 200  # neighbors that the geolocation looks at


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Photos, each with its nearest neighbors of other groups, most similar first.

    Attributes:
        lonlat: the photos' places, (Q, 2).
        group: label of each photo, Q of them.
        similarity: (Q, K), -inf where fewer than K are left.
        neighbor_lonlat: places of the neighbors, (Q, K, 2).
        embedding: of the photos, (Q, D); None where nothing but their neighbors is asked about.
    """

    lonlat: NDArray[np.float64]
    group: NDArray[np.str_]
    similarity: NDArray[np.float64]
    neighbor_lonlat: NDArray[np.float64]
    embedding: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.lonlat)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "HeldOut":
        """Some of the photos, by index or by mask."""
        return HeldOut(
            self.lonlat[rows], self.group[rows], self.similarity[rows], self.neighbor_lonlat[rows],
            None if self.embedding is None else self.embedding[rows],
        )  # fmt: skip


def held_out(
    gallery: Gallery,
    embeddings: NDArray[np.float32],
    lonlat: NDArray[np.float64],
    groups: Sequence[str],
    *,
    ids: Sequence[str] | None = None,
    k: int = K,
    exclude_km: float = 0.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOut:
    """Ask the gallery for the neighbors of photos, without the photos themselves and their groups.

    Args:
        gallery: which photos may be neighbors.
        embeddings: (Q, D), unit length.
        lonlat: (Q, 2).
        groups: label of each photo, as in the gallery.
        ids: of the photos where they are in the gallery.
        k: neighbors at most.
        exclude_km: leave out photos nearer than this, whatever their group.
        progress: called with the photos done and their number.
    """
    similarity = np.full((len(lonlat), k), -np.inf)
    places = np.zeros((len(lonlat), k, 2))
    for row, (embedding, place, group) in enumerate(zip(embeddings, lonlat, groups, strict=True)):
        hidden = Filter(
            exclude_groups=frozenset({group}),
            exclude_ids=frozenset({ids[row]} if ids else ()),
            exclude_within=Circle(float(place[0]), float(place[1]), exclude_km) if exclude_km > 0 else None,
        )
        near = gallery.locate_neighbors(embedding, k, filter=hidden)
        similarity[row, : len(near.similarity)] = near.similarity
        places[row, : len(near.lonlat)] = near.lonlat
        progress(row + 1, len(lonlat))
    return HeldOut(
        lonlat, np.array(groups, dtype=str), similarity, places, np.asarray(embeddings, np.float32)
    )


def held_out_from(
    gallery: Gallery,
    *,
    n_photos: int = 2000,
    k: int = K,
    exclude_km: float = 0.0,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOut:
    """A sample of the gallery's own placed photos, held out from it."""
    photos, lonlat = gallery.placed()
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(photos), min(n_photos, len(photos)), replace=False))
    ids = [photos[row].id for row in chosen]
    groups = [photos[row].group or photos[row].id for row in chosen]
    embeddings = gallery.embeddings(ids)
    return held_out(
        gallery, embeddings, lonlat[chosen], groups, ids=ids, k=k, exclude_km=exclude_km, progress=progress
    )
