"""What is known of a place without going there: some 230 numbers read from the atlas.

Terrain at several scales, nearness of the sea, climate classes here and around, rivers, outlines of
towns, borders, people living within 2 to 1000 km, the country's economy. Every number is defined
everywhere on Earth; near means near on the sphere.
"""

import os
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..sphere import EARTH_RADIUS_KM, unit_vectors
from .grids import bilinear, block_mean, cell_values, class_shares, smooth
from .tables import CLIMATES, LINES, N_CLIMATES, WorldTables

_Floats = NDArray[np.float64]
_Grid = NDArray[np.float32]

CITY_SIZES = (5_000, 20_000, 100_000, 300_000, 1_000_000, 4_000_000)
N_PLACES = 32
"""Places looked at around a point; the kernels below reach no farther than these."""

_LETTERS: tuple[
    tuple[str, Callable[[str], bool]], ...
] = (  # climate letters as traits, so that classes share what they have in common
    ("tropical", lambda name: name[0] == "A"),
    ("dry", lambda name: name[0] == "B"),
    ("temperate", lambda name: name[0] == "C"),
    ("continental", lambda name: name[0] == "D"),
    ("polar", lambda name: name[0] == "E"),
    ("desert", lambda name: name.startswith("BW")),
    ("steppe", lambda name: name.startswith("BS")),
    ("rain all year", lambda name: name[0] in "ACD" and name[1] == "f"),
    ("dry summer", lambda name: name[0] in "ACD" and name[1] == "s"),
    ("dry winter", lambda name: name[0] in "ACD" and name[1] in "mw"),
    ("hot summer", lambda name: name[0] in "CD" and name[2] == "a"),
    ("warm summer", lambda name: name[0] in "CD" and name[2] == "b"),
    ("cold summer", lambda name: name[0] in "CD" and name[2] in "cd"),
    ("hot and dry", lambda name: name[0] == "B" and name[2] == "h"),
    ("ice", lambda name: name == "EF"),
)


class Reading(NamedTuple):
    """What the atlas says of n places.

    Attributes:
        names: of the fields.
        values: of the fields, (n, F).
        country: number of the country, 0 on the high sea, (n,).
        state: number of the first-level region of the nearest place, (n,).
    """

    names: list[str]
    values: _Grid
    country: NDArray[np.int64]
    state: NDArray[np.uint16]


