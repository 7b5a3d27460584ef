"""The rule of the nearest site: a spherical Voronoi partition that needs no polygons.

Whoever is nearest to a site belongs to the site's owner. A site all of whose neighbors have its own
owner can go without any change: where it was nearest, one of these neighbors is now. So the rule
for a few thousand cells made of 155,000 places keeps those at the edges of cells alone. Letters: S
sites, n points.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError, cKDTree

from ..sphere import lonlat_of, unit_vectors
from .quick import POLAR_LAT, STEP_DEG, QuickGrid, quick_grid
from .units import E7, rounded

_Floats = NDArray[np.float64]
COLUMNS = ("site_lon", "site_lat")
MANY, SEVERAL = 200_000, 20_000
"""From how many points on the grid is made that answers many of them at once, and all cores are used."""


class SiteRule:
    """The owner of the nearest site.

    Args:
        lonlat: checked degrees, (S, 2), at least one; kept in steps of 1e-7 degrees, in the order of
            owner, lon, lat. Of sites at one position the first is kept.
        owner: numbers, (S,).
    """

    def __init__(self, lonlat: _Floats, owner: NDArray[np.intp]) -> None:
        lonlat = rounded(lonlat)
        _, first = np.unique(lonlat, axis=0, return_index=True)
        order = first[np.lexsort((lonlat[first, 1], lonlat[first, 0], owner[first]))]
        self.lonlat = lonlat[order]
        self.owner = np.asarray(owner[order], dtype=np.intp)

    def __len__(self) -> int:
        return len(self.lonlat)

    @cached_property
    def vectors(self) -> _Floats:
        """Unit vectors of the sites, (S, 3)."""
        return unit_vectors(self.lonlat)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.vectors)

    @cached_property
    def _grid(self) -> QuickGrid:
        start, end = borders_of(self.vectors, self.owner)
        return quick_grid(start, end, self._search)

    def number_of(self, lonlat: _Floats) -> NDArray[np.intp]:
        """The owner of the site nearest to each point, (n, 2) -> (n,)."""
        if len(lonlat) < MANY or len(self) < 1000:
            return self._search(lonlat)
        return self._grid.answer(lonlat, self._search)

    def _search(self, lonlat: _Floats) -> NDArray[np.intp]:
        _, site = self._tree.query(unit_vectors(lonlat), workers=-1 if len(lonlat) >= SEVERAL else 1)
        owner: NDArray[np.intp] = self.owner[site]
        return owner

    def regrouped(self, group: NDArray[np.intp]) -> "SiteRule":
        """The same rule for groups of owners, without the sites inside a group.

        Args:
            group: of each owner, by its number.
        """
        owner = np.asarray(group[self.owner], dtype=np.intp)
        if (owner == owner[0]).all():
            return SiteRule(self.lonlat[:1], owner[:1])
        pairs = neighbors_of(self.vectors)
        differs = owner[pairs[:, 0]] != owner[pairs[:, 1]]
        is_edge = np.zeros(len(self), dtype=bool)
        is_edge[pairs[differs].ravel()] = True
        return SiteRule(self.lonlat[is_edge], owner[is_edge])

    def columns(self, n: int) -> dict[str, list[Any]]:
        """The sites of each of n owners, in steps of 1e-7 degrees."""
        steps = np.round(self.lonlat * E7).astype(np.int32)
        ends = np.searchsorted(self.owner, np.arange(1, n))
        return {name: np.split(steps[:, axis], ends) for axis, name in enumerate(COLUMNS)}

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]]) -> "SiteRule":
        """The inverse of `columns`."""
        owner = np.repeat(np.arange(len(columns["site_lon"])), [len(part) for part in columns["site_lon"]])
        steps = [np.concatenate([np.asarray(part, np.int64) for part in columns[name]]) for name in COLUMNS]
        return cls(np.stack(steps, axis=1) / E7, owner)


def neighbors_of(vectors: _Floats) -> NDArray[np.intp]:
    """Pairs of sites whose spherical Voronoi regions share an edge, (E, 2), the lower number first.

    They are the edges of the convex hull of the unit vectors (Brown 1979). Too few sites for a hull
    are all neighbors of one another.
    """
    n = len(vectors)
    try:
        faces = ConvexHull(vectors).simplices
    except (QhullError, ValueError):
        if n > 2000:  # on one circle of latitude, say: an exact answer is not worth n² pairs
            raise
        return np.stack(np.triu_indices(n, 1), axis=1).astype(np.intp)
    pairs = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    return np.unique(pairs, axis=0).astype(np.intp)


def borders_of(vectors: _Floats, owner: NDArray[np.intp]) -> tuple[_Floats, _Floats]:
    """The borders between owners as short edges, their starts and ends, (E, 2) degrees each.

    A border runs from one corner of the Voronoi diagram to the next: the normals of two faces of
    the hull that share an edge, where the edge joins sites of two owners.
    """
    hull = ConvexHull(vectors)
    face, opposite = np.nonzero(np.arange(len(hull.simplices))[:, None] < hull.neighbors)
    ends = np.stack([(opposite + 1) % 3, (opposite + 2) % 3], axis=1)
    pair = owner[np.take_along_axis(hull.simplices[face], ends, axis=1)]
    is_border = pair[:, 0] != pair[:, 1]
    a = hull.equations[face[is_border], :3]
    b = hull.equations[hull.neighbors[face, opposite][is_border], :3]
    highest = np.minimum(np.maximum(np.abs(lonlat_of(a)[:, 1]), np.abs(lonlat_of(b)[:, 1])), POLAR_LAT)
    angle = 2.0 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=1) / 2.0, 0.0, 1.0))
    # A long arc may come nearer to a pole than its ends do.
    highest = np.where(angle > 0.02, POLAR_LAT, np.minimum(highest + 2.0, POLAR_LAT))
    n_steps = np.ceil(angle / (np.deg2rad(STEP_DEG / 2.0) * np.cos(np.deg2rad(highest)))).astype(np.intp)
    n_steps = np.maximum(n_steps, 1)
    edge = np.repeat(np.arange(len(a)), n_steps)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(n_steps) - n_steps, n_steps)
    return tuple(  # type: ignore[return-value]
        lonlat_of(_between(a[edge], b[edge], angle[edge], (step + more) / n_steps[edge])) for more in (0, 1)
    )


def _between(a: _Floats, b: _Floats, angle: _Floats, share: _Floats) -> _Floats:
    """Directions at a share of the way from a to b, (n, 3)."""
    small = angle < 1e-9
    sine = np.where(small, 1.0, np.sin(angle))
    weight_a = np.where(small, 1.0 - share, np.sin((1.0 - share) * angle) / sine)
    weight_b = np.where(small, share, np.sin(share * angle) / sine)
    ways: _Floats = weight_a[:, None] * a + weight_b[:, None] * b
    return ways
