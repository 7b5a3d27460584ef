"""What a map is made of besides the surface: sheet, background, graticule, photos, markers, scale bar.

The Earth shows through its inhabited places (GeoNames), which draw the continents by themselves.

Conventions: `lonlat` is (..., 2) degrees, longitude first; `xy` is (..., 2), places on the map as
in `map_views`. `axes` are matplotlib's and are drawn upon; sizes of markers are square points. From
below: outline 0, tiles 0.5, surface 2, places 2.2, graticule 2.5, regions 3, gallery 4, names 5,
neighbors 6, marked photos 7, points 8, scale bar 9.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from ..encoders.places import load_places
from ..encoders.sphere import wrap_lon
from ..indexer.neighbors import Neighborhood
from ..indexer.surface import Floats
from .map_tiles import tile_image
from .map_views import WIDTH_PX, View

INK, TRUTH = "#20262b", "#0a8f4d"

_SEA, _LAND, _FAINT = "#f6f7f5", "#a3adb4", "#6d777e"
_GALLERY, _NEIGHBOR = "#2f7f86", "#17324d"
_DPI = 150
_GRATICULE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)  # degrees
_HALO = [withStroke(linewidth=1.6, foreground="#ffffffcc")]


def sheet(view: View, title: str, details: str) -> tuple[Figure, Any]:
    """A figure with a band of words above the map and one for the legend below it."""
    width = WIDTH_PX / _DPI
    height = width * view.half_height / view.half_width
    top, bottom = 0.62, 0.5
    total = height + top + bottom
    figure = Figure(figsize=(width, total), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, bottom / total, 1.0, height / total), facecolor=_SEA)
    axes.set(xlim=(-view.half_width, view.half_width), ylim=(-view.half_height, view.half_height))
    axes.set_axis_off()
    words: dict[str, Any] = {"x": 0.018, "ha": "left", "parse_math": False}
    figure.text(y=1.0 - 0.16 / total, s=title, va="top", fontsize=12.5, weight="bold", color=INK, **words)
    figure.text(y=1.0 - 0.41 / total, s=details, va="top", fontsize=7.5, color=_FAINT, **words)
    return figure, axes


def background(axes: Any, view: View, tiles: str | None) -> str:
    """Draw what lies below everything else; returns whom to credit."""
    axes.add_patch(_outline(view))
    if tiles is not None:
        picture, credit = tile_image(view, tiles)
        extent = (-view.half_width, view.half_width, -view.half_height, view.half_height)
        axes.imshow(picture, extent=extent, aspect="auto", zorder=0.5)
        return credit
    places = load_places()
    xy = view.to_xy(places.lonlat)
    rows = np.flatnonzero(view.is_inside(xy))
    size = np.clip(500.0 / max(len(rows), 1), 0.16, 5.0)
    weight = np.clip(np.log10(np.maximum(places.population[rows], 1000.0)) - 2.5, 0.5, 4.0)
    axes.scatter(*xy[rows].T, s=size * weight, c=_LAND, linewidths=0, alpha=0.8, zorder=2.2)
    if view.projection != "equal earth":
        _city_names(axes, view, xy, rows, places.city)
    return "Places: GeoNames, CC BY 4.0"


def _outline(view: View) -> Polygon:
    """The Earth's edge on the map, or the window where the Earth fills it; clips nothing."""
    if view.projection != "equal earth":
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (view.half_width, view.half_height)
        return Polygon(corners, facecolor=_SEA, edgecolor="none", zorder=0)
    lat = np.linspace(-90.0, 90.0, 181)
    edge = view.to_xy(np.stack([np.full(181, wrap_lon(np.array(view.lon + 180.0)) + 1e-9), lat], axis=-1))
    ring = np.concatenate([edge, (edge * (-1.0, 1.0))[::-1]])
    return Polygon(ring, facecolor=_SEA, edgecolor=_FAINT, linewidth=0.6, zorder=0)


def _city_names(axes: Any, view: View, xy: Floats, rows: NDArray[np.intp], names: NDArray[Any]) -> None:
    """Name the largest places, which come first, as far as their names keep clear of one another."""
    room = np.array([0.3, 0.075]) * (2.0 * view.half_width, 2.0 * view.half_height)
    taken = np.empty((0, 2))
    for row in rows[:400]:
        is_at_edge = not view.is_inside(xy[row] / (0.82, 0.92))
        if is_at_edge or (np.abs(taken - xy[row]) < room).all(axis=1).any():
            continue
        taken = np.vstack([taken, xy[row]])
        axes.plot(*xy[row], marker="o", markersize=1.6, color="#4b555c", zorder=5)
        axes.annotate(
            names[row], xy[row], (2.5, 2.0), textcoords="offset points", fontsize=6.5, color="#4b555c",
            path_effects=_HALO, parse_math=False, zorder=5,
        )  # fmt: skip
        if len(taken) == 12:
            return


def graticule(axes: Any, view: View) -> None:
    """Meridians and parallels at round degrees, named where they enter the window."""
    seen = view.to_lonlat(view.grid(81, 61))
    east = wrap_lon(seen[..., 0] - view.lon)
    low, high = np.array([east.min(), seen[..., 1].min()]), np.array([east.max(), seen[..., 1].max()])
    pole = np.array([view.lon, np.copysign(90.0, view.lat)])
    if view.projection == "azimuthal" and view.is_inside(view.to_xy(pole)):
        low[0], high[0] = -180.0, 180.0
        low[1], high[1] = np.minimum(low[1], pole[1]), np.maximum(high[1], pole[1])
    east_line, north_line = np.linspace(low, high, 361).T
    for lon in _round_degrees(view.lon + low[0], view.lon + high[0]):
        line = np.stack([np.full(361, wrap_lon(np.array(lon))), north_line], axis=-1)
        _grid_line(axes, view, line, _axis_name(float(wrap_lon(np.array(lon))), "E", "W"), (2.0, 3.0))
    for lat in _round_degrees(float(low[1]), float(high[1])):
        around = wrap_lon(view.lon + np.clip(east_line, -179.999, 179.999))
        line = np.stack([around, np.full(361, lat)], axis=-1)
        if abs(lat) < 90.0:
            _grid_line(axes, view, line, _axis_name(lat, "N", "S"), (3.0, 2.0))


