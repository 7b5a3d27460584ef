"""Labels out of rasters of any coordinate system: the value of the cell that a place lies in.

Whether a population raster counts people per cell or per km² must be said; cells are measured on the
ground, where a cell of degrees shrinks toward the poles. Places are `lonlat` degrees (N, 2).
"""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.errors
import rasterio.warp
from numpy.typing import NDArray
from rasterio.transform import rowcol, xy

from ..errors import MissingLabels
from ..sphere import EARTH_RADIUS_KM, unit_vectors

DensityUnit = Literal["per-cell", "per-km2"]
_Floats = NDArray[np.float64]


def raster_at(path: Path, lonlat: _Floats) -> _Floats:
    """Values of a raster's first band at places, (N, 2) -> (N,); NaN outside of it and at no-data.

    Raises:
        MissingLabels: no raster, no coordinate system, or negative values.
    """
    return _read_raster(path, lonlat)[0]


def density_at(path: Path, lonlat: _Floats, unit: DensityUnit) -> _Floats:
    """People per km² out of a population raster, (N, 2) -> (N,).

    Args:
        path: the raster.
        lonlat: the places.
        unit: ``per-km2``, or ``per-cell``, which is divided by the area of the cell on the ground.

    Raises:
        MissingLabels: as `raster_at`.
    """
    values, area_km2 = _read_raster(path, lonlat)
    return values / area_km2 if unit == "per-cell" else values


def _read_raster(path: Path, lonlat: _Floats) -> tuple[_Floats, _Floats]:
    """Values (N,), and the ground area of the cells they come from, km², (N,)."""
    if not path.is_file():
        raise MissingLabels(f"{path}: no such file")
    try:
        with rasterio.open(path) as file:
            if file.crs is None:
                raise MissingLabels(
                    f"{path}: the raster does not say in which coordinate system it is; set it with "
                    "`gdal_edit.py -a_srs EPSG:… FILE`"
                )
            x, y = _projected(file.crs, lonlat)
            if file.crs.is_geographic:  # some begin at Greenwich and run to 360 degrees
                x = np.where(x < file.bounds.left, x + 360.0, x)
            values = np.full(len(lonlat), np.nan)
            row, column = (np.floor(one) for one in rowcol(file.transform, x, y, op=np.asarray))
            inside = (column >= 0) & (column < file.width) & (row >= 0) & (row < file.height)
            read = file.sample(zip(x[inside], y[inside], strict=True), indexes=1, masked=True)
            found = [np.nan if np.ma.is_masked(one[0]) else float(one[0]) for one in read]
            values[inside] = np.array(found, np.float64) * file.scales[0] + file.offsets[0]
            area_km2 = _cell_km2(file, column, row)
    except rasterio.errors.RasterioError as error:
        raise MissingLabels(f"{path}: cannot be read as a raster ({error})") from None
    values[~np.isfinite(values)] = np.nan
    if (values < 0.0).any():
        raise MissingLabels(
            f"{path}: {np.nanmin(values):g} where labels are 0 or more; if it stands for no data, "
            f"set it with `gdal_edit.py -a_nodata {np.nanmin(values):g} FILE`"
        )
    return values, area_km2


def _projected(crs: Any, lonlat: _Floats) -> tuple[_Floats, _Floats]:
    x, y = rasterio.warp.transform("EPSG:4326", crs, lonlat[:, 0], lonlat[:, 1])
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _cell_km2(file: Any, column: _Floats, row: _Floats) -> _Floats:
    """Ground area of cells in any coordinate system: the quadrilateral of their corners, on the sphere."""
    ring = []
    for right, down in ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)):
        x, y = xy(file.transform, row + down, column + right, offset="ul")
        lon, lat = rasterio.warp.transform(file.crs, "EPSG:4326", x, y)
        ring.append(unit_vectors(np.stack([np.asarray(lon), np.asarray(lat)], axis=-1)))
    # A cell is small: its diagonals span it as they would in the plane.
    area = 0.5 * np.linalg.norm(np.cross(ring[2] - ring[0], ring[3] - ring[1]), axis=1)
    return np.asarray(area * EARTH_RADIUS_KM**2, np.float64)
