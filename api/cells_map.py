"""A map of the world with its cells, drawn without any background from the network.

The projection is Equal Earth (Šavrič, Patterson & Jenny 2019), which keeps areas. A cell's color tells
how many kilometers its points are spread; borders of countries are drawn darker than those of cells.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray

from ..encoders.errors import UnwritableFile

if TYPE_CHECKING:
    from ..encoders.geocells import Geocells

_Floats = NDArray[np.float64]
_A = (1.340264, -0.081106, 0.000893, 0.003796)


def equal_earth(lonlat: _Floats) -> _Floats:
    """Project degrees (n, 2) to x, y in radians of the sphere's radius, (n, 2)."""
    lon, lat = np.deg2rad(lonlat).T
    t = np.arcsin(np.sqrt(3.0) / 2.0 * np.sin(lat))
    t2, t6 = t**2, t**6
    slope = _A[0] + 3 * _A[1] * t2 + t6 * (7 * _A[2] + 9 * _A[3] * t2)
    x = 2.0 * np.sqrt(3.0) * lon * np.cos(t) / (3.0 * slope)
    y = t * (_A[0] + _A[1] * t2 + t6 * (_A[2] + _A[3] * t2))
    return np.stack([x, y], axis=1)


def draw_cells(
    cells: "Geocells", path: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write the map as a PNG.

    Raises:
        UnwritableFile: there is no such folder, or no right to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.collections import LineCollection, PathCollection
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    from ..encoders.cells.shapes import polygons_of

    polygons = polygons_of(cells, progress)
    figure = Figure(figsize=(16, 8.4), dpi=150, layout="constrained")
    axes = figure.add_subplot(aspect="equal")
    spread = np.clip(cells.rms_km, 3.0, 1000.0)
    norm = LogNorm(3.0, 1000.0)
    drawn = [row for row in range(len(cells)) if not polygons[row].is_empty]
    paths = [_path(polygons[row]) for row in drawn]
    axes.add_collection(
        PathCollection(
            paths, array=spread[drawn], cmap="YlGnBu_r", norm=norm, edgecolors="#00000055", linewidths=0.2
        )
    )
    axes.add_collection(LineCollection(_country_borders(cells, polygons), colors="#222222", linewidths=0.45))
    empty = [row for row in drawn if cells.n_train[row] == 0]
    hatch = PathCollection(
        [_path(polygons[row]) for row in empty], facecolors="none", edgecolors="#ff7f0e", linewidths=0.6
    )
    axes.add_collection(hatch)
    axes.autoscale_view()
    _veil_the_sea(axes)
    axes.axis("off")
    told = f"{len(cells):,} cells in {len(set(cells.country))} countries ({cells.cells_id})"
    axes.set_title(told, fontsize=13)
    bar = figure.colorbar(
        ScalarMappable(norm, "YlGnBu_r"), ax=axes, orientation="horizontal", shrink=0.4, aspect=40, pad=0.01
    )
    bar.set_label("spread of a cell's points around their center, km (root mean square)")
    bar.set_ticks([3, 10, 30, 100, 300, 1000], labels=["≤ 3", "10", "30", "100", "300", "≥ 1000"])
    try:
        FigureCanvasAgg(figure).print_png(str(path))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise UnwritableFile(f"{path}: cannot be written ({error.strerror}); choose another folder") from None


def _veil_the_sea(axes: Any) -> None:
    """Lay a white veil over the sea, so that coasts show: land of the shipped location encoder's tables."""
    from ..encoders.world.encoder import shipped_encoder
    from ..encoders.world.grids import cell_values

    (west, east), (south, north) = (-2.7066, 2.7066), (-1.3174, 1.3174)
    x, y = np.meshgrid(np.linspace(west, east, 2000), np.linspace(north, south, 974))
    t = y / _A[0]
    for _ in range(8):  # Newton's method for the parametric latitude
        t2, t6 = t**2, t**6
        slope = _A[0] + 3 * _A[1] * t2 + t6 * (7 * _A[2] + 9 * _A[3] * t2)
        t = t - (t * (_A[0] + _A[1] * t2 + t6 * (_A[2] + _A[3] * t2)) - y) / slope
    lat = np.rad2deg(np.arcsin(np.clip(2.0 * np.sin(t) / np.sqrt(3.0), -1.0, 1.0)))
    lon = np.rad2deg(3.0 * x * slope / (2.0 * np.sqrt(3.0) * np.cos(t)))
    on_earth = np.abs(lon) < 180.0
    lonlat = np.stack([np.where(on_earth, lon, 0.0).ravel(), lat.ravel()], axis=1)
    is_land = cell_values(shipped_encoder().tables.cover, lonlat).reshape(x.shape) & 1 > 0
    veil = np.ones((*x.shape, 4))
    veil[..., 3] = np.where(on_earth & ~is_land, 0.72, 0.0)
    axes.imshow(veil, extent=(west, east, south, north), zorder=3, interpolation="bilinear")


def _path(polygon: Any) -> Any:
    """Rings as one matplotlib path, projected."""
    from matplotlib.path import Path as DrawnPath

    rings = [equal_earth(_vertices(ring)) for ring in shapely.get_rings(shapely.get_parts(polygon))]
    codes = [
        code
        for ring in rings
        for code in [DrawnPath.MOVETO, *[DrawnPath.LINETO] * (len(ring) - 2), DrawnPath.CLOSEPOLY]
    ]
    return DrawnPath(np.concatenate(rings), codes)


def _vertices(ring: Any) -> _Floats:
    """Long straight edges, such as those along ±180°, are curves on the map."""
    vertices: _Floats = shapely.get_coordinates(shapely.segmentize(ring, 1.0))
    return vertices


def _country_borders(cells: "Geocells", polygons: Any) -> list[_Floats]:
    """Outlines of the countries, without the frame of the map."""
    by_country = defaultdict(list)
    for row, polygon in enumerate(polygons):
        by_country[cells.country[row]].append(polygon)
    lines = []
    for parts in by_country.values():
        whole = shapely.unary_union(parts)
        for ring in shapely.get_rings(shapely.get_parts(whole)):
            vertices = _vertices(ring)
            inside = (np.abs(vertices[:, 0]) < 180.0 - 1e-9) & (np.abs(vertices[:, 1]) < 90.0 - 1e-9)
            breaks = np.flatnonzero(~inside)
            lines += [equal_earth(line) for line in np.split(vertices, breaks) if len(line) > 2]
    return lines
