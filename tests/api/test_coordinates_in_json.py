"""A coordinate in JSON is a number."""

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from placeprint.api.schemas.places import AnyArea, Place
from placeprint.api.schemas.search import PreferNear

AREA: TypeAdapter[Any] = TypeAdapter(AnyArea)
BOX = {"kind": "box", "west": 170, "south": -5, "east": -170.0, "north": 5}


def test_numbers_are_taken_whole_or_not() -> None:
    assert Place.model_validate_json('{"lon": 12, "lat": -7.5}') == Place(lon=12.0, lat=-7.5)
    assert AREA.validate_json(json.dumps(BOX)).west == 170.0


@pytest.mark.parametrize("bad", ["12", "x", True, None, [], {}])
def test_anything_else_is_refused(bad: Any) -> None:
    for make, told in (
        (Place.model_validate_json, {"lon": bad, "lat": 0}),
        (Place.model_validate_json, {"lon": 0, "lat": bad}),
        (PreferNear.model_validate_json, {"lon": bad, "lat": 0}),
        *((AREA.validate_json, BOX | {side: bad}) for side in ("west", "south", "east", "north")),
    ):
        with pytest.raises(ValidationError):
            make(json.dumps(told))
