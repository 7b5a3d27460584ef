"""The areas that a plan of pictures is made for: named sub-areas of named regions, from a vector file.

A region is what a question is asked about (a ward); a sub-area is what is sampled equally within it
(a quarter). Features that share both names are one sub-area. Any coordinate system is brought to
WGS84; outlines across the antimeridian and around a pole are cut as `areas.Polygon` cuts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shapely

from ..encoders.areas import Polygon
from ..encoders.errors import InvalidCoordinate, UnknownColumns, UnreadableSource
from ..encoders.mosaics.vector_files import read_frame
from .regions import NAME_COLUMNS


@dataclass(frozen=True)
class SubArea:
    """One area to be sampled.

    Attributes:
        region: the name of the region it belongs to.
        name: its own name; that of the region where there is no finer one.
        polygon: its outline; None where the file has none that can be used.
        fault: why there is none.
    """

    region: str
    name: str
    polygon: Polygon | None
    fault: str = ""


def read_sub_areas(
    path: Path, *, region_column: str | None = None, area_column: str | None = None
) -> list[SubArea]:
    """Read polygons and their names, in the order in which the file first names them.

    Args:
        path: GeoJSON, GeoPackage, Shapefile, GeoParquet …, also .geojson.gz.
        region_column: of the regions' names; by default the area column, else a usual name
            column, else every feature is a region of its own, called by its number.
        area_column: of the sub-areas' names; by default each region is one sub-area.

    Raises:
        UnreadableSource: no vector file, or without a polygon.
        UnknownColumns: it has no such column.
    """
    if not path.exists():
        raise UnreadableSource(f"{path}: no such file")
    frame = read_frame(path)
    frame = frame.to_crs(4326) if frame.crs is not None else frame.set_crs(4326)
    regions = _names(frame, region_column or area_column or _usual_column(frame), path)
    names = _names(frame, area_column, path) if area_column is not None else regions
    outlines: dict[tuple[str, str], list[Any]] = {}
    for region, name, geometry in zip(regions, names, frame.geometry, strict=True):
        outlines.setdefault((region, name), []).append(geometry)
    areas = [_sub_area(*key, geometries) for key, geometries in outlines.items()]
    if not any(area.polygon for area in areas):
        raise UnreadableSource(f"{path}: there are no polygons in it; points are planned with --towns")
    return areas


def _sub_area(region: str, name: str, geometries: Sequence[Any]) -> SubArea:
    shapes = [
        shapely.geometry.mapping(part)
        for geometry in geometries
        if geometry is not None
        for part in shapely.get_parts(shapely.get_parts(geometry))
        if part.geom_type == "Polygon" and not part.is_empty
    ]
    if not shapes:
        return SubArea(region, name, None, "has no polygon in the file")
    try:
        polygon = Polygon.from_geojson({"type": "GeometryCollection", "geometries": shapes})
    except InvalidCoordinate as error:
        return SubArea(region, name, None, f"its outline cannot be used: {error}")
    return SubArea(region, name, polygon)


def _usual_column(frame: Any) -> str | None:
    """The first column that names things by the usual names of such columns."""
    columns = {str(column).lower(): str(column) for column in frame.columns}
    return next((columns[name] for name in NAME_COLUMNS if name in columns), None)


def _names(frame: Any, column: str | None, path: Path) -> list[str]:
    if column is None:
        return [f"area {number}" for number in range(1, len(frame) + 1)]
    if column not in frame.columns:
        there = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name)
        raise UnknownColumns(f"{path}: no column {column!r}; there are {there or 'none'}")
    texts = ["" if value is None or value != value else str(value).strip() for value in frame[column]]
    return [text or "without a name" for text in texts]
