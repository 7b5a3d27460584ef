"""What embeds the places of a gallery, asked through the model thread; it takes no photos and no texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ...encoders.errors import InvalidOption
from ...encoders.fingerprint import Fingerprint
from ...encoders.mosaics.styles import png_bytes as map_png
from ...indexer.place_card import PlaceCard
from ...indexer.place_embedder import PlaceEmbedder
from .model_worker import Embed
from .refusals import InvalidQuestion, NotForPhotos, UnknownPhoto


@dataclass(frozen=True, eq=False)
class ServedMap:
    """A map encoder with its maps, or a student of one, in the place of an image encoder.

    Attributes:
        name: of the encoder, as galleries and callers call it.
        embedder: the encoder and the maps; only the model thread embeds with it.
        card: what the gallery keeps of it.
        look: list of (lon, lat) -> (n, D), by the map.
        guess: list of (lon, lat) -> (n, D), by the student.
    """

    name: str
    embedder: PlaceEmbedder
    card: PlaceCard
    look: Embed
    guess: Embed
    weights: str | None = None
    takes_text: bool = False

    @classmethod
    def of(cls, embedder: PlaceEmbedder, card: PlaceCard) -> "ServedMap":
        """Make ready."""
        return cls(
            embedder.fingerprint.name,
            embedder,
            card,
            look=lambda places: embedder.look(_array(places)),
            guess=lambda places: embedder.guess(_array(places)),
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """Which encoder it is."""
        return self.embedder.fingerprint

    @property
    def ground_m(self) -> float:
        """Width of the map that is looked at around a place, meters."""
        return self.embedder.ground_m

    @property
    def attribution(self) -> str:
        """Whom to name wherever a map is shown."""
        return "; ".join(self.card.credit)

    @property
    def preprocessing(self) -> NoReturn:
        """There is none: photos are not taken."""
        raise NotForPhotos(_NO_PHOTOS)

    @property
    def embed_pixels(self) -> NoReturn:
        """Photos are not taken."""
        raise NotForPhotos(_NO_PHOTOS)

    @property
    def embed_texts(self) -> NoReturn:
        """Texts are not taken."""
        raise NotForPhotos(_NO_PHOTOS)

    def picture(self, lon: float, lat: float, *, ground_m: float | None, side_px: int, style: str) -> bytes:
        """The map around a place as a PNG.

        Raises:
            UnknownPhoto: no map is at hand, or it has no data there.
            InvalidQuestion: a width that the map cannot show.
        """
        maps = self.embedder.maps
        if maps is None:
            raise UnknownPhoto("no map is at hand here, so there is no picture of a place")
        width_m = ground_m or self.ground_m
        try:
            ids = maps.crops(np.array([[lon, lat]]), ground_m=width_m, px=side_px)[0]
        except InvalidOption:
            raise InvalidQuestion(
                f"ground_m: {width_m:g} m is too wide for {side_px} pixels of this map"
            ) from None
        if not ids.any():
            raise UnknownPhoto("the map has no data there")
        return map_png(ids, style)


_NO_PHOTOS = (
    "this gallery holds places by what a map shows of them, and neither photos nor texts can be compared "
    "with those. Ask it for places: POST /v1/galleries/{gallery}/places/like"
)


def _array(places: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    return np.array(places, np.float64).reshape(-1, 2)
