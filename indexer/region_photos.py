"""Photos of a gallery with the region and the sub-area that each was taken in.

A region comes of polygons, or of a field of the photos' payload. A sub-area, which is held out as a whole,
is a polygon within the region where the file names such, the value of another field, or else a cell of the
H3 grid.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h3
import numpy as np
import shapely
from numpy.typing import NDArray

from ..encoders.errors import DamagedCheckpoint, InvalidOption, TooFewPairs, UnknownColumns
from ..encoders.region_learning.material import RegionPhotos
from .gallery import Gallery
from .imagery_areas import SubArea, read_sub_areas
from .photos import Photo, group_at
from .regions import Regions
from .store import VECTOR

REGIONS_FILE = "regions.json"
"""In the folder of a run: what its regions are made of."""

AREAS_WANTED = 10
"""Sub-areas that half of the regions should have where cells are chosen, or a third as many as photos."""

LEAST_PHOTOS = 10  # of a region that has a say in it

FINEST, COARSEST = 9, 1  # resolutions of H3: cells of 0.1 km² and of 600,000 km²


@dataclass(frozen=True, kw_only=True)
class Regionalization:
    """What regions and sub-areas are made of; either `boundaries` or `field`.

    Attributes:
        boundaries: vector file of polygons.
        region_column: of the file, see `imagery_areas.read_sub_areas`.
        area_column: of the file, names of the sub-areas.
        near_km: a place outside all polygons is in the nearest one this near; coasts are drawn coarsely.
        field: of the payload, that names the region.
        area_field: of the payload, that names the sub-area.
        resolution: of the H3 cells that are sub-areas where nothing else names them; None: chosen.
    """

    boundaries: Path | None = None
    region_column: str | None = None
    area_column: str | None = None
    near_km: float = 1.0
    field: str | None = None
    area_field: str | None = None
    resolution: int | None = None

    def __post_init__(self) -> None:
        """See that it says one thing.

        Raises:
            InvalidOption: it says none, or two.
        """
        if (self.boundaries is None) == (self.field is None):
            raise InvalidOption("regions are those of a file of boundaries, or of a payload field: give one")
        if self.boundaries is None and (self.region_column or self.area_column):
            raise InvalidOption("columns are those of a file of boundaries: give one")
        if self.area_column and self.area_field:
            raise InvalidOption(
                "sub-areas are named by a column of the boundaries or by a payload field, not both"
            )
        if not 0.0 <= self.near_km < 1000.0:
            raise InvalidOption(f"near_km={self.near_km:g}: kilometers, below 1,000")
        if self.resolution is not None and not COARSEST <= self.resolution <= 12:
            raise InvalidOption(f"resolution={self.resolution}: of H3 cells, from {COARSEST} to 12")
        if self.resolution is not None and (self.area_column or self.area_field):
            raise InvalidOption("sub-areas are cells of a resolution where nothing names them; leave one out")

    def to_json(self) -> bytes:
        """As a file that `read` reads; it names a file of this machine."""
        said = asdict(self) | {
            "boundaries": None if self.boundaries is None else str(self.boundaries.resolve())
        }
        return json.dumps(said, indent=1).encode()

    @classmethod
    def read(cls, path: Path) -> "Regionalization":
        """Read what `to_json` gave.

        Raises:
            DamagedCheckpoint: no such file, or damaged.
        """
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
            boundaries = said.pop("boundaries")
            return cls(boundaries=None if boundaries is None else Path(boundaries), **said)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedCheckpoint(
                f"{path}: cannot be read ({error}); `placeprint train regions … --resume` writes it again"
            ) from None


def region_photos(
    gallery: Gallery, how: Regionalization, *, using: str = VECTOR
) -> tuple[RegionPhotos, dict[str, Any]]:
    """The photos of known place that lie in a region, ordered by id, and facts about them.

    Args:
        gallery: open.
        how: what the regions are.
        using: the vectors to learn from: the gallery's own, or some of another encoder.

    Returns:
        The photos, and JSON facts for the card: gallery, encoder, numbers of photos, what sub-areas are.

    Raises:
        TooFewPairs: no photo lies in a region.
        UnreadableSource, UnknownColumns: as `read_sub_areas`; or no photo has the field.
        UnknownVector: there are no vectors of that name.
    """
    fingerprint = gallery.vectors.fingerprint(using)
    photos, lonlat = gallery.placed()
    if using != VECTOR:
        known = set(gallery.vectors.having(using, [photo.id for photo in photos]))
        kept = [row for row, photo in enumerate(photos) if photo.id in known]
        photos, lonlat = [photos[row] for row in kept], lonlat[kept]
    names, areas = _names_of(photos, lonlat, how)
    inside = [row for row, name in enumerate(names) if name]
    if not inside:
        raise TooFewPairs(
            f"gallery {gallery.name!r}: of {len(photos)} photos of known place none lies in a region; look "
            "whether these are the right boundaries"
        )
    photos, lonlat = [photos[row] for row in inside], lonlat[inside]
    regions = [names[row] for row in inside]
    if areas is None:
        resolution = how.resolution or _resolution_for(lonlat, regions)
        sub_areas, kind = _cells(lonlat, resolution), f"H3 cells of resolution {resolution}"
    else:
        sub_areas = [areas[row] or "without a name" for row in inside]
        kind = "polygons" if how.area_column else f"values of {how.area_field!r}"
    ids = tuple(photo.id for photo in photos)
    found = RegionPhotos.of(
        ids, gallery.embeddings(ids, using=using), lonlat, _groups(photos), regions, sub_areas, fingerprint.id
    )
    facts = {
        "gallery": gallery.name,
        "vectors": using,
        "encoder": gallery.encoder if using == VECTOR else gallery.vectors.cards[using].encoder,
        "photos_in_regions": len(photos),
        "photos_elsewhere": len(names) - len(photos),
        "photos_without_place": len(gallery) - len(names),
        "sub_areas": kind,
        "boundaries": how.boundaries.name if how.boundaries else None,
        "field": how.field,
    }
    return found, facts


def _names_of(
    photos: Sequence[Photo], lonlat: NDArray[np.float64], how: Regionalization
) -> tuple[list[str], list[str] | None]:
    """Name of each photo's region, "" where it lies in none, and of its sub-area where anything names it."""
    areas: list[str] | None = None
    if how.boundaries is not None:
        polygons = read_sub_areas(
            how.boundaries, region_column=how.region_column, area_column=how.area_column
        )
        row = _find(polygons, lonlat, how.near_km)
        names = [polygons[one].region if one >= 0 else "" for one in row]
        if how.area_column:
            areas = [polygons[one].name if one >= 0 else "" for one in row]
    else:
        names = _field(photos, str(how.field))
    return names, areas if how.area_field is None else _field(photos, how.area_field)


