"""The table of a plan: one row for each view of a place that a picture is wanted of.

Columns: ``id``, ``lon``, ``lat`` (WGS84 degrees), ``heading_deg`` (clockwise from north), ``region``,
``sub_area``. A plan from elsewhere needs ``lon`` and ``lat`` alone: without a heading any direction
will do, and without ids rows are called by their numbers.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..encoders.errors import UnreadableSource, UnwritableFile
from .durable import write_atomically
from .imagery_table import read_placed_table

COLUMNS = ("id", "lon", "lat", "heading_deg", "region", "sub_area")


@dataclass(frozen=True, kw_only=True)
class View:
    """A place and a direction."""

    id: str
    lon: float
    lat: float
    heading_deg: float | None = None  # clockwise from north, [0, 360); None: any
    region: str = ""
    sub_area: str = ""


def by_point(views: Iterable[View]) -> list[list[View]]:
    """The views of each place together, so that it is asked about once."""
    points: dict[tuple[float, float], list[View]] = {}
    for view in views:
        points.setdefault((view.lon, view.lat), []).append(view)
    return list(points.values())


def in_turn(points: Sequence[list[View]]) -> list[list[View]]:
    """The first point of each sub-area, then the second of each …: whatever ends early, ends fairly."""
    areas: dict[tuple[str, str], list[list[View]]] = {}
    for point in points:
        areas.setdefault((point[0].region, point[0].sub_area), []).append(point)
    rounds = zip_longest(*areas.values())
    return [point for turn in rounds for point in turn if point is not None]


def write_views(views: Sequence[View], path: Path) -> None:
    """Write a plan as .csv or .parquet, whole or not at all.

    Raises:
        UnwritableFile: another ending, or no folder, room or right to write.
    """
    table = pd.DataFrame([asdict(view) for view in views], columns=list(COLUMNS))
    if path.suffix.lower() == ".csv":
        content = table.to_csv(index=False, lineterminator="\n").encode()
    elif path.suffix.lower() == ".parquet":
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
        content = buffer.getvalue()
    else:
        raise UnwritableFile(f"{path}: a plan is written as .csv or .parquet")
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UnwritableFile(f"{path}: cannot be written ({error.strerror or error})") from None


def read_views(path: Path) -> list[View]:
    """Read a plan.

    Raises:
        UnreadableSource: no table, no rows, an id twice, or a heading that is none.
        UnknownColumns: no columns of coordinates.
        InvalidCoordinate: a row that is nowhere on Earth.
    """
    table, lonlat = read_placed_table(path)
    if not len(table):
        raise UnreadableSource(f"{path}: the plan is empty; make one with `placeprint imagery plan`")
    ids = _texts(table, "id") if "id" in table else [f"row {row}" for row in range(1, len(table) + 1)]
    twice = next(iter(pd.Series(ids)[pd.Series(ids).duplicated()]), None)
    if twice is not None:
        raise UnreadableSource(f"{path}: the id {twice!r} occurs more than once; ids tell views apart")
    headings = _headings(table, path)
    regions, sub_areas = _texts(table, "region"), _texts(table, "sub_area")
    return [
        View(id=id, lon=lon, lat=lat, heading_deg=heading, region=region, sub_area=sub_area)
        for id, (lon, lat), heading, region, sub_area in zip(
            ids, lonlat.tolist(), headings, regions, sub_areas, strict=True
        )
    ]


def _texts(table: pd.DataFrame, column: str) -> list[str]:
    if column not in table:
        return [""] * len(table)
    return ["" if value is None or value != value else str(value) for value in table[column]]


def _headings(table: pd.DataFrame, path: Path) -> list[float | None]:
    if "heading_deg" not in table:
        return [None] * len(table)
    headings: list[float | None] = []
    for row, value in enumerate(_texts(table, "heading_deg")):
        try:
            heading = float(value) % 360.0 if value.strip() else None
        except ValueError:
            heading = np.nan
        if heading is not None and not np.isfinite(heading):
            raise UnreadableSource(f"{path}: row {row}: heading_deg {value!r} is no number of degrees")
        headings.append(heading)
    return headings


def told_table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> bytes:
    """Rows as CSV in UTF-8; what a row does not tell is an empty cell."""
    return pd.DataFrame(rows, columns=list(columns)).to_csv(index=False, lineterminator="\n").encode()
