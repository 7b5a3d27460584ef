"""What a country is called in the middle of an English sentence.

GeoNames lists official and inverted forms ("Korea, Republic of"); a caption wants the short one, with
its article where it has one: "in the Netherlands". Whatever is not in `SPOKEN` is said as it is listed.
"""

SPOKEN = {
    "AE": "the United Arab Emirates", "AX": "Åland", "BL": "Saint Barthélemy", "BN": "Brunei",
    "BQ": "Bonaire", "BS": "the Bahamas", "CC": "the Cocos Islands",
    "CD": "the Democratic Republic of the Congo", "CF": "the Central African Republic",
    "CG": "the Republic of the Congo", "CI": "Ivory Coast", "CK": "the Cook Islands", "CW": "Curaçao",
    "CZ": "the Czech Republic", "DO": "the Dominican Republic", "FK": "the Falkland Islands",
    "FM": "Micronesia", "FO": "the Faroe Islands", "GB": "the United Kingdom", "GM": "the Gambia",
    "GS": "South Georgia", "IM": "the Isle of Man", "IO": "the British Indian Ocean Territory",
    "IR": "Iran", "KM": "the Comoros", "KP": "North Korea", "KR": "South Korea",
    "KY": "the Cayman Islands", "LA": "Laos", "LY": "Libya", "MD": "Moldova",
    "MH": "the Marshall Islands", "MK": "North Macedonia", "MO": "Macau",
    "MP": "the Northern Mariana Islands", "MV": "the Maldives", "NL": "the Netherlands",
    "PH": "the Philippines", "PN": "the Pitcairn Islands", "PS": "Palestine", "RE": "Réunion",
    "RU": "Russia", "SB": "the Solomon Islands", "SC": "the Seychelles", "SJ": "Svalbard",
    "ST": "São Tomé and Príncipe", "SY": "Syria", "TC": "the Turks and Caicos Islands",
    "TF": "the French Southern Territories", "TL": "East Timor", "TZ": "Tanzania",
    "US": "the United States", "VA": "Vatican City", "VG": "the British Virgin Islands",
    "VI": "the United States Virgin Islands",
}  # fmt: skip


def spoken_country(code: str, listed: str) -> str:
    """The name to say.

    Args:
        code: ISO 3166-1 alpha-2.
        listed: the name in GeoNames' list, said where `SPOKEN` has nothing shorter.
    """
    return SPOKEN.get(code, listed)


def without_article(spoken: str) -> str:
    """The bare name, to compare with names of towns and regions: "the Gambia" -> "Gambia"."""
    return spoken.removeprefix("the ")
