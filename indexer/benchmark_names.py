"""File names that tell where a picture was taken, as the benchmarks of place recognition have them.

    @easting@northing@zone@letter@lat@lon@panorama@tile@heading@pitch@roll@height@time@note@.jpg

Fields are parted by ``@``; every one but the first two may be empty, and later ones may be missing. Easting
and northing are UTM meters, and in some sets all there is: then zone and letter must be told. The letter
is that of the latitude band, C to X without I and O, so that S is 32 to 40 degrees **north**; bands before N
lie south. What leaves this module is lon, lat in WGS84 degrees; UTM stays here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import InvalidCoordinate, WrongPhotoSet
from ..encoders.sphere import as_lonlat, great_circle_km

BANDS = "CDEFGHJKLMNPQRSTUVWX"
FIELDS = "@easting@northing@zone@letter@lat@lon@panorama@tile@heading@pitch@roll@height@time@note@.jpg"
DISAGREE_M = 100.0
"""Where UTM and degrees of one name lie farther apart than this, one of the two is wrong."""


@dataclass(frozen=True)
class Told:
    """What one name says."""

    lonlat: tuple[float, float] | None  # degrees, where the name has them
    utm: tuple[float, float, int, bool] | None  # easting, northing, zone, whether it lies south
    panorama: str
    time: str  # begins with the year, where it is told


@dataclass(frozen=True, eq=False)
class NamedPlaces:
    """What the names of a set say, one row each.

    Attributes:
        lonlat: (n, 2).
        panorama: name of the panorama that a picture was cut from, "" where it is not told, (n,).
        year: "" where it is not told, (n,).
        notes: what to know, a sentence each.
    """

    lonlat: NDArray[np.float64]
    panorama: NDArray[np.str_]
    year: NDArray[np.str_]
    notes: list[str]


def is_benchmark_name(name: str) -> bool:
    """Whether a file name is of this form: a leading ``@`` and another."""
    return name.startswith("@") and name.count("@") >= 2


def read_names(names: Sequence[str]) -> NamedPlaces:
    """Read the names of a set. Degrees are taken where they are told, else UTM is brought to degrees.

    Raises:
        WrongPhotoSet: a name of another form, or that tells no place; the message has the name.
    """
    told = [_read_name(name) for name in names]
    lonlat = np.array([one.lonlat or (np.nan, np.nan) for one in told]).reshape(-1, 2)
    from_utm = _lonlat_of_utm(told)
    both = np.isfinite(lonlat[:, 0]) & np.isfinite(from_utm[:, 0])
    apart_m = great_circle_km(lonlat[both], from_utm[both]) * 1000.0
    notes = []
    if (n_apart := int((apart_m > DISAGREE_M).sum())) > 0:
        first = np.flatnonzero(both)[apart_m > DISAGREE_M][0]
        notes.append(
            f"{n_apart} names whose UTM and degrees lie more than {DISAGREE_M:g} m apart, the first "
            f"{names[first]} by {apart_m[apart_m > DISAGREE_M][0]:,.0f} m; the degrees were taken"
        )
    lonlat = np.where(np.isfinite(lonlat), lonlat, from_utm)
    panorama = np.array([one.panorama for one in told], dtype=str)
    year = np.array([one.time[:4] if one.time[:4].isdigit() else "" for one in told], dtype=str)
    return NamedPlaces(lonlat, panorama, year, notes)


def _read_name(name: str) -> Told:
    if not is_benchmark_name(name):
        raise WrongPhotoSet(f"{name}: not a name of the form {FIELDS}")
    fields = [field.strip() for field in name.split("@")[1:]]
    # The last piece is the file's ending, also where it is glued to the last field.
    fields[-1] = fields[-1].rpartition(".")[0]
    fields += [""] * (14 - len(fields))
    lat, lon = _number(name, "lat", fields[4]), _number(name, "lon", fields[5])
    if (lat is None) != (lon is None):
        raise WrongPhotoSet(f"{name}: lat and lon must be told together, or neither")
    utm = _utm(name, fields)
    if lat is None and utm is None:
        raise WrongPhotoSet(
            f"{name}: easting and northing alone are places in 120 zones, and lat and lon are empty; write "
            f"zone and letter as well, after {FIELDS}"
        )
    return Told(_degrees(name, lon, lat), utm, panorama=fields[6], time=fields[12])


def _degrees(name: str, lon: float | None, lat: float | None) -> tuple[float, float] | None:
    if lon is None or lat is None:
        return None
    try:
        checked = as_lonlat([lon, lat])
    except InvalidCoordinate as error:
        raise WrongPhotoSet(f"{name}: {error}") from None
    return float(checked[0]), float(checked[1])


def _utm(name: str, fields: Sequence[str]) -> tuple[float, float, int, bool] | None:
    """Easting, northing, zone and hemisphere; None where the name does not tell all four."""
    easting, northing = _number(name, "easting", fields[0]), _number(name, "northing", fields[1])
    zone, letter = fields[2], fields[3].upper()
    if easting is None or northing is None or not zone or not letter:
        return None
    if not zone.isdigit() or not 1 <= int(zone) <= 60:
        raise WrongPhotoSet(f"{name}: UTM zone {zone!r}; there are 1 to 60")
    if letter not in BANDS or len(letter) != 1:
        raise WrongPhotoSet(f"{name}: UTM letter {letter!r}; the bands are C to X, without I and O")
    if not (0.0 < easting < 1_000_000.0 and 0.0 <= northing <= 10_000_000.0):
        raise WrongPhotoSet(
            f"{name}: easting {easting:,.0f} m and northing {northing:,.0f} m are in no UTM zone (0 to "
            "1,000,000 and 0 to 10,000,000); are they exchanged?"
        )
    return easting, northing, int(zone), letter < "N"


def _number(name: str, what: str, text: str) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        number = np.nan
    if number is not None and not np.isfinite(number):
        raise WrongPhotoSet(f"{name}: {what} {text!r} is not a number; names are of the form {FIELDS}")
    return number


def _lonlat_of_utm(told: Sequence[Told]) -> NDArray[np.float64]:
    """Degrees of what tells UTM, NaN elsewhere, (n, 2); one projection for each zone and hemisphere."""
    import pyproj  # slow to import, and most sets have no such names

    lonlat = np.full((len(told), 2), np.nan)
    rows_of: dict[tuple[int, bool], list[int]] = {}
    for row, one in enumerate(told):
        if one.utm is not None:
            rows_of.setdefault(one.utm[2:], []).append(row)
    for (zone, is_south), rows in rows_of.items():
        meters = np.array([one.utm[:2] for row in rows if (one := told[row]).utm is not None])
        project = pyproj.Transformer.from_crs((32700 if is_south else 32600) + zone, 4326, always_xy=True)
        lonlat[rows] = as_lonlat(np.column_stack(project.transform(*meters.T)))
    return lonlat
