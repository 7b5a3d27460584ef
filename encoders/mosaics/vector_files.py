"""Vector files as tables: one door to GDAL, pyarrow and pandas, with errors that say what is wrong.

A table is a GeoDataFrame as it came. `tags_of` gives its columns by lower-case name, and takes those
keys out of OpenStreetMap's `other_tags` that the rules ask for.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..coordinate_columns import coordinates_of
from ..errors import UnknownColumns, UnreadableSource
from .rules import OSM_KEYS, Words

Bounds = tuple[float, float, float, float]
ASKED_KEYS = (*sorted(OSM_KEYS), "admin_level", "population", "tunnel")
FORMATS = ".osm.pbf, .geojson, .geojson.gz, .gpkg, .shp, .parquet (GeoParquet), .csv of places"


def layer_names(path: Path) -> list[str | None]:
    """The layers of a file; of formats that have no such thing, the one there is."""
    if path.suffix.lower() != ".gpkg":
        return [None]
    import geopandas

    try:
        return list(geopandas.list_layers(path)["name"])
    except Exception as error:  # GDAL has an error family of its own
        raise _unreadable(path, error) from None


def read_frame(path: Path, layer: str | None = None) -> Any:
    """One layer of a vector file as a GeoDataFrame.

    Geometries that cannot even be represented (a ring of two points) come as missing.

    Raises:
        UnreadableSource: no vector file, or a table without geometries.
    """
    import geopandas  # half a second, for those alone who read maps

    try:
        with warnings.catch_warnings():
            # GDAL tells of unclosed rings and the like; they are repaired, or left out.
            warnings.simplefilter("ignore")
            if path.suffix.lower() in (".parquet", ".geoparquet"):
                frame = geopandas.read_parquet(path)
            else:
                frame = geopandas.read_file(_gdal_name(path), layer=layer, on_invalid="ignore")
    except Exception as error:  # GDAL and pyarrow have an error family each
        raise _unreadable(path, error) from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UnreadableSource(
            f"{path}: a table without geometries; of a table of places, .csv is read with lon and lat"
        )
    return frame


def header_box(path: Path) -> Bounds | None:
    """The box that the header of an .osm.pbf says it covers: west, south, east, north; None without."""
    import pyogrio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            told = pyogrio.read_info(path, layer="lines").get("total_bounds")
    except Exception as error:
        raise _unreadable(path, error) from None
    if told is None or not np.isfinite(told).all():
        return None
    west, south, east, north = map(float, told)
    return west, south, east, north


def read_places(path: Path) -> Any:
    """A table of places as a GeoDataFrame of points; rows without coordinates are left out.

    Raises:
        UnreadableSource: no table, or without columns of longitude and latitude.
    """
    import geopandas

    try:
        table = pd.read_csv(path, keep_default_na=False)
        placed = coordinates_of(table)
    except UnknownColumns as error:
        raise UnreadableSource(f"{path}: {error}") from None
    except (ValueError, OSError) as error:
        raise _unreadable(path, error) from None
    placed.refuse_exchanged()
    rows = np.flatnonzero(placed.is_placed)
    lon, lat = placed.lonlat[rows].T
    return geopandas.GeoDataFrame(table.iloc[rows], geometry=geopandas.points_from_xy(lon, lat, crs=4326))


def tags_of(frame: Any, *, from_osm: bool = False) -> dict[str, Words]:
    """Columns of a frame by lower-case name, (n,) each, without the geometry.

    Args:
        frame: as read.
        from_osm: also take the keys the rules ask for out of the column `other_tags`, which GDAL writes
            as ``"key"=>"value","key"=>"value"``.
    """
    names = [column for column in frame.columns if column != frame.geometry.name]
    tags = {str(name).lower(): frame[name].to_numpy(dtype=object) for name in names}
    if from_osm and "other_tags" in tags:
        others = frame["other_tags"].astype("string")
        for key in ASKED_KEYS:
            if key not in tags:
                found = others.str.extract(rf'"{key}"=>"((?:[^"\\]|\\.)*)"', expand=False)
                tags[key] = np.asarray(found.astype(object).where(found.notna(), None))
    return tags


def _gdal_name(path: Path) -> str:
    """How GDAL is told to read a file; packed ones are read as they are."""
    return f"/vsigzip/{path.resolve()}" if path.suffix.lower() == ".gz" else str(path)


def _unreadable(path: Path, error: Exception) -> UnreadableSource:
    said = " ".join(str(error).split())[:160]
    return UnreadableSource(f"{path}: cannot be read as a map ({said}). Read are {FORMATS}")
