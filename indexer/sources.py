"""Where photos come from: folders, tables, and WebDataset archives, all as a list of items.

A table (CSV, Parquet, GeoParquet, GeoPackage) has a column ``image`` with paths relative to it,
and ``lon`` and ``lat`` in degrees or a geometry column; every other column becomes payload. A
WebDataset archive has members of the same name beside each picture: ``.json`` with such fields.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..encoders.errors import UnreadableSource
from ..encoders.photo import SUFFIXES
from .listing import Item, Listing
from .picture_files import is_picture, picture_item, readable

TABLES = (".csv", ".tsv", ".parquet", ".geoparquet", ".gpkg")
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
            return Listing([], readable(str(path)))
        raise UnreadableSource(f"{path}: no such file or folder; a source is {EXAMPLE}")
    if path.is_dir():
        listing = Listing(
            lambda: _folder(path, group_column),
            readable(str(path)),
            count=lambda: _count(path, group_column),
        )
        if not may_be_empty and next(iter(listing), None) is None:
            raise UnreadableSource(_nothing_in(path))
        return listing
    if path.suffix.lower() in TABLES:
        from .photo_tables import items_of_table  # pandas takes a second, and folders do without

        items = items_of_table(path, group_column)
    elif path.suffix.lower() == ".tar":
        items = _archive(path, str(path), group_column)
    elif path.suffix.lower() in SUFFIXES:
        items = [picture_item(path, str(path))]
    else:
        raise UnreadableSource(f"{path}: not a source of photos; a source is {EXAMPLE}")
    if not items and not may_be_empty:
        raise UnreadableSource(_nothing_in(path))
    # Of a path that is listed twice the last one counts, in an archive as tar has it.
    last = {item.key: item for item in items}
    return Listing(sorted(last.values(), key=lambda item: item.key), readable(str(path)), _doubled(items))


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
        elif is_picture(path):
            yield picture_item(Path(path), str(folder))


def _count(folder: Path, group_column: str | None) -> int:
    """How many pictures `_folder` finds, without a look at each."""
    return sum(
        len(_archive_in_folder(Path(path), str(folder), group_column))
        if path.lower().endswith(".tar")
        else is_picture(path)
        for path in _files(str(folder))
    )


def _files(folder: str) -> Iterator[str]:
    """Files that are not hidden, in the order of their paths; a folder that cannot be read has none."""
    names = []  # and nothing more: of a million files in one folder, entries would take 300 MB
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if not entry.name.startswith(".") and (is_folder := _is_folder(entry)) is not None:
                    names.append(entry.name + "/" if is_folder else entry.name)
    except OSError:
        return
    names.sort()  # by what comes after the name in a path: "a-b.jpg" stands before "a/b.jpg"
    for name in names:
        path = os.path.join(folder, name)
        if name.endswith("/"):
            yield from _files(path.removesuffix("/"))
        else:
            yield path


def _is_folder(entry: "os.DirEntry[str]") -> bool | None:
    """Whether it is one to look into, or a file; None for what is neither."""
    try:
        if entry.is_dir(follow_symlinks=False):
            return True
        return False if entry.is_file() else None
    except OSError:  # such as a link to itself; a picture's name says that something is amiss
        return False


def _archive(path: Path, source: str, group_column: str | None) -> list[Item]:
    from .photo_archives import items_of_archive  # which brings pandas too

    return items_of_archive(path, source, group_column)


def _archive_in_folder(path: Path, folder: str, group_column: str | None) -> list[Item]:
    """An archive among other files: a damaged one costs only itself."""
    try:
        members = {item.key: item for item in _archive(path, folder, group_column)}  # the last counts
        return sorted(members.values(), key=lambda item: item.key)
    except UnreadableSource as error:
        return [picture_item(path, folder, problem=str(error))]
