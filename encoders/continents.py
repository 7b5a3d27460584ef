"""The continent of a country, and of a point on Earth.

Seven continents by two letters: AF Africa, AN Antarctica, AS Asia, EU Europe, NA North America with
Central America and the Caribbean, OC Oceania, SA South America. Note that "NA" is Namibia among
countries and North America among continents.

Countries are assigned as by the United Nations' standard M49, so that the whole of Russia is in
Europe, and the whole of Turkey, Cyprus and the Caucasus in Asia; the Americas are parted at the border of
Panama and Colombia. M49 names neither Kosovo (XK) nor Taiwan (TW): they are where they lie. Points
are finer, see `continent_at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import UnknownCountry
from .places import load_places
from .sphere import as_lonlat

CONTINENTS: Final[Mapping[str, str]] = {
    "AF": "Africa",
    "AN": "Antarctica",
    "AS": "Asia",
    "EU": "Europe",
    "NA": "North America",
    "OC": "Oceania",
    "SA": "South America",
}
"""Their English names, in the order of their codes."""

_COUNTRIES = {
    "AF": "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW IO KE KM LR LS LY MA "
    "MG ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TF TG TN TZ UG YT ZA ZM ZW",
    "AN": "AQ",
    "AS": "AE AF AM AZ BD BH BN BT CN CY GE HK ID IL IN IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN "
    "MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TL TM TR TW UZ VN YE",
    "EU": "AD AL AT AX BA BE BG BY CH CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT "
    "LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    "NA": "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI "
    "PA PM PR SV SX TC TT US VC VG VI",
    "OC": "AS AU CC CK CX FJ FM GU HM KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS",
    "SA": "AR BO BR BV CL CO EC FK GF GS GY PE PY SR UY VE",
}
_OF_COUNTRY = {code: continent for continent, codes in _COUNTRIES.items() for code in codes.split()}

ANTARCTIC_LAT: Final = -60.0
"""South of it everything is Antarctica, as the Antarctic Treaty has it (article VI)."""

_OF_STATE = {
    ("US", "Hawaii"): "OC",
    ("ES", "Canary Islands"): "AF",
    ("ES", "Ceuta"): "AF",
    ("ES", "Melilla"): "AF",
    ("PT", "Madeira"): "AF",
    ("EG", "North Sinai"): "AS",
    ("EG", "South Sinai"): "AS",
    **{
        ("ID", state): "OC"
        for state in (
            "Papua",
            "Central Papua",
            "Highland Papua",
            "South Papua",
            "Southwest Papua",
            "West Papua",
        )
    },
}
"""States of another continent than their country's, by the names of `places`."""

# Lines of (lon, lat), a few tens of km exact, since a border of continents is a convention anyway.
_URAL_CREST = np.array(
    [(59.5, 51.5), (59.0, 53.4), (59.6, 55.0), (59.8, 57.0), (59.2, 58.0), (59.2, 61.0), (59.5, 64.0),
     (64.0, 66.5), (66.5, 68.0), (65.0, 69.0), (60.5, 69.8)]
)  # fmt: skip
_URAL_RIVER = np.array(  # and across the Caspian from its mouth, with Mangyshlak in Asia
    [(46.0, 45.0), (50.5, 46.2), (51.9, 46.9), (51.5, 48.5), (51.6, 50.0), (51.4, 51.3), (52.0, 51.6)]
)
_TURKISH_STRAITS = np.array(
    [(26.15, 40.02), (26.42, 40.16), (26.72, 40.42), (27.6, 40.65), (28.99, 41.0), (29.05, 41.08),
     (29.13, 41.22)]
)  # fmt: skip


def continent_of(country_codes: ArrayLike) -> NDArray[np.str_]:
    """The continent of each country.

    Args:
        country_codes: ISO 3166-1 alpha-2 in capitals, or "XK", any shape (...); "" is no country.

    Returns:
        Two-letter codes, (...), dtype "<U2"; "" for no country.

    Raises:
        UnknownCountry: for a code that no country has.
    """
    codes = np.asarray(country_codes, dtype=str)
    known, index = np.unique(codes, return_inverse=True)
    strange = [code for code in known.tolist() if code and code not in _OF_COUNTRY]
    if strange:
        raise UnknownCountry(
            f"no country {strange[0]!r}: expected two capital letters as in ISO 3166-1, such as FR; "
            "Kosovo is XK"
        )
    found = np.array([_OF_COUNTRY.get(code, "") for code in known.tolist()], dtype="<U2")
    return found[index.reshape(codes.shape)]


def continent_at(lonlat: ArrayLike) -> NDArray[np.str_]:
    """The continent of each point.

    South of 60° S it is Antarctica. Elsewhere it is that of the country of the nearest inhabited place,
    however far (a point at sea belongs to the nearest coast), but for the countries that lie on
    two: Russia is Asian east of the Ural crest; Kazakhstan is European west of the river Ural; Turkey is
    European north-west of Bosporus and Dardanelles; Hawaii, the Indonesian part of New Guinea, and
    Easter Island are Oceania; Sinai is Asian; the Canaries, Madeira, Ceuta and Melilla are African.

    Args:
        lonlat: degrees, longitude first, (..., 2).

    Returns:
        Two-letter codes, (...), dtype "<U2".

    Raises:
        InvalidCoordinate: if a point is not on Earth.
    """
    shaped = as_lonlat(lonlat)
    points = shaped.reshape(-1, 2)
    places = load_places()
    index = places.nearest(points).index
    country, state = places.country_code[index].astype(str), places.state[index].astype(str)
    continent = continent_of(country)
    for (code, name), other in _OF_STATE.items():
        continent[(country == code) & (state == name)] = other
    lon, lat = points.T
    is_past_crest = (lon > _lon_at(_URAL_CREST, lat)) | (lon < 0.0)  # Chukotka crosses the antimeridian
    continent[(country == "RU") & is_past_crest] = "AS"
    continent[(country == "KZ") & (lon < _lon_at(_URAL_RIVER, lat))] = "EU"
    is_thracian = (lon < _TURKISH_STRAITS[-1, 0]) & (lat > np.interp(lon, *_TURKISH_STRAITS.T))
    continent[(country == "TR") & is_thracian] = "EU"
    continent[(country == "CL") & (lon < -100.0)] = "OC"
    continent[lat < ANTARCTIC_LAT] = "AN"
    return continent.reshape(shaped.shape[:-1])


def _lon_at(line: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitude of a line from south to north at each latitude; its ends go on due south and north."""
    return np.interp(lat, line[:, 1], line[:, 0])
