"""Labels for places out of other files: land price and population density, joined by position.

Points (a table or a vector file) count for the places within a radius of them; rasters are read at
the place itself. A place that no point is near, or that the raster does not cover, has no label: NaN.
Units are checked as far as numbers tell: no label is negative, a raster says its coordinate system,
and whether it counts people per cell or per km² must be said.

Letters: N places, P points. Places are `lonlat` degrees (..., 2), longitude first.
"""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..coordinate_columns import coordinates_of
from ..errors import InvalidProbe, MissingLabels
from ..probes.label_tables import read_table
from ..sphere import cap_area_km2, chord_of_km, unit_vectors
from .geo_targets import PlaceLabels
from .label_rasters import DensityUnit, density_at, raster_at

PRICE_COLUMNS = ("price", "land_price", "median_house_value", "yen", "value")
POPULATION_COLUMNS = ("population", "pop")
RASTERS = (".tif", ".tiff", ".vrt", ".img", ".asc")
TABLES = (".csv", ".tsv", ".txt", ".gz", ".parquet")
_Floats = NDArray[np.float64]


def labels_for(
    lonlat: _Floats,
    *,
    price: Path | None = None,
    price_column: str | None = None,
    population: Path | None = None,
    population_column: str | None = None,
    population_unit: DensityUnit = "per-km2",
    radius_km: float,
) -> PlaceLabels:
    """Join labels to places.

    Args:
        lonlat: the places, (N, 2).
        price: points or a raster of land prices.
        price_column: of points; None for the usual names.
        population: places with their population (points), or a raster.
        population_column: of points; None for the usual names.
        population_unit: of a raster.
        radius_km: points within it count for a place.

    Raises:
        MissingLabels: a file that cannot be read, has no such column, says nothing of its
            coordinates, holds negative values, or labels none of the places.
    """
    made = PlaceLabels.none(len(lonlat))
    notes: list[str] = []
    found_price, density = made.price, made.density
    if price is not None:
        if _is_raster(price):
            found_price = raster_at(price, lonlat)
        else:
            points, values, left_out = read_points(price, price_column, PRICE_COLUMNS)
            found_price = median_within(lonlat, points, values, radius_km)
            notes += left_out
        notes.append(_coverage(price, "price", found_price))
    if population is not None:
        if _is_raster(population):
            density = density_at(population, lonlat, population_unit)
        else:
            points, values, left_out = read_points(population, population_column, POPULATION_COLUMNS)
            density = density_within(lonlat, points, values, radius_km)
            notes += left_out
        notes.append(_coverage(population, "population", density))
    return PlaceLabels(found_price, density, tuple(notes))


def read_points(
    path: Path, column: str | None, usual: tuple[str, ...]
) -> tuple[_Floats, _Floats, tuple[str, ...]]:
    """Points and their values out of a table (.csv, .csv.gz, .parquet) or a vector file (.geojson, …).

    Args:
        path: the file.
        column: of the values; None for the first of the usual names that is there.
        usual: these names.

    Returns:
        Places (P, 2), values (P,), and notes of rows that were left out.

    Raises:
        MissingLabels: see `labels_for`.
    """
    if not path.is_file():
        raise MissingLabels(f"{path}: no such file")
    if path.suffix.lower() in TABLES:
        return _of_table(path, column, usual)
    try:
        frame = gpd.read_file(path)
    except Exception as error:  # each driver of GDAL fails in its own way
        raise MissingLabels(f"{path}: neither a table nor a vector file with points ({error})") from None
    name = _column(path, column, usual, [str(one) for one in frame.columns])
    coordinates = coordinates_of(frame)
    try:
        values = frame[name].to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise MissingLabels(f"{path}: column {name!r} holds no numbers") from None
    kept = coordinates.is_placed & np.isfinite(values)
    return _checked(path, name, coordinates.lonlat[kept], values[kept], ())


