"""Photos of known place with neighbors that cannot know them: what models are fitted and judged on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.areas import Circle
from ..encoders.errors import InvalidFilter
from .filters import Filter
from .gallery import Gallery
from .neighbors import Neighborhood

K = 200  # neighbors that the geolocation looks at
KIN_COLUMNS = ("author", "user", "owner", "photographer", "sequence", "sequence_id", "drive")
"""Columns that say who took a photo, or on which drive."""

_ROUNDING = 1e-6  # of similarities, which the store reckons in float32


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Photos, each with its nearest neighbors of other groups, most similar first.

    Attributes:
        lonlat: the photos' places, (Q, 2).
        group: label of each photo, Q of them.
        similarity: (Q, K), -inf where fewer than K are left.
        neighbor_lonlat: places of the neighbors, (Q, K, 2).
        embedding: of the photos, (Q, D); None where nothing but their neighbors is asked about.
        n_copies: photos of other groups hidden from each for being more similar than
            `exclude_similarity`, (Q,); None where none are.
        exclude_similarity: see `n_copies`.
        is_kin: whether the nearest neighbor, though of another group, is by the same author or of the
            same sequence, (Q,); None where that is not known.
    """

    lonlat: NDArray[np.float64]
    group: NDArray[np.str_]
    similarity: NDArray[np.float64]
    neighbor_lonlat: NDArray[np.float64]
    embedding: NDArray[np.float32] | None = None
    n_copies: NDArray[np.intp] | None = None
    exclude_similarity: float | None = None
    is_kin: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.lonlat)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "HeldOut":
        """Some of the photos, by index or by mask."""
        return HeldOut(
            self.lonlat[rows], self.group[rows], self.similarity[rows], self.neighbor_lonlat[rows],
            None if self.embedding is None else self.embedding[rows],
            None if self.n_copies is None else self.n_copies[rows],
            self.exclude_similarity,
            None if self.is_kin is None else self.is_kin[rows],
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
    exclude_similarity: float | None = None,
    told: Sequence[Mapping[str, Any]] | None = None,
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
        exclude_similarity: leave out photos more similar than this, whatever their group.
        told: what else is known of the photos, by which authors and sequences are compared.
        progress: called with the photos done and their number.

    Raises:
        InvalidFilter: no cosine is `exclude_similarity`.
    """
    hidden = (
        Filter(
            exclude_groups=frozenset({group}),
            exclude_ids=frozenset({ids[row]} if ids else ()),
            exclude_within=Circle(float(place[0]), float(place[1]), exclude_km) if exclude_km > 0 else None,
        )
        for row, (place, group) in enumerate(zip(lonlat, groups, strict=True))
    )
    return asked_with(
        gallery, embeddings, lonlat, groups, hidden,
        k=k, exclude_similarity=exclude_similarity, told=told, progress=progress,
    )  # fmt: skip


def asked_with(
    gallery: Gallery,
    embeddings: NDArray[np.float32],
    lonlat: NDArray[np.float64],
    groups: Sequence[str],
    hidden: Iterable[Filter],
    *,
    k: int,
    exclude_similarity: float | None = None,
    told: Sequence[Mapping[str, Any]] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOut:
    """Ask the gallery for the neighbors of photos, each with its own filter; see `held_out`.

    Raises:
        InvalidFilter: no cosine is `exclude_similarity`.
    """
    if exclude_similarity is not None and not -1.0 <= exclude_similarity <= 1.0:
        raise InvalidFilter(f"--exclude-similarity {exclude_similarity:g}: a cosine, such as 0.98")
    similarity = np.full((len(lonlat), k), -np.inf)
    places = np.zeros((len(lonlat), k, 2))
    n_copies, is_kin = np.zeros(len(lonlat), np.intp), np.zeros(len(lonlat), bool)
    for row, (embedding, filter) in enumerate(zip(embeddings, hidden, strict=True)):
        near, n_copies[row] = _near_but_copies(gallery, embedding, k, filter, exclude_similarity)
        similarity[row, : len(near.similarity)] = near.similarity
        places[row, : len(near.lonlat)] = near.lonlat
        is_kin[row] = told is not None and bool(near.photos) and are_kin(told[row], near.photos[0].payload)
        progress(row + 1, len(lonlat))
    return HeldOut(
        lonlat, np.array(groups, dtype=str), similarity, places, np.asarray(embeddings, np.float32),
        None if exclude_similarity is None else n_copies, exclude_similarity,
        None if told is None else is_kin,
    )  # fmt: skip


def _near_but_copies(
    gallery: Gallery, embedding: NDArray[np.float32], k: int, filter: Filter, limit: float | None
) -> tuple[Neighborhood, int]:
    """The k nearest photos that are no more similar than a limit, and how many are."""
    n_asked, n_copies = k, 0
    while True:
        near = gallery.locate_neighbors(embedding, n_asked, filter=filter)
        if limit is not None:
            n_copies = int(np.sum(near.similarity > limit + _ROUNDING))
        if len(near.similarity) < n_asked or n_asked - n_copies >= k:
            kept = slice(n_copies, n_copies + k)
            return Neighborhood(near.similarity[kept], near.lonlat[kept], near.photos[kept]), n_copies
        # Copies come first: unless all are, there are no more, and the next answer is the last.
        n_asked = k + n_copies if n_copies < n_asked else 2 * n_asked


def are_kin(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two photos are by the same author or of the same sequence, as far as columns say."""
    return any(one.get(name) not in (None, "") and one[name] == other.get(name) for name in KIN_COLUMNS)


def held_out_from(
    gallery: Gallery,
    *,
    n_photos: int = 2000,
    k: int = K,
    exclude_km: float = 0.0,
    exclude_similarity: float | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOut:
    """A sample of the gallery's own placed photos, held out from it; see `held_out`."""
    photos, lonlat = gallery.placed()
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(photos), min(n_photos, len(photos)), replace=False))
    ids = [photos[row].id for row in chosen]
    groups = [photos[row].group or photos[row].id for row in chosen]
    return held_out(
        gallery, gallery.embeddings(ids), lonlat[chosen], groups,
        ids=ids, k=k, exclude_km=exclude_km, exclude_similarity=exclude_similarity,
        told=[photos[row].payload for row in chosen], progress=progress,
    )  # fmt: skip
