"""What embeds the places of a gallery: a map encoder and its maps, a student of it, or both.

A place that the maps know is looked at; elsewhere the student, where there is one, says what it would
expect there. All embeddings have unit length.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import PlaceprintError, UnreadableSource, WeightsUnavailable
from ..encoders.fingerprint import Fingerprint
from ..encoders.location import LocationEncoder
from ..encoders.map_catalog import student_fingerprint
from ..encoders.map_files import LEAST_KNOWN, MapFiles
from .gallery import Gallery
from .place_list import place_id, rounded

if TYPE_CHECKING:  # it loads timm, which a service without maps does without
    from ..encoders.map_learning.encoder import MapEncoder

_Floats = NDArray[np.float64]
_Embeddings = NDArray[np.float32]

By: TypeAlias = Literal["gallery", "map", "student"]
"""Where an embedding comes from: it was in the gallery, the map was looked at, or the student guessed."""


LOOKED: By = "map"
GUESSED: By = "student"


class PlaceUnknown(PlaceprintError):
    """A place of which the maps at hand know nothing, and no student either."""


class Embedded(NamedTuple):
    """Places with their embeddings.

    Attributes:
        lonlat: degrees, longitude first, (B, 2).
        embeddings: unit length, (B, D).
        by: where each comes from.
    """

    lonlat: _Floats
    embeddings: _Embeddings
    by: list[By]


@dataclass(frozen=True, eq=False)
class PlaceEmbedder:
    """Embeds places.

    Attributes:
        encoder: looks at crops; None where a student made the gallery.
        maps: that crops are cut from; None where none is at hand.
        student: answers where no map does; None without one.
        ground_m: width of a crop, meters.
        least_known: share of a crop that must have data.
    """

    encoder: "MapEncoder | None"
    maps: MapFiles | None
    student: LocationEncoder | None
    ground_m: float
    least_known: float = LEAST_KNOWN

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the gallery that it builds."""
        if self.encoder is not None:
            return self.encoder.fingerprint
        if self.student is None:
            raise WeightsUnavailable("neither a map encoder nor a student of one is at hand")
        return student_fingerprint(self.student)

    @property
    def is_looking(self) -> bool:
        """Whether it looks at maps; otherwise coordinates are all it takes."""
        return self.encoder is not None

    def can_look(self, lonlat: _Floats) -> NDArray[np.bool_]:
        """Whether a map encoder sees enough of a map at places: (B, 2) -> (B,)."""
        if self.encoder is None or self.maps is None:
            return np.zeros(len(lonlat), np.bool_)
        return self.maps.knows(lonlat, ground_m=self.ground_m, least_known=self.least_known)

    def marks(self, lonlat: _Floats) -> list[str]:
        """A hash of what the map shows around each place, by which a map drawn anew is noticed: (B, 2) -> B.

        Empty where no map is looked at.
        """
        if self.encoder is None or self.maps is None:
            return [""] * len(lonlat)
        crops = self.maps.crops(lonlat, ground_m=self.ground_m, px=self.encoder.config.px)
        return [hashlib.blake2b(crop.tobytes(), digest_size=8).hexdigest() for crop in crops]

    def look(self, lonlat: _Floats) -> _Embeddings:
        """Embed places by the map, known or not: (B, 2) -> (B, D)."""
        if self.encoder is None or self.maps is None:
            raise UnreadableSource("no map is at hand to look at: name one with --mosaic FILE")
        return self.encoder.embed_places(self.maps, lonlat)

    def guess(self, lonlat: _Floats) -> _Embeddings:
        """Embed places by the student: (B, 2) -> (B, D)."""
        if self.student is None:
            raise PlaceUnknown("there is no student that would know places without a map")
        raw = self.student.encode(lonlat).astype(np.float64)
        length = np.linalg.norm(raw, axis=1, keepdims=True)
        return np.asarray(raw / length.clip(1e-12), np.float32)

    def embed(self, lonlat: _Floats) -> tuple[_Embeddings, NDArray[np.bool_]]:
        """Embed places for a gallery.

        Args:
            lonlat: (B, 2).

        Returns:
            (n, D) of those that are known, and which these are, (B,).
        """
        if not self.is_looking:
            return self.guess(lonlat), np.ones(len(lonlat), np.bool_)
        known = self.can_look(lonlat)
        return self.look(lonlat[known]), known


def embedded_in(gallery: Gallery, lonlat: _Floats, by: "PlaceEmbedder") -> Embedded:
    """Embeddings of places to ask about: those of a gallery of places where it has them, else made now.

    Args:
        gallery: of places, or of photos of whose places a map was looked at.
        lonlat: degrees, longitude first, (B, 2).
        by: embeds what the gallery has not.

    Raises:
        InvalidCoordinate: a place that is not on Earth.
        PlaceUnknown: one that neither gallery nor map nor student knows.
    """
    places = rounded(lonlat).reshape(-1, 2)
    found = np.empty((len(places), by.fingerprint.dimension), np.float32)
    sources: list[By] = ["gallery"] * len(places)
    ids = [place_id(lon, lat) for lon, lat in places.tolist()]
    there = {photo.id for photo in gallery.get(ids)}
    own = [row for row, id in enumerate(ids) if id in there]
    if own:
        found[own] = gallery.embeddings([ids[row] for row in own])
    others = np.array([row for row in range(len(places)) if row not in set(own)], np.intp)
    can_look = by.can_look(places[others])
    looked, guessed = others[can_look], others[~can_look]
    if len(guessed) and by.student is None:
        raise unknown_place(gallery.name, places[guessed[0]], by)
    if len(looked):
        found[looked] = by.look(places[looked])
    if len(guessed):
        found[guessed] = by.guess(places[guessed])
    for rows, source in ((looked, LOOKED), (guessed, GUESSED)):
        for row in rows.tolist():
            sources[row] = source
    return Embedded(places, found, sources)


def unknown_place(name: str, place: _Floats, by: PlaceEmbedder) -> PlaceUnknown:
    """The error for a place, (2,), that nobody knows: how far the maps reach, and what to do."""
    boxes = () if by.maps is None else by.maps.boxes
    reach = "; ".join(f"{one.west:.3f},{one.south:.3f},{one.east:.3f},{one.north:.3f}" for one in boxes)
    return PlaceUnknown(
        f"the maps of gallery {name!r} know nothing of {place[0]:.6f},{place[1]:.6f} (lon,lat); they reach "
        f"over {reach or 'nothing, for none is at hand'}. Ask for a place there, name a further map with "
        "--mosaic FILE, or a student with --student FILE"
    )