class WorldFields:
    """Reads the fields at any points; building it takes some seconds and 300 MB.

    Attributes:
        names: of the fields, in the order of the columns.
    """

    names: list[str]

    def __init__(self, tables: WorldTables) -> None:
        self.tables = tables
        self._terrain = dict(_terrain_grids(tables))
        self._climate = dict(_climate_grids(tables))
        self._people = dict(_people_grids(tables))
        self._lines = {line: _tree(unit_vectors(getattr(tables, line))) for line in LINES}
        places = unit_vectors(tables.places)
        self._places = _tree(places)
        self._cities = {size: _tree(places[tables.place_population >= size]) for size in CITY_SIZES}
        self.names = self(np.zeros((1, 2))).names

    def __call__(self, lonlat: _Floats) -> Reading:
        """Read everything: degrees (n, 2), checked."""
        xyz = unit_vectors(lonlat)
        chord, nearest = self._places.query(xyz, k=N_PLACES, workers=_n_threads())
        country = cell_values(self.tables.country, lonlat).astype(np.int64)
        columns = {
            **_position(lonlat),
            **self._of_terrain(lonlat),
            **self._of_climate(lonlat),
            **self._of_lines(lonlat, xyz),
            **self._of_people(_km(chord), nearest),
            **self._of_cities(xyz),
            **{name: bilinear(grid, lonlat) for name, grid in self._people.items()},
            **self._of_country(country),
        }
        values = np.empty((len(lonlat), len(columns)), np.float32)
        for number, column in enumerate(columns.values()):
            values[:, number] = column
        return Reading(list(columns), values, country, self.tables.place_state[nearest[:, 0]])

    def _of_terrain(self, lonlat: _Floats) -> dict[str, _Floats | _Grid]:
        read = {name: bilinear(grid, lonlat) for name, grid in self._terrain.items()}
        elevation_m = read["elevation"]
        for scale in (1, 3, 9):
            read[f"height above surroundings {scale}"] = elevation_m - read[f"elevation {scale}"]
        read["elevation, compressed"] = np.arcsinh(elevation_m / 100)
        read["height above surroundings, compressed"] = np.arcsinh(read["height above surroundings 3"] / 100)
        for name, bit in (("land", 1), ("lake", 2), ("urban", 4), ("glacier", 8)):
            read[f"on {name}"] = (cell_values(self.tables.cover, lonlat) & bit > 0).astype(np.float32)
        settled = _settled(lonlat)
        for degrees in (-10.0, 10.0):  # the sea up-wind and towards the pole
            for scale in (6, 18):
                grid = self._terrain[f"land {scale}"]
                east = np.stack([(lonlat[:, 0] + degrees + 180) % 360 - 180, lonlat[:, 1]], axis=1)
                north = np.stack([lonlat[:, 0], np.clip(lonlat[:, 1] + degrees, -90, 90)], axis=1)
                here = read[f"land {scale}"]
                read[f"land {scale}, {degrees:+.0f} degrees east"] = bilinear(grid, east)
                read[f"land {scale}, {degrees:+.0f} degrees north"] = here + settled * (
                    bilinear(grid, north) - here
                )
        return dict(read)

    def _of_climate(self, lonlat: _Floats) -> dict[str, _Floats | _Grid]:
        here = cell_values(self.tables.climate, lonlat)
        read: dict[str, _Floats | _Grid] = {
            f"climate {name}": (here == number).astype(np.float32)
            for number, name in enumerate(CLIMATES, start=1)
        }
        for scale, grid in self._climate.items():
            shares = bilinear(grid, lonlat)
            labels = CLIMATES if grid.shape[2] == len(CLIMATES) else [name for name, _ in _LETTERS]
            for column, label in enumerate(labels):
                read[f"share of {label}, {scale}"] = shares[:, column]
        return read

    def _of_lines(self, lonlat: _Floats, xyz: _Floats) -> dict[str, _Floats | _Grid]:
        read: dict[str, _Floats | _Grid] = {}
        for line, tree in self._lines.items():
            chord, nearest = tree.query(xyz, workers=_n_threads())
            away_km = _km(chord)
            read[f"{line}: log distance"] = np.log(away_km + 0.5)
            for scale_km in (3, 30, 300) if line in ("coast", "urban") else (30,):
                read[f"{line}: nearness {scale_km} km"] = np.exp(-away_km / scale_km)
            if line in ("coast", "border"):
                to = getattr(self.tables, line)[nearest]
                east = ((to[:, 0] - lonlat[:, 0] + 180) % 360 - 180) * np.cos(np.radians(lonlat[:, 1]))
                bearing = np.arctan2(east, to[:, 1] - lonlat[:, 1])
                pull = np.exp(-away_km / 500) * _settled(lonlat)
                read[f"{line}: eastward"] = np.sin(bearing) * pull
                read[f"{line}: northward"] = np.cos(bearing) * pull
        urban = cell_values(self.tables.cover, lonlat) & 4 > 0
        read["urban: signed log distance"] = np.where(urban, -1, 1) * read["urban: log distance"]
        return read

    def _of_people(self, away_km: _Floats, nearest: NDArray[np.int64]) -> dict[str, _Floats | _Grid]:
        """Distances of the nearest places and their rows, both (n, N_PLACES)."""
        people = self.tables.place_population[nearest].astype(np.float64)
        read: dict[str, _Floats | _Grid] = {
            f"log distance of place {rank}": np.log(away_km[:, rank - 1] + 0.5) for rank in (1, 3, 10, 32)
        }
        read["log people of nearest place"] = np.log1p(people[:, 0])
        read["log people of largest of ten"] = np.log1p(people[:, :10].max(axis=1))
        for scale_km in (2, 4, 8, 16):
            weight = np.exp(-0.5 * (away_km / scale_km) ** 2)
            read[f"log people {scale_km} km"] = np.log1p((weight * people).sum(axis=1))
            read[f"log places {scale_km} km"] = np.log1p(weight.sum(axis=1))
        for scale_km in (5, 20):
            reach = np.exp(-away_km / scale_km)
            read[f"log people, tails {scale_km} km"] = np.log1p((reach * people).sum(axis=1))
        for power in (1, 2):
            read[f"gravity {power}"] = np.log1p((people / (away_km + 2) ** power).sum(axis=1))
        return read

    def _of_cities(self, xyz: _Floats) -> dict[str, _Floats | _Grid]:
        read: dict[str, _Floats | _Grid] = {}
        for size, tree in self._cities.items():
            away_city_km = _km(tree.query(xyz, workers=_n_threads())[0])
            read[f"log distance of city {size}"] = np.log(away_city_km + 1)
            if size in (100_000, 1_000_000):
                read[f"nearness of city {size}"] = np.exp(-(away_city_km + 1) / 30)
        return read

    def _of_country(self, country: NDArray[np.int64]) -> dict[str, _Floats | _Grid]:
        facts = self.tables.country_facts[country]
        labels = ("log wealth per person", "log people of country", "income group", "economy")
        return {label: facts[:, column] for column, label in enumerate(labels)}


def _tree(vectors: _Floats) -> cKDTree:
    """A tree of the surface of a ball, without what scipy does for clouds in a box.

    Its boxes around points, shrunk and balanced, overlap the ball of a far query: points of the sea ask
    after rivers ten times faster in plain halves of space.
    """
    return cKDTree(vectors, compact_nodes=False, balanced_tree=False)


