"""Photos that a model is trained on with captions: those of a gallery, or of a folder, table or archive."""

from collections import Counter
from pathlib import Path
from typing import Any

from ..encoders.captioning.photos import PhotoSource
from ..encoders.errors import TooFewPairs, UnreadableSource
from .entry import Entry
from .gallery import Gallery
from .listing import Item
from .photos import Photo
from .sources import list_source

ARCHIVED = "::"
"""Stands between an archive and its member in a key."""


def sources_of_gallery(gallery: Gallery) -> tuple[list[Item], dict[str, Any]]:
    """The placed photos of a gallery, ordered by key, to be read again from where they were indexed.

    Place, time, group and columns are those that the gallery knows; the files must still be there. A file
    that has changed since is listed with that problem.

    Args:
        gallery: open.

    Returns:
        The photos, and JSON facts for the card: gallery, numbers of photos, folders and tables.

    Raises:
        TooFewPairs: no photo has a place.
    """
    photos, _ = gallery.placed()
    if not photos:
        raise TooFewPairs(
            f"gallery {gallery.name!r} holds {len(gallery)} photos, none of known place; index photos with "
            "coordinates in their EXIF, or a table with lon and lat columns"
        )
    entries = gallery.state.entries
    known = [photo for photo in sorted(photos, key=lambda photo: photo.image) if photo.image in entries]
    members = _members({photo.image.partition(ARCHIVED)[0] for photo in known if ARCHIVED in photo.image})
    items = [_item(photo, entries[photo.image], members) for photo in known]
    facts = {
        "gallery": gallery.name,
        "photos": len(items),
        "photos_without_place": len(gallery) - len(photos),
        "sources": dict(Counter(item.source for item in items).most_common(10)),
    }
    return items, facts


def sources_of_path(
    path: str | Path, *, group_column: str | None = None
) -> tuple[list[PhotoSource], dict[str, Any]]:
    """The photos of a folder, table or archive, and JSON facts for the card.

    Args:
        path: as in `list_source`.
        group_column: which column says what belongs together and must not be torn apart by the hold-out.

    Raises:
        UnreadableSource: no such file, not a source, or without a single picture.
    """
    listing = list_source(path, group_column=group_column)
    return list(listing), {"photos": len(listing), "sources": {listing.source: len(listing)}}


def _members(archives: set[str]) -> dict[str, Item]:
    """Where the members of archives stand in them; those of an archive that is gone are not here."""
    members: dict[str, Item] = {}
    for archive in sorted(archives):
        try:
            members |= {item.key: item for item in list_source(archive)}
        except UnreadableSource:
            continue
    return members


def _item(photo: Photo, entry: Entry, members: dict[str, Item]) -> Item:
    """A photo of the gallery as a source would list it."""
    path, _, member = photo.image.partition(ARCHIVED)
    found = members.get(photo.image)
    size_bytes = found.size_bytes if found else _size_bytes(Path(path)) if not member else -1
    problem = None
    if size_bytes < 0:
        problem = "not where it was indexed from; index it again from where it is now"
    elif size_bytes != entry.size_bytes:
        problem = "changed since it was indexed; index it again"
    return Item(
        key=photo.image,
        source=entry.source,
        path=Path(path),
        size_bytes=size_bytes,
        mtime_ns=entry.mtime_ns,
        offset=found.offset if found else 0,
        lon=photo.lon,
        lat=photo.lat,
        captured_at=photo.captured_at,
        group=photo.group,
        payload=dict(photo.payload),
        problem=problem,
    )


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
