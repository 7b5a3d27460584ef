"""Where photos come from: folders, tables, and WebDataset archives, all as a list of items.

A table (CSV, Parquet, GeoParquet, GeoPackage) has a column ``image`` with paths relative to it,
and ``lon`` and ``lat`` in degrees or a geometry column; every other column becomes payload. A
WebDataset archive has members of the same name beside each picture: ``.json`` with such fields.
"""

import json
import mimetypes
import os
import re
import stat
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..encoders.errors import InvalidCoordinate, UnreadableSource
from ..encoders.photo import MAX_BYTES, SUFFIXES, parse_time
from ..encoders.sphere import as_lonlat, looks_swapped
from .listing import Item, Listing
from .record import encode_payload

IMAGE_COLUMNS = ("image", "path", "file", "filename", "file_name", "filepath")
LON_COLUMNS, LAT_COLUMNS = ("lon", "longitude", "lng"), ("lat", "latitude")
TIME_COLUMNS = ("captured_at", "datetime", "timestamp", "date", "time")
GROUP_COLUMNS = ("group", "sequence_id", "sequence")
TABLES = (".csv", ".tsv", ".parquet", ".geoparquet", ".gpkg")
# Pictures that we cannot read are listed too, so that each is named with the reason.
MORE_PICTURES = (".j2k", ".jp2", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf")
EXAMPLE = "a folder, a table (.csv, .parquet, .gpkg) with columns image, lon, lat, or a .tar archive"


def list_source(path: str | Path, *, group_column: str | None = None, may_be_empty: bool = False) -> Listing:
    """List the photos of a source, ordered by key.

    Args:
        path: a folder (searched through and through), a table, or an archive.
        group_column: which column or field says what belongs together (one place, one walk); by
            default ``group`` or ``sequence_id`` when there is one.
        may_be_empty: a source without a picture, or gone altogether, is an empty listing.

    Raises:
        UnreadableSource: no such file, not a source, or without a single picture.
    """
    path = Path(path).expanduser().absolute()
    if not path.exists():
        if may_be_empty:
            return Listing([], _readable(str(path)))
        raise UnreadableSource(f"{path}: no such file or folder; a source is {EXAMPLE}")
    if path.is_dir():
        listing = Listing(
            lambda: _folder(path, group_column),
            _readable(str(path)),
            count=lambda: _count(path, group_column),
        )
        if not may_be_empty and next(iter(listing), None) is None:
            raise UnreadableSource(_nothing_in(path))
        return listing
    if path.suffix.lower() in TABLES:
        items = _table(path, group_column)
    elif path.suffix.lower() == ".tar":
        items = _archive(path, str(path), group_column)
    elif path.suffix.lower() in SUFFIXES:
        items = [_file(path, str(path))]
    else:
        raise UnreadableSource(f"{path}: not a source of photos; a source is {EXAMPLE}")
    if not items and not may_be_empty:
        raise UnreadableSource(_nothing_in(path))
    # Of a path that is listed twice the last one counts, in an archive as tar has it.
    last = {item.key: item for item in items}
    return Listing(sorted(last.values(), key=lambda item: item.key), _readable(str(path)), _doubled(items))


def _nothing_in(path: Path) -> str:
    return (
        f"{path}: no pictures in it; a source is {EXAMPLE}. If there were some, and the gallery is to "
        "forget them: --prune --prune-everything"
    )


def _doubled(items: Sequence[Item]) -> list[str]:
    """A note on paths that are listed more than once, when there are any."""
    counts = Counter(item.key for item in items)
    doubled = [key for key, count in counts.items() if count > 1]
    if not doubled:
        return []
    n_lost = len(items) - len(counts)
    return [
        f"{len(doubled)} paths are listed more than once, the first {doubled[0]} "
        f"({counts[doubled[0]]} times); the last row of each counts, {n_lost} rows before it do not"
    ]


def _folder(folder: Path, group_column: str | None) -> Iterator[Item]:
    """The pictures in a folder and the folders in it, ordered by path, one folder in memory at a time."""
    for path in _files(str(folder)):
        if path.lower().endswith(".tar"):
            yield from _archive_in_folder(Path(path), str(folder), group_column)
        elif _is_picture(path):
            yield _file(Path(path), str(folder))


def _count(folder: Path, group_column: str | None) -> int:
    """How many pictures `_folder` finds, without a look at each."""
    return sum(
        len(_archive_in_folder(Path(path), str(folder), group_column))
        if path.lower().endswith(".tar")
        else _is_picture(path)
        for path in _files(str(folder))
    )


def _files(folder: str) -> Iterator[str]:
    """Files that are not hidden, in the order of their paths; a folder that cannot be read has none."""
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError:
        return
    # By what comes after the name in a path: "a-b.jpg" stands before "a/b.jpg".
    for entry in sorted(entries, key=lambda entry: entry.name + ("/" if entry.is_dir() else "")):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        elif entry.is_file():
            yield entry.path


def _archive_in_folder(path: Path, folder: str, group_column: str | None) -> list[Item]:
    """An archive among other files: a damaged one costs only itself."""
    try:
        members = {item.key: item for item in _archive(path, folder, group_column)}  # the last counts
        return sorted(members.values(), key=lambda item: item.key)
    except UnreadableSource as error:
        return [_file(path, folder, problem=str(error))]


def _is_picture(name: str) -> bool:
    return _is_suffix_of_pictures(os.path.splitext(name)[1].lower())


@cache
def _is_suffix_of_pictures(suffix: str) -> bool:
    kind = mimetypes.guess_type(f"x{suffix}")[0] or ""
    return suffix in SUFFIXES or suffix in MORE_PICTURES or kind.startswith("image/")


def _readable(path: str) -> str:
    """A path as text that can be stored, also where its bytes are no UTF-8."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _file(path: Path, source: str, **told: Any) -> Item:
    try:
        status = path.stat()
    except OSError as error:
        told["problem"] = told.get("problem") or f"cannot be read: {error.strerror}"
        source, key = _readable(source), _readable(str(path))
        return Item(key=key, source=source, path=path, size_bytes=-1, mtime_ns=-1, **told)
    if not stat.S_ISREG(status.st_mode):
        told["problem"] = told.get("problem") or "not a regular file"
    elif status.st_size > MAX_BYTES:
        told["problem"] = told.get("problem") or f"larger than {MAX_BYTES:,} bytes"
    return Item(
        key=_readable(str(path)),
        source=_readable(source),
        path=path,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        **told,
    )


# --- tables ----------------------------------------------------------------------------------------


def _table(path: Path, group_column: str | None) -> list[Item]:
    try:
        table = _read_table(path)
    except Exception as error:  # pandas, pyarrow and GDAL have an error family each
        raise UnreadableSource(f"{path}: cannot be read as a table ({error})") from None
    columns = {str(name).lower(): str(name) for name in table.columns}
    image = _column(columns, IMAGE_COLUMNS)
    if image is None:
        raise UnreadableSource(
            f"{path}: no column with the pictures' paths; name one of {', '.join(IMAGE_COLUMNS)}. "
            f"There are {', '.join(map(str, table.columns))}"
        )
    if group_column is not None and group_column not in table.columns:
        raise UnreadableSource(f"{path}: no column {group_column!r}; there are {', '.join(table.columns)}")
    rows: list[dict[str, Any]] = [dict(row) for row in table.rename(columns=str).to_dict("records")]  # type: ignore[arg-type]
    _refuse_swapped(path, rows, columns)
    return [_row(path, row, image, columns, group_column) for row in rows if str(row[image]).strip()]


def _read_table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        # Everything as text and nothing as missing: NA is Namibia.
        separator = "\t" if suffix == ".tsv" else ","
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        return table.apply(_typed)
    if suffix == ".gpkg" or _has_geometry(path):
        import geopandas  # half a second to import, for these two formats only

        located = geopandas.read_file(path) if suffix == ".gpkg" else geopandas.read_parquet(path)
        if located.crs is not None and located.crs.to_epsg() != 4326:
            located = located.to_crs(4326)
        points = located.geometry.representative_point()
        table = pd.DataFrame(located.drop(columns=located.geometry.name))
        return table.assign(lon=points.x, lat=points.y)
    return pd.read_parquet(path)


def _has_geometry(path: Path) -> bool:
    import pyarrow.parquet as pq

    return b"geo" in (pq.read_schema(path).metadata or {})


def _typed(column: "pd.Series[str]") -> "pd.Series[Any]":
    """A text column as integers or floats where every filled cell is one; 007 stays a text."""
    filled = column[column != ""]
    if len(filled) and filled.str.fullmatch(r"-?(0|[1-9]\d{0,17})").all():
        return column.map(lambda text: int(text) if text else None).astype(object)
    if len(filled) and filled.str.fullmatch(r"-?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?").all():
        return column.map(lambda text: float(text) if text else None).astype(object)
    return column


def _column(columns: dict[str, str], names: Iterable[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _refuse_swapped(path: Path, rows: Sequence[dict[str, Any]], columns: dict[str, str]) -> None:
    lon, lat = _column(columns, LON_COLUMNS), _column(columns, LAT_COLUMNS)
    if lon is None or lat is None:
        return
    pairs = [(_float(row[lon]), _float(row[lat])) for row in rows]
    known = np.array([pair for pair in pairs if None not in pair], dtype=float).reshape(-1, 2)
    if len(known) and (share := looks_swapped(known)) > 0.5:
        raise UnreadableSource(
            f"{path}: {share:.0%} of the rows lie on Earth only with lon and lat exchanged; "
            "rename the columns"
        )


def _row(
    path: Path, row: dict[str, Any], image: str, columns: dict[str, str], group_column: str | None
) -> Item:
    told = _told({key: value for key, value in row.items() if key != image}, group_column)
    return _file(_plain((path.parent / str(row[image])).absolute()), str(path), **told)


def _plain(path: Path) -> Path:
    """A path without ``..``, by which other sources name the same file too; links are left alone."""
    plain = Path(os.path.normpath(path))
    return plain if plain == path or (plain.exists() and plain.samefile(path)) else path


def _told(fields: dict[str, Any], group_column: str | None) -> dict[str, Any]:
    """What a row says of a photo: coordinates, time and group by our names, the rest as payload."""
    columns = {key.lower(): key for key in fields}
    lon, lat = _column(columns, LON_COLUMNS), _column(columns, LAT_COLUMNS)
    told: dict[str, Any] = {"payload": _payload(fields, leave_out={lon, lat})}
    told |= _place(fields.get(lon or ""), fields.get(lat or ""))
    times = (parse_time(_time(fields[columns[name]])) for name in TIME_COLUMNS if name in columns)
    told["captured_at"] = next((moment for moment in times if moment is not None), None)
    try:
        encode_payload(told["payload"]).encode()
    except ValueError as error:
        told |= {"payload": {}, "problem": f"what is told of it cannot be stored ({error})"}
    group = fields.get(group_column or _column(columns, GROUP_COLUMNS) or "")
    told["group"] = None if _is_missing(group) else str(group)
    return told


def _payload(fields: dict[str, Any], leave_out: set[str | None]) -> dict[str, Any]:
    payload = {}
    for key, value in fields.items():
        name = re.sub(r"\W+", "_", key).strip("_")  # as the store's filters can name it
        if key not in leave_out and name and not _is_missing(value):
            payload[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return payload


def _place(lon: Any, lat: Any) -> dict[str, Any]:
    if _is_missing(lon) and _is_missing(lat):
        return {}
    try:
        checked = as_lonlat([_number(lon), _number(lat)])
    except (InvalidCoordinate, ValueError, TypeError) as error:
        return {"problem": f"coordinates lon {lon}, lat {lat}: {error}"}
    return {"lon": float(checked[0]), "lat": float(checked[1])}


def _number(value: Any) -> float:
    if _is_missing(value):
        raise ValueError("one of the two is missing")
    return float(value)


def _float(value: Any) -> float | None:
    try:
        return _number(value)
    except (ValueError, TypeError):
        return None


def _time(value: Any) -> Any:
    if _is_missing(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def _is_missing(value: Any) -> bool:
    if isinstance(value, list | dict | np.ndarray):
        return False
    return (isinstance(value, str) and not value) or bool(pd.isna(value))


# --- archives --------------------------------------------------------------------------------------


def _archive(path: Path, source: str, group_column: str | None) -> list[Item]:
    """The pictures of a WebDataset archive; they stay where they are and are read in place."""
    mtime_ns = path.stat().st_mtime_ns
    try:
        with tarfile.open(path, "r:") as archive:
            members = [member for member in archive if member.isfile()]
            told = {_stem(one.name): _json(archive, one) for one in members if one.name.endswith(".json")}
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UnreadableSource(f"{path}: not an uncompressed tar archive ({error})") from None
    return [
        Item(
            key=_readable(f"{path}::{member.name}"), source=_readable(source), path=path,
            offset=member.offset_data, size_bytes=member.size, mtime_ns=mtime_ns,
            **_told(told.get(_stem(member.name), {}), group_column),
        )
        for member in members
        if _is_picture(member.name)
    ]  # fmt: skip


def _stem(name: str) -> str:
    """A member's name up to the first dot of its last part, as WebDataset groups members."""
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _json(archive: tarfile.TarFile, member: tarfile.TarInfo) -> dict[str, Any]:
    file = archive.extractfile(member)
    try:
        found = json.loads(file.read()) if file else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def missing_keys(keys: Iterable[str]) -> Iterator[str]:
    """Those keys whose file is not there any more."""
    for key in keys:
        if not Path(key.partition("::")[0]).exists():
            yield key
