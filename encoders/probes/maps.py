"""Labels read off maps at points drawn uniformly on the sphere: countries and climate classes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import shape

from ..errors import InvalidProbe

N_POINTS = 100_000

CLIMATES = (
    "Af Am As Aw BSh BSk BWh BWk Cfa Cfb Cfc Csa Csb Csc Cwa Cwb Cwc Dfa Dfb Dfc Dfd Dsa Dsb Dsc Dsd"
    " Dwa Dwb Dwc Dwd EF ET"
).split()
"""Classes 1 to 31 of the climate raster, in order; 32 is the ocean."""


def drawn_points(n: int = N_POINTS, *, seed: int = 0) -> NDArray[np.float64]:
    """Points uniform by area, (n, 2) degrees: first all sines of latitude, then all longitudes.

    The order of the draws is part of the benchmark; `sphere.uniform_on_sphere` has the other one.
    """
    rng = np.random.default_rng(seed)
    sine = rng.uniform(-1.0, 1.0, n)
    return np.stack([rng.uniform(-180.0, 180.0, n), np.rad2deg(np.arcsin(sine))], axis=-1)


def countries_on_land(path: Path) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Drawn points on land and the codes of their countries: (n, 2), (n,).

    Natural Earth's ADM0_A3 is the code: its ISO_A2 is -99 for France and Norway.

    Raises:
        InvalidProbe: the file is no GeoJSON of countries.
    """
    features = _features(path)
    tree = shapely.STRtree([shape(feature["geometry"]) for feature in features])
    codes = np.array([feature["properties"]["ADM0_A3"] for feature in features])
    lonlat = drawn_points()
    rows, found = tree.query(shapely.points(lonlat), predicate="within")
    rows, first = np.unique(rows, return_index=True)  # on a common border the first country has it
    return lonlat[rows], codes[found[first]]


def climate_classes(path: Path) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Drawn points on land and their Köppen–Geiger classes: (n, 2), (n,).

    The raster covers the Earth from the northwest corner, rows going south.

    Raises:
        InvalidProbe: the file is not the raster.
    """
    try:
        with np.load(path) as archive:
            raster = archive["kmz"]
    except (OSError, ValueError, KeyError) as error:
        raise InvalidProbe(f"{path}: not the climate raster, an .npz with an array 'kmz': {error}") from error
    height, width = raster.shape
    lonlat = drawn_points()
    column = np.floor((lonlat[:, 0] + 180.0) / 360.0 * width).astype(np.intp) % width
    row = np.minimum(np.floor((90.0 - lonlat[:, 1]) / 180.0 * height).astype(np.intp), height - 1)
    codes = raster[row, column].astype(np.intp)
    on_land = (codes >= 1) & (codes <= len(CLIMATES))
    return lonlat[on_land], np.array(CLIMATES)[codes[on_land] - 1]


def _features(path: Path) -> list[dict[str, Any]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            features: list[dict[str, Any]] = json.load(file)["features"]
        if features and "ADM0_A3" in features[0]["properties"] and features[0]["geometry"]:
            return features
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidProbe(f"{path}: not a GeoJSON file of countries: {error}") from error
    raise InvalidProbe(f"{path}: its features have no property ADM0_A3, or no shape")
