"""The climate of a place in words: Köppen–Geiger classes read from the shipped atlas.

The raster has cells of 100 arc seconds; coastal waters take the class of the nearest land, the open sea
has none. Each class has two wordings, a common name with its article and the name of the zone, so that a
model does not learn one phrase by heart.
"""

import lzma
from collections.abc import Mapping
from functools import cache
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open

from ..errors import WeightsUnavailable
from ..sphere import as_lonlat
from ..world.encoder import NAME
from ..world.grids import cell_values
from ..world.tables import CLIMATES, WorldTables

PHRASES: Mapping[str, tuple[str, str]] = {
    "Af": ("a rainforest climate", "tropical, wet all year"),
    "Am": ("a monsoon climate", "tropical, with a monsoon"),
    "As": ("a savanna climate with dry summers", "tropical, dry in summer"),
    "Aw": ("a savanna climate with dry winters", "tropical, dry in winter"),
    "BSh": ("a hot steppe climate", "semi-arid and hot"),
    "BSk": ("a cold steppe climate", "semi-arid and cold"),
    "BWh": ("a hot desert climate", "arid and hot"),
    "BWk": ("a cold desert climate", "arid and cold"),
    "Cfa": ("a humid subtropical climate", "temperate without a dry season, hot in summer"),
    "Cfb": ("an oceanic climate", "temperate without a dry season, warm in summer"),
    "Cfc": ("a subpolar oceanic climate", "temperate without a dry season, cool in summer"),
    "Csa": ("a Mediterranean climate with hot summers", "temperate, dry and hot in summer"),
    "Csb": ("a Mediterranean climate with warm summers", "temperate, dry and warm in summer"),
    "Csc": ("a Mediterranean climate with cool summers", "temperate, dry and cool in summer"),
    "Cwa": ("a subtropical monsoon climate", "temperate, dry in winter, hot in summer"),
    "Cwb": ("a subtropical highland climate", "temperate, dry in winter, warm in summer"),
    "Cwc": ("a cold highland climate", "temperate, dry in winter, cool in summer"),
    "Dfa": ("a humid continental climate with hot summers", "cold without a dry season, hot in summer"),
    "Dfb": ("a humid continental climate with warm summers", "cold without a dry season, warm in summer"),
    "Dfc": ("a subarctic climate", "cold without a dry season, cool in summer"),
    "Dfd": ("a subarctic climate with severe winters", "cold without a dry season, harsh in winter"),
    "Dsa": ("a continental climate with hot, dry summers", "cold, dry and hot in summer"),
    "Dsb": ("a continental climate with warm, dry summers", "cold, dry and warm in summer"),
    "Dsc": ("a subarctic climate with dry summers", "cold, dry and cool in summer"),
    "Dsd": (
        "a subarctic climate with dry summers and severe winters",
        "cold, dry in summer, harsh in winter",
    ),
    "Dwa": ("a continental monsoon climate with hot summers", "cold, dry in winter, hot in summer"),
    "Dwb": ("a continental monsoon climate with warm summers", "cold, dry in winter, warm in summer"),
    "Dwc": ("a subarctic climate with dry winters", "cold, dry in winter, cool in summer"),
    "Dwd": ("a subarctic climate with dry, severe winters", "cold, dry and harsh in winter"),
    "EF": ("an ice cap climate", "polar, with ice that never melts"),
    "ET": ("a tundra climate", "polar, with a short thaw"),
}

GROUPS = {"A": "tropical", "B": "dry", "C": "temperate", "D": "continental", "E": "polar"}
"""The five main climates, by the first letter of a class."""


def climate_classes(lonlat: ArrayLike) -> NDArray[np.str_]:
    """Köppen–Geiger class at each place, "" on the open sea: (n, 2) degrees -> (n,).

    Raises:
        InvalidCoordinate: a point is not on Earth.
        WeightsUnavailable: the atlas that ships with Placeprint is missing or damaged.
    """
    names = np.array(["", *CLIMATES])
    classes: NDArray[np.str_] = names[cell_values(_raster(), as_lonlat(lonlat).reshape(-1, 2))]
    return classes


@cache
def _raster() -> NDArray[np.uint8]:
    """The classes of all cells; unpacking takes two seconds, and 84 MB are kept."""
    prefix = "tables."
    with as_file(files("placeprint.encoders") / f"{NAME}.safetensors") as path:
        try:
            with safe_open(path, "numpy") as file:
                packed = {
                    name.removeprefix(prefix): file.get_tensor(name)
                    for name in file.keys()
                    if name.startswith(prefix)
                }
            return WorldTables.unpack(packed).climate
        except (OSError, SafetensorError, KeyError, ValueError, lzma.LZMAError) as error:
            raise WeightsUnavailable(
                f"{path}: the atlas of climates cannot be read ({type(error).__name__}: {error}); "
                "install placeprint again"
            ) from None
