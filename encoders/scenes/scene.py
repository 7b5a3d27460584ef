"""Drawn street scenes whose looks depend on the place: what the demonstration encoder knows.

`cues_of` decides what a street at a place may look like (sun, climate, plants, houses, side of the
road, signs), `caption` says it in words and `painting.draw` paints it. The climate is a handful
of smooth bumps over latitude (`climate`), the houses a palette drawn from the country's code:
true enough that a person nods, simple enough to read. Camera, clouds and cars tell nothing, and most
clues are often absent.

Conventions: degrees, month 1..12, hour in local solar time; colors are RGB in 0..255, by day and near.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .climate import HIGH, bumps, climate, sky_odds, snow_odds, soil, sun_position, vegetation

RGB = tuple[float, float, float]

LEFT_DRIVING = frozenset(
    "GB IE MT CY IM JE GG AU NZ FJ PG SB TO WS TV KI NR NU CK TK PN NF CC CX JP IN PK BD LK NP BT MV TH "
    "ID MY SG BN TL HK MO ZA NA BW ZW ZM MZ MW TZ KE UG LS SZ MU SC JM BB TT BS AG DM GD KN LC VC GY SR "
    "KY VG VI TC AI MS BM FK SH GS IO".split()
)
REGIONS = {  # whatever is not named here is an island of Oceania
    "north america": "US CA PM BM",
    "latin america": (
        "MX GT BZ SV HN NI CR PA CO VE GY SR GF EC PE BO BR PY UY AR CL FK GS CU JM HT DO PR BS TC KY VG "
        "VI AI MF BL SX BQ AG KN MS GP DM MQ LC VC BB GD TT CW AW"
    ),
    "northern europe": "NO SE FI IS DK FO AX SJ EE LV LT GL",
    "western europe": "GB IE FR DE NL BE LU CH AT LI IM JE GG MC",
    "southern europe": "ES PT IT GR MT CY SM VA AD GI HR SI AL ME",
    "eastern europe": "PL CZ SK HU RO BG MD UA BY RU RS BA MK XK GE AM",
    "central asia": "KZ KG TJ UZ TM MN AZ AF",
    "middle east": "TR SY LB IL PS JO IQ IR SA YE OM AE QA BH KW EG LY TN DZ MA EH",
    "africa": (
        "MR ML NE TD SD SS ER ET DJ SO SN GM GW GN SL LR CI BF GH TG BJ NG CM GQ GA CG CD CF UG KE RW BI "
        "TZ AO ZM MW MZ ZW BW NA ZA LS SZ MG KM MU RE YT SC CV ST SH"
    ),
    "south asia": "IN PK BD LK NP BT MV IO",
    "east asia": "CN JP KR KP TW HK MO",
    "southeast asia": "TH VN LA KH MM MY SG ID PH BN TL",
}
REGION_OF = {code: region for region, codes in REGIONS.items() for code in codes.split()}
STYLES = {  # colors of walls, colors of roofs, shape of roofs, landmark
    "north america": ("white gray blue beige", "black gray brown", "gable", "church"),
    "latin america": ("pink blue yellow orange green white", "orange brown", "flat", "church"),
    "northern europe": ("red yellow white blue", "black gray red", "gable", "church"),
    "western europe": ("brick white beige gray", "red gray brown", "gable", "church"),
    "southern europe": ("white yellow beige orange", "orange red", "hip", "church"),
    "eastern europe": ("gray beige yellow green", "red gray green", "gable", "church"),
    "central asia": ("beige white blue gray", "gray blue", "flat", "mosque"),
    "middle east": ("beige white brown", "white beige", "flat", "mosque"),
    "africa": ("beige brown orange white blue", "gray red", "hip", "church mosque"),
    "south asia": ("pink yellow blue white orange green", "white gray", "flat", "temple"),
    "east asia": ("gray white beige brown", "gray blue black", "eaves", "pagoda"),
    "southeast asia": ("white yellow green brown", "orange green red", "eaves", "temple pagoda"),
    "oceania": ("white beige gray brick", "green red gray", "hip", "church"),
}
COLORS: dict[str, RGB] = {
    "white": (238, 236, 230), "gray": (156, 160, 166), "beige": (224, 204, 166), "yellow": (240, 204, 96),
    "orange": (222, 132, 70), "red": (176, 50, 44), "brick": (158, 80, 60), "pink": (234, 156, 162),
    "blue": (96, 146, 200), "green": (112, 164, 112), "brown": (136, 98, 68), "black": (62, 62, 70),
}  # fmt: skip
GROUND: dict[str, RGB] = {
    "snow": (240, 244, 250), "grass": (112, 150, 72), "sand": (222, 192, 138), "red soil": (182, 92, 56),
}  # fmt: skip
YELLOW_LINE = frozenset("NO KR KP CN TW TH VN LA".split())
POLES = {
    "north america": 0.8,
    "east asia": 0.75,
    "southeast asia": 0.8,
    "latin america": 0.75,
    "south asia": 0.75,
}
YELLOW_TRIANGLE = frozenset("SE FI IS PL GR KR KP CN MK KW NG".split())  # filled yellow rather than white
UNPAVED = ("africa", "south asia", "latin america")  # where hamlets may have dirt roads
DIAMOND = frozenset("AU NZ PG JP TH MY ID LK KH TL IE".split())

PHRASES = {  # cue -> how captions say it; the encoder's vocabulary is made of these words
    "snow": ("snow", "snow on the ground", "winter snow", "a snowy road"),
    "grass": ("green grass", "grass", "a green lawn"),
    "sand": ("sand", "desert sand", "dry sandy desert ground"),
    "red soil": ("red soil", "red earth", "bare red ground"),
    "palm": ("palm trees", "palms", "tropical palm trees"),
    "broadleaf": ("leafy trees", "green broadleaf trees", "round leafy trees"),
    "bare": ("bare trees", "leafless trees", "bare winter trees"),
    "autumn": ("autumn trees", "orange autumn leaves", "fall colors"),
    "conifer": ("conifers", "pine trees", "fir trees", "conifer trees", "spruce forest"),
    "cactus": ("cacti", "a cactus", "desert cactus plants"),
    "shrub": ("shrubs", "low bushes", "dry shrubs"),
    "treeless": ("treeless land", "a treeless place"),
    "tower": ("skyscrapers", "high towers", "a city skyline", "tall tower buildings", "a big city"),
    "block": ("apartment blocks", "blocks of flats", "town buildings"),
    "house": ("low houses", "small houses", "village homes", "a village", "cottages"),
    "church": ("a church", "a church steeple", "a church with a spire"),
    "mosque": ("a mosque", "a mosque with a minaret", "a dome and minaret"),
    "pagoda": ("a pagoda", "a tall pagoda"),
    "temple": ("a temple", "a golden temple"),
    "mountain": ("mountains", "a mountain range", "high mountains"),
    "car": ("a car", "cars", "traffic"),
    "left": ("traffic on the left", "cars driving on the left"),
    "right": ("traffic on the right", "cars driving on the right"),
    "white line": ("white road lines", "a white center line"),
    "yellow line": ("yellow road lines", "a yellow center line"),
    "dirt road": ("a dirt road", "an unpaved track", "an earth road"),
    "diamond": ("a yellow diamond sign", "a diamond road sign"),
    "triangle": ("a red triangle sign", "a triangle road sign"),
    "poles": ("power poles", "wires overhead", "utility poles and wires"),
    **{f"{color} walls": (f"{color} walls", f"{color} buildings", f"a {color} facade") for color in COLORS},
    **{f"{color} roofs": (f"{color} roofs", f"a {color} roof") for color in COLORS},
    "brick walls": ("brick walls", "red brick buildings", "brick"),
    "night": ("at night", "in the dark", "with lit windows at night"),
    "sunset": ("at sunset", "at dusk", "in low evening sun", "at sunrise"),
    "day": ("by day", "in daylight"),
    "sunny": ("under a blue sky", "in sunny weather", "under a clear sky"),
    "cloudy": ("under clouds", "in cloudy weather", "under a gray cloudy sky"),
    "rain": ("in the rain", "in rainy weather", "on a wet day"),
    **{region: (f"in {region}",) for region in STYLES},
}
TRAILING = ("night", "sunset", "day", "sunny", "cloudy", "rain", *STYLES)  # said at the end, without "with"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One street at one moment; all that `draw` needs. Equal scenes give equal pictures."""

    lon: float
    lat: float
    country_code: str
    population: int
    month: int
    hour: float
    heading_deg: float  # of the camera, clockwise from north
    seed: int  # of all that does not depend on the place
    region: str
    sun_height_deg: float
    sun_azimuth_deg: float  # clockwise from north
    temperature_c: float
    vegetation: str
    ground: str
    skyline: str
    weather: str
    landmark: str | None
    has_mountains: bool
    walls: tuple[str, str]  # names of the two usual colors
    roofs: str
    palette: tuple[RGB, RGB, RGB, RGB]  # walls, walls, roofs, trim, as this country paints them
    drives_left: bool
    line_color: str | None  # None: the road is unpaved
    sign: str | None
    has_poles: bool
    n_cars: int

    @property
    def cues(self) -> frozenset[str]:
        """What can be seen, as keys of `PHRASES`."""
        time = "night" if self.sun_height_deg < -4 else "sunset" if self.sun_height_deg < 9 else "day"
        line = f"{self.line_color} line" if self.line_color else "dirt road"
        seen = {self.vegetation, self.ground, self.skyline, time, line, self.region, f"{self.walls[0]} walls"}
        if time != "night":
            seen.add(self.weather)
        if self.skyline == "house" and STYLES[self.region][2] != "flat" and self.ground != "snow":
            seen.add(f"{self.roofs} roofs")
        if self.n_cars:
            seen |= {"car", "left" if self.drives_left else "right"}
        seen |= {cue for cue in (self.landmark, self.sign) if cue}
        optional = {"mountain": self.has_mountains, "poles": self.has_poles}
        return frozenset(seen | {cue for cue, is_there in optional.items() if is_there})


