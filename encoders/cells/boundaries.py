"""Files of boundaries: read any vector format, mend what is broken, keep account of both.

PIGEON's cells cannot be made again because nobody knows of which boundaries they were made. So a
layer without name, release, licence and address is refused, and the hash of its file is recorded.
Geometries are repaired by `make_valid` and not by a buffer of width zero, which may drop the half of
a bow-tie; each repair is recorded with the change of area. What crosses ±180° is cut there.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from ..areas import Polygon
from ..errors import InvalidCells, InvalidCoordinate, UnreadableSource
from ..sphere import EARTH_RADIUS_KM, sine_integral

Level: TypeAlias = Literal["country", "admin1", "admin2"]
LEVELS: tuple[Level, ...] = ("country", "admin1", "admin2")


@dataclass(frozen=True, kw_only=True)
class BoundaryFile:
    """A file of boundaries, and what a reader must know to find it again.

    Attributes:
        level: what its polygons are.
        path: .geojson, .gpkg, .shp, .fgb, .parquet, …; .gz of a text format too.
        code: column with a code of each polygon; of countries, ISO 3166-1 alpha-2.
        label: column with its name; by default the code.
        where: SQL condition on columns, to take a part of the file (``admin_level <= 4``).
        name, release, licence, url: of the boundaries.
    """

    level: Level
    path: Path
    code: str
    label: str | None = None
    where: str | None = None
    name: str
    release: str
    licence: str
    url: str

    def __post_init__(self) -> None:
        missing = [word for word in ("name", "release", "licence", "url") if not getattr(self, word).strip()]
        if missing:
            raise InvalidCells(
                f"{self.path}: boundaries without {', '.join(missing)}; say which they are, or nobody can "
                "make these cells again"
            )


@dataclass(frozen=True)
class Boundaries:
    """A layer that was read.

    Attributes:
        polygons: valid, in lon, lat, cut at ±180°, (P,).
        code, label: (P,).
        area_km2: on the sphere, (P,).
        account: what is recorded of the layer; JSON values.
    """

    polygons: NDArray[np.object_]
    code: NDArray[np.object_]
    label: NDArray[np.object_]
    area_km2: NDArray[np.float64]
    account: dict[str, Any] = field(repr=False)


def read_boundaries(file: BoundaryFile) -> Boundaries:
    """Read and repair a layer.

    Raises:
        UnreadableSource: no such file, no vector file, or without polygons.
        InvalidCells: it has no such column, or names no coordinate system.
    """
    frame = _frame(file)
    for column in {file.code, file.label or file.code}:
        if column not in frame.columns:
            there = ", ".join(str(name) for name in frame.columns if name != frame.geometry.name)
            raise InvalidCells(f"{file.path}: no column {column!r} with codes or names; there are {there}")
    kept, repairs, dropped = [], [], []
    codes = [str(code) for code in frame[file.code]]
    for row, geometry in enumerate(frame.geometry):
        mended, repair = _mended(geometry)
        if mended is None:
            dropped.append(codes[row])
            continue
        kept.append((row, mended))
        repairs += [{"code": codes[row], **repair}] if repair else []
    if not kept:
        raise UnreadableSource(f"{file.path}: there are no polygons in it")
    rows = [row for row, _ in kept]
    polygons = np.empty(len(kept), dtype=object)
    polygons[:] = [polygon for _, polygon in kept]
    label = [str(value) for value in frame[file.label or file.code]]
    account = {
        "level": file.level, "name": file.name, "release": file.release, "licence": file.licence,
        "url": file.url, "file": file.path.name, "sha256": hashlib.sha256(file.path.read_bytes()).hexdigest(),
        "code": file.code, "label": file.label or file.code, "where": file.where or "",
        "n_polygons": len(kept), "repairs": repairs, "without_area": dropped,
    }  # fmt: skip
    return Boundaries(
        polygons,
        np.array(codes, dtype=object)[rows],
        np.array(label, dtype=object)[rows],
        np.array([area_of(polygon) for polygon in polygons]),
        account,
    )


def area_of(geometry: Any) -> float:
    """Area on the sphere of polygons in lon, lat, km², whatever their orientation."""
    total = 0.0
    for part in shapely.get_parts(shapely.get_parts(geometry)):
        if part.geom_type == "Polygon":
            ring = orient(part)
            rings = (ring.exterior, *ring.interiors)
            # The ring of a broken polygon may run either way.
            total += abs(sum(sine_integral(shapely.get_coordinates(one)) for one in rings))
    return total * EARTH_RADIUS_KM**2


def _frame(file: BoundaryFile) -> Any:
    import geopandas

    if not file.path.is_file():
        raise UnreadableSource(f"{file.path}: no such file")
    try:
        if file.path.suffix.lower() in (".parquet", ".geoparquet"):
            frame = geopandas.read_parquet(file.path)
            frame = frame.query(file.where) if file.where else frame
        else:
            prefix = "/vsigzip/" if file.path.suffix.lower() == ".gz" else ""
            frame = geopandas.read_file(f"{prefix}{file.path.resolve()}", where=file.where)
    except Exception as error:  # GDAL and pyarrow have an error family each
        raise UnreadableSource(f"{file.path}: cannot be read as a vector file ({error})") from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UnreadableSource(f"{file.path}: a table without geometries; there are no polygons in it")
    if frame.crs is None:
        raise InvalidCells(
            f"{file.path}: it does not say which coordinate system it is in; write it with one"
        )
    return frame.to_crs(4326)


def _mended(geometry: Any) -> tuple[Any, dict[str, Any] | None]:
    """Valid polygons of a geometry, or None where it has no area; and what was done, if anything."""
    if geometry is None or geometry.is_empty:
        return None, None
    was_valid, done = bool(geometry.is_valid), "make_valid"
    lon = shapely.get_coordinates(geometry)[:, 0]
    if np.abs(lon).max() > 180.0 or _leaps(geometry):
        try:
            area = Polygon.from_geojson(shapely.geometry.mapping(geometry))
        except InvalidCoordinate:
            return None, None
        mended, done = shapely.MultiPolygon(area.pieces), "cut at ±180"
    else:
        mended = shapely.make_valid(geometry)
    parts = [part for part in shapely.get_parts(shapely.get_parts(mended)) if part.geom_type == "Polygon"]
    mended = shapely.MultiPolygon([part for part in parts if part.area > 0.0])
    if mended.is_empty:
        return None, None
    if was_valid and done == "make_valid":
        return mended, None
    return mended, {
        "repair": done, "area_km2": round(area_of(mended), 3),
        "change_km2": round(area_of(mended) - area_of(geometry), 3),
    }  # fmt: skip


def _leaps(geometry: Any) -> bool:
    """Whether an edge of a ring is longer than 180 degrees."""
    lonlat, ring = shapely.get_coordinates(shapely.get_rings(shapely.get_parts(geometry)), return_index=True)
    step = np.abs(np.diff(lonlat[:, 0]))
    # An edge along a pole or around the full turn is what files close a polar polygon with.
    return bool(((step > 180.0) & (step < 359.9) & (ring[1:] == ring[:-1])).any())
