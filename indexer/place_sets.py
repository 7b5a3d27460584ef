"""Photos of known place as a benchmark has them: two sets, the queries and the gallery.

A set is a folder or a table of photos. Where the photos are is told by the table's columns, by a table in
the folder, by file names (`benchmark_names`), or by the photos' own EXIF, which is read with their pixels.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import UnreadableSource, WrongPhotoSet
from .benchmark_names import is_benchmark_name, read_names
from .caption_photos import sources_of_gallery
from .listing import Item
from .photos import group_at
from .sources import TABLES, list_source

if TYPE_CHECKING:
    from .gallery import Gallery

INDEX_NAMES = ("index", "coordinates", "gps", "images", "metadata")
"""What a table of coordinates in a folder of photos may be called, without its ending."""
PARTS = ("year", "light")
"""Columns by which figures are told apart: year of capture, and light such as day, dusk or night."""


@dataclass(frozen=True, eq=False)
class PlaceSet:
    """Photos and what is known of where they were taken.

    Attributes:
        source: folder, table or gallery, for messages.
        names: file names without folders, (n,).
        items: where the photos can be read.
        lonlat: degrees, NaN where the place is not known, (n, 2).
        frame: number on the walk, (n,); -1 where it is not known.
        group: what belongs together, a panorama or a sequence, (n,); each its own where nothing is told.
        parts: for each of `PARTS` that is known, its value of each photo, (n,); "" where it is not.
        notes: what to know of the set, a sentence each.
    """

    source: str
    names: list[str]
    items: list[Item]
    lonlat: NDArray[np.float64]
    frame: NDArray[np.int64]
    group: NDArray[np.str_]
    parts: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def has_groups(self) -> bool:
        """Whether any two photos belong together."""
        return len(np.unique(self.group)) < len(self)

    def require_lonlat(self) -> NDArray[np.float64]:
        """The places, (n, 2).

        Raises:
            WrongPhotoSet: one is not known.
        """
        missing = np.flatnonzero(~np.isfinite(self.lonlat).all(axis=1))
        if len(missing):
            raise WrongPhotoSet(
                f"{self.source}: {len(missing):,} of {len(self):,} photos have no place, the first "
                f"{self.names[missing[0]]}; write columns image, lon, lat into an index.csv beside them, or "
                "judge by frames:N or by a list"
            )
        return self.lonlat

    def require_frames(self) -> NDArray[np.int64]:
        """The numbers on the walk, (n,).

        Raises:
            WrongPhotoSet: one is not known, or two photos have the same.
        """
        if (self.frame < 0).any():
            name = self.names[int(np.flatnonzero(self.frame < 0)[0])]
            raise WrongPhotoSet(
                f"{self.source}: {name} has no frame number; name the frames by number, or write a column "
                "frame"
            )
        if len(np.unique(self.frame)) < len(self):
            raise WrongPhotoSet(
                f"{self.source}: frame numbers occur more than once; a tolerance in frames judges one walk"
            )
        return self.frame

    def take(self, rows: NDArray[np.intp]) -> PlaceSet:
        """Some of the photos, in another order or not."""
        return replace(
            self,
            names=[self.names[row] for row in rows],
            items=[self.items[row] for row in rows],
            lonlat=self.lonlat[rows],
            frame=self.frame[rows],
            group=self.group[rows],
            parts={part: values[rows] for part, values in self.parts.items()},
        )


def read_place_set(path: str | Path, *, group_column: str | None = None) -> PlaceSet:
    """List the photos of a folder or a table, in the order of their paths.

    Args:
        path: a folder, or a table with a column image. In a folder a table called ``index`` (or one of
            `INDEX_NAMES`) tells of its photos.
        group_column: which column says what belongs together; by default ``group`` or ``sequence_id``, and
            of file names the panorama.

    Raises:
        UnreadableSource: no such folder or table, or none with pictures, or two tables in a folder.
        WrongPhotoSet: a file name of a benchmark that cannot be read.
    """
    path = Path(path).expanduser().absolute()
    listed = list_source(_index_of(path) or path, group_column=group_column)
    return place_set_of(listed, str(path), notes=listed.notes)


def place_set_of_gallery(gallery: Gallery) -> tuple[PlaceSet, list[str]]:
    """The placed photos of a gallery, in the order of their paths, and their ids.

    Photos that were indexed without a group stand alone; the gallery itself groups them by place.
    """
    items = [
        replace(item, group=None) if item.group == group_at(item.lon, item.lat) else item
        for item in sources_of_gallery(gallery)[0]
        if item.lon is not None and item.lat is not None
    ]
    id_of = {photo.image: photo.id for photo in gallery.placed()[0]}
    return place_set_of(items, f"gallery {gallery.name}"), [id_of[item.key] for item in items]


def place_set_of(items: Sequence[Item], source: str, *, notes: Sequence[str] = ()) -> PlaceSet:
    """A set of listed photos, with all that their table and their names tell.

    Raises:
        WrongPhotoSet: a file name of a benchmark that cannot be read.
    """
    items = list(items)
    names = [Path(item.key.partition("::")[2] or item.key).name for item in items]
    lonlat, notes = _lonlat_of(items), list(notes)
    group = np.array([item.group or "" for item in items], dtype=object)
    year = np.array([_year(item) for item in items], dtype=object)
    named = np.array([is_benchmark_name(name) for name in names])
    if named.any():
        rows = np.flatnonzero(named)
        told = read_names([names[row] for row in rows])
        lonlat[rows] = np.where(np.isfinite(lonlat[rows]), lonlat[rows], told.lonlat)
        group[rows] = np.where(group[rows] == "", told.panorama, group[rows])
        year[rows] = np.where(year[rows] == "", told.year, year[rows])
        notes += told.notes
    alone = group == ""
    group[alone] = [f"\0{row}" for row in np.flatnonzero(alone)]  # no name of a group begins so
    parts = {"year": year.astype(str), "light": np.array([_told(item, "light") for item in items])}
    return PlaceSet(
        source, names, items, lonlat, _frames(names, items), group.astype(str),
        {part: values for part, values in parts.items() if (values != "").any()}, notes,
    )  # fmt: skip


def copies_in(queries: PlaceSet, gallery: PlaceSet) -> list[str]:
    """Names of the queries whose very file is in the gallery; only files of equal size are read."""
    sizes = {item.size_bytes for item in queries.items}
    there = {_digest(item) for item in gallery.items if item.size_bytes in sizes}
    return [
        name
        for name, item in zip(queries.names, queries.items, strict=True)
        if there and _digest(item) in there
    ]


def _digest(item: Item) -> str:
    """Of the file's bytes; one that cannot be read is no copy of any."""
    try:
        return hashlib.sha256(item.read()).hexdigest()
    except OSError:
        return item.key


