"""Map tiles as a background: the one part of a map that needs the network, and only when asked for.

Conventions: `lonlat` is (n, 2) degrees, longitude first. Images are (height, width, 4), RGBA, top
row first. Extents are (left, right, bottom, top) in meters of Web Mercator.
"""

from __future__ import annotations

from textwrap import shorten

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..encoders.errors import PlaceprintError
from ..indexer.surface import Floats
from .map_views import KM_PER_DEGREE, WIDTH_PX, View


class TilesUnavailable(PlaceprintError):
    """Map tiles that cannot be had: no such provider, no network, or a key is needed."""


def tile_image(view: View, tiles: str) -> tuple[NDArray[np.uint8], str]:
    """Tiles of a provider, redrawn in the projection of the view, (H, W, 4), and whom to credit.

    About 30 tiles, one at a time and under our own name, as OpenStreetMap's tile policy asks.
    """
    import contextily

    height = round(WIDTH_PX * view.half_height / view.half_width)
    lonlat = view.to_lonlat(view.grid(WIDTH_PX, height))
    lonlat[..., 1] = np.clip(lonlat[..., 1], -85.0, 85.0)  # Web Mercator ends there
    picture = np.full((height, WIDTH_PX, 4), 255, dtype=np.uint8)
    east = lonlat[..., 0] >= 0.0
    halves = [east, ~east] if np.ptp(lonlat[..., 0]) > 180.0 else [np.full(east.shape, True)]
    try:
        provider = contextily.providers.query_name(tiles)
        zoom = np.log2(360.0 * KM_PER_DEGREE / view.pixel_km / 256.0)
        zoom = int(np.clip(zoom, provider.get("min_zoom", 0), provider.get("max_zoom", 18)))
        for half in halves:
            west, south = lonlat[half].min(axis=0)
            right, north = lonlat[half].max(axis=0)
            mosaic, extent = contextily.bounds2img(
                west, south, right, north, zoom=zoom, source=provider, ll=True, timeout=20,
                headers={"user-agent": f"placeprint/{__version__} (one map at a time)"},
            )  # fmt: skip
            picture[half] = _cut_from_mercator(mosaic, extent, lonlat[half])
    except Exception as error:  # the library, its network code and its parsers raise a family each
        raise TilesUnavailable(
            f"no tiles of {tiles!r} for the map ({type(error).__name__}: "
            f"{shorten(str(error), 160)}); the map is drawn offline when --tiles is left out"
        ) from error
    return picture, f"Background: {provider.attribution}. Names: GeoNames, CC BY 4.0"


def _cut_from_mercator(
    mosaic: NDArray[np.uint8], extent: tuple[float, float, float, float], lonlat: Floats
) -> NDArray[np.uint8]:
    """Pixels of a Web Mercator picture, (H, W, 4), at points (n, 2); the extent is in its meters."""
    meters = 6_378_137.0  # the sphere of Web Mercator has the equatorial radius
    x = meters * np.deg2rad(lonlat[:, 0])
    y = meters * np.arctanh(np.sin(np.deg2rad(lonlat[:, 1])))
    left, right, bottom, top = extent
    column = ((x - left) / (right - left) * mosaic.shape[1]).astype(int).clip(0, mosaic.shape[1] - 1)
    row = ((top - y) / (top - bottom) * mosaic.shape[0]).astype(int).clip(0, mosaic.shape[0] - 1)
    pixels: NDArray[np.uint8] = mosaic[row, column]
    return pixels
