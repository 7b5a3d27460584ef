"""Points spread evenly over an area of the sphere: random, and no two of them close together.

Dart throwing with a relaxed radius (McCool and Fiume, "Hierarchical Poisson disk sampling
distributions", Graphics Interface 1992): darts fall uniformly by area, and one stays if it is at
least a radius away from those that stayed before. The radius begins at the distance of neighbors in
the densest lattice of so many points, and shrinks whenever too many darts in a row have missed.
So n points come out for any area, about as far apart as n random points can be.

Conventions: `lonlat` is (..., 2) degrees, longitude first; distances are great-circle kilometers.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ..encoders.areas import Polygon
from ..encoders.sphere import chord_of_km, lonlat_of, unit_vectors

Floats = NDArray[np.float64]

MISSES = 60  # in a row, before the radius shrinks
SHRINKING = 0.85
LAST_MISSES = 2_000  # in a row at the least spacing, before the area counts as full
BATCH = 256
EMPTY_BATCHES = 400  # of darts beside the polygon, before it counts as too thin to hit


@dataclass(frozen=True)
class Spread:
    """Points in an area.

    Attributes:
        lonlat: the points, (n, 2), in the order in which they fell.
        radius_km: no two are nearer to each other.
    """

    lonlat: Floats
    radius_km: float


def poisson_disk(area: Polygon, n: int, rng: np.random.Generator, *, spacing_km: float = 0.0) -> Spread:
    """Spread n points over an area, as far apart as chance allows.

    Args:
        area: any polygons; the antimeridian and the poles are ordinary places.
        n: how many, 0 or more.
        rng: draws the darts.
        spacing_km: least distance between two points.

    Returns:
        n points; fewer where no more fit `spacing_km` apart, or the area is too thin to be hit.
    """
    # In the densest lattice each point has √3/2 · d² to itself.
    radius_km = max(spacing_km, float(np.sqrt(area.area_km2 / max(n, 1) * 2.0 / np.sqrt(3.0))))
    chord = float(chord_of_km(radius_km))
    kept = np.empty((n, 3))
    n_kept = n_missed = 0
    while n_kept < n:
        darts = unit_vectors(uniform_in(area, BATCH, rng))
        if not len(darts):
            break
        for dart in darts:
            # |a − b|² = 2 − 2 a·b for unit vectors, but a·b rounds away the last centimeters.
            if n_kept and ((kept[:n_kept] - dart) ** 2).sum(axis=1).min() < chord * chord:
                n_missed += 1
            else:
                kept[n_kept] = dart
                n_kept, n_missed = n_kept + 1, 0
            if n_kept == n:
                break
            if n_missed >= MISSES and radius_km > spacing_km:
                radius_km, n_missed = max(spacing_km, radius_km * SHRINKING), 0
                chord = float(chord_of_km(radius_km))
        if n_missed >= LAST_MISSES:
            break
    return Spread(lonlat_of(kept[:n_kept]), radius_km)


def uniform_in(area: Polygon, n: int, rng: np.random.Generator) -> Floats:
    """Draw n points, uniform by area on the sphere, (n, 2); none where the area is too thin to be hit.

    Each piece of the area is hit in proportion to its size, inside its own box of longitudes and of
    sines of latitudes, where areas are true.
    """
    areas = np.array([Polygon((piece,)).area_km2 for piece in area.pieces])
    chosen = rng.choice(len(areas), size=n, p=areas / areas.sum())
    lonlat = np.empty((n, 2))
    for index in np.unique(chosen):
        rows = np.flatnonzero(chosen == index)
        inside = _in_piece(area.pieces[index], len(rows), rng)
        if len(inside) < len(rows):
            return np.empty((0, 2))
        lonlat[rows] = inside
    return lonlat


def _in_piece(piece: shapely.Polygon, n: int, rng: np.random.Generator) -> Floats:
    """Draw n points inside one polygon, (n, 2); fewer if hardly any dart hits it."""
    west, south, east, north = piece.bounds
    low, high = np.sin(np.deg2rad([south, north]))
    shapely.prepare(piece)
    found: list[Floats] = []
    n_found = n_empty = 0
    while n_found < n and n_empty < EMPTY_BATCHES:
        lon = rng.uniform(west, east, BATCH)
        lat = np.rad2deg(np.arcsin(rng.uniform(low, high, BATCH)))
        is_inside = shapely.intersects_xy(piece, lon, lat)
        found.append(np.column_stack([lon, lat])[is_inside])
        n_found += int(is_inside.sum())
        n_empty = 0 if is_inside.any() else n_empty + 1
    return np.vstack([np.empty((0, 2)), *found])[:n]
