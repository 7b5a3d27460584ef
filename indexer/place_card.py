"""What a gallery keeps of the maps that its places were looked up in, so that it can be asked again.

Which encoder looked, at which maps, how wide, and whom to credit. A gallery of places keeps it in
``places.json``, and its `Gallery.encoder` begins with ``map:``. A gallery of photos may have vectors named
``map``, by the map around each photo, whose card keeps the same.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..encoders.errors import DamagedGallery, PlaceprintError
from ..encoders.fingerprint import Fingerprint
from ..encoders.map_files import LEAST_KNOWN
from .gallery import Gallery
from .named_vectors import VectorCard
from .store import VECTOR

MAP = "map"  # vectors of photos by the map around them
PLACES = "places.json"
PREFIX = "map:"
FORMAT = 1


class NotOfPlaces(PlaceprintError):
    """A gallery of which no map was looked at, where one of places is needed."""


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

    def keep(self, gallery: Gallery, fingerprint: Fingerprint) -> None:
        """Write it down, unless it is there already.

        Args:
            gallery: of places, or of photos.
            fingerprint: of what embeds.
        """
        if not is_of_places(gallery):
            gallery.vectors.begin(
                VectorCard(
                    name=MAP, fingerprint=fingerprint, encoder=f"{PREFIX}{self.encoder}", facts=asdict(self)
                )
            )
            return
        content = json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False)
        path = gallery.folder / PLACES
        if not path.is_file() or path.read_text() != content:
            gallery.keep(PLACES, content)


def is_of_places(gallery: Gallery) -> bool:
    """Whether a gallery holds places, and no photos."""
    return gallery.encoder.startswith(PREFIX)


def is_of_photos(config: Mapping[str, Any] | None) -> bool:
    """Whether there is a gallery, by its configuration, and it holds photos."""
    return config is not None and not str(config["encoder"]).startswith(PREFIX)


def vectors_of_places(gallery: Gallery) -> str:
    """Name of the vectors that say what a map shows of a place: a gallery's own, or those of its photos.

    Raises:
        NotOfPlaces: a gallery of photos of which no map was looked at.
    """
    if is_of_places(gallery):
        return VECTOR
    if MAP not in gallery.vectors.cards:
        raise NotOfPlaces(
            f"gallery {gallery.name!r} holds photos, by the encoder {gallery.encoder}, and no map was looked "
            f"at; look where they are with: placeprint places build --gallery {gallery.name} --mosaic FILE"
        )
    return MAP


def read_card(gallery: Gallery) -> PlaceCard:
    """What a gallery keeps of its maps.

    Raises:
        NotOfPlaces: a gallery of photos of which no map was looked at.
        DamagedGallery: it keeps nothing that can be read.
    """
    is_named = vectors_of_places(gallery) == MAP
    path = gallery.folder / PLACES
    try:
        told = dict(gallery.vectors.cards[MAP].facts) if is_named else json.loads(path.read_text())
        if not is_named and told.pop("format") != FORMAT:
            raise ValueError("made by another version of Placeprint")
        for name in ("mosaics", "facts", "credit"):
            told[name] = tuple(told[name])
        return PlaceCard(**told)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedGallery(
            f"{path}: cannot be read ({error}). It says which maps the places were looked up in; type the "
            "command that built the gallery again, and only that is made anew"
        ) from None
