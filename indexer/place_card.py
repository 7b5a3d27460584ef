"""What a gallery of places keeps beside its vectors, so that it can be asked again: ``places.json``.

Which encoder looked, at which maps, how wide, and whom to credit. `Gallery.encoder` of such a gallery
begins with ``map:``, which tells it from a gallery of photos.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..encoders.errors import DamagedGallery, PlaceprintError
from ..encoders.map_files import LEAST_KNOWN
from .gallery import Gallery

PLACES = "places.json"
PREFIX = "map:"
FORMAT = 1


class NotOfPlaces(PlaceprintError):
    """A gallery of photos, where one of places is needed."""


@dataclass(frozen=True, kw_only=True)
class PlaceCard:
    """How the places of a gallery were embedded.

    Attributes:
        made_by: a map encoder, or the student of one, which looks at no map.
        encoder: its name or file.
        student: name or file of the student that answers where no map is at hand; None without one.
        mosaics: files of the maps, in order of preference.
        facts: box, date and sources of each mosaic when it was last opened.
        credit: whom to name wherever one of these maps is shown.
        ground_m: width of the crop that is looked at, meters.
        least_known: share of a crop that must have data.
    """

    made_by: Literal["map", "student"]
    encoder: str
    student: str | None = None
    mosaics: tuple[str, ...] = ()
    facts: tuple[Mapping[str, Any], ...] = ()
    credit: tuple[str, ...] = ()
    ground_m: float
    least_known: float = LEAST_KNOWN

    def with_mosaics(self, paths: Sequence[str | Path]) -> "PlaceCard":
        """The card with maps added, first; one that is gone from its place gives way to its namesake."""
        new = [str(Path(path).resolve()) for path in paths]
        names = {Path(path).name for path in new}
        old = [
            path
            for path in self.mosaics
            if path not in new and (Path(path).is_file() or Path(path).name not in names)
        ]
        return replace(self, mosaics=tuple(dict.fromkeys([*new, *old])))

    def keep(self, gallery: Gallery) -> None:
        """Write it beside the gallery, unless it is there already."""
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)
        path = gallery.folder / PLACES
        if not path.is_file() or path.read_text() != content:
            gallery.keep(PLACES, content)


def is_of_places(gallery: Gallery) -> bool:
    """Whether a gallery holds places, and no photos."""
    return gallery.encoder.startswith(PREFIX)


def read_card(gallery: Gallery) -> PlaceCard:
    """What a gallery of places keeps.

    Raises:
        NotOfPlaces: it is a gallery of photos.
        DamagedGallery: it keeps nothing that can be read.
    """
    if not is_of_places(gallery):
        raise NotOfPlaces(
            f"gallery {gallery.name!r} holds photos, by the encoder {gallery.encoder}; make one of their "
            f"places with: placeprint places build --of {gallery.name} --gallery NAME --mosaic FILE"
        )
    path = gallery.folder / PLACES
    try:
        told = json.loads(path.read_text())
        if told.pop("format") != FORMAT:
            raise ValueError("made by another version of Placeprint")
        for name in ("mosaics", "facts", "credit"):
            told[name] = tuple(told[name])
        return PlaceCard(**told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedGallery(
            f"{path}: cannot be read ({error}). It says which maps the places were looked up in; type the "
            "command that built the gallery again, and only that is made anew"
        ) from None
