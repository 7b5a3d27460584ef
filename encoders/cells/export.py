"""Cells for other programs: GeoJSON, GeoParquet with polygons, CSV with centers."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import shapely
from shapely.geometry.polygon import orient

from ..errors import UnwritableFile
from .shapes import polygons_of

if TYPE_CHECKING:
    from ..geocells import Geocells

Format: TypeAlias = Literal["geojson", "geoparquet", "csv"]
DIGITS = 7  # of degrees: a centimeter


def export_cells(
    cells: "Geocells",
    path: Path,
    form: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write the cells.

    Args:
        cells: what to write.
        path: the file, replaced if it is there.
        form: ``geojson`` (RFC 7946), ``geoparquet``, or ``csv`` without polygons.
        progress: told how many polygons are made.

    Raises:
        UnwritableFile: there is no such folder, or no right to write.
    """
    content = {"geojson": _geojson, "geoparquet": _geoparquet, "csv": _csv}[form](cells, progress)
    temporary = path.with_name(f"{path.name}.partial")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise UnwritableFile(f"{path}: cannot be written ({reason}); choose a folder that is there") from None


def rows_of(cells: "Geocells") -> list[dict[str, Any]]:
    """The records, JSON values, a dict for each cell."""
    return [
        {
            "cell": row,
            "cell_id": cells.cell_id[row],
            "country": cells.country[row],
            "admin1": cells.admin1[row],
            "name": cells.name[row],
            "lon": float(cells.center_lonlat[row, 0]),
            "lat": float(cells.center_lonlat[row, 1]),
            "n_train": int(cells.n_train[row]),
            "rms_km": float(cells.rms_km[row]),
            "p95_km": float(cells.p95_km[row]),
            "area_km2": float(cells.area_km2[row]) if np.isfinite(cells.area_km2[row]) else None,
            "flags": ",".join(cells.flags[row]),
        }
        for row in range(len(cells))
    ]


def _geojson(cells: "Geocells", progress: Callable[[int, int], None]) -> bytes:
    features = []
    for polygon, properties in zip(polygons_of(cells, progress), rows_of(cells), strict=True):
        features.append({"type": "Feature", "geometry": _geometry(polygon), "properties": properties})
    told = {"type": "FeatureCollection", "cells_id": cells.cells_id, "features": features}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _geometry(polygon: Any) -> dict[str, Any] | None:
    """Exterior rings counterclockwise; None for a cell without a polygon."""
    # Rounding vertex by vertex could let a thin polygon cross itself.
    snapped = shapely.set_precision(polygon, 10.0**-DIGITS)
    parts = [orient(part) for part in shapely.get_parts(snapped) if part.geom_type == "Polygon"]
    if not parts:
        return None
    coordinates = [[_ring(ring) for ring in (part.exterior, *part.interiors)] for part in parts]
    if len(coordinates) == 1:
        return {"type": "Polygon", "coordinates": coordinates[0]}
    return {"type": "MultiPolygon", "coordinates": coordinates}


def _ring(ring: Any) -> list[list[float]]:
    rounded: list[list[float]] = shapely.get_coordinates(ring).round(DIGITS).tolist()
    return rounded


def _geoparquet(cells: "Geocells", progress: Callable[[int, int], None]) -> bytes:
    import geopandas

    polygons = polygons_of(cells, progress)
    frame = geopandas.GeoDataFrame(rows_of(cells), geometry=list(polygons), crs="OGC:CRS84")
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def _csv(cells: "Geocells", progress: Callable[[int, int], None]) -> bytes:
    rows = rows_of(cells)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
