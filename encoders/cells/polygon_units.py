"""The hierarchy of polygons: countries, admin-1 and admin-2 of files of boundaries.

A polygon of the finest layer there is decides; where that has none, one of the next layer. Among
polygons of one layer that overlap the one with the smallest area counts, then the lowest code. What a
polygon's country and admin-1 are, the layers above say at a point inside it. Far from all polygons the
nearest GeoNames place answers with the unit it lies in itself, or with its own names.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import translate

from ..errors import InvalidCells
from ..places import Places, load_places
from ..sphere import great_circle_km, unit_vectors
from .boundaries import LEVELS, Boundaries, BoundaryFile, read_boundaries
from .place_units import PlaceHierarchy, pairs_between
from .polygon_rule import PolygonRule
from .sites import SiteRule, neighbors_of
from .units import Units, normalized, sums_of

_Numbers = NDArray[np.intp]
TOUCHING_KM = 1.0  # our choice
KM_OF_A_DEGREE = 111.195
ALIASES = {"FX": "FR", "CP": "FR", "AC": "SH", "TA": "SH", "DG": "IO", "EA": "ES", "IC": "ES"}
"""Codes that ISO 3166 reserves for parts of countries, and the countries."""


class PolygonHierarchy:
    """Units of polygons; those of places where there is none.

    Args:
        layers: by level; one for countries must be there.
        places: what answers far from all polygons, and names cells.
        aliases: country codes to be read as others.
    """

    def __init__(
        self,
        layers: Sequence[Boundaries],
        places: PlaceHierarchy,
        aliases: Mapping[str, str] = ALIASES,
    ) -> None:
        by_level = {layer.account["level"]: layer for layer in layers}
        if "country" not in by_level or len(by_level) < len(layers):
            raise InvalidCells("polygons need one layer of countries, and one at most of each other level")
        self.places: Places = places.places
        self._accounts = [layer.account for layer in layers]
        self._aliases = dict(aliases)
        ordered = [by_level[level] for level in LEVELS[::-1] if level in by_level]  # the finest first
        tables = [_by_precedence(layer) for layer in ordered]
        polygons = np.concatenate([table[0] for table in tables])
        keys: list[tuple[str, str, str]] = []
        for layer, (shapes, code, label) in zip(ordered, tables, strict=True):
            keys += self._keys(layer.account["level"], shapes, code, label, by_level, places)
        place_keys = self._keys_of_places(polygons, keys, places)
        known = sorted({*keys, *place_keys})
        number = {key: row for row, key in enumerate(known)}
        unit = np.array([number[key] for key in keys], dtype=np.intp)
        sites = SiteRule(
            places.places.lonlat[places.site], np.array([number[key] for key in place_keys], dtype=np.intp)
        )
        self.rule = PolygonRule(polygons, unit, sites)
        country, admin1, admin2 = (np.array(column, dtype=object) for column in zip(*known, strict=True))
        self.units = Units(
            country, admin1, admin2, _centers(polygons, unit, sites, len(known)),
            _adjacent(polygons, unit, sites),
        )  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """Every layer with its identity and repairs, and the places."""
        places = PlaceHierarchy.provenance_of(self.places)
        return {"kind": "polygons", "layers": self._accounts, "aliases": self._aliases, "places": places}

    def _keys(
        self,
        level: str,
        shapes: Any,
        code: Any,
        label: Any,
        by_level: Mapping[str, Boundaries],
        places: PlaceHierarchy,
    ) -> list[tuple[str, str, str]]:
        """Country, admin-1 and admin-2 of each polygon of a layer."""
        inside = shapely.get_coordinates(shapely.point_on_surface(shapes))
        names = {level: list(label) if level != "country" else list(code)}
        for above in LEVELS[: LEVELS.index(level)]:
            if above in by_level:
                polygons, codes, labels = _by_precedence(by_level[above])
                rule = PolygonRule(polygons, np.arange(len(polygons)), _nowhere())
                found = rule.number_of(inside)
                told = codes if above == "country" else labels
                names[above] = [told[row] if row < len(polygons) else "" for row in found]
        # What lies in no country of the layer is in that of the nearest place.
        spare = places.units.country[places.rule.number_of(inside)]
        names["country"] = [name or other for name, other in zip(names["country"], spare, strict=True)]
        rows = [names.get(one, [""] * len(shapes)) for one in LEVELS]
        return [(self._aliases.get(a, a), b, c) for a, b, c in zip(*rows, strict=True)]

    def _keys_of_places(
        self, polygons: Any, keys: list[tuple[str, str, str]], places: PlaceHierarchy
    ) -> list[tuple[str, str, str]]:
        """The unit that each site lies in, else the one that the place's names tell."""
        rule = PolygonRule(polygons, np.arange(len(polygons)), _nowhere())
        found = rule.number_of(places.places.lonlat[places.site])
        own = places.units
        names = list(zip(own.country, own.admin1, own.admin2, strict=True))
        return [
            keys[row] if row < len(polygons) else names[unit]
            for row, unit in zip(found, places.unit_of_site, strict=True)
        ]


