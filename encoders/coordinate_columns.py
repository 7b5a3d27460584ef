"""Where a table keeps its coordinates: which columns, which geometry, and which rows have none.

Tables here are numpy arrays, pandas data frames, and geopandas frames in any coordinate system.
All come out as `Coordinates`: `lonlat` (n, 2), float64, WGS84 degrees, longitude first, checked by
`sphere.as_lonlat`. Columns are found by their names, never by their order.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import InvalidCoordinate, UnknownColumns
from .sphere import as_lonlat, looks_swapped

LON_NAMES = ("lon", "longitude", "lng", "long")
LAT_NAMES = ("lat", "latitude")
SWAPPED_SHARE = 0.5
"""From this share of rows on that fit the Earth only the other way round, a table is refused."""


@dataclass(frozen=True)
class Coordinates:
    """The places of a table's rows, as far as they have one."""

    lonlat: NDArray[np.float64]  # (n, 2), checked; NaN where the row has no place on Earth
    is_placed: NDArray[np.bool_]  # (n,)
    told: tuple[Any, Any]  # lon and lat as the table has them, each (n,)
    n_swapped: int = 0  # rows that lie on Earth only with lon and lat exchanged

    def __len__(self) -> int:
        return len(self.is_placed)

    @property
    def rows_without_place(self) -> NDArray[np.intp]:
        """Numbers of the rows at fault, counted from 0."""
        return np.flatnonzero(~self.is_placed)

    def complaint(self, row: int) -> str:
        """What is wrong with the coordinates of one row, without its number."""
        told = [column[row] for column in self.told]
        missing = [name for name, value in zip(("lon", "lat"), told, strict=True) if _is_missing(value)]
        if missing:
            return f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing (NaN or empty)"
        for name, value in zip(("lon", "lat"), told, strict=True):
            if isinstance(value, str) and np.isnan(_numbers([value])[0]):
                comma = ": write a decimal point" if "," in value else ""
                return f"{name} {value!r} is not a number{comma}"
        try:
            as_lonlat([float(value) for value in told])
        except InvalidCoordinate as error:
            return str(error)
        return "nothing is wrong"

    def refuse_exchanged(self) -> None:
        """See that the table as a whole is not the wrong way round; one row tells too little.

        Raises:
            InvalidCoordinate: most rows fit the Earth only with lon and lat exchanged.
        """
        lon, lat = (np.isfinite(_numbers(column)) for column in self.told)
        n_complete = int((lon & lat).sum())
        if self.n_swapped > max(1, SWAPPED_SHARE * n_complete):
            raise InvalidCoordinate(
                f"{self.n_swapped} of {n_complete} rows lie on Earth only with lon and lat exchanged "
                "(longitude goes first): exchange the columns, or their names"
            )

    def require_all(self) -> NDArray[np.float64]:
        """The coordinates of a table in which every row must have a place, (n, 2).

        Raises:
            InvalidCoordinate: a row has none; the first one is named.
        """
        if not self.is_placed.all():
            rows = self.rows_without_place
            raise InvalidCoordinate(
                f"row {rows[0]} of {len(self)}: {self.complaint(int(rows[0]))}"
                + (f" ({len(rows)} such rows)" if len(rows) > 1 else "")
            )
        return self.lonlat


def coordinate_columns(
    columns: Sequence[Any], lon: Any = "lon", lat: Any = "lat", *, remedy: str = "name it with {}="
) -> tuple[Any, Any]:
    """Which two columns hold longitude and latitude.

    A column named as asked is taken. While `lon` and `lat` are left at their defaults, the usual
    names (longitude, lng, long; latitude; in any case of letters) are understood as well, each as
    long as there is one only. ``x`` and ``y`` are not: they are often projected meters.

    Args:
        columns: all names of the table.
        lon: name of the column with longitudes.
        lat: name of the column with latitudes.
        remedy: how the caller is told to name a column, with ``{}`` for lon or lat.

    Raises:
        UnknownColumns: none fits, or several do; the message names the candidates.
    """
    found = (
        _find(columns, lon, LON_NAMES, "longitude", remedy.format("lon")),
        _find(columns, lat, LAT_NAMES, "latitude", remedy.format("lat")),
    )
    if found[0] == found[1]:
        raise UnknownColumns(f"column {found[0]!r} cannot hold both longitude and latitude")
    return found


def _find(columns: Sequence[Any], asked: Any, usual: tuple[str, ...], what: str, remedy: str) -> Any:
    exact = [name for name in columns if name == asked]
    if len(exact) > 1:
        raise UnknownColumns(f"column {asked!r} occurs {len(exact)} times; rename all but one")
    if exact:
        return exact[0]
    named = ", ".join(repr(name) for name in columns[:30]) + (", …" if len(columns) > 30 else "")
    if asked != usual[0]:
        raise UnknownColumns(f"no column {asked!r} for the {what}; there are {named or 'none'}")
    candidates = [name for name in columns if str(name).strip().lower() in usual]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        several = " or ".join(repr(name) for name in candidates)
        raise UnknownColumns(f"the {what} may be in {several}; {remedy}")
    raise UnknownColumns(
        f"no column for the {what} ({', '.join(usual)}); {remedy}. There are {named or 'none'}"
    )


