"""The rule of polygons: whose polygon holds a point, with an answer for every point on Earth.

Of several polygons the first by precedence counts. A point in none, such as a beach that lies at
sea in a coarse file, belongs to the nearest outline up to `NEAR_KM` away, measured on the sphere
between samples a kilometer apart. Whatever is farther belongs to what the nearest place belongs to.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..sphere import chord_of_km, unit_vectors
from .quick import STEP_DEG, UNKNOWN, QuickGrid, quick_grid
from .sites import MANY, SEVERAL, SiteRule

_Floats = NDArray[np.float64]
_Numbers = NDArray[np.intp]
NEAR_KM = 50.0  # our choice
SAMPLE_DEG = 0.01


class PolygonRule:
    """The owner of the first polygon that covers a point, else of the nearest, else of a place.

    Args:
        polygons: valid polygons in lon, lat, cut at ±180°, first the one that counts first, (P,).
        owner: numbers, (P,).
        places: what answers far from all polygons.
    """

    def __init__(self, polygons: NDArray[np.object_], owner: _Numbers, places: SiteRule) -> None:
        self.polygons = polygons
        self.owner = np.asarray(owner, dtype=np.intp)
        self.places = places

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.polygons)

    @cached_property
    def _outlines(self) -> tuple[cKDTree, _Numbers]:
        """Samples along all outlines as unit vectors, and the polygon of each."""
        lonlat, polygon = shapely.get_coordinates(
            shapely.segmentize(self.polygons, SAMPLE_DEG), return_index=True
        )
        return cKDTree(unit_vectors(lonlat)), polygon

    @cached_property
    def _grid(self) -> QuickGrid:
        rings = shapely.get_rings(shapely.get_parts(self.polygons))
        lonlat, ring = shapely.get_coordinates(shapely.segmentize(rings, STEP_DEG / 2.0), return_index=True)
        same = ring[1:] == ring[:-1]
        return quick_grid(lonlat[:-1][same], lonlat[1:][same], self._covering_owner)

    def number_of(self, lonlat: _Floats) -> _Numbers:
        """The owner of each point, (n, 2) -> (n,)."""
        search = self._covering_owner
        owner = self._grid.answer(lonlat, search) if len(lonlat) >= MANY else search(lonlat)
        outside = np.flatnonzero(owner == UNKNOWN)
        if outside.size:
            owner[outside] = self._nearest_owner(lonlat[outside])
        return owner

    def polygon_of(self, lonlat: _Floats) -> _Numbers:
        """The first polygon that covers each point, or -1: (n, 2) -> (n,)."""
        lonlat = np.where(np.abs(lonlat[:, 1:]) == 90.0, lonlat * [0.0, 1.0], lonlat)
        found = self._query(lonlat)
        seam = np.flatnonzero((lonlat[:, 0] == -180.0) & (found < 0))
        if seam.size:  # the other name of the meridian
            found[seam] = self._query(lonlat[seam] * [-1.0, 1.0])
        return found

    def _query(self, lonlat: _Floats) -> _Numbers:
        point, polygon = self._tree.query(shapely.points(lonlat), predicate="covered_by")
        found = np.full(len(lonlat), len(self.polygons), dtype=np.intp)
        np.minimum.at(found, point, polygon)
        return np.where(found < len(self.polygons), found, -1)

    def _covering_owner(self, lonlat: _Floats) -> _Numbers:
        polygon = self.polygon_of(lonlat)
        return np.where(polygon >= 0, self.owner[polygon], UNKNOWN)

    def _nearest_owner(self, lonlat: _Floats) -> _Numbers:
        tree, polygon = self._outlines
        chord, sample = tree.query(
            unit_vectors(lonlat), distance_upper_bound=float(chord_of_km(NEAR_KM)),
            workers=-1 if len(lonlat) >= SEVERAL else 1,
        )  # fmt: skip
        near = np.isfinite(chord)
        owner = np.empty(len(lonlat), dtype=np.intp)
        owner[near] = self.owner[polygon[sample[near]]]
        if not near.all():
            owner[~near] = self.places.number_of(lonlat[~near])
        return owner

    def regrouped(self, group: _Numbers) -> "PolygonRule":
        """The same rule for groups of owners."""
        return PolygonRule(self.polygons, group[self.owner], self.places.regrouped(group))

    def columns(self, n: int) -> dict[str, list[Any]]:
        """Polygons with their precedence, and sites, of each of n owners."""
        wkb = shapely.to_wkb(self.polygons)
        rows = [np.flatnonzero(self.owner == owner) for owner in range(n)]
        return {
            "polygon": [wkb[row].tolist() for row in rows],
            "polygon_rank": [row.astype(np.int32) for row in rows],
            **self.places.columns(n),
        }

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]]) -> "PolygonRule":
        """The inverse of `columns`."""
        owner = np.repeat(np.arange(len(columns["polygon"])), [len(part) for part in columns["polygon"]])
        rank = np.concatenate([np.asarray(part, dtype=np.intp) for part in columns["polygon_rank"]])
        wkb = [blob for part in columns["polygon"] for blob in (part.to_pylist() if len(part) else [])]
        order = np.argsort(rank)
        polygons = shapely.from_wkb(np.array(wkb, dtype=object)[order])
        return cls(polygons, owner[order], SiteRule.from_columns(columns))
