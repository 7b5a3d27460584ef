"""The photos of a benchmark as the user has them, checked to be those of the benchmark.

Either a folder of photos that tell their places themselves (EXIF, or the comments of IM2GPS), or the
benchmark's metadata as a table, with the photos anywhere below the table's folder. The two are
brought together by the photos' ids, whatever the folders and endings are called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..encoders.errors import InvalidCoordinate, UnreadableSource, WrongPhotoSet
from ..encoders.sphere import as_lonlat, looks_swapped
from .listing import Item, Listing
from .photo_fields import LAT_COLUMNS, LON_COLUMNS
from .photo_tables import IMAGE_COLUMNS
from .protocols import Protocol
from .sources import list_source

TABLES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class _Truth:
    lon: float
    lat: float
    group: str | None


def list_protocol(
    path: str | Path, protocol: Protocol, *, is_partial: bool = False, group_column: str | None = None
) -> Listing:
    """List the photos of a benchmark, with their places and with their authors as groups.

    Args:
        path: a folder of photos, or the table of metadata among the photos.
        protocol: which benchmark they are said to be.
        is_partial: whether a part of them will do.
        group_column: of the table; by default who took the photo, where name or table say it.

    Raises:
        WrongPhotoSet: they are not the photos of this benchmark, or not all of them.
        UnreadableSource: no such file, not a table with the columns of the benchmark, or no pictures.
    """
    path = Path(path).expanduser().absolute()
    if path.suffix.lower() not in TABLES:
        return _listed_by_themselves(list_source(path), path, protocol, is_partial=is_partial)
    if not path.exists():
        raise UnreadableSource(f"{path}: no such file")
    truths = _truths(path, protocol, group_column)
    protocol.check(list(truths), where=str(path), is_partial=is_partial)
    found: dict[str, Item] = {}
    for item in list_source(path.parent):
        id = protocol.id_of(Path(item.key).name)
        if id is not None and id in truths:
            found.setdefault(id, item)
    missing = [id for id in truths if id not in found]
    if not found or (missing and not is_partial):
        raise WrongPhotoSet(
            f"{path}: {len(missing):,} of its {len(truths):,} photos have no file below {path.parent}, the "
            f"first {missing[0]}; names look like {protocol.ids_look}. To evaluate the others say --partial"
        )
    items = [
        replace(item, lon=truths[id].lon, lat=truths[id].lat, group=truths[id].group)
        for id, item in sorted(found.items())
    ]
    return Listing(items, str(path), _notes(protocol, len(items)))


def _listed_by_themselves(listing: Listing, path: Path, protocol: Protocol, *, is_partial: bool) -> Listing:
    """Photos that tell their places themselves; each file is one of the set."""
    ids = [protocol.id_of(Path(item.key.partition("::")[2] or item.key).name) for item in listing]
    strange = [item.key for item, id in zip(listing, ids, strict=True) if id is None]
    if strange:
        raise WrongPhotoSet(
            f"{path}: {len(strange):,} of {len(listing):,} files are not named as photos of {protocol.title} "
            f"are, the first {Path(strange[0]).name}; those look like {protocol.ids_look}"
        )
    protocol.check([id for id in ids if id], where=str(path), is_partial=is_partial)
    items = [replace(item, group=item.group or protocol.author_of(Path(item.key).name)) for item in listing]
    return Listing(items, listing.source, [*listing.notes, *_notes(protocol, len(items))])


def _notes(protocol: Protocol, n_photos: int) -> list[str]:
    notes = [f"{protocol.title}: {protocol.remarks}"]
    if n_photos not in protocol.n_photos:
        notes.append(
            f"these are {n_photos:,} of the {protocol.counted} photos of {protocol.title}: figures of a part "
            "of a set cannot stand beside published ones"
        )
    return notes


def _truths(path: Path, protocol: Protocol, group_column: str | None) -> dict[str, _Truth]:
    """Place and group of each id in a table of metadata."""
    table = _read(path)
    named = {str(name).lower(): str(name) for name in table.columns}
    name = _column(path, named, (protocol.id_column, *IMAGE_COLUMNS))
    lon = _column(path, named, (protocol.lon_column, *LON_COLUMNS))
    lat = _column(path, named, (protocol.lat_column, *LAT_COLUMNS))
    if group_column is not None and group_column not in table.columns:
        raise UnreadableSource(f"{path}: no column {group_column!r}; there are {', '.join(table.columns)}")
    group = group_column or named.get((protocol.group_column or "").lower())
    ids = [protocol.id_of(text) for text in table[name].astype(str)]
    strange = [text for text, id in zip(table[name].astype(str), ids, strict=True) if id is None]
    if strange:
        raise WrongPhotoSet(
            f"{path}: {len(strange):,} of {len(table):,} ids in {name} are not as those of {protocol.title}, "
            f"the first {strange[0]!r}; those look like {protocol.ids_look}"
        )
    kept = [id for id in ids if id is not None]
    if len(set(kept)) < len(kept):  # a mapping would hide that
        protocol.check(kept, where=str(path), is_partial=True)
    lonlat = _lonlat(path, table[[lon, lat]], (lon, lat))
    groups = table[group].astype(str) if group is not None else [None] * len(table)
    authors = [protocol.author_of(text) for text in table[name].astype(str)]
    return {
        id: _Truth(float(place[0]), float(place[1]), told or author or None)
        for id, place, author, told in zip(kept, lonlat, authors, groups, strict=True)
    }


def _read(path: Path) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except Exception as error:  # pandas and pyarrow have an error family each
        raise UnreadableSource(f"{path}: cannot be read as a table ({error})") from None


def _column(path: Path, named: Mapping[str, str], names: Sequence[str]) -> str:
    for name in names:
        if name.lower() in named:
            return named[name.lower()]
    raise UnreadableSource(f"{path}: no column {names[0]}; there are {', '.join(named.values())}")


def _lonlat(path: Path, columns: Any, names: tuple[str, str]) -> Any:
    """The coordinates, (n, 2), refused where columns are exchanged or a row has none."""
    try:
        told = columns.to_numpy().astype(np.float64)
    except ValueError as error:
        raise UnreadableSource(f"{path}: a coordinate is no number ({error})") from None
    # One row is enough: lists of benchmarks have no errors of single rows.
    if looks_swapped(told) > 0.0:
        raise WrongPhotoSet(
            f"{path}: the columns {names[0]} and {names[1]} are exchanged ({looks_swapped(told):.0%} of the "
            "rows lie on Earth only the other way round). Early copies of such lists are like that: take a "
            "later one, or exchange the two names in the first line"
        )
    try:
        return as_lonlat(told)
    except InvalidCoordinate as error:
        raise UnreadableSource(f"{path}: {error}") from None
