"""Points around towns: each town of a list is sampled equally, within half its region's least town distance.

A list of towns says where people live, and points drawn around them fall where the streets are.
With half the least distance no two towns of a region share ground, and each point belongs to one town.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..encoders.areas import Polygon
from ..encoders.errors import UnknownColumns, UnreadableSource
from ..encoders.sphere import EARTH_RADIUS_KM, destination, km_of_chord, unit_vectors
from .imagery_table import read_placed_table

Floats = NDArray[np.float64]

SAME_PLACE_KM = 0.001  # nearer towns are one place under two names
BATCH = 256  # darts at a time
BATCHES = 64  # after which a town's disc counts as outside its region's polygon


@dataclass(frozen=True)
class Towns:
    """Towns, each with the region it belongs to; arrays and lists are of length n."""

    lonlat: Floats  # (n, 2)
    region: list[str]
    name: list[str]

    def radius_km(self) -> dict[str, float | None]:
        """Half the least distance between two towns of each region; None with fewer than two places."""
        regions = np.array(self.region, dtype=object)
        return {region: _half_gap(self.lonlat[regions == region]) for region in dict.fromkeys(self.region)}


def read_towns(path: Path, *, region_column: str = "region", name_column: str = "name") -> Towns:
    """Read towns from a .csv, .tsv or .parquet table with lon, lat and the names of regions.

    Args:
        path: of the table.
        region_column: of the regions' names.
        name_column: of the towns' names; without such a column each town is called by its row.

    Raises:
        UnreadableSource: no table, or an empty one.
        UnknownColumns: no coordinates, or no column of regions.
        InvalidCoordinate: a row that is nowhere on Earth.
    """
    table, lonlat = read_placed_table(path)
    if region_column not in table.columns:
        there = ", ".join(map(str, table.columns))
        raise UnknownColumns(
            f"{path}: no column {region_column!r} that says which region a town belongs to; name it with "
            f"--region-column. There are {there}"
        )
    if not len(table):
        raise UnreadableSource(f"{path}: there are no towns in it")
    named = (
        table[name_column] if name_column in table.columns else [f"town {n + 1}" for n in range(len(table))]
    )
    return Towns(lonlat, [str(one) for one in table[region_column]], [str(one) for one in named])


def points_around(
    town: Floats, radius_km: float, n: int, rng: np.random.Generator, *, within: Polygon | None = None
) -> Floats:
    """Draw points uniformly by area from the disc around a town, as far as it lies in a polygon.

    Args:
        town: the center, (2,).
        radius_km: of the disc, along great circles.
        n: how many.
        rng: draws them.
        within: the region's polygon; without it the whole disc.

    Returns:
        (n, 2); fewer where hardly any of the disc lies within the polygon.
    """
    kept, n_darts = np.empty((0, 2)), max(n, BATCH)
    for _ in range(BATCHES):
        # The area of a cap grows as the square of the sine of half its angle.
        half = np.sin(radius_km / EARTH_RADIUS_KM / 2.0) * np.sqrt(rng.uniform(size=n_darts))
        distance_km = 2.0 * EARTH_RADIUS_KM * np.arcsin(half)
        darts = destination(town, rng.uniform(0.0, 360.0, n_darts), distance_km)
        kept = np.vstack([kept, darts if within is None else darts[within.contains(darts)]])
        if len(kept) >= n:
            break
    return kept[:n]


def _half_gap(lonlat: Floats) -> float | None:
    """Half the least distance between two of these points that are not one place."""
    if len(lonlat) < 2:
        return None
    vectors = unit_vectors(lonlat)
    chord, _ = cKDTree(vectors).query(vectors, k=min(len(vectors), 16))
    gaps = km_of_chord(chord)
    gaps = gaps[gaps > SAME_PLACE_KM]
    return float(gaps.min()) / 2.0 if gaps.size else None