def _round_degrees(low: float, high: float) -> list[float]:
    """Round degrees between two values, about five of them."""
    step = next((step for step in _GRATICULE if (high - low) / step <= 6.5), 30.0)
    numbers = range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)
    return [number * step for number in numbers]


def _grid_line(axes: Any, view: View, lonlat: Floats, name: str, offset: tuple[float, float]) -> None:
    xy = view.to_xy(lonlat)
    inside = np.flatnonzero(view.is_inside(xy * 0.9999))
    if not len(inside):
        return
    # A line that starts inside starts at a pole, where all names would lie upon one another.
    end = xy[inside[-1 if inside[0] == 0 and view.projection == "azimuthal" else 0]]
    limit = np.array([view.half_width, view.half_height])
    axes.plot(*xy.T, color=_FAINT, linewidth=0.4, alpha=0.45, zorder=2.5)
    axes.annotate(
        name, np.clip(end, -limit, limit * (0.93, 0.96)), offset, textcoords="offset points",
        fontsize=5.8, color=_FAINT, path_effects=_HALO, zorder=5,
    )  # fmt: skip


def _axis_name(degrees: float, positive: str, negative: str) -> str:
    side = "" if degrees in (0.0, -180.0) else positive if degrees > 0.0 else negative
    return f"{abs(round(degrees, 6)):g}°{side}"


def gallery(axes: Any, view: View, lonlat: Floats, *, size: float = 5.0) -> None:
    """The gallery's photos as small points."""
    xy = view.to_xy(np.asarray(lonlat, dtype=np.float64).reshape(-1, 2))
    style = {"c": _GALLERY, "linewidths": 0, "zorder": 4}
    axes.scatter(*xy[view.is_inside(xy)].T, s=size * marker_scale(view), alpha=0.6, **style)
    axes.scatter([], [], s=18.0, label="photos of the gallery", **style)


def neighbors(axes: Any, view: View, near: Neighborhood) -> None:
    """Similar photos as rings, larger the more similar; the most similar on top."""
    similarity = np.where(np.isfinite(near.similarity), near.similarity, np.nan)
    spread = max(float(np.nanmax(similarity) - np.nanmin(similarity)), 1e-9)
    size = 8.0 + 82.0 * np.nan_to_num((similarity - np.nanmin(similarity)) / spread) ** 2
    order = np.argsort(size)
    axes.scatter(
        *view.to_xy(near.lonlat)[order].T, s=marker_scale(view) * size[order], zorder=6,
        facecolors="#ffffff99", edgecolors=_NEIGHBOR, linewidths=0.9,
        label="similar photos, larger when more similar",
    )  # fmt: skip


def point(axes: Any, view: View, lonlat: tuple[float, float], *, s: float, **style: Any) -> None:
    """One marker, of `s` square points on a map of a region."""
    xy = view.to_xy(np.array(lonlat))[:, None]
    axes.scatter(*xy, s=s * marker_scale(view), edgecolors=INK, linewidths=0.9, zorder=8, **style)


def marker_scale(view: View) -> float:
    """Markers are smaller on the whole Earth, where they would hide what they mark."""
    return 0.22 if view.projection == "equal earth" else 1.0


def _scale_bar(axes: Any, view: View) -> None:
    """A round number of kilometers, true at the center of the map."""
    room_km = 0.3 * view.half_width * (0.5 if view.projection == "equal earth" else 1.0) * view.km_per_unit
    power = 10.0 ** np.floor(np.log10(room_km))
    length_km = max(digit * power for digit in (1.0, 2.0, 5.0) if digit * power <= room_km)
    right, length = 0.97 * view.half_width, length_km / view.km_per_unit
    y = -0.93 * view.half_height
    axes.plot(
        [right - length, right], [y, y], color=INK, linewidth=1.8, solid_capstyle="butt",
        path_effects=_HALO, zorder=9,
    )  # fmt: skip
    note = " at the equator" if view.projection == "equal earth" else ""
    axes.annotate(
        f"{length_km:,g} km{note}", (right, y), (0.0, 3.0), textcoords="offset points", ha="right",
        fontsize=6.5, color=INK, path_effects=_HALO, zorder=9,
    )  # fmt: skip


def finished(figure: Figure, axes: Any, view: View, credit: str, path: Path | None) -> bytes:
    """Legend, scale and credit; the picture as PNG."""
    _scale_bar(axes, view)
    height = float(figure.get_size_inches()[1])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="center left", bbox_to_anchor=(0.01, 0.3 / height), ncols=len(handles),
        frameon=False, fontsize=6.2, labelcolor=INK, handletextpad=0.3, columnspacing=1.2, markerscale=0.7,
    )  # fmt: skip
    figure.text(0.982, 0.07 / height, credit, ha="right", fontsize=5.2, color=_FAINT, parse_math=False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a place name in a script the font lacks
        figure.savefig(buffer, format="png", metadata={"Software": None})
    if path is not None:
        path.write_bytes(buffer.getvalue())
    return buffer.getvalue()
