"""Which side of the road traffic keeps to: the countries and territories that drive on the left.

Written down from general knowledge of traffic law, by ISO 3166-1 code; everywhere else traffic keeps to
the right. A few that one might doubt: Samoa changed to the left in 2009; Cyprus stands for the whole
island; the US Virgin Islands are the only part of the United States on the left; the British Indian
Ocean Territory, Gibraltar and Myanmar drive on the right.
"""

from typing import Literal

_BY_CONTINENT = {
    "europe": "CY GB GG IE IM JE MT",
    "asia": "BD BN BT HK ID IN JP LK MO MV MY NP PK SG TH TL",
    "africa": "BW KE LS MU MW MZ NA SC SH SZ TZ UG ZA ZM ZW",
    "oceania": "AU CC CK CX FJ KI NF NR NU NZ PG PN SB TK TO TV WS",
    "americas": "AG AI BB BM BS DM FK GD GS GY JM KN KY LC MS SR TC TT VC VG VI",
}
LEFT = frozenset(code for codes in _BY_CONTINENT.values() for code in codes.split())
"""ISO codes of the 76 countries and territories where traffic keeps to the left."""

Side = Literal["left", "right"]


def driving_side(country_code: str) -> Side:
    """The side that traffic keeps to in a country, by ISO 3166-1 alpha-2 code."""
    return "left" if country_code in LEFT else "right"
