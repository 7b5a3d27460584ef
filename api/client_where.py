"""Where a photo was taken, asked of a gallery of a service: the place of its likes, or its very place."""

import json
from collections.abc import Sequence
from typing import Any, Literal, Unpack

from .client_images import PhotoLike, as_base64, content_of, photos_body
from .client_search import FilterConditions, filter_json
from .client_transport import Transport
from .schemas.locations import LocationOut
from .schemas.recognize import RecognizeAnswer


class AsksWhere:
    """The verbs of a remote gallery that say where a photo was taken.

    Args:
        transport: to the service.
        path: of the gallery.
    """

    def __init__(self, transport: Transport, path: str) -> None:
        self._transport, self._path = transport, path

    def locate(
        self,
        photo: PhotoLike | Sequence[PhotoLike],
        *,
        prior: Literal["gallery", "uniform", "population"] = "gallery",
        surface: bool = True,
        n_evidence: int = 8,
    ) -> LocationOut:
        """Where a photo was taken, how sure that is, and whether to believe it at all.

        Args:
            photo: one, or a list of up to 16 that show one place.
            prior: what counts before the photo is looked at: the gallery's places, area, or people.
            surface: also tell how probable which cells are.
            n_evidence: so many of the photos that the answer rests on.
        """
        params = {"prior": prior, "surface": json.dumps(surface), "n_evidence": n_evidence}
        sent = photos_body(photo)
        return self._transport.ask(LocationOut, "POST", f"{self._path}/geolocate", params=params, **sent)

    def recognize(
        self,
        photo: PhotoLike,
        *,
        limit: int = 10,
        look_again: int | None = None,
        unsure: float | None = None,
        using: str | None = None,
        **conditions: Unpack[FilterConditions],
    ) -> RecognizeAnswer:
        """Photos of the very place of a photo, best first, and how sure that is.

            found = walks.recognize("corner.jpg")
            print(found.neighbors[0].id, found.doubt)

        Args:
            photo: path, bytes, or a picture of Pillow's.
            limit: how many photos, 100 at most.
            look_again: so many of the first are held closely against the photo where they are unsure; by
                default 20, or as many as the service allows. 0 for none.
            unsure: the doubt from which they are, in [0, 1]; 0.97 by default, 0 for always.
            using: vectors to compare, ``image`` for the gallery's own; by default those named ``place``,
                where it has such.
            conditions: see `FilterConditions`.
        """
        asked = _asked(photo, conditions, limit=limit, look_again=look_again, unsure=unsure, using=using)
        return self._transport.ask(RecognizeAnswer, "POST", f"{self._path}/recognize", body=asked)

    def recognize_walk(
        self, photos: Sequence[PhotoLike], *, limit: int = 10, using: str | None = None
    ) -> RecognizeAnswer:
        """Photos of the place where a walk has come to: of its last photo, judged with those before it.

        Args:
            photos: from 2 to 64, in the order they were taken.
            limit: how many photos, 100 at most.
            using: as in `recognize`.
        """
        params = {"limit": limit} | ({} if using is None else {"using": using})
        path = f"{self._path}/recognize/walk"
        return self._transport.ask(RecognizeAnswer, "POST", path, params=params, **photos_body(list(photos)))

    def match_map(
        self,
        photo: PhotoLike,
        *,
        limit: int = 10,
        look_again: int | None = None,
        unsure: float | None = None,
        using: str | None = None,
        **conditions: Unpack[FilterConditions],
    ) -> bytes:
        """A PNG of a photo beside the first answer of `recognize`, with what put that one ahead.

        Args:
            photo: as in `recognize`, and so are the others.
            limit: see there.
            look_again: see there.
            unsure: see there.
            using: see there.
            conditions: see there.
        """
        asked = _asked(photo, conditions, limit=limit, look_again=look_again, unsure=unsure, using=using)
        return self._transport.send("POST", f"{self._path}/recognize/match-map", body=asked).content


def _asked(photo: PhotoLike, conditions: FilterConditions, **options: Any) -> dict[str, Any]:
    """The question as JSON; what is None is left to the service."""
    told = {name: value for name, value in options.items() if value is not None}
    return {"image": as_base64(content_of(photo)), **told, "filter": filter_json(conditions)}