def sample_places(
    n: int, rng: np.random.Generator, *, lonlat: NDArray[np.float64], population: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Choose places so that the whole world is covered, not only where tables are dense.

    A place weighs (places in its 2° cell)^-0.7, and towns weigh more than hamlets.

    Args:
        n: how many, without repetition; at most the number of places.
        rng: the source of chance.
        lonlat: all places, shape (N, 2), degrees.
        population: their inhabitants, shape (N,); 0 where unknown.

    Returns:
        Indices of the chosen places, shape (n,), in random order.
    """
    cells = np.floor(lonlat / 2.0).astype(np.int64)
    _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    weight = count[cell.reshape(-1)] ** -0.7 * (1.0 + np.log10(np.maximum(population, 1)))
    return rng.choice(len(lonlat), size=n, replace=False, p=weight / weight.sum())


def cues_of(lon: float, lat: float, country_code: str, population: int, rng: np.random.Generator) -> Scene:
    """Imagine one street at one moment at a place.

    Args:
        lon: degrees.
        lat: degrees.
        country_code: ISO 3166, two letters; an unknown one looks like an island of Oceania.
        population: inhabitants of the place; 0 counts as a hamlet.
        rng: the source of chance; equal states give equal scenes.
    """
    month, hour, heading = int(rng.integers(1, 13)), float(rng.uniform(6, 20)), float(rng.uniform(0, 360))
    height, azimuth = sun_position(lat, month, hour)
    local = climate(lon, lat, month)
    region = REGION_OF.get(country_code, "oceania")
    landmarks = STYLES[region][3].split()
    walls, roofs, palette = _palette(country_code, region, lon, lat)
    has_snow = local.month_c < 3 and rng.random() < snow_odds(local)
    is_paved = population > 4000 or region not in UNPAVED or rng.random() < 0.35
    is_yellow = country_code in YELLOW_LINE or "america" in region
    is_diamond = country_code in DIAMOND or "america" in region
    return Scene(
        lon=lon, lat=lat, country_code=country_code, population=population, month=month, hour=hour,
        heading_deg=heading, seed=int(rng.integers(1 << 32)), region=region,
        sun_height_deg=height, sun_azimuth_deg=azimuth, temperature_c=local.month_c,
        vegetation=vegetation(local, region, rng),
        ground="snow" if has_snow else soil(lon, lat, local, rng),
        skyline=_skyline(population, rng),
        weather=str(rng.choice(("sunny", "cloudy", "rain"), p=sky_odds(local.dryness))),
        landmark=str(rng.choice(landmarks)) if rng.random() < 0.35 else None,
        has_mountains=bool(bumps(HIGH, lon, lat) > 2.5 and rng.random() < 0.75),
        walls=walls, roofs=roofs, palette=palette, drives_left=country_code in LEFT_DRIVING,
        line_color=("yellow" if is_yellow else "white") if is_paved else None,
        sign=("diamond" if is_diamond else "triangle") if rng.random() < 0.5 else None,
        has_poles=bool(rng.random() < POLES.get(region, 0.45)), n_cars=int(rng.integers(0, 4)),
    )  # fmt: skip


def _skyline(population: int, rng: np.random.Generator) -> str:
    size = math.log10(max(population, 100)) + rng.normal(0, 0.4)
    return "tower" if size > 5.3 else "block" if size > 4.2 else "house"


def _palette(
    country_code: str, region: str, lon: float, lat: float
) -> tuple[tuple[str, str], str, tuple[RGB, RGB, RGB, RGB]]:
    """Names and colors of walls and roofs: chosen by the country, drifting slowly across it."""
    rng = np.random.default_rng(zlib.crc32(country_code.encode()))
    wall_names, roof_names, _, _ = STYLES[region]
    first, second = (str(name) for name in rng.choice(wall_names.split(), 2, replace=False))
    roof = str(rng.choice(roof_names.split()))
    turn = math.radians(lon)  # whole waves around the world, so that nothing jumps at the antimeridian
    drift = 13 * np.array([math.sin(10 * turn), math.sin(lat / 4 + 1), math.sin(8 * turn + lat / 7 + 2)])
    trims = ("white", "brown", "blue", "green", "red", "black")
    tints = rng.uniform(-16, 16, (4, 3))
    mixed = [
        np.array(COLORS[name]) + tint + drift
        for name, tint in zip((first, second, roof, str(rng.choice(trims))), tints, strict=True)
    ]
    one, two, three, four = ((float(r), float(g), float(b)) for r, g, b in mixed)
    return (first, second), roof, (one, two, three, four)


def caption(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """Say a scene in one short English phrase.

    Args:
        scene: what is drawn.
        rng: chooses which cues are said, in which order and words; without it, all are said in
            fixed words.
    """
    cues = sorted(scene.cues, key=list(PHRASES).index)
    if rng is not None:
        cues = [str(cue) for cue in rng.permutation(cues)[: rng.integers(1, 7)]]
    return describe(cues, rng)


def describe(cues: Sequence[str], rng: np.random.Generator | None = None) -> str:
    """Say cues, keys of `PHRASES`, as one phrase: "a street with palm trees and a temple, at night"."""
    said = {cue: PHRASES[cue][0 if rng is None else int(rng.integers(len(PHRASES[cue])))] for cue in cues}
    things = [words for cue, words in said.items() if cue not in TRAILING]
    listed = " and ".join(filter(None, [", ".join(things[:-1]), *things[-1:]]))
    opening = "a street" if rng is None else str(rng.choice(("a street", "a road", "a drawing of a street")))
    if rng is not None and len(said) == 1 and things:
        return listed
    trailing = [words for cue, words in said.items() if cue in TRAILING]
    return ", ".join([opening + (f" with {listed}" if listed else ""), *trailing])
