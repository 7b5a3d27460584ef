"""The density of an answer as cells of the H3 grid, which pages and clients can draw."""

from collections import Counter
from typing import Any

import h3

from ...indexer.geolocate import Location
from .maps import FINEST
from .precision import Precision

HOLDS = 0.95
"""Share of the density that the told cells hold together."""

MAX_CELLS = 500
_N_SAMPLES = 4096
_COARSE = 3


def surface_cells(location: Location, cap: Precision) -> tuple[int, list[dict[str, Any]]]:
    """The density of an answer by cells of the H3 grid: as fine as 500 cells can tell 95 % of it.

    Returns:
        The resolution, and the most probable cells.
    """
    points = location.surface.sample(_N_SAMPLES).tolist()
    resolution, kept = _told_cells(points, _COARSE)
    if len(kept) < 20 and FINEST[cap] > _COARSE:  # it is known well, and can be told finer
        resolution, kept = _told_cells(points, FINEST[cap])
    cells = []
    for cell, n in kept[:MAX_CELLS]:
        lat, lon = h3.cell_to_latlng(cell)
        cells.append({"cell": cell, "lon": lon, "lat": lat, "probability": n / len(points)})
    return resolution, cells


def _told_cells(points: list[list[float]], finest: int) -> tuple[int, list[tuple[str, int]]]:
    """The fullest cells that hold 95 % of some points, and their resolution."""
    counts = Counter(h3.latlng_to_cell(lat, lon, finest) for lon, lat in points)
    for resolution in range(finest, -1, -1):
        if resolution < finest:
            coarser: Counter[str] = Counter()
            for cell, n in counts.items():
                coarser[h3.cell_to_parent(cell, resolution)] += n
            counts = coarser
        kept, held = [], 0
        for cell, n in sorted(counts.items(), key=lambda one: (-one[1], one[0])):
            if held >= HOLDS * len(points):
                break
            kept.append((cell, n))
            held += n
        # Where nearly every sample has a cell of its own, the cells tell of the samples.
        if len(kept) <= MAX_CELLS and len(counts) <= len(points) / 8:
            break
    return resolution, kept
