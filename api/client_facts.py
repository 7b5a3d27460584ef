"""What is said of a photo that is added, as it goes over HTTP."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TypedDict

from ..encoders.errors import InvalidOption
from .client_search import moment


class PhotoFacts(TypedDict, total=False):
    """What is said of a photo. What is left out is taken from its EXIF.

    Attributes:
        name: under which the gallery knows it; the same name again replaces it. By default its bytes
            name it.
        lon: degrees east.
        lat: degrees north.
        captured_at: without an offset, UTC.
        group: what it belongs to, such as a walk or an album.
        payload: further fields, for conditions.
    """

    name: str
    lon: float
    lat: float
    captured_at: datetime | date | str
    group: str
    payload: Mapping[str, str | int | float | bool]


def facts_json(facts: PhotoFacts) -> dict[str, Any]:
    """What is said of a photo, as JSON.

    Raises:
        InvalidOption: something that is not said of photos.
    """
    told: dict[str, Any] = {name: value for name, value in facts.items() if value is not None}
    if unknown := sorted(told.keys() - PhotoFacts.__annotations__.keys()):
        raise InvalidOption(
            f"of a photo one can say {', '.join(PhotoFacts.__annotations__)}, not {unknown[0]!r}; "
            "other fields go into payload"
        )
    if "captured_at" in told:
        told["captured_at"] = moment(told["captured_at"])
    if "payload" in told:
        told["payload"] = dict(told["payload"])
    return told