def _n_threads() -> int:
    """Threads of one query of a tree: as many as OMP_NUM_THREADS says, else all (-1)."""
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isdigit() and int(told) > 0 else -1


def _km(chord: _Floats) -> _Floats:
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chord / 2, 1.0))


def _settled(lonlat: _Floats) -> _Floats:
    """How far north and east are directions to speak of: 1, and within 5 degrees of a pole less, to 0."""
    result: _Floats = np.minimum((90.0 - np.abs(lonlat[:, 1])) / 5.0, 1.0)
    return result


def _position(lonlat: _Floats) -> dict[str, _Floats | _Grid]:
    lon, lat = np.radians(lonlat).T
    return {
        "sin lat": np.sin(lat),
        "cos lat": np.cos(lat),
        "sin 2 lat": np.sin(2 * lat),
        "cos 2 lat": np.cos(2 * lat),
        "cos 4 lat": np.cos(4 * lat),
        "degrees from equator": np.abs(lonlat[:, 1]),
        "x": np.cos(lat) * np.cos(lon),
        "y": np.cos(lat) * np.sin(lon),
    }


def _terrain_grids(tables: WorldTables) -> Iterator[tuple[str, _Grid]]:
    """Grids of 20 arc minutes; a scale is a standard deviation in cells of 37 km."""
    elevation = tables.elevation_m.astype(np.float32)
    height = np.maximum(elevation, 0)
    land = block_mean(tables.cover & 1, 12)
    yield "elevation", elevation
    for scale in (1, 3, 9, 27):
        yield f"elevation {scale}", _wide(elevation, scale)
    for scale in (1, 3, 9):
        variance = _wide(height**2, scale) - _wide(height, scale) ** 2
        yield f"roughness {scale}", np.log1p(np.sqrt(np.maximum(variance, 0)))
    for scale in (1, 3):
        southward, eastward = np.gradient(smooth(height, scale))
        yield f"slope to the east {scale}", np.arcsinh(eastward / 50)
        yield f"slope to the south {scale}", np.arcsinh(southward / 50)
    for scale in (1, 2, 6, 18, 54):
        yield f"land {scale}", _wide(land, scale)


def _wide(grid: _Grid, scale: float) -> _Grid:
    """Smooth on a grid that is coarser where the scale is wide, which is many times faster."""
    factor = 1 if scale < 9 else 3 if scale < 27 else 9
    return smooth(block_mean(grid, factor) if factor > 1 else grid, scale / factor)


def _climate_grids(tables: WorldTables) -> Iterator[tuple[str, _Grid]]:
    """Shares of the classes within half a degree, and of their traits farther around."""
    # Every other cell is enough for shares, and four times as fast.
    shares = class_shares(tables.climate[::2, ::2], 9, N_CLIMATES)[:, :, 1:]
    yield "half a degree", shares
    traits = np.array([[has(name) for _, has in _LETTERS] for name in CLIMATES], np.float32)
    traits_half = shares @ traits
    yield "0.7 degrees", smooth(traits_half, 1.0)
    yield "2 degrees", smooth(traits_half, 3.0)
    yield "4 degrees", smooth(block_mean(traits_half, 2), 4.0)


def _people_grids(tables: WorldTables) -> Iterator[tuple[str, _Grid]]:
    """Log densities of people and places, and shares of urban land."""
    for height, scales in ((720, (1.0, 2.5)), (180, (2.0, 4.5, 9.0))):
        for name, weight in (("people", tables.place_population), ("places", None)):
            density = _density(tables.places, weight, height)
            unit = 1.0 if weight is not None else 1000.0
            for scale in scales:
                label = f"log {name} per km2, {scale * 20015 / height:.0f} km"
                yield label, np.log1p(unit * smooth(density, scale))
    urban = block_mean((tables.cover & 4) // 4, 9)
    yield "urban share 14 km", np.sqrt(smooth(urban, 0.5))
    yield "urban share 56 km", np.sqrt(smooth(urban, 2.0))
    yield "urban share 170 km", np.sqrt(smooth(block_mean(urban, 4), 1.5))


def _density(lonlat: _Floats, weight: NDArray[np.float32] | None, height: int) -> _Grid:
    """Sum of weights per square kilometer in a grid of `height` rows."""
    edges = np.linspace(-90, 90, height + 1), np.linspace(-180, 180, 2 * height + 1)
    counts, *_ = np.histogram2d(lonlat[:, 1], lonlat[:, 0], bins=edges, weights=weight)
    band_km2 = 2 * np.pi * EARTH_RADIUS_KM**2 * np.diff(np.sin(np.radians(edges[0])))
    per_km2 = counts / (band_km2[:, None] / (2 * height))
    return np.asarray(per_km2[::-1], np.float32)