def read_places(path: Path) -> _Floats:
    """Places out of a table or a vector file, (P, 2) degrees; rows without one are left out.

    Raises:
        MissingLabels: no such file, or one without coordinates.
        UnknownColumns: it is not plain which columns hold them.
        InvalidCoordinate: most rows have lon and lat exchanged.
    """
    if not path.is_file():
        raise MissingLabels(f"{path}: no such file")
    try:
        if path.suffix.lower() in (".parquet", ".geoparquet"):
            frame = pd.read_parquet(path)
        elif path.suffix.lower() in TABLES:
            frame = pd.read_csv(path, sep=None, engine="python", keep_default_na=False)
        else:
            frame = gpd.read_file(path)
    except Exception as error:  # pandas, pyarrow and each driver of GDAL fail in their own ways
        raise MissingLabels(f"{path}: neither a table nor a vector file with points ({error})") from None
    coordinates = coordinates_of(frame)
    coordinates.refuse_exchanged()
    if not coordinates.is_placed.any():
        raise MissingLabels(f"{path}: no row has a place on Earth")
    return coordinates.lonlat[coordinates.is_placed]


def _of_table(
    path: Path, column: str | None, usual: tuple[str, ...]
) -> tuple[_Floats, _Floats, tuple[str, ...]]:
    missing = None
    for name in (column,) if column is not None else usual:
        try:
            lonlat, values, notes = read_table(
                path, name, ("lon", "lat"), is_log=False, is_class=False, scale=1.0
            )
        except InvalidProbe as error:
            missing = error
            if "no column" not in str(error):
                break
            continue
        return _checked(path, name, lonlat, np.asarray(values, np.float64), notes)
    raise MissingLabels(
        f"{missing}" + ("" if column else f"; none of {', '.join(usual)}: name it with --…-column")
    )


def _checked(
    path: Path, name: str, lonlat: _Floats, values: _Floats, notes: tuple[str, ...]
) -> tuple[_Floats, _Floats, tuple[str, ...]]:
    if not len(values):
        raise MissingLabels(f"{path}: no row has both a place and a number in {name!r}")
    if (values < 0.0).any():
        raise MissingLabels(
            f"{path}: {name} is negative in {int((values < 0.0).sum())} row(s), such as {values.min():g}; "
            "give prices and populations as they are, not their logarithms or differences"
        )
    return lonlat, values, notes


def _column(path: Path, asked: str | None, usual: tuple[str, ...], there: list[str]) -> str:
    lowered = {name.lower(): name for name in reversed(there)}
    for name in (asked,) if asked is not None else usual:
        if name in there:
            return name
        if name.lower() in lowered:
            return lowered[name.lower()]
    raise MissingLabels(f"{path}: no column {asked or ' or '.join(usual)!r}; there are {', '.join(there)}")


# --- points to places -----------------------------------------------------------------------------


def median_within(lonlat: _Floats, points: _Floats, values: _Floats, radius_km: float) -> _Floats:
    """Median of the values of the points around each place: (N, 2), (P, 2), (P,) -> (N,); NaN for none."""
    return np.array(
        [np.median(values[near]) if near else np.nan for near in _near(lonlat, points, radius_km)]
    )


def density_within(lonlat: _Floats, points: _Floats, people: _Floats, radius_km: float) -> _Floats:
    """People per km² in the circle around each place, (N,); NaN where no point lies in it.

    Settlements are points here, so that a circle without one may still be inhabited: it is unknown,
    not empty.
    """
    area_km2 = float(cap_area_km2(radius_km))
    return np.array(
        [people[near].sum() / area_km2 if near else np.nan for near in _near(lonlat, points, radius_km)]
    )


def _near(lonlat: _Floats, points: _Floats, radius_km: float) -> list[list[int]]:
    """Points within a great-circle radius of each place."""
    found = cKDTree(unit_vectors(points)).query_ball_point(unit_vectors(lonlat), chord_of_km(radius_km))
    return list(found)


def _is_raster(path: Path) -> bool:
    return path.suffix.lower() in RASTERS


def _coverage(path: Path, what: str, values: _Floats) -> str:
    n = int((~np.isnan(values)).sum())
    if not n:
        raise MissingLabels(
            f"{path}: no place to learn from lies near any {what}; is it of another area, or lon and lat "
            "exchanged? A larger --label-radius may help"
        )
    return f"{path.name}: {n:,} of {len(values):,} places have a {what}"