def _index_of(path: Path) -> Path | None:
    """The table in a folder that tells of its photos; None without one.

    Raises:
        UnreadableSource: there are several.
    """
    if not path.is_dir():
        return None
    found = [
        file for file in sorted(path.iterdir())
        if file.suffix.lower() in TABLES and file.stem.lower() in INDEX_NAMES
    ]  # fmt: skip
    if len(found) > 1:
        raise UnreadableSource(
            f"{path}: {' and '.join(file.name for file in found)} may each tell of the photos; name one of "
            "the tables instead of the folder"
        )
    return found[0] if found else None


def _told(item: Item, column: str) -> str:
    """A column of the table, in any case of letters, as text; "" without one."""
    return next((str(value) for name, value in item.payload.items() if name.lower() == column), "")


def _year(item: Item) -> str:
    return str(item.captured_at.year) if item.captured_at else _told(item, "year")


def _lonlat_of(items: Sequence[Item]) -> NDArray[np.float64]:
    """Places that the table tells, NaN elsewhere, (n, 2)."""
    lonlat = np.full((len(items), 2), np.nan)
    for row, item in enumerate(items):
        if item.lon is not None and item.lat is not None:
            lonlat[row] = item.lon, item.lat
    return lonlat


def _frames(names: Sequence[str], items: Sequence[Item]) -> NDArray[np.int64]:
    """A column ``frame``, else the last run of digits of the name; -1 where there is neither."""
    frames = []
    for name, item in zip(names, items, strict=True):
        found: Any = _told(item, "frame") or next(iter(re.findall(r"\d+(?=\D*$)", Path(name).stem)), "")
        frames.append(int(found) if str(found).isdigit() and len(str(found)) < 19 else -1)
    return np.array(frames, dtype=np.int64)
