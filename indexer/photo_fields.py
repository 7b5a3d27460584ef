"""What a row of a table, or the JSON beside a picture, says of a photo."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ..encoders.errors import InvalidCoordinate
from ..encoders.photo import parse_time
from ..encoders.sphere import as_lonlat
from .record import encode_payload

LON_COLUMNS, LAT_COLUMNS = ("lon", "longitude", "lng"), ("lat", "latitude")
TIME_COLUMNS = ("captured_at", "datetime", "timestamp", "date", "time")
GROUP_COLUMNS = ("group", "sequence_id", "sequence")


def column_of(columns: dict[str, str], names: Iterable[str]) -> str | None:
    """The first of some names, in small letters, that a table has, as the table writes it."""
    return next((columns[name] for name in names if name in columns), None)


def photo_fields(fields: dict[str, Any], group_column: str | None) -> dict[str, Any]:
    """What a row says of a photo: coordinates, time and group by our names, the rest as payload."""
    columns = {key.lower(): key for key in fields}
    lon, lat = column_of(columns, LON_COLUMNS), column_of(columns, LAT_COLUMNS)
    told: dict[str, Any] = {"payload": _payload(fields, leave_out={lon, lat})}
    told |= _place(fields.get(lon or ""), fields.get(lat or ""))
    times = (parse_time(_time(fields[columns[name]])) for name in TIME_COLUMNS if name in columns)
    told["captured_at"] = next((moment for moment in times if moment is not None), None)
    try:
        encode_payload(told["payload"]).encode()
    except ValueError as error:
        told |= {"payload": {}, "problem": f"what is told of it cannot be stored ({error})"}
    group = fields.get(group_column or column_of(columns, GROUP_COLUMNS) or "")
    told["group"] = None if _is_missing(group) else str(group)
    return told


def _payload(fields: dict[str, Any], leave_out: set[str | None]) -> dict[str, Any]:
    payload = {}
    for key, value in fields.items():
        name = re.sub(r"\W+", "_", key).strip("_")  # as the store's filters can name it
        if key not in leave_out and name and not _is_missing(value):
            payload[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return payload


def _place(lon: Any, lat: Any) -> dict[str, Any]:
    if _is_missing(lon) and _is_missing(lat):
        return {}
    try:
        checked = as_lonlat([_number(lon), _number(lat)])
    except (InvalidCoordinate, ValueError, TypeError) as error:
        return {"problem": f"coordinates lon {lon}, lat {lat}: {error}"}
    return {"lon": float(checked[0]), "lat": float(checked[1])}


def _number(value: Any) -> float:
    if _is_missing(value):
        raise ValueError("one of the two is missing")
    return float(value)


def number_or_none(value: Any) -> float | None:
    """A field as a number; None where it is missing or no number."""
    try:
        return _number(value)
    except (ValueError, TypeError):
        return None


def _time(value: Any) -> Any:
    if _is_missing(value):
        return None
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def _is_missing(value: Any) -> bool:
    if isinstance(value, list | dict | np.ndarray):
        return False
    return (isinstance(value, str) and not value) or bool(pd.isna(value))
