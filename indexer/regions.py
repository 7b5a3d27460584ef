"""Polygons to name countries and states by, from any vector file."""

from pathlib import Path
from typing import Any

import geopandas

from ..encoders.errors import UnreadableSource

NAME_COLUMNS = ("name", "name_en", "admin", "shapename", "name_1", "country", "nam")
CODE_COLUMNS = ("code", "iso_a2", "iso_a2_eh", "iso2", "iso", "country_code", "iso_3166_2")


def load_regions(path: Path) -> Any:
    """Read polygons and their names.

    Args:
        path: GeoJSON, GeoPackage, Shapefile, GeoParquet …; any coordinate system.

    Returns:
        A GeoDataFrame in lon, lat with the columns ``name``, ``code`` and ``geometry``, invalid
        geometries repaired and empty ones left out.

    Raises:
        UnreadableSource: not a vector file, or without polygons or names.
    """
    if not path.exists():
        raise UnreadableSource(f"{path}: no such file")
    try:
        is_parquet = path.suffix.lower() in (".parquet", ".geoparquet")
        frame = geopandas.read_parquet(path) if is_parquet else geopandas.read_file(path)
    except Exception as error:  # GDAL and pyarrow have an error family each
        raise UnreadableSource(f"{path}: cannot be read as a vector file ({error})") from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UnreadableSource(f"{path}: a table without geometries; there are no polygons in it")
    columns = {str(column).lower(): column for column in frame.columns}
    name = next((columns[column] for column in NAME_COLUMNS if column in columns), None)
    code = next((columns[column] for column in CODE_COLUMNS if column in columns), None)
    if name is None:
        raise UnreadableSource(
            f"{path}: no column with names; one of {', '.join(NAME_COLUMNS)} is needed, "
            f"there are {', '.join(map(str, frame.columns))}"
        )
    frame = frame.to_crs(4326) if frame.crs is not None else frame.set_crs(4326)
    regions = frame.assign(
        name=frame[name].astype(str),
        code="" if code is None else frame[code].astype(str),
        geometry=frame.geometry.make_valid(),
    )[["name", "code", "geometry"]]
    regions = regions[regions.geometry.geom_type.isin(["Polygon", "MultiPolygon"]) & ~regions.is_empty]
    if regions.empty:
        raise UnreadableSource(f"{path}: there are no polygons in it")
    return regions.reset_index(drop=True)
