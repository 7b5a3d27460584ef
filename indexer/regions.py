"""Polygons to name countries and states by, from any vector file.

Files of polygons draw coasts more coarsely than photos are taken: a beach lies at sea in them. So a
point outside all polygons is named by the nearest one up to `NEAR_KM` away.
"""

from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..encoders.errors import UnreadableSource
from ..encoders.sphere import EARTH_RADIUS_KM, unit_vectors
from .surface import Floats

NAME_COLUMNS = ("name", "name_en", "admin", "shapename", "name_1", "country", "nam")
CODE_COLUMNS = ("code", "iso_a2", "iso_a2_eh", "iso2", "iso", "country_code", "iso_3166_2")
NOT_GIVEN = ("", "-99", "-1", "nan", "<na>", "none", "null", "n/a")  # as files say that they do not know
NEAR_KM = 25.0
STEP_DEG = 0.02  # between points on the outlines, 2.2 km: a distance of 25 km errs by less than 0.1
KM_PER_DEG_STEP = 500.0  # a step is this part of the distance where less is near; it errs by 1 in 150

Names = NDArray[np.object_]


class Regions:
    """Named polygons.

    Args:
        geometry: valid polygons in lon, lat, (P,).
        name: of each, (P,).
        code: of each, (P,); "" where it has none.
    """

    def __init__(self, geometry: NDArray[np.object_], name: Names, code: Names) -> None:
        self.geometry = geometry
        self.name = name
        self.code = code
        self._tree = shapely.STRtree(geometry)
        self._points: dict[float, tuple[cKDTree, NDArray[np.intp]]] = {}

    @classmethod
    def from_frame(cls, frame: Any) -> "Regions":
        """Of a GeoDataFrame in lon, lat with the columns ``name`` and, if known, ``code``."""
        name = frame["name"].to_numpy(dtype=object)
        code = frame["code"].to_numpy(dtype=object) if "code" in frame else np.full(len(name), "", object)
        return cls(np.asarray(frame.geometry.values, dtype=object), name, code)

    def __len__(self) -> int:
        return len(self.geometry)

    def find(self, lonlat: Floats, *, near_km: float = NEAR_KM) -> NDArray[np.intp]:
        """The row of each point's polygon, (n, 2) -> (n,).

        The first that covers it, else the nearest within a distance, else -1.
        """
        found = np.full(len(lonlat), -1, dtype=np.intp)
        point, row = self._tree.query(shapely.points(lonlat), predicate="covered_by")
        covered, first = np.unique(point, return_index=True)
        found[covered] = row[first]
        outside = np.flatnonzero(found < 0)
        if outside.size and near_km > 0.0:
            tree, owner = self._outlines(min(STEP_DEG, near_km / KM_PER_DEG_STEP))
            # The straight line through the Earth is shorter than the way over it.
            reach = 2.0 * np.sin(near_km / EARTH_RADIUS_KM / 2.0)
            distance, nearest = tree.query(unit_vectors(lonlat[outside]), distance_upper_bound=reach)
            is_near = np.isfinite(distance)
            found[outside[is_near]] = owner[nearest[is_near]]
        return found

    def _outlines(self, step_deg: float) -> tuple[cKDTree, NDArray[np.intp]]:
        """Points along all outlines as unit vectors, and the polygon of each; made once for a step."""
        if step_deg not in self._points:
            lonlat, owner = shapely.get_coordinates(
                shapely.segmentize(self.geometry, step_deg), return_index=True
            )
            self._points[step_deg] = cKDTree(unit_vectors(lonlat)), owner
        return self._points[step_deg]


def load_regions(path: Path) -> Regions:
    """Read polygons and their names.

    Invalid geometries are repaired and empty ones left out. Where a column says that it does not
    know a name or code (Natural Earth's -99), the next that may have one is asked.

    Args:
        path: GeoJSON, GeoPackage, Shapefile, GeoParquet …; any coordinate system.

    Raises:
        UnreadableSource: not a vector file, or without polygons or names.
    """
    import geopandas  # half a second, for those alone who bring polygons

    if not path.exists():
        raise UnreadableSource(f"{path}: no such file")
    try:
        is_parquet = path.suffix.lower() in (".parquet", ".geoparquet")
        frame = geopandas.read_parquet(path) if is_parquet else geopandas.read_file(path)
    except Exception as error:  # GDAL and pyarrow have an error family each
        raise UnreadableSource(f"{path}: cannot be read as a vector file ({error})") from None
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise UnreadableSource(f"{path}: a table without geometries; there are no polygons in it")
    name, code = _told(frame, NAME_COLUMNS), _told(frame, CODE_COLUMNS)
    if name is None:
        raise UnreadableSource(
            f"{path}: no column with names; one of {', '.join(NAME_COLUMNS)} is needed, "
            f"there are {', '.join(map(str, frame.columns))}"
        )
    frame = frame.to_crs(4326) if frame.crs is not None else frame.set_crs(4326)
    geometry = frame.geometry.make_valid()
    kept = (geometry.geom_type.isin(["Polygon", "MultiPolygon"]) & ~geometry.is_empty).to_numpy()
    if not kept.any():
        raise UnreadableSource(f"{path}: there are no polygons in it")
    code = np.full(len(frame), "", dtype=object) if code is None else code
    name = np.where(name == "", np.where(code == "", "without a name", code), name)
    return Regions(np.asarray(geometry.values, dtype=object)[kept], name[kept], code[kept])


def _told(frame: Any, names: tuple[str, ...]) -> Names | None:
    """For each row what the first column says that says anything, else ""; None without such a column."""
    columns = {str(column).lower(): column for column in frame.columns}
    found = [frame[columns[name]] for name in names if name in columns]
    if not found:
        return None
    told = np.full(len(frame), "", dtype=object)
    for column in found:
        texts = ["" if value is None else str(value).strip() for value in column]
        is_given = np.array([text.lower() not in NOT_GIVEN for text in texts], dtype=bool)
        told = np.where((told == "") & is_given, np.array(texts, dtype=object), told)
    return told
