"""Which photos a search may answer with: conditions on place, time, payload and identity."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..encoders.areas import Area, Circle
from ..encoders.errors import InvalidFilter
from ..encoders.photo import parse_time

Scalar = str | int | float | bool


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Conditions that must all hold. The empty filter lets every photo through.

    Edges count as inside: a photo exactly on the circle, the box or the first moment is in. The
    edge of a polygon is in or out as rounding has it.
    """

    within: Area | None = None
    near: Circle | None = None  # and within this circle too
    captured_from: datetime | None = None  # first moment that is in
    captured_until: datetime | None = None  # first moment that is out
    where: Mapping[str, Scalar | Sequence[Scalar]] = field(default_factory=dict)  # equal, or one of
    is_placed: bool | None = None  # has coordinates, or has none
    groups: frozenset[str] | None = None  # of one of these
    exclude_ids: frozenset[str] = frozenset()
    exclude_groups: frozenset[str] = frozenset()
    exclude_within: Area | None = None

    @property
    def is_empty(self) -> bool:
        """Whether every photo passes."""
        return self == Filter()


def parse_where(conditions: Sequence[str]) -> dict[str, Scalar | list[Scalar]]:
    """Read ``year=2018`` and ``country=JP,KR`` as conditions; several values mean any of them.

    A value that looks like a number or true/false is taken as such; in quotes it stays a text.

    Raises:
        InvalidFilter: not of the form name=value, or a name twice.
    """
    where: dict[str, Scalar | list[Scalar]] = {}
    for condition in conditions:
        name, equals, text = condition.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise InvalidFilter(f"--where {condition}: expected name=value, for example year=2018")
        if name.strip() in where:
            raise InvalidFilter(
                f"--where {name}: given twice; to allow several values write {name}=first,second"
            )
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        values: list[Scalar] = [text[1:-1]] if quoted else [_scalar(part.strip()) for part in text.split(",")]
        where[name.strip()] = values[0] if len(values) == 1 else values
    return where


def _scalar(text: str) -> Scalar:
    if text in ("true", "false"):
        return text == "true"
    if re.fullmatch(r"-?(0|[1-9]\d*)", text):  # 007 is a text
        return int(text)
    try:
        return text if text[:1] == "0" and text[1:2].isdigit() else float(text)
    except ValueError:
        return text


def parse_moment(text: str) -> datetime:
    """Read a day or a moment: 2018, 2018-04, 2018-04-01 or ISO 8601; without an offset UTC.

    Raises:
        InvalidFilter: none of these.
    """
    padded = text + {4: "-01-01", 7: "-01"}.get(len(text), "")
    if (moment := parse_time(padded)) is None:
        raise InvalidFilter(f"{text!r} is no day or time; write 2018, 2018-04, 2018-04-01 or ISO 8601")
    return moment
