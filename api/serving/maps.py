"""A gallery on the map: photos counted by cells of the H3 grid, as JSON and as vector tiles.

The counts come from the store's facets over the cells that each photo was indexed with, so that a
million photos are counted without looking at one. Under a cap on precision the cells are never finer
than the cap, and always counted whole: a view that is moved cannot find where in a cell a photo lies.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import h3

from ...encoders.areas import Box
from ...indexer.filters import Filter
from ...indexer.gallery import Gallery
from .precision import Precision

STORED = (3, 5, 7)
"""Resolutions that photos are indexed with."""

FINEST: dict[Precision, int] = {"country": 1, "region": 2, "25km": 4, "exact": 7}
"""Cells of about 610,000, 87,000, 1,770 and 5 km²."""

_COUNTED_FROM: dict[Precision, int] = {"country": 3, "region": 3, "25km": 5}
"""Under a cap all counts come from cells of one resolution, so that they tell the same of each photo
whatever resolution is asked for: cells of H3 do not lie wholly in their parents."""

MAX_CELLS = 5000
MAX_POINTS = 2000
_ALL = 2_000_000
_SMALL_VIEW_KM2 = 60e6
_CELL_DEG = 13.0
"""Of a cell of resolution 0, from its center to its farthest corner, degrees of arc."""

_EXTENT = 4096


class Cell(NamedTuple):
    """A cell and how many photos were taken in it."""

    cell: str
    n_photos: int

    @property
    def lonlat(self) -> tuple[float, float]:
        """Its center."""
        lat, lon = h3.cell_to_latlng(self.cell)
        return lon, lat


def resolution_for(box: Box, precision: Precision) -> int:
    """The resolution at which a view of that width holds some hundred cells, as fine as the cap allows."""
    width_deg = sum(east - west for west, east in box.spans)
    degrees = max(width_deg, 2.0 * (box.north - box.south), 1e-6)
    # A cell of resolution 0 is some 20 degrees across, each further one √7 times smaller.
    finest = math.floor(math.log(20.0 * 25.0 / degrees, math.sqrt(7.0)))
    return min(max(finest, 0), FINEST[precision])


Counts = Callable[[int, Filter], Mapping[str, int]]
"""Numbers of photos by their cell of a stored resolution."""


def counts_of(gallery: Gallery) -> Counts:
    """How to count the photos of a gallery."""
    return lambda stored, filter: gallery.facet(f"h3_{stored}", filter=filter, limit=_ALL)


def count_cells(
    counts: Counts, box: Box | None, resolution: int, *, filter: Filter, precision: Precision
) -> list[Cell]:
    """Photos by cell, the fullest first; of the cells that touch a view.

    Args:
        counts: of a gallery.
        box: the view; None for the whole Earth.
        resolution: of the cells; made coarser where the cap says so.
        filter: which photos count.
        precision: the cap.
    """
    resolution = min(resolution, FINEST[precision])
    stored = _COUNTED_FROM.get(precision) or min(one for one in STORED if one >= resolution)
    if box is not None and precision == "exact":  # so wide that the cells below are counted whole
        wide = _padded(box, resolution, 2.5)
        # The counts of the whole Earth are at hand, and those of a large part of it would take longer.
        if wide.area_km2 < _SMALL_VIEW_KM2:
            filter = replace(filter, within=filter.within or wide)
    found: dict[str, int] = {}
    for fine, n_photos in counts(stored, filter).items():
        cell = h3.cell_to_parent(fine, resolution) if stored > resolution else fine
        found[cell] = found.get(cell, 0) + n_photos
    cells = [Cell(cell, n) for cell, n in found.items()]
    if box is not None:
        touching = _padded(box, resolution, 1.1)
        cells = [cell for cell in cells if _is_in(cell.lonlat, touching)]
    return sorted(cells, key=lambda cell: (-cell.n_photos, cell.cell))


def bounds_of(cells: list[Cell], resolution: int) -> tuple[float, float, float, float] | None:
    """The smallest box around cells, (west, south, east, north); west > east across the antimeridian."""
    if not cells:
        return None
    places = [cell.lonlat for cell in cells]
    pad = _CELL_DEG / math.sqrt(7.0) ** resolution
    south, north = (
        max(-90.0, min(lat for _, lat in places) - pad),
        min(90.0, max(lat for _, lat in places) + pad),
    )
    lons = sorted(lon for lon, _ in places)
    gaps = [
        (after - before, before, after)
        for before, after in zip(lons, [*lons[1:], lons[0] + 360.0], strict=True)
    ]
    widest, before, after = max(gaps)
    if widest <= 2.0 * pad:
        return -180.0, south, 180.0, north
    return _wrapped(after - pad), south, _wrapped(before + pad), north


def tile(
    gallery: Gallery, z: int, x: int, y: int, *, counts: Counts, filter: Filter, precision: Precision
) -> bytes:
    """A vector tile: the cells of its view and, where they are few and may be told, the photos.

    Layers: ``cells`` (polygons with `cell` and `n_photos`) and ``photos`` (points with `id`).
    """
    box = tile_box(z, x, y)
    resolution = min(max(round((z + 0.5) * 0.75), 0), FINEST[precision])
    cells = count_cells(counts, box, resolution, filter=filter, precision=precision)[:MAX_CELLS]
    layers = [_layer("cells", [_cell_feature(cell, z, x, y) for cell in cells])]
    if precision == "exact" and may_be_few(cells):
        inside = replace(filter, within=filter.within or box)
        if gallery.count(inside) <= MAX_POINTS:
            layers.append(
                _layer("photos", [_photo_feature(photo, z, x, y) for photo in gallery.find(inside)])
            )
    import mapbox_vector_tile  # a tenth of a second that a start can do without

    return bytes(
        mapbox_vector_tile.encode(
            [layer for layer in layers if layer["features"]], default_options={"extents": _EXTENT}
        )
    )


def may_be_few(cells: list[Cell]) -> bool:
    """Whether it is worth counting exactly how many photos a view has, which takes time for very many."""
    return sum(cell.n_photos for cell in cells) <= 20 * MAX_POINTS


def tile_box(z: int, x: int, y: int) -> Box:
    """The part of the Earth that a tile of the Web Mercator scheme shows."""
    n = 2**z
    north, south = (math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * row / n)))) for row in (y, y + 1))
    # The uppermost and lowest tiles answer for the poles, which the projection leaves out.
    north, south = (90.0 if y == 0 else north), (-90.0 if y == n - 1 else south)
    west, east = (column / n * 360.0 - 180.0 for column in (x, x + 1))
    return Box(west, south, east, north)


def _padded(box: Box, resolution: int, n_cells: float) -> Box:
    """A box with so many radii of a cell around it."""
    pad = n_cells * _CELL_DEG / math.sqrt(7.0) ** resolution
    south, north = max(-90.0, box.south - pad), min(90.0, box.north + pad)
    # Meridians run together towards the poles: degrees of longitude stand for less and less.
    pad_lon = pad / max(math.cos(math.radians(max(abs(south), abs(north)))), 0.01)
    width = sum(east - west for west, east in box.spans) + 2.0 * pad_lon
    if width >= 360.0 or max(abs(south), abs(north)) == 90.0:
        return Box(-180.0, south, 180.0, north)
    return Box(box.west - pad_lon, south, box.west - pad_lon + width, north)


def _is_in(lonlat: tuple[float, float], box: Box) -> bool:
    lon, lat = lonlat
    return box.south <= lat <= box.north and any(west <= lon <= east for west, east in box.spans)


def _wrapped(lon: float) -> float:
    return (lon + 180.0) % 360.0 - 180.0


def _layer(name: str, features: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "features": features}


def _cell_feature(cell: Cell, z: int, x: int, y: int) -> dict[str, Any]:
    ring = [(lon, lat) for lat, lon in h3.cell_to_boundary(cell.cell)]
    center = cell.lonlat[0]
    # All corners on the center's side of the antimeridian, and both on this tile's.
    shift = 360.0 * round(((x + 0.5) / 2**z * 360.0 - 180.0 - center) / 360.0)
    near = [(lon + 360.0 * round((center - lon) / 360.0) + shift, lat) for lon, lat in ring]
    corners = [_in_tile(lon, lat, z, x, y) for lon, lat in [*near, near[0]]]
    return {
        "geometry": {"type": "Polygon", "coordinates": [corners]},
        "properties": {"cell": cell.cell, "n_photos": cell.n_photos},
    }


def _photo_feature(photo: Any, z: int, x: int, y: int) -> dict[str, Any]:
    return {
        "geometry": {"type": "Point", "coordinates": _in_tile(photo.lon, photo.lat, z, x, y)},
        "properties": {"id": photo.id},
    }


def _in_tile(lon: float, lat: float, z: int, x: int, y: int) -> tuple[float, float]:
    """Within a tile: (x, y), y upward, in units of which it has `_EXTENT` across."""
    lat = min(max(lat, -85.051129), 85.051129)
    n = 2**z
    across = (lon + 180.0) / 360.0 * n - x
    down = (1.0 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2.0 * n - y
    return across * _EXTENT, (1.0 - down) * _EXTENT
