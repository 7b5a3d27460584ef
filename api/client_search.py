"""What a search is made of, as it goes over HTTP: queries, areas, and which photos may answer."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypedDict, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from ..encoders.areas import Area, Box, Circle, Polygon
from ..encoders.errors import InvalidFilter, InvalidOption
from ..indexer.filters import parse_where
from .client_images import PhotoLike, as_base64, content_of
from .schemas.galleries import PhotoOut
from .schemas.search import FoundPhoto, PreferNear, Value

QueryLike: TypeAlias = (
    PhotoLike | PhotoOut | FoundPhoto | BaseModel | NDArray[np.floating[Any]] | Mapping[str, Any]
)
"""A text (str), a photo (Path, bytes, picture of Pillow's), a photo of the gallery (as it was found), an
embedding (D,), or a query as it stands in JSON, such as ``{"location": {"lon": 7.4, "lat": 46.9}}``."""

AreaLike: TypeAlias = Area | Mapping[str, Any]
"""A circle, box or polygon, or GeoJSON."""


class FilterConditions(TypedDict, total=False):
    """Which photos may answer.

    Attributes:
        within: area that they must lie in.
        exclude_within: area that they must not lie in.
        captured_from: first moment that is in; without an offset, UTC.
        captured_until: first moment that is out.
        where: fields of their payload: equal to a value, or to one of several.
        is_placed: only photos whose place is known, or only those whose place is not.
        exclude_ids: photos that must not answer.
    """

    within: AreaLike
    exclude_within: AreaLike
    captured_from: datetime | date | str
    captured_until: datetime | date | str
    where: Mapping[str, Value | list[Value]]
    is_placed: bool
    exclude_ids: Sequence[str]


class Conditions(FilterConditions, total=False):
    """Which photos may answer a search, and how.

    Attributes:
        prefer_near: a wish for photos near (lon, lat), or one in detail.
        fusion: how several queries become one order.
        min_z_score: leave out photos that stand lower.
    """

    prefer_near: tuple[float, float] | PreferNear | Mapping[str, Any]
    fusion: Literal["vectors", "rankings"]
    min_z_score: float


def queries_of(
    asked: QueryLike | Sequence[QueryLike | tuple[QueryLike, float]] | None,
) -> list[dict[str, Any]]:
    """One query or several, some with weights, as JSON.

    Raises:
        UnreadableImage: a photo that is not there.
        InvalidOption: something that asks for nothing.
    """
    if asked is None:
        return []
    given: Any = asked
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], int | float):
        given = [given]  # one query with its weight
    several = given if isinstance(given, list | tuple) else [given]
    return [
        _query(one[0]) | {"weight": one[1]} if isinstance(one, tuple) and len(one) == 2 else _query(one)
        for one in several
    ]


def search_of(conditions: Conditions) -> dict[str, Any]:
    """Conditions as JSON, in the shape of a request.

    Raises:
        InvalidFilter: there is no condition of such a name.
    """
    given: dict[str, Any] = {name: value for name, value in conditions.items() if value is not None}
    _check_names(given, Conditions.__annotations__)
    request: dict[str, Any] = {name: given.pop(name) for name in ("fusion", "min_z_score") if name in given}
    if "prefer_near" in given:
        request["prefer_near"] = _wish(given.pop("prefer_near"))
    told = filter_json(cast(FilterConditions, given))
    return request | ({"filter": told} if told else {})


def filter_json(conditions: FilterConditions) -> dict[str, Any]:
    """Which photos may answer, as JSON.

    Raises:
        InvalidFilter: there is no condition of such a name.
    """
    given: dict[str, Any] = {name: value for name, value in conditions.items() if value is not None}
    _check_names(given, FilterConditions.__annotations__)
    for name in ("within", "exclude_within"):
        if name in given:
            given[name] = area_json(given[name])
    for name in ("captured_from", "captured_until"):
        if name in given:
            given[name] = moment(given[name])
    if "where" in given:
        given["where"] = dict(given["where"])
    if "exclude_ids" in given:
        given["exclude_ids"] = list(given["exclude_ids"])
    return given


def area_json(area: AreaLike) -> dict[str, Any]:
    """An area as JSON."""
    one: Any = area  # what is given may be anything
    match one:
        case Circle():
            return {"kind": "circle", "lon": one.lon, "lat": one.lat, "radius_km": one.radius_km}
        case Box():
            sides = {"west": one.west, "south": one.south, "east": one.east, "north": one.north}
            return {"kind": "box", **sides}
        case Polygon():
            return {"kind": "polygon", "geojson": one.to_geojson()}
        case Mapping():
            return dict(one) if "kind" in one else {"kind": "polygon", "geojson": dict(one)}
    raise InvalidFilter(f"an area is a Circle, Box, Polygon or GeoJSON, not {type(one).__name__}")


def moment(time: datetime | date | str) -> str:
    """A moment as JSON."""
    if isinstance(time, str):
        return time
    return (time if isinstance(time, datetime) else datetime(time.year, time.month, time.day)).isoformat()


def condition_text(name: str, value: Value | list[Value]) -> str:
    """A condition as it stands in an address."""
    if isinstance(value, str):
        return f'{name}="{value}"'
    values = value if isinstance(value, list) else [value]
    text = f"{name}={','.join(one if isinstance(one, str) else json.dumps(one) for one in values)}"
    if parse_where([text]) != {name: values[0] if len(values) == 1 else values}:
        raise InvalidFilter(
            f"where {name}: {value!r} cannot be said in an address; ask for one value at a time"
        )
    return text


def _check_names(given: Collection[str], known: Collection[str]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise InvalidFilter(f"there is no condition {unknown[0]!r}; there are {', '.join(known)}")


def _query(one: Any) -> dict[str, Any]:
    match one:
        case str():
            return {"text": one}
        case PhotoOut() | FoundPhoto():
            return {"photo": one.id}
        case BaseModel():
            return one.model_dump(mode="json", exclude_unset=True)
        case Mapping():
            return dict(one)
        case np.ndarray():
            if one.ndim != 1:
                raise InvalidOption(f"an embedding to search by has the shape (D,), not {one.shape}")
            return {"vector": one.tolist()}
        case bytes() | Path():
            return {"image": as_base64(content_of(one))}
    return {"image": as_base64(content_of(one))}


def _wish(near: Any) -> dict[str, Any]:
    if isinstance(near, BaseModel):
        return near.model_dump(mode="json", exclude_unset=True)
    if isinstance(near, Mapping):
        return dict(near)
    lon, lat = near
    return {"lon": float(lon), "lat": float(lat)}