def polygon_hierarchy(
    files: Sequence[BoundaryFile], aliases: Mapping[str, str] = ALIASES
) -> PolygonHierarchy:
    """Read layers of boundaries and make units of them; see `read_boundaries` for errors."""
    return PolygonHierarchy([read_boundaries(file) for file in files], PlaceHierarchy(load_places()), aliases)


def _nowhere() -> SiteRule:
    """Stands for "in no polygon": a number beyond all."""
    return SiteRule(np.zeros((1, 2)), np.array([np.iinfo(np.int32).max], dtype=np.intp))


def _by_precedence(layer: Boundaries) -> tuple[Any, Any, Any]:
    """Polygons, codes and names, the smallest area first, then the lowest code."""
    order = sorted(range(len(layer.code)), key=lambda row: (layer.area_km2[row], layer.code[row]))
    return layer.polygons[order], layer.code[order], layer.label[order]


def _centers(polygons: Any, unit: _Numbers, sites: SiteRule, n_units: int) -> NDArray[np.float64]:
    """Middles of units: of their polygons by area, of their places where they have none."""
    parts, polygon = shapely.get_parts(polygons, return_index=True)
    middle = unit_vectors(shapely.get_coordinates(shapely.centroid(parts)))
    spare = np.zeros((n_units, 3))
    spare[unit[polygon]] = middle
    sums = sums_of(middle * shapely.area(parts)[:, None], unit[polygon], n_units)
    bare = ~np.isin(np.arange(n_units), unit)
    of_sites = sums_of(sites.vectors, sites.owner, n_units)
    return normalized(
        np.where(bare[:, None], of_sites, sums), otherwise=spare + bare[:, None] * [1.0, 0.0, 0.0]
    )


def _adjacent(polygons: Any, unit: _Numbers, sites: SiteRule) -> _Numbers:
    """Units whose polygons come within `TOUCHING_KM`, and units without polygons whose places do."""
    pairs = [_touching(polygons, polygons)]
    west, _, east, _ = shapely.bounds(polygons).T
    at_seam = np.flatnonzero((west <= -179.99) | (east >= 179.99))
    if at_seam.size:
        moved = np.array([translate(polygon, xoff=360.0) for polygon in polygons[at_seam]], dtype=object)
        across = _touching(moved, polygons)
        pairs.append(np.stack([at_seam[across[:, 0]], across[:, 1]], axis=1))
    of_polygons = pairs_between(unit, np.concatenate(pairs))
    of_places = pairs_between(sites.owner, neighbors_of(sites.vectors))
    bare = ~np.isin(of_places, unit).all(axis=1)
    return np.unique(np.concatenate([of_polygons, of_places[bare]]), axis=0)


def _touching(some: Any, polygons: Any) -> _Numbers:
    """Pairs of polygons that come within `TOUCHING_KM` of each other on the sphere, (E, 2)."""
    bounds = shapely.bounds(some)
    lat = np.minimum(np.maximum(np.abs(bounds[:, 1]), np.abs(bounds[:, 3])), 89.0)
    reach = TOUCHING_KM / KM_OF_A_DEGREE / np.cos(np.deg2rad(lat))
    tree = shapely.STRtree(polygons)
    a, b = tree.query(some, predicate="dwithin", distance=reach)
    different = a != b if some is polygons else np.ones(len(a), dtype=bool)
    a, b = a[different], b[different]
    # The nearest points in the plane are near enough to the nearest on the sphere, and no nearer.
    ends = shapely.get_coordinates(shapely.shortest_line(some[a], polygons[b])).reshape(-1, 2, 2)
    near = great_circle_km(ends[:, 0], ends[:, 1]) <= TOUCHING_KM
    return np.stack([a[near], b[near]], axis=1).astype(np.intp)
