"""Blocks of the map: a photo is judged as if nothing near it had ever been seen.

A block is a cell of so many degrees, as `encoders.probes.folds` counts them, so that figures by blocks
of 10° are told of the same blocks there and here. Meridians meet at the poles, where such cells are
slivers without width; so everything poleward of 84° is one block on either side, as UTM has it in
the north. The antimeridian is the edge of blocks like any other. K neighbors, Q photos, n points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.areas import Box
from ..encoders.errors import InvalidProbe
from ..encoders.probes.folds import block_cells
from ..encoders.sphere import as_lonlat, great_circle_km
from .filters import Filter
from .gallery import Gallery
from .held_out import HeldOut, K, asked_with

POLAR_LAT: Final = 84.0
_POLAR_BLOCK = 1_000_000_000  # no cell has this number; the south has it with a minus


def check_block_deg(degrees: float) -> None:
    """See that blocks of so many degrees divide the Earth.

    Raises:
        InvalidProbe: they do not.
    """
    if not 0.0 < degrees <= 90.0:
        raise InvalidProbe(f"blocks of {degrees:g} degrees: more than 0 and at most 90, such as 10")


def block_of(lonlat: ArrayLike, degrees: float) -> NDArray[np.int64]:
    """Number of the block of each point, (n, 2) degrees -> (n,)."""
    check_block_deg(degrees)
    places = as_lonlat(lonlat)
    blocks = block_cells(places, degrees)
    blocks[places[:, 1] >= POLAR_LAT] = _POLAR_BLOCK
    blocks[places[:, 1] <= -POLAR_LAT] = -_POLAR_BLOCK
    return blocks


def block_box(lon: float, lat: float, degrees: float) -> Box:
    """The block of a point as an area; its edges are in, though they belong to the next block too."""
    check_block_deg(degrees)
    lon, lat = (float(one) for one in as_lonlat([lon, lat]))
    if abs(lat) >= POLAR_LAT:
        return Box(-180.0, POLAR_LAT, 180.0, 90.0) if lat > 0.0 else Box(-180.0, -90.0, 180.0, -POLAR_LAT)
    west, south = np.floor(lon / degrees) * degrees, np.floor(lat / degrees) * degrees
    return Box(
        max(float(west), -180.0),
        max(float(south), -POLAR_LAT),
        min(float(west) + degrees, 180.0),
        min(float(south) + degrees, POLAR_LAT),
    )


def held_out_by_block(
    gallery: Gallery,
    embeddings: NDArray[np.float32],
    lonlat: NDArray[np.float64],
    groups: Sequence[str],
    degrees: float,
    *,
    ids: Sequence[str] | None = None,
    k: int = K,
    exclude_km: float = 0.0,
    exclude_similarity: float | None = None,
    told: Sequence[Mapping[str, Any]] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOut:
    """Ask the gallery for the neighbors of photos, without their blocks, their groups and themselves.

    Args:
        gallery: which photos may be neighbors.
        embeddings: (Q, D), unit length.
        lonlat: (Q, 2).
        groups: label of each photo, as in the gallery.
        degrees: size of the blocks.
        ids: of the photos where they are in the gallery.
        k: neighbors at most.
        exclude_km: leave out photos nearer than this too, across the edges of blocks.
        exclude_similarity: leave out photos more similar than this, whatever their block.
        told: what else is known of the photos, see `held_out`.
        progress: called with the photos done and their number.

    Returns:
        The photos with their block as their group.
    """
    blocks = block_of(lonlat, degrees)
    photos, places = gallery.placed() if exclude_km > 0.0 else ([], np.empty((0, 2)))

    def hidden(row: int) -> Filter:
        near_by = np.flatnonzero(great_circle_km(places, lonlat[row]) <= exclude_km)
        return Filter(
            exclude_groups=frozenset({groups[row]}),
            exclude_ids=frozenset([*(photos[one].id for one in near_by), *((ids[row],) if ids else ())]),
            exclude_within=block_box(float(lonlat[row, 0]), float(lonlat[row, 1]), degrees),
        )

    held = asked_with(
        gallery, embeddings, lonlat, groups, (hidden(row) for row in range(len(lonlat))),
        k=k, exclude_similarity=exclude_similarity, told=told, progress=progress,
    )  # fmt: skip
    return replace(held, group=blocks.astype(str))


def without_blocks(photos: HeldOut, degrees: float, known: NDArray[np.int64]) -> HeldOut:
    """The photos with only those neighbors that lie in known blocks, the others after them as padding."""
    blocks = block_of(photos.neighbor_lonlat.reshape(-1, 2), degrees).reshape(photos.similarity.shape)
    similarity = np.where(np.isin(blocks, known), photos.similarity, -np.inf)
    order = np.argsort(-similarity, axis=1, kind="stable")
    return replace(
        photos,
        similarity=np.take_along_axis(similarity, order, axis=1),
        neighbor_lonlat=np.take_along_axis(photos.neighbor_lonlat, order[..., None], axis=1),
    )
