"""Maps of answers and of galleries, drawn without any network unless tiles are asked for.

Here are the maps as wholes and the words on them; `map_views` has the windows, `map_surface` the
shading, `map_layers` all else that is drawn and `map_tiles` the background from the network.

Conventions: `lonlat` is (..., 2) degrees, longitude first; one point is (lon, lat). Shares and
probabilities lie in [0, 1]. Pictures are the bytes of a PNG.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from ..encoders.sphere import great_circle_km, lonlat_of, unit_vectors
from ..indexer.geolocate import Location
from ..indexer.neighbors import Neighborhood
from ..indexer.surface import Floats
from . import map_layers
from .map_surface import surface
from .map_views import View, view_of, world_view


def draw_location(
    location: Location,
    path: Path | None,
    *,
    gallery_lonlat: Floats,
    neighbors: Neighborhood | None,
    truth: tuple[float, float] | None = None,
    tiles: str | None = None,
    view: Literal["auto", "world"] = "auto",
) -> bytes:
    """Draw an answer: the surface, its regions, the neighbors and, unless it abstains, the best point.

    Args:
        location: the answer.
        path: where to write the picture as well, if anywhere.
        gallery_lonlat: places of the gallery's photos, (N, 2).
        neighbors: what the answer rests on.
        truth: (lon, lat) where the photo was taken, if known.
        tiles: an xyzservices provider such as "OpenStreetMap.Mapnik" to fetch the background from; its
            terms hold. The network is used for nothing else.
        view: "auto" frames the 90 % region, the neighbors of weight and the truth.

    Returns:
        A PNG, 1200 pixels wide.

    Raises:
        TilesUnavailable: the tiles could not be had.
    """
    samples = location.surface.sample_vectors(1024)
    log_density = location.surface.smoothed().log_density_at(samples)
    window = world_view(location.lon)
    if view == "auto":
        inside = log_density >= min(location.region_thresholds.values())
        parts = [lonlat_of(samples[inside]), _of_weight(location, neighbors)]
        parts += [] if location.abstain else [np.array([[location.lon, location.lat]])]
        window = view_of(np.concatenate(parts + ([] if truth is None else [np.array([truth])])))
    figure, axes = map_layers.sheet(window, in_words(location), _details(location, truth, window))
    credit = map_layers.background(axes, window, tiles)
    surface(axes, window, location, samples, log_density)
    map_layers.graticule(axes, window)
    map_layers.gallery(axes, window, gallery_lonlat)
    if neighbors is not None and len(neighbors.photos):
        map_layers.neighbors(axes, window, neighbors)
    if not location.abstain:
        best = (location.lon, location.lat)
        if great_circle_km(np.array(best), np.array(location.mode)) > 15.0 * window.pixel_km:
            map_layers.point(
                axes, window, location.mode, label="highest density", marker="D", s=38.0, c="white"
            )
        map_layers.point(axes, window, best, label="best point", marker="*", s=230.0, c="white")
    if truth is not None:
        map_layers.point(axes, window, truth, label="truth", marker="X", s=70.0, c=map_layers.TRUTH)
    return map_layers.finished(figure, axes, window, credit, path)


def draw_gallery(
    gallery_lonlat: Floats, path: Path | None = None, *, title: str, highlight: Floats | None = None
) -> bytes:
    """Draw where a gallery's photos were taken, on the whole Earth.

    Args:
        gallery_lonlat: places of the photos, (N, 2).
        path: where to write the picture as well, if anywhere.
        title: shown above.
        highlight: places to stand out, (n, 2).

    Returns:
        A PNG, 1200 pixels wide.
    """
    window = world_view()
    places = np.asarray(gallery_lonlat, dtype=np.float64).reshape(-1, 2)
    figure, axes = map_layers.sheet(window, title, f"{len(places):,} photos with a place")
    credit = map_layers.background(axes, window, None)
    map_layers.graticule(axes, window)
    map_layers.gallery(axes, window, places, size=22.0)
    if highlight is not None and len(highlight):
        xy = window.to_xy(np.asarray(highlight, dtype=np.float64).reshape(-1, 2))
        axes.scatter(*xy.T, s=34, c="#d9480f", edgecolors="white", linewidths=0.7, zorder=7, label="marked")
    return map_layers.finished(figure, axes, window, credit, path)


def in_words(location: Location) -> str:
    """The answer in one line, such as "Italy 62 %, within 200 km 35 %"."""
    if location.abstain:
        return "No answer for this photo"
    country = location.countries[0]
    named = next((pair for pair in sorted(location.p_within_km.items()) if pair[1] >= 0.3), None)
    radius_km, p = named or max(location.p_within_km.items())
    name = country.name[:1].upper() + country.name[1:]
    return f"{name} {percent(country.probability)}, within {radius_km:g} km {percent(p)}"


def percent(share: float) -> str:
    """A probability in whole percent, never claiming 0 or 100."""
    if share < 0.005:
        return "<1 %"
    return ">99 %" if share > 0.995 else f"{100.0 * share:.0f} %"


def point_in_words(lon: float, lat: float, *, digits: int = 2) -> str:
    """Coordinates with their hemispheres, such as 41.90° N, 12.50° E."""
    north, east = "N" if lat >= 0.0 else "S", "E" if lon >= 0.0 else "W"
    return f"{abs(lat):.{digits}f}° {north}, {abs(lon):.{digits}f}° {east}"


def _details(location: Location, truth: tuple[float, float] | None, view: View) -> str:
    if location.abstain:
        return location.abstain_reason[:1].upper() + location.abstain_reason[1:]
    digits = 4 if view.pixel_km < 0.05 else 2
    words = f"Best point {point_in_words(location.lon, location.lat, digits=digits)}"
    if truth is None:
        return words
    error_km = float(great_circle_km(np.array([location.lon, location.lat]), np.array(truth)))
    return f"{words}, {error_km:,.{0 if error_km >= 10 else 1}f} km from the truth"


def _of_weight(location: Location, neighbors: Neighborhood | None) -> Floats:
    """Places of the neighbors around which a twentieth of the probability or more is centered, (n, 2)."""
    if neighbors is None or not len(neighbors.photos):
        return np.empty((0, 2))
    cosine = location.surface.centers @ unit_vectors(neighbors.lonlat).T
    weight = np.exp(location.surface.log_weight) @ (cosine > 1.0 - 1e-12)
    return neighbors.lonlat[weight >= 0.05]
