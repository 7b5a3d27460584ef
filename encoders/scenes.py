"""Drawn street scenes whose looks depend on the place: what the demonstration encoder knows.

`cues_of` decides what a street at a place may look like (sun, climate, plants, houses, side of the
road, signs), `draw` paints it and `caption` says it in words. The climate is a handful of smooth
bumps over latitude, the houses a palette drawn from the country's code: true enough that a person
nods, simple enough to read. Camera, clouds and cars tell nothing, and most clues are often absent.

Conventions: degrees, month 1..12, hour in local solar time. The painter's space is meters, x to the
right, y up from the road, z away from the camera; what is far is painted first.

Longer than our modules should be: it is one table-driven drawing in two halves, what a place looks
like (down to `describe`) and how that is painted (from `draw` on), which are changed together.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

RGB = tuple[float, float, float]
Point = tuple[float, float, float]

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

# Bumps over the map: center lon, lat; half-widths in degrees; strength.
DRY = (
    (8, 23, 28, 9, 1), (45, 24, 14, 10, 1), (58, 33, 14, 8, 1), (62, 42, 16, 6, 1), (98, 41, 20, 5, 1),
    (71, 27, 5, 5, 1), (131, -25, 15, 7, 1), (20, -25, 7, 7, 1), (-70, -23, 4, 9, 1), (-111, 33, 10, 7, 1),
    (-69, -45, 4, 8, 1), (47, 6, 6, 7, 1),
)  # fmt: skip
HIGH = (  # strength: degrees Celsius colder
    (-71, -15, 5, 12, 14), (-75, 3, 3, 6, 9), (88, 32, 12, 4, 16), (39, 9, 4, 5, 8), (-109, 41, 6, 10, 8),
    (10, 46.5, 6, 2, 7), (43, 40, 7, 3, 6), (73, 38, 7, 5, 10), (-101, 21, 5, 4, 6), (138, 36, 2, 1.5, 4),
    (170, -44, 2, 3, 6), (29, -29, 3, 2, 7),
)  # fmt: skip
MILD = ((2, 53, 24, 17, 1), (-124, 48, 6, 12, 1), (-73, -45, 5, 9, 1))  # ocean air: warm winters
LATERITE = (
    (25, -5, 20, 16, 1), (-51, -13, 12, 12, 1), (130, -19, 18, 9, 1), (104, 14, 6, 5, 1), (77, 15, 5, 6, 1),
    (-1, 9, 16, 4, 1),
)  # fmt: skip

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
    has_snow = local.month_c < 3 and rng.random() < _snow_odds(local)
    is_paved = population > 4000 or region not in UNPAVED or rng.random() < 0.35
    is_yellow = country_code in YELLOW_LINE or "america" in region
    is_diamond = country_code in DIAMOND or "america" in region
    return Scene(
        lon=lon, lat=lat, country_code=country_code, population=population, month=month, hour=hour,
        heading_deg=heading, seed=int(rng.integers(1 << 32)), region=region,
        sun_height_deg=height, sun_azimuth_deg=azimuth, temperature_c=local.month_c,
        vegetation=_vegetation(local, region, rng),
        ground="snow" if has_snow else _soil(lon, lat, local, rng),
        skyline=_skyline(population, rng),
        weather=str(rng.choice(("sunny", "cloudy", "rain"), p=_sky_odds(local.dryness))),
        landmark=str(rng.choice(landmarks)) if rng.random() < 0.35 else None,
        has_mountains=bool(_bumps(HIGH, lon, lat) > 2.5 and rng.random() < 0.75),
        walls=walls, roofs=roofs, palette=palette, drives_left=country_code in LEFT_DRIVING,
        line_color=("yellow" if is_yellow else "white") if is_paved else None,
        sign=("diamond" if is_diamond else "triangle") if rng.random() < 0.5 else None,
        has_poles=bool(rng.random() < POLES.get(region, 0.45)), n_cars=int(rng.integers(0, 4)),
    )  # fmt: skip


def sun_position(lat: float, month: int, hour: float) -> tuple[float, float]:
    """Height above the horizon and azimuth clockwise from north, degrees, mid-month, local solar time."""
    declination = math.radians(-23.44 * math.cos(2 * math.pi * (30.4 * (month - 0.5) + 10) / 365))
    phi, turn = math.radians(lat), math.radians(15 * (hour - 12))
    up = math.sin(phi) * math.sin(declination) + math.cos(phi) * math.cos(declination) * math.cos(turn)
    east = -math.cos(declination) * math.sin(turn)
    north = math.cos(phi) * math.sin(declination) - math.sin(phi) * math.cos(declination) * math.cos(turn)
    return math.degrees(math.asin(up)), math.degrees(math.atan2(east, north)) % 360


class Climate(NamedTuple):
    """What grows and falls at a place; roughly right, by our own bumps over the map."""

    year_c: float  # mean temperature of the year
    month_c: float
    dryness: float  # in [0, 1]
    is_autumn: bool


def climate(lon: float, lat: float, month: int) -> Climate:
    """The climate of a place in a month."""
    mild = min(_bumps(MILD, lon, lat), 1.0)
    year = 27.0 - 0.0075 * lat * lat + 6.5 * mild - _bumps(HIGH, lon, lat)
    swing = 0.32 * abs(lat) * (1 - 0.5 * mild) * (1.0 if lat > 0 else 0.55)
    season = math.cos(2 * math.pi * (month - 7.2) / 12) * (1 if lat > 0 else -1)
    is_autumn = month in ((9, 10, 11) if lat > 0 else (3, 4, 5))
    return Climate(year, year + swing * season, min(_bumps(DRY, lon, lat), 1.0), is_autumn)


def _bumps(table: Sequence[tuple[float, ...]], lon: float, lat: float) -> float:
    total = 0.0
    for center_lon, center_lat, half_width, half_height, strength in table:
        x, y = ((lon - center_lon + 180) % 360 - 180) / half_width, (lat - center_lat) / half_height
        total += strength * math.exp(-x * x - y * y)
    return total


def _vegetation(local: Climate, region: str, rng: np.random.Generator) -> str:
    chance, year = rng.random(), local.year_c
    if local.dryness > 0.6 and year > 6:
        if year > 14 and "america" in region and chance < 0.75:
            return "cactus"
        return "palm" if year > 18 and chance > 0.75 else "shrub"
    if year > 20.5 or (year > 14 and chance < 0.2):
        return "palm" if chance < 0.7 else "broadleaf"
    if year < -9:
        return "treeless" if chance < 0.8 else "shrub"
    if chance > (0.88 if year > 14 else 0.75 if year > 6 else 0.25):
        return "conifer"
    return "bare" if local.month_c < 4.5 else "autumn" if year < 15 and local.is_autumn else "broadleaf"


def _snow_odds(local: Climate) -> float:
    return min(max(0.35 - 0.22 * local.month_c, 0.0), 0.92) * (1 - 0.6 * local.dryness)


def _soil(lon: float, lat: float, local: Climate, rng: np.random.Generator) -> str:
    if local.dryness > 0.6:
        return "sand"
    is_red = local.year_c > 19 and min(_bumps(LATERITE, lon, lat), 1.0) > rng.uniform(0.3, 0.9)
    return "red soil" if is_red else "grass"


def _skyline(population: int, rng: np.random.Generator) -> str:
    size = math.log10(max(population, 100)) + rng.normal(0, 0.4)
    return "tower" if size > 5.3 else "block" if size > 4.2 else "house"


def _sky_odds(dryness: float) -> tuple[float, float, float]:
    rain = 0.22 * (1 - dryness)
    return 1 - 2.3 * rain, 1.3 * rain, rain


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


def draw(scene: Scene, *, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """Paint a scene: an RGB picture of `size` (width, height), the same for equal scenes."""
    painter = _Painter(scene, (2 * size[0], 2 * size[1]))
    _paint_sky(painter)
    _paint_ground(painter)
    things = [*_street_sides(painter), *_cars(painter)]
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    if scene.weather == "rain":
        _paint_rain(painter)
    pixels = np.asarray(painter.image.reduce(2), np.float32)
    grain = painter.rng.standard_normal(pixels.shape[:2], np.float32)[..., None]
    exposed = (pixels + 3.5 * grain) * painter.rng.uniform(0.9, 1.1)
    return Image.fromarray(np.clip(exposed, 0, 255).astype(np.uint8))


class _Painter:
    """A camera in the street, a canvas, and the light of the hour."""

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self.scene, self.size = scene, size
        self.rng = rng = np.random.default_rng(scene.seed)
        self.image = Image.new("RGB", size)
        self.canvas = ImageDraw.Draw(self.image, "RGBA")
        self.focal = size[1] * rng.uniform(0.85, 1.25)
        self.vanishing = (size[0] * rng.uniform(0.4, 0.6), size[1] * rng.uniform(0.5, 0.62))
        self.roll = math.radians(rng.normal(0, 1.2))
        self.eye = (rng.uniform(-2.5, 2.5), rng.uniform(1.5, 2.6))
        height, is_clear = scene.sun_height_deg, scene.weather == "sunny"
        self.is_night = height < -4
        day = float(np.clip((height + 8) / 24, 0, 1))
        low = math.exp(-(((height - 1) / 7) ** 2)) * (1.0 if is_clear else 0.35)  # the red of a low sun
        self.ambient = (0.42 + 0.58 * day) * (1.0 if is_clear else 0.86)
        gray = np.array([176, 182, 190]) * (self.ambient + 0.06)
        zenith = np.array([18, 24, 52]) * (1 - day) + np.array([70, 132, 208]) * day
        horizon = np.array([38, 46, 80]) * (1 - day) + np.array([196, 220, 238]) * day
        horizon = horizon * (1 - 0.75 * low) + np.array([250, 160, 92]) * 0.75 * low
        veil = {"sunny": 0.0, "cloudy": 0.65, "rain": 0.92}[scene.weather]
        self.zenith, self.horizon = (
            zenith * (1 - veil) + 0.82 * gray * veil,
            horizon * (1 - veil) + gray * veil,
        )
        blue = 0.2 * self.is_night
        tint = np.array([1 + 0.16 * low - blue, 1 - 0.02 * low - blue / 2, 1 - 0.2 * low + blue])
        self.tint: list[float] = (tint * self.ambient).tolist()
        self.haze: list[float] = self.horizon.tolist()
        side = math.radians(scene.sun_azimuth_deg - scene.heading_deg)
        sharp = 0.2 * is_clear * (height > 0)
        # Walls by where they face; the sun in the right lights those that face right.
        self.lit = {"right": 0.84 + sharp * math.sin(side), "left": 0.84 - sharp * math.sin(side)}
        self.lit["front"] = 0.84 - sharp * math.cos(side)
        self.sun_side = side  # radians clockwise from the way the camera looks
        self.road = {"house": 3.4, "block": 4.4, "tower": 5.6}[scene.skyline]  # half its width
        self.road -= 0.0 if scene.line_color else 0.7

    def at(self, point: Point) -> tuple[float, float]:
        """Where a point in space falls on the canvas, pixels."""
        z = max(point[2], 0.6)
        x, y = self.focal * (point[0] - self.eye[0]) / z, -self.focal * (point[1] - self.eye[1]) / z
        return self.vanishing[0] + x - self.roll * y, self.vanishing[1] + y + self.roll * x

    def color(self, rgb: Sequence[float], z: float, lit: float = 1.0) -> tuple[int, int, int]:
        """A color in this light, paler with distance."""
        haze = 1 - math.exp(-z / (70.0 if self.scene.weather == "rain" else 170.0))
        tint, far, near = self.tint, self.haze, lit * (1 - haze)
        r, g, b = (min(int(rgb[i] * tint[i] * near + far[i] * haze), 255) for i in range(3))
        return r, g, b

    def face(self, points: Sequence[Point], rgb: Sequence[float], lit: float = 1.0) -> None:
        """Fill a polygon in space."""
        self.canvas.polygon([self.at(point) for point in points], self.color(rgb, points[0][2], lit))

    def panel(
        self, x: tuple[float, float], y: tuple[float, float], z: float, rgb: Sequence[float], lit: float = 1.0
    ) -> None:
        """Fill an upright rectangle that faces the camera."""
        self.face([(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)], rgb, lit)

    def arch(self, x: float, top: float, z: float, rgb: Sequence[float]) -> None:
        """Fill a pointed door from the ground, 1.6 m wide."""
        low = 0.7 * top
        self.face([(x - 0.8, 0, z), (x + 0.8, 0, z), (x + 0.8, low, z), (x, top, z), (x - 0.8, low, z)], rgb)

    def disc(self, center: Point, rx: float, ry: float, rgb: Sequence[float], lit: float = 1.0) -> None:
        """Fill an upright ellipse with half-axes in meters."""
        (x, y), scale = self.at(center), self.focal / max(center[2], 0.6)
        box = (x - rx * scale, y - ry * scale, x + rx * scale, y + ry * scale)
        self.canvas.ellipse(box, self.color(rgb, center[2], lit))

    def line(self, points: Sequence[Point], width_m: float, rgb: Sequence[float], lit: float = 1.0) -> None:
        """Draw a line as thick as it is in space, at least a pixel."""
        width = max(1, round(width_m * self.focal / max(points[0][2], 0.6)))
        self.canvas.line([self.at(point) for point in points], self.color(rgb, points[0][2], lit), width)

    def shadow(self, x: float, z: float, height: float, width: float) -> None:
        """Darken the ground beside a thing of that height, away from the sun."""
        if self.scene.weather != "sunny" or self.scene.sun_height_deg < 2:
            return
        length = min(height / math.tan(math.radians(self.scene.sun_height_deg)), 14.0)
        dx, dz = -length * math.sin(self.sun_side), -length * math.cos(self.sun_side)
        corners = [(x - width, z), (x + width, z), (x + width + dx, z + dz), (x - width + dx, z + dz)]
        self.canvas.polygon([self.at((a, 0.0, max(b, 1.5))) for a, b in corners], (10, 10, 30, 64))


Thing = tuple[float, Callable[[], None]]  # depth of its far end, and how to paint it


def _paint_sky(painter: _Painter) -> None:
    """Gradient, sun, clouds, mountains and, behind towns, the outline of roofs."""
    (width, height), rng, scene = painter.size, painter.rng, painter.scene
    share = np.clip(np.linspace(0, height / painter.vanishing[1], height), 0, 1)[:, None] ** 1.4
    sky = painter.zenith * (1 - share) + painter.horizon * share
    column = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8)[:, None])
    painter.image.paste(column.resize((width, height)))
    up, side = math.radians(scene.sun_height_deg), painter.sun_side
    if scene.weather == "sunny" and scene.sun_height_deg > -1 and math.cos(side) > 0.5:
        x = painter.vanishing[0] + painter.focal * math.tan(side)
        y = painter.vanishing[1] - painter.focal * math.tan(up) / math.cos(side)
        for radius, alpha in ((70, 26), (46, 44), (28, 80), (15, 255)):
            painter.canvas.ellipse((x - radius, y - radius, x + radius, y + radius), (255, 244, 206, alpha))
    if painter.is_night:
        for x, y in rng.uniform(0, 1, (40, 2)) * (width, painter.vanishing[1]):
            painter.canvas.point((x, y), (255, 255, 255, 150))
    white = tuple(int(min(255, 0.5 * c + 128 * painter.ambient)) for c in painter.horizon)
    for _ in range({"sunny": int(rng.integers(0, 4)), "cloudy": 9, "rain": 3}[scene.weather]):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.8 * painter.vanishing[1])
        for dx, dy, radius in (rng.normal(0, 1, (9, 3)) * (30, 4, 3) + (0, 0, 15)).tolist():
            box = (
                x + dx - 1.6 * abs(radius),
                y + dy - abs(radius),
                x + dx + 1.6 * abs(radius),
                y + dy + abs(radius),
            )
            painter.canvas.ellipse(box, (*white, 56))
    if scene.has_mountains:
        _paint_ridge(painter)


def _paint_ridge(painter: _Painter) -> None:
    """Mountains on the horizon, white on top."""
    base, n = painter.vanishing[1] + 10, 9
    step = painter.size[0] / (n - 2)
    rock, snow = painter.color((104, 112, 138), 60), painter.color((250, 250, 255), 30)
    for k, (jitter, height) in enumerate(
        zip(painter.rng.uniform(-20, 20, n), painter.rng.uniform(50, 120, n), strict=True)
    ):
        x, y, half = (k - 0.5) * step + jitter, base - height, step * 0.95
        painter.canvas.polygon([(x, y), (x - half, base), (x + half, base)], rock)
        cap = [
            (x, y),
            (x - 0.3 * half, y + 0.3 * height),
            (x - 0.1 * half, y + 0.22 * height),
            (x + 0.08 * half, y + 0.34 * height),
        ]
        painter.canvas.polygon([*cap, (x + 0.3 * half, y + 0.3 * height)], snow)


GROUND: dict[str, RGB] = {
    "snow": (240, 244, 250), "grass": (112, 150, 72), "sand": (222, 192, 138), "red soil": (182, 92, 56),
}  # fmt: skip


def _paint_ground(painter: _Painter) -> None:
    """Soil, pavements, road and its lines, in bands that pale with distance."""
    scene, road = painter.scene, painter.road
    soil = GROUND[scene.ground]
    is_snowy = scene.ground == "snow"
    asphalt = (
        (104, 104, 110)
        if scene.line_color
        else tuple(0.86 * c for c in ((200, 168, 128) if scene.ground == "grass" else soil))
    )
    asphalt = tuple(0.55 * a + 0.45 * s for a, s in zip(asphalt, soil, strict=True)) if is_snowy else asphalt
    layers = [(700.0, soil), (road, asphalt)]
    if scene.skyline != "house" and scene.line_color:
        layers.insert(1, (road + 3, (212, 214, 220) if is_snowy else (172, 168, 162)))
    depths = [0.6, 3, 6, 11, 20, 36, 70, 150, 900]
    for half, rgb in layers:
        for near, far in zip(depths[-2::-1], depths[:0:-1], strict=True):
            _strip(painter, (-half, half), (near, far), rgb)
    paint = (232, 178, 50) if scene.line_color == "yellow" else (238, 238, 234)
    for start in np.arange(painter.rng.uniform(0.8, 5), 80, 6.0) if scene.line_color else ():
        _strip(painter, (-0.13, 0.13), (start, start + 3.2), paint)
    if scene.line_color and scene.skyline != "house":
        for x in (-road + 0.3, road - 0.42):
            _strip(painter, (x, x + 0.12), (0.7, 90), (225, 225, 220))


def _strip(painter: _Painter, x: tuple[float, float], z: tuple[float, float], rgb: Sequence[float]) -> None:
    painter.face([(x[0], 0, z[0]), (x[1], 0, z[0]), (x[1], 0, z[1]), (x[0], 0, z[1])], rgb)


def _paint_rain(painter: _Painter) -> None:
    drops = painter.rng.uniform(0, 1, (90, 2)) * painter.size
    for x, y in drops.tolist():
        painter.canvas.line((x, y, x - 3, y + 15), (225, 232, 240, 90))


def _street_sides(painter: _Painter) -> list[Thing]:
    """Houses, the landmark, trees, poles and the sign on both sides of the road."""
    things: list[Thing] = []
    scene, rng = painter.scene, painter.rng
    landmark_side = rng.choice((-1, 1)) if scene.landmark else 0
    for side in (-1, 1):
        z, is_due = rng.uniform(4, 9), side == landmark_side
        while z < 110:
            length = rng.uniform(*{"house": (7, 12), "block": (11, 18), "tower": (13, 22)}[scene.skyline])
            if is_due and z > 15:
                things.append((z + 12, partial(LANDMARKS[str(scene.landmark)], painter, side, z)))
                length, is_due = 14.0, False
            else:
                things.append((z + length, partial(_paint_building, painter, side, z, length)))
            z += length + rng.uniform(*{"house": (4, 14), "block": (0, 3), "tower": (0, 4)}[scene.skyline])
        if scene.vegetation != "treeless":
            for z in np.cumsum(rng.uniform(7, 16, 5)) + 4:
                place = (side * (painter.road + rng.uniform(1.0, 2.6)), float(z))
                things.append((float(z), partial(_paint_plant, painter, *place, rng.uniform(0.75, 1.25))))
    keep = -1 if scene.drives_left else 1
    if scene.has_poles:
        things += [
            (z, partial(_paint_pole, painter, -keep * (painter.road + 0.8), z))
            for z in (9.0, 27.0, 45.0, 63.0)
        ]
    if scene.sign:
        z = rng.uniform(9.5, 14)
        things.append((z, partial(_paint_sign, painter, keep * (painter.road + 0.6), z)))
    return things


def _paint_building(painter: _Painter, side: int, z: float, length: float) -> None:
    """A box with windows, and a roof in the style of the region."""
    scene, rng = painter.scene, painter.rng
    height = rng.uniform(*{"house": (3.0, 6.2), "block": (9, 17), "tower": (17, 62)}[scene.skyline])
    front = painter.road + {"house": rng.uniform(3, 5.5), "block": 3.2, "tower": 3.2}[scene.skyline]
    is_usual = rng.random() < 0.7
    wall = scene.palette[0 if is_usual else 1]
    if scene.skyline == "tower" and rng.random() < 0.4:
        wall = (128, 152, 178)  # glass is the same everywhere
    _box(painter, (side * front, side * (front + 9)), (0, height), (z, z + length), wall)
    _paint_windows(painter, side, front, (z, z + length), height)
    if scene.skyline == "house":
        _paint_roof(painter, side, front, (z, z + length), height)
    elif scene.skyline == "block" and z < 40:
        _box(
            painter,
            (side * (front - 0.3), side * (front + 9)),
            (height, height + 0.7),
            (z, z + length),
            scene.palette[3],
        )


def _box(
    painter: _Painter,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    rgb: Sequence[float],
) -> None:
    """A block; the walls seen are those at the first x, which faces the road, and at the first z."""
    facing = painter.lit["left" if x[0] > 0 else "right"]
    painter.face(
        [(x[0], y[0], z[0]), (x[1], y[0], z[0]), (x[1], y[1], z[0]), (x[0], y[1], z[0])],
        rgb,
        painter.lit["front"],
    )
    _side_panel(painter, x[0], y, z, rgb, facing)


def _paint_windows(painter: _Painter, side: int, front: float, z: tuple[float, float], height: float) -> None:
    """Windows on the wall to the road, and on the near wall; far away one band a floor."""
    floors, is_far = max(min(int(height / 2.8), 14), 1), z[0] > 38
    bays = 1 if is_far else max(int((z[1] - z[0]) / 2.9), 1)
    rise, bay, x = height / floors, (z[1] - z[0]) / bays, side * (front - 0.03)
    lit = (painter.rng.random((floors, bays + 2)) < 0.55).tolist()
    for floor in range(floors):
        y = (floor * rise + 0.34 * rise, floor * rise + 0.8 * rise)
        for column in range(bays):
            a, b = z[0] + (column + 0.26) * bay, z[0] + (column + 0.74) * bay
            if z[0] < 25 and floors < 7:
                _side_panel(
                    painter,
                    x,
                    (y[0] - 0.14, y[1] + 0.14),
                    (a - 0.17, b + 0.17),
                    painter.scene.palette[3],
                    0.9,
                )
            _side_panel(painter, x, y, (a, b), *_glass(painter, lit[floor][column]))
        for column in range(2) if not is_far else ():
            c = side * (front + 1.6 + 3.6 * column)
            painter.panel((c, c + side * 1.6), y, z[0], *_glass(painter, lit[floor][bays + column]))


def _side_panel(
    painter: _Painter,
    x: float,
    y: tuple[float, float],
    z: tuple[float, float],
    rgb: Sequence[float],
    lit: float,
) -> None:
    painter.face([(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])], rgb, lit)


def _glass(painter: _Painter, is_lit: bool) -> tuple[RGB, float]:
    return ((255, 206, 120), 3.2) if painter.is_night and is_lit else ((70, 86, 104), 0.85)


def _paint_roof(painter: _Painter, side: int, front: float, z: tuple[float, float], height: float) -> None:
    """Gable, hip, curved eaves or flat, white under snow."""
    scene = painter.scene
    shape = STYLES[scene.region][2]
    rgb = GROUND["snow"] if scene.ground == "snow" else scene.palette[2]
    if shape == "flat":
        return _box(
            painter, (side * (front - 0.2), side * (front + 9)), (height, height + 0.5), z, scene.palette[3]
        )
    over = {"gable": 0.5, "hip": 0.6, "eaves": 1.2}[shape]
    inset = {"gable": 0.0, "hip": 3.0, "eaves": 1.6}[shape]
    edge, far, ridge = side * (front - over), side * (front + 9 + over), side * (front + 4.5)
    top = height + {"gable": 3.4, "hip": 2.2, "eaves": 3.0}[shape]
    near, back = z[0] - over, z[1] + over
    gable = [
        (edge, height, near),
        (far, height, near),
        (ridge, top, near + inset + (0.5 if shape == "gable" else 0)),
    ]
    painter.face(gable, scene.palette[0] if shape == "gable" else rgb, painter.lit["front"] * 0.95)
    lift = 0.5 if shape == "eaves" else 0.0
    slope = [
        (edge, height + lift, near),
        (edge, height, (near + back) / 2),
        (edge, height + lift, back),
        (ridge, top, back - inset),
        (ridge, top, near + inset),
    ]
    painter.face(slope, rgb, painter.lit["left" if side > 0 else "right"] * 1.05)


def _paint_church(painter: _Painter, side: int, z: float) -> None:
    """A nave with a gable, and a tower with a spire toward the road."""
    scene, front = painter.scene, painter.road + 3
    wall, roof = scene.palette[0], scene.palette[2]
    _box(painter, (side * (front + 1), side * (front + 9)), (0, 6), (z + 3, z + 13), wall)
    a, b, mid = side * (front + 0.6), side * (front + 9.4), side * (front + 5)
    painter.face([(a, 6, z + 3), (b, 6, z + 3), (mid, 10.5, z + 3)], wall, painter.lit["front"])
    painter.face([(a, 6, z + 3), (a, 6, z + 13), (mid, 10.5, z + 13), (mid, 10.5, z + 3)], roof)
    x0, x1 = side * front, side * (front + 3.6)
    _box(painter, (x0, x1), (0, 12), (z, z + 3.6), wall)
    tip = ((x0 + x1) / 2, 19.5, z + 1.8)
    painter.face([(x0, 12, z), (x1, 12, z), tip], roof, 0.8)
    painter.face([(x0, 12, z), (x0, 12, z + 3.6), tip], roof, 1.0)
    painter.line([(tip[0], 19, z), (tip[0], 21.3, z)], 0.16, (60, 50, 40))
    painter.line([(tip[0] - 0.6, 20.6, z), (tip[0] + 0.6, 20.6, z)], 0.16, (60, 50, 40))
    middle = (x0 + x1) / 2
    painter.disc((middle, 9.3, z - 0.02), 0.8, 0.8, (250, 246, 226))
    painter.arch(middle, 3.4, z, (84, 56, 40))


def _paint_mosque(painter: _Painter, side: int, z: float) -> None:
    """A cube with a dome, and two minarets."""
    scene, front = painter.scene, painter.road + 3.5
    dome = (84, 158, 170) if zlib.crc32(scene.country_code.encode()) % 2 else (214, 186, 110)
    wall = tuple(0.5 * c + 120 for c in scene.palette[0])
    center = side * (front + 5)
    painter.disc((center, 7.2, z + 5), 4.3, 4.8, dome)
    painter.line([(center, 11.5, z + 5), (center, 13.4, z + 5)], 0.2, (230, 200, 90))
    _box(painter, (side * front, side * (front + 10)), (0, 7.2), (z + 1, z + 11), wall)
    for a in range(3):
        painter.arch(side * (front + 1.8 + 3.2 * a), 5, z + 1, (74, 92, 104))
    for x in (side * front, side * (front + 10)):
        painter.face([(x - 0.7, 0, z), (x + 0.7, 0, z), (x + 0.5, 16, z), (x - 0.5, 16, z)], wall, 1.05)
        painter.panel((x - 1, x + 1), (12.4, 13.2), z, dome)
        painter.face([(x - 0.6, 16, z), (x + 0.6, 16, z), (x, 19, z)], dome)


def _paint_pagoda(painter: _Painter, side: int, z: float) -> None:
    """Five stories, each with its own curved roof."""
    x = side * (painter.road + 6.5)
    for story in range(5):
        half, y = 3.4 - 0.45 * story, 3.4 * story
        painter.panel((x - half, x + half), (y, y + 2.6), z, (188, 64, 46))
        for a in (-0.5, 0.5):
            painter.panel((x + half * (a - 0.2), x + half * (a + 0.2)), (y + 0.4, y + 2), z, (244, 226, 180))
        wide = half + 1.7
        roof = [
            (x - wide, y + 3.1, z),
            (x - half, y + 2.4, z),
            (x + half, y + 2.4, z),
            (x + wide, y + 3.1, z),
            (x + 0.7 * half, y + 3.9, z),
            (x - 0.7 * half, y + 3.9, z),
        ]
        painter.face(
            roof, painter.scene.palette[2] if painter.scene.ground != "snow" else GROUND["snow"], 0.9
        )
    painter.line([(x, 17, z), (x, 21, z)], 0.25, (214, 178, 80))


def _paint_temple(painter: _Painter, side: int, z: float) -> None:
    """A stepped tower in South Asia, a golden bell in Southeast Asia."""
    x = side * (painter.road + 7.0)
    is_bell = painter.scene.region == "southeast asia"
    rgb = (232, 184, 62) if is_bell else (226, 176, 130)
    for step in range(3 if is_bell else 8):
        half, y = 5.0 - (0.8 if is_bell else 0.52) * step, (1.3 if is_bell else 1.75) * step
        top = y + (1.3 if is_bell else 1.75)
        corners = [(x - half, y, z), (x + half, y, z), (x + half - 0.35, top, z), (x - half + 0.35, top, z)]
        painter.face(corners, rgb, 1.06 - 0.14 * (step % 2))
    if is_bell:
        painter.disc((x, 4.6, z), 2.9, 3.6, rgb)
        painter.face([(x - 1.3, 7.2, z), (x + 1.3, 7.2, z), (x, 18, z)], rgb, 0.94)
    else:
        painter.disc((x, 14.4, z), 1.2, 0.8, (200, 90, 60))
        painter.line([(x, 15, z), (x, 17.4, z)], 0.2, (230, 190, 80))
    painter.arch(x, 3.2, z, (110, 60, 44))


LANDMARKS = {
    "church": _paint_church,
    "mosque": _paint_mosque,
    "pagoda": _paint_pagoda,
    "temple": _paint_temple,
}


def _paint_plant(painter: _Painter, x: float, z: float, size: float) -> None:
    kind = painter.scene.vegetation
    painter.shadow(x, z, 1.5 if kind == "shrub" else 5.5 * size, 0.3 * size)
    PLANTS.get(kind, _paint_leafy)(painter, x, z, size)


def _paint_palm(painter: _Painter, x: float, z: float, size: float) -> None:
    lean, top = painter.rng.normal(0, 0.5), 6.2 * size
    painter.line([(x, 0, z), (x + 0.35 * lean, top / 2, z), (x + lean, top, z)], 0.32, (132, 104, 76))
    for angle in np.linspace(-0.5, math.pi + 0.5, 8) + painter.rng.normal(0, 0.12, 8):
        c, s, reach = math.cos(angle), math.sin(angle), 2.5 * size
        tip = (x + lean + reach * c, top + reach * 0.5 * s - 0.9, z)
        arch = (x + lean + 0.55 * reach * c, top + 0.65 * reach * s + 0.35, z)
        low = (x + lean + 0.5 * reach * c, top + 0.6 * reach * s - 0.3, z)
        painter.face([(x + lean, top, z), arch, tip, low], (58, 128, 58), 0.8 + 0.3 * s)


def _paint_conifer(painter: _Painter, x: float, z: float, size: float) -> None:
    painter.panel((x - 0.18, x + 0.18), (0, 1.4), z, (92, 66, 48))
    is_white = painter.scene.ground == "snow"
    for layer in range(4):
        half, y = (1.75 - 0.38 * layer) * size, (1.0 + 1.45 * layer) * size
        tip = (x, y + 2.6 * size, z)
        painter.face([(x - half, y, z), (x + half, y, z), tip], (38, 88, 62), 0.85 + 0.07 * layer)
        if is_white:
            painter.face(
                [(x - 0.55 * half, y + 1.17 * size, z), (x + 0.2 * half, y + 1.5 * size, z), tip],
                (232, 240, 246),
            )


def _paint_leafy(painter: _Painter, x: float, z: float, size: float) -> None:
    rgb = (206, 124, 48) if painter.scene.vegetation == "autumn" else (78, 134, 60)
    painter.line([(x, 0, z), (x, 3 * size, z)], 0.36, (98, 76, 58))
    for dx, dy in painter.rng.normal(0, 0.6, (6, 2)).tolist():
        shade = 0.85 + 0.12 * dy
        painter.disc((x + dx * size, (4.1 + dy) * size, z), 1.35 * size, 1.2 * size, rgb, shade)


def _paint_bare(painter: _Painter, x: float, z: float, size: float) -> None:
    rgb = (92, 78, 68)
    painter.line([(x, 0, z), (x, 2.6 * size, z)], 0.34, rgb)
    for angle in np.linspace(0.45, math.pi - 0.45, 6) + painter.rng.normal(0, 0.12, 6):
        c, s = math.cos(angle), math.sin(angle)
        fork = (x + 1.3 * c * size, (2.3 + 1.5 * s) * size, z)
        painter.line([(x, 2.2 * size, z), fork], 0.14, rgb)
        for turn in (-0.45, 0.0, 0.45):
            twig = (
                fork[0] + 1.3 * math.cos(angle + turn) * size,
                fork[1] + 1.3 * math.sin(angle + turn) * size,
                z,
            )
            painter.line([fork, twig], 0.06, rgb)


def _paint_cactus(painter: _Painter, x: float, z: float, size: float) -> None:
    rgb, top = (74, 130, 76), 3.6 * size
    painter.line([(x, 0, z), (x, top, z)], 0.62 * size, rgb)
    painter.disc((x, top, z), 0.31 * size, 0.31 * size, rgb)
    for arm, y in ((-1.0, 1.3 * size), (1.0, 1.8 * size)):
        elbow = (x + arm * size, y, z)
        painter.line([(x, y, z), elbow, (elbow[0], y + 1.3 * size, z)], 0.42 * size, rgb, 0.92)
        painter.disc((elbow[0], y + 1.3 * size, z), 0.21 * size, 0.21 * size, rgb, 0.92)


def _paint_shrub(painter: _Painter, x: float, z: float, size: float) -> None:
    for dx, dy in painter.rng.normal(0, 0.5, (4, 2)).tolist():
        painter.disc(
            (x + dx, 0.45 * size, z), 0.7 * size, (0.6 + 0.1 * dy) * size, (134, 138, 84), 0.9 + 0.1 * dx
        )


PLANTS = {  # any other is a tree with leaves
    "palm": _paint_palm,
    "conifer": _paint_conifer,
    "bare": _paint_bare,
    "cactus": _paint_cactus,
    "shrub": _paint_shrub,
}


def _paint_pole(painter: _Painter, x: float, z: float) -> None:
    """A pole with two arms, and its wires to the next pole behind."""
    rgb = (110, 88, 70) if "america" in painter.scene.region else (146, 144, 140)
    painter.shadow(x, z, 8, 0.12)
    painter.line([(x, 0, z), (x, 8.2, z)], 0.26, rgb)
    for y in (7.7, 6.9):
        painter.line([(x - 1.0, y, z), (x + 1.0, y, z)], 0.14, rgb)
        for dx in (-0.95, 0.95):
            wire = [
                (x + dx, y + 0.1 - 0.5 * (1 - (2 * t - 1) ** 2), z + 18 * t) for t in (0, 0.25, 0.5, 0.75, 1)
            ]
            painter.canvas.line(
                [painter.at(point) for point in wire], (*painter.color((40, 40, 46), z), 190), 1
            )


def _paint_sign(painter: _Painter, x: float, z: float) -> None:
    painter.line([(x, 0, z), (x, 2.6, z)], 0.1, (150, 152, 156))
    if painter.scene.sign == "diamond":
        layers = ((0.74, (40, 38, 34)), (0.66, (250, 196, 32)))
        corners = [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]
    else:
        is_yellow = painter.scene.country_code in YELLOW_TRIANGLE
        layers = ((0.8, (206, 32, 40)), (0.46, (250, 206, 50) if is_yellow else (250, 250, 246)))
        corners = [(-1.0, -0.6), (1.0, -0.6), (0.0, 1.14)]
    for size, rgb in layers:
        painter.face([(x + size * a, 2.6 + size * b, z) for a, b in corners], rgb, 1.1)
    painter.line([(x, 2.4, z), (x, 2.85, z)], 0.12, (30, 30, 30))


def _cars(painter: _Painter) -> list[Thing]:
    """Cars in both lanes, each on the side this country keeps to."""
    keep = -1 if painter.scene.drives_left else 1
    depths = 7 + np.cumsum(painter.rng.uniform(1, 14, painter.scene.n_cars))
    directions = painter.rng.choice((1, -1), painter.scene.n_cars)
    return [
        (z, partial(_paint_car, painter, keep * way * painter.road * 0.5, z, way > 0))
        for z, way in zip(depths.tolist(), directions.tolist(), strict=True)
    ]


def _paint_car(painter: _Painter, x: float, z: float, is_rear: bool) -> None:
    """A car seen from behind or, oncoming, from the front, with its driver."""
    gray, hue = painter.rng.uniform(50, 240), painter.rng.uniform(-60, 60, 3) * (painter.rng.random() < 0.6)
    color: list[float] = np.clip(gray + hue, 30, 245).tolist()
    shade = [(x - 1, 0.0, z - 0.2), (x + 1, 0.0, z - 0.2), (x + 1, 0.0, z + 4), (x - 1, 0.0, z + 4)]
    painter.canvas.polygon([painter.at(point) for point in shade], (10, 10, 20, 110))
    inner = x + math.copysign(0.9, painter.eye[0] - x)
    painter.face([(inner, 0.3, z), (inner, 0.3, z + 4), (inner, 0.95, z + 4), (inner, 0.95, z)], color, 0.7)
    for dx in (-0.72, 0.72):
        painter.panel((x + dx - 0.17, x + dx + 0.17), (0, 0.4), z, (26, 26, 30))
    painter.panel((x - 0.9, x + 0.9), (0.3, 0.95), z, color)
    painter.face(
        [(x - 0.85, 0.95, z), (x + 0.85, 0.95, z), (x + 0.62, 1.5, z), (x - 0.62, 1.5, z)], color, 0.9
    )
    painter.face(
        [(x - 0.72, 0.98, z), (x + 0.72, 0.98, z), (x + 0.54, 1.42, z), (x - 0.54, 1.42, z)], (60, 74, 90)
    )
    # Where traffic keeps left the driver sits at the right: our right from behind, our left from the front.
    seat = 0.33 if painter.scene.drives_left == is_rear else -0.33
    painter.disc((x + seat, 1.13, z), 0.13, 0.16, (206, 160, 130) if not is_rear else (50, 40, 36))
    lamp, lit = ((214, 30, 30), 1.2) if is_rear else ((255, 248, 214), 1.5 if not painter.is_night else 3.5)
    for dx in (-0.7, 0.7):
        painter.panel((x + dx - 0.16, x + dx + 0.16), (0.62, 0.82), z, lamp, lit)
    painter.panel((x - 0.26, x + 0.26), (0.4, 0.54), z, (240, 240, 232))