def _find(polygons: Sequence[SubArea], lonlat: NDArray[np.float64], near_km: float) -> NDArray[np.intp]:
    """The row of each place's polygon, -1 for none."""
    rows = [row for row, one in enumerate(polygons) if one.polygon is not None]
    geometry = np.empty(len(rows), dtype=np.object_)
    for at, row in enumerate(rows):
        polygon = polygons[row].polygon
        geometry[at] = shapely.MultiPolygon(() if polygon is None else polygon.pieces)
    empty = np.full(len(rows), "", dtype=object)
    found = Regions(geometry, empty, empty).find(lonlat, near_km=near_km)
    return np.where(found >= 0, np.array(rows, dtype=np.intp)[found], -1)


def _field(photos: Sequence[Photo], field: str) -> list[str]:
    """A field of the payload as text, "" where a photo has none."""
    texts = ["" if (value := photo.payload.get(field)) is None else str(value).strip() for photo in photos]
    if photos and not any(texts):
        there = Counter(key for photo in photos for key in photo.payload)
        raise UnknownColumns(
            f"no photo has the field {field!r} in its payload; there are "
            f"{', '.join(key for key, _ in there.most_common(12)) or 'none'}"
        )
    return texts


def _groups(photos: Sequence[Photo]) -> NDArray[np.str_]:
    """What each photo's source says belongs together; one without such a word stands alone."""
    return np.array(
        [
            photo.id
            if photo.group is None or photo.group == group_at(photo.lon or 0.0, photo.lat or 0.0)
            else photo.group
            for photo in photos
        ],
        dtype=str,
    )


def _cells(lonlat: NDArray[np.float64], resolution: int) -> list[str]:
    return [str(h3.latlng_to_cell(lat, lon, resolution)) for lon, lat in lonlat.tolist()]


def _resolution_for(lonlat: NDArray[np.float64], regions: Sequence[str]) -> int:
    """The coarsest resolution at which half of the regions have `AREAS_WANTED` sub-areas."""
    n_photos = Counter(regions)
    asked = [name for name, n in n_photos.items() if n >= LEAST_PHOTOS] or list(n_photos)
    for resolution in range(COARSEST, FINEST):
        pairs = set(zip(regions, _cells(lonlat, resolution), strict=True))
        per_region = Counter(region for region, _ in pairs)
        has_enough = [per_region[name] >= min(AREAS_WANTED, n_photos[name] / 3.0) for name in asked]
        if np.mean(has_enough) >= 0.5:
            return resolution
    return FINEST