def coordinates_of(table: Any, lon: Any = "lon", lat: Any = "lat") -> Coordinates:
    """The coordinates of a table's rows.

    Args:
        table: an array of lon, lat, shape (n, 2), or of any width when `lon` and `lat` are column
            numbers; a data frame with two columns of degrees; or a geopandas frame or series,
            whose geometry goes before its columns, is brought to WGS84, and is represented by a
            point inside it where it is not a point. Not changed.
        lon: name of the column with longitudes, or its number.
        lat: name of the column with latitudes, or its number.

    Raises:
        UnknownColumns: it is not plain where the coordinates are.
        InvalidCoordinate: the geometry has no coordinate system. Rows at fault are not errors here.
    """
    geometry = _geometry(table)
    if geometry is not None:
        points = _points(geometry)
        return check_columns(points.x.to_numpy(), points.y.to_numpy())
    if isinstance(table, pd.DataFrame):
        if isinstance(lon, int) and isinstance(lat, int) and lon not in table.columns:
            return check_columns(table.iloc[:, lon].to_numpy(), table.iloc[:, lat].to_numpy())
        first, second = coordinate_columns(list(table.columns), lon, lat)
        return check_columns(table[first].to_numpy(), table[second].to_numpy())
    return _coordinates_of_array(np.asarray(table), lon, lat)


def _coordinates_of_array(array: NDArray[Any], lon: Any, lat: Any) -> Coordinates:
    if array.ndim != 2:
        raise InvalidCoordinate(f"coordinates must be rows of lon, lat, shape (n, 2); got {array.shape}")
    if isinstance(lon, int) and isinstance(lat, int):
        width = array.shape[1]
        if not (lon != lat and -width <= lon < width and -width <= lat < width):
            raise UnknownColumns(f"lon={lon}, lat={lat} are not two of the array's {width} feature(s)")
        return check_columns(array[:, lon], array[:, lat])
    if array.shape[1] != 2:
        raise UnknownColumns(
            f"an array of {array.shape[1]} feature(s) does not say which are the coordinates: send lon, lat "
            "alone, shape (n, 2), or give their column numbers as lon= and lat="
        )
    return check_columns(array[:, 0], array[:, 1])


def check_columns(lon: Any, lat: Any) -> Coordinates:
    """Two columns of numbers or texts, each (n,), as coordinates; rows without a place are noted."""
    pairs = np.stack([_numbers(lon), _numbers(lat)], axis=-1)
    is_placed = (np.abs(pairs[:, 0]) <= 360.0) & (np.abs(pairs[:, 1]) <= 90.0)
    lonlat = np.full(pairs.shape, np.nan)
    lonlat[is_placed] = as_lonlat(pairs[is_placed])
    n_swapped = round(looks_swapped(pairs) * len(pairs))
    return Coordinates(lonlat, is_placed, (lon, lat), n_swapped)


def _numbers(column: Any) -> NDArray[np.float64]:
    """A column as float64; NaN for whatever is not a number."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        return np.asarray(column, dtype=np.float64)
    series = pd.Series(column, dtype=object)
    if series.map(lambda value: isinstance(value, complex)).any():
        raise InvalidCoordinate("Complex data not supported: lon and lat are real numbers")
    # Anything else than numbers and texts (a list, a date) is no coordinate either.
    plain = series.where(series.map(lambda value: isinstance(value, str | float | int | np.number)), None)
    numbers: NDArray[np.float64] = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    return numbers


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or bool(np.all(pd.isna(value)))


def _geometry(table: Any) -> Any:
    """The geometry of a geopandas frame or series, or of the one such column; None without."""
    if "geopandas" not in sys.modules:
        return None  # whoever holds a geopandas object has imported it
    import geopandas

    if isinstance(table, geopandas.GeoSeries):
        return table
    if not isinstance(table, pd.DataFrame):
        return None
    columns = [name for name, kind in table.dtypes.items() if kind.name == "geometry"]
    active = getattr(table, "active_geometry_name", None)
    if active is None and len(columns) > 1:
        raise UnknownColumns(
            f"the places may be in {' or '.join(repr(name) for name in columns)}; choose with set_geometry"
        )
    name = active if active is not None else next(iter(columns), None)
    return None if name is None else geopandas.GeoSeries(table[name])


def _points(geometry: Any) -> Any:
    """One WGS84 point for each geometry; x and y are NaN where there is none."""
    if geometry.crs is None:
        raise InvalidCoordinate(
            "the geometry does not say which coordinate system it is in; tell it with "
            "set_crs(4326) for lon, lat degrees, or with the EPSG code it came with"
        )
    if not (geometry.geom_type.isna() | (geometry.geom_type == "Point")).all():
        geometry = geometry.representative_point()
    return geometry.to_crs(4326)
