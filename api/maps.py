"""Maps of answers and of galleries, drawn without any network unless tiles are asked for.

The Earth shows through its inhabited places (GeoNames), which draw the continents by themselves.
Colors of the surface are relative to its own regions, so that a street and a continent are shaded
alike: nothing well outside the 90 % region, full color at the peak, logarithmic in between.

Conventions: `lonlat` is (..., 2) degrees, longitude first. `xy` is (..., 2) on a map, in degrees of
arc at its center, x to the east and y to the north. Images are (height, width), top row first.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from .. import __version__
from ..encoders.errors import PlaceprintError
from ..encoders.places import load_places
from ..encoders.sphere import EARTH_RADIUS_KM, great_circle_km, lonlat_of, unit_vectors, wrap_lon
from ..indexer.gallery import Neighborhood
from ..indexer.geolocate import Location
from ..indexer.surface import Floats, Mixture, log_kernel

KM_PER_DEGREE = EARTH_RADIUS_KM * np.pi / 180.0
WIDTH_PX = 1200

_SEA, _LAND, _INK, _FAINT = "#f6f7f5", "#a3adb4", "#20262b", "#6d777e"
_GALLERY, _NEIGHBOR, _TRUTH = "#2f7f86", "#17324d", "#0a8f4d"
# Magma without its ends: from a pale yellow that shows on paper to a purple that text shows on.
_COLORS = ListedColormap(mpl.colormaps["magma_r"](np.linspace(0.06, 0.8, 256)))
_DPI = 150
_ASPECT = 4.0 / 3.0
_MIN_HALF_HEIGHT = 2.5 / KM_PER_DEGREE
_GRATICULE = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)  # degrees
_EQUAL_EARTH = (1.340264, -0.081106, 0.000893, 0.003796)  # Šavrič, Patterson and Jenny, 2018
_ROOT = np.sqrt(3.0) / 2.0
_HALO = [withStroke(linewidth=1.6, foreground="#ffffffcc")]


class TilesUnavailable(PlaceprintError):
    """Map tiles that cannot be had: no such provider, no network, or a key is needed."""


@dataclass(frozen=True)
class View:
    """A window on the Earth.

    Attributes:
        projection: "plate carrée" true to scale at the center; "azimuthal", equidistant, where a
            pole is near; "equal earth" for the whole Earth.
        lon: of the center, [-180, 180); so is `lat`.
        half_width: from the center to the edge, in units of xy.
        half_height: likewise.
    """

    projection: Literal["plate carrée", "azimuthal", "equal earth"]
    lon: float
    lat: float
    half_width: float
    half_height: float

    @property
    def km_per_unit(self) -> float:
        """Kilometers on the ground of one unit of x at the center."""
        ends = self.to_lonlat(np.array([[-1e-3, 0.0], [1e-3, 0.0]]))
        return float(great_circle_km(ends[0], ends[1])) / 2e-3

    @property
    def pixel_km(self) -> float:
        """Width of a pixel at the center."""
        return 2.0 * self.half_width * self.km_per_unit / WIDTH_PX

    def to_xy(self, lonlat: Floats) -> Floats:
        """Where points lie on the map, inside the window or not."""
        east = wrap_lon(lonlat[..., 0] - self.lon)
        if self.projection == "plate carrée":
            return np.stack([east * self._squeeze, lonlat[..., 1] - self.lat], axis=-1)
        if self.projection == "azimuthal":
            x, y, up = np.moveaxis(unit_vectors(lonlat) @ self._axes.T, -1, 0)
            sine = np.hypot(x, y)
            stretch = np.rad2deg(np.arctan2(sine, up)) / np.where(sine > 0.0, sine, 1.0)
            return np.stack([x * stretch, y * stretch], axis=-1)
        theta = np.arcsin(_ROOT * np.sin(np.deg2rad(lonlat[..., 1])))
        y, slope = _equal_earth(theta)
        return np.stack([east * np.cos(theta) / (_ROOT * slope), np.rad2deg(y)], axis=-1)

    def to_lonlat(self, xy: Floats) -> Floats:
        """The points at places of the map; where there is no Earth, some point on Earth."""
        if self.projection == "azimuthal":
            angle = np.deg2rad(np.hypot(xy[..., 0], xy[..., 1]))
            sinc = np.deg2rad(np.sinc(angle / np.pi))[..., None]
            vectors = np.concatenate([xy * sinc, np.cos(angle)[..., None]], axis=-1)
            return lonlat_of(vectors @ self._axes)
        if self.projection == "plate carrée":
            east, lat = xy[..., 0] / self._squeeze, self.lat + xy[..., 1]
        else:
            theta = _equal_earth_latitude(np.deg2rad(xy[..., 1]))
            east = xy[..., 0] * _ROOT * _equal_earth(theta)[1] / np.cos(theta)
            lat = np.rad2deg(np.arcsin(np.clip(np.sin(theta) / _ROOT, -1.0, 1.0)))
        lon = wrap_lon(self.lon + np.clip(east, -180.0, 180.0))
        return np.stack([lon, np.clip(lat, -90.0, 90.0)], axis=-1)

    def is_inside(self, xy: Floats) -> NDArray[np.bool_]:
        """Whether places of the map lie in the window."""
        return (np.abs(xy[..., 0]) <= self.half_width) & (np.abs(xy[..., 1]) <= self.half_height)

    def grid(self, width: int, height: int) -> Floats:
        """Places of the map from edge to edge, (height, width, 2)."""
        x = np.linspace(-self.half_width, self.half_width, width)
        y = np.linspace(self.half_height, -self.half_height, height)
        return np.stack(np.meshgrid(x, y), axis=-1)

    @property
    def _squeeze(self) -> float:
        return float(np.cos(np.deg2rad(self.lat)))

    @property
    def _axes(self) -> Floats:
        """East, north and up at the center, as rows (3, 3)."""
        lon, lat = np.deg2rad(self.lon), np.deg2rad(self.lat)
        east = [-np.sin(lon), np.cos(lon), 0.0]
        north = [-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)]
        return np.array([east, north, unit_vectors(np.array([self.lon, self.lat]))])


def world_view(lon: float = 0.0) -> View:
    """The whole Earth around Greenwich, or around 150° E when `lon` lies near the antimeridian."""
    middle = 150.0 if abs(lon) > 150.0 else 0.0  # cut in mid-Atlantic, as maps of the Pacific are
    edge = View("equal earth", 0.0, 0.0, 1.0, 1.0).to_xy(np.array([[179.999999, 0.0], [0.0, 90.0]]))
    return View("equal earth", middle, 0.0, 1.015 * float(edge[0, 0]), 1.03 * float(edge[1, 1]))


def view_of(lonlat: Floats) -> View:
    """The smallest window with some air around points, (n, 2), whichever way round they are nearest.

    Longitudes are taken across their widest gap, so that points on both sides of the antimeridian
    lie side by side. Near a pole the map is azimuthal; very far apart, the whole Earth.
    """
    lon = np.sort(lonlat[:, 0])
    gap = np.diff(np.append(lon, lon[0] + 360.0))
    widest = int(np.argmax(gap))
    span = 360.0 - float(gap[widest])
    middle = float(wrap_lon(np.array((lon[(widest + 1) % len(lon)] + span / 2.0 + 180.0) % 360.0 - 180.0)))
    south, north = float(lonlat[:, 1].min()), float(lonlat[:, 1].max())
    view = View("plate carrée", middle, (south + north) / 2.0, 1.0, 1.0)
    view = _framed(view, lonlat)
    if span <= 150.0 and abs(view.lat) + view.half_height <= 80.0 and view.half_height <= 50.0:
        return view
    center = lonlat_of(unit_vectors(lonlat).mean(axis=0) + 1e-9)  # points may balance out, as antipodes do
    view = _framed(View("azimuthal", float(center[0]), float(center[1]), 1.0, 1.0), lonlat)
    is_polar = abs(view.lat) + view.half_height > 80.0
    return view if is_polar and view.half_height <= 40.0 else world_view(float(center[0]))


def _framed(view: View, lonlat: Floats) -> View:
    """The view with the window that holds the points."""
    half_width, half_height = np.abs(view.to_xy(lonlat)).max(axis=0) * 1.15
    half_height = max(half_height, half_width / _ASPECT, _MIN_HALF_HEIGHT)
    return View(view.projection, view.lon, view.lat, float(half_height * _ASPECT), float(half_height))


def _equal_earth(theta: Floats) -> tuple[Floats, Floats]:
    """The y of the parametric latitude, radians, and its derivative."""
    a, b, c, d = _EQUAL_EARTH
    square = theta**2
    sixth = square**3
    y: Floats = theta * (a + b * square + sixth * (c + d * square))
    slope: Floats = a + 3.0 * b * square + sixth * (7.0 * c + 9.0 * d * square)
    return y, slope


def _equal_earth_latitude(y: Floats) -> Floats:
    """The parametric latitude of y, radians, by Newton's method; off the map, that of a pole."""
    theta = np.clip(y, -np.pi / 3.0, np.pi / 3.0)
    for _ in range(8):
        value, slope = _equal_earth(theta)
        theta = np.clip(theta - (value - y) / slope, -np.pi / 3.0, np.pi / 3.0)
    return theta


# --- what is drawn ---------------------------------------------------------------------------------


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
        tiles: an xyzservices provider such as "CartoDB.Voyager" to fetch the background from; its
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
    figure, axes = _sheet(window, in_words(location), _details(location, truth, window))
    credit = _background(axes, window, tiles)
    _surface(axes, window, location, samples, log_density)
    _graticule(axes, window)
    _gallery(axes, window, gallery_lonlat)
    if neighbors is not None and len(neighbors.photos):
        _neighbors(axes, window, neighbors)
    if not location.abstain:
        best = (location.lon, location.lat)
        if great_circle_km(np.array(best), np.array(location.mode)) > 15.0 * window.pixel_km:
            _point(axes, window, location.mode, label="highest density", marker="D", s=38.0, c="white")
        _point(axes, window, best, label="best point", marker="*", s=230.0, c="white")
    if truth is not None:
        _point(axes, window, truth, label="truth", marker="X", s=70.0, c=_TRUTH)
    return _finished(figure, axes, window, credit, path)


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
    figure, axes = _sheet(window, title, f"{len(places):,} photos with a place")
    credit = _background(axes, window, None)
    _graticule(axes, window)
    _gallery(axes, window, places, size=22.0)
    if highlight is not None and len(highlight):
        xy = window.to_xy(np.asarray(highlight, dtype=np.float64).reshape(-1, 2))
        axes.scatter(*xy.T, s=34, c="#d9480f", edgecolors="white", linewidths=0.7, zorder=7, label="marked")
    return _finished(figure, axes, window, credit, path)


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


# --- the surface -----------------------------------------------------------------------------------


def log_density_image(mixture: Mixture, view: View, width: int) -> Floats:
    """Log density per km² of a mixture over a window, (height, width); NaN where there is no Earth.

    Kernels of one bandwidth are summed on a grid as fine as they need, each as far as it matters,
    and interpolated. Exact sums would take half a minute.
    """
    height = round(width * view.half_height / view.half_width)
    density = np.full((height, width), 1e-300)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    for kappa in np.unique(mixture.kappa):
        chosen = mixture.kappa == kappa
        sigma = min(180.0, np.rad2deg(kappa**-0.5))
        step = sigma * KM_PER_DEGREE / view.km_per_unit / 2.5
        shape = [int(np.clip(2.0 * half / step, 8, most)) for half, most in (
            (view.half_height, height), (view.half_width, width))]  # fmt: skip
        points = unit_vectors(view.to_lonlat(view.grid(shape[1], shape[0]).reshape(-1, 2)))
        reach = min(2.0, 6.0 * float(kappa) ** -0.5)
        near = cKDTree(points).sparse_distance_matrix(
            cKDTree(mixture.centers[chosen]), reach, output_type="ndarray"
        )
        peak = np.exp(log_kernel(np.ones(()), kappa) + mixture.log_weight[chosen])
        value = peak[near["j"]] * np.exp(-0.5 * kappa * near["v"] ** 2)  # chord² = 2 (1 − cosine)
        coarse = np.bincount(near["i"], value, minlength=len(points)).reshape(shape)
        # The log of a Gaussian is a parabola, which a cubic spline follows exactly.
        coarse = np.log(np.maximum(coarse, 1e-9 * peak.max()))
        place = [rows * (shape[0] - 1), columns * (shape[1] - 1)]
        density += np.exp(map_coordinates(coarse, place, order=3, mode="nearest"))
    grid = view.grid(width, height)
    off_earth = np.abs(view.to_xy(view.to_lonlat(grid)) - grid).max(axis=-1) > 1e-6
    return np.where(off_earth, np.nan, np.log(density))


def _surface(axes: Any, view: View, location: Location, samples: Floats, log_density: Floats) -> None:
    """Shade the density and draw the edges of its regions."""
    width = WIDTH_PX // 2
    # A kernel narrower than a pixel would fall between pixels.
    narrowest = (EARTH_RADIUS_KM / (2.0 * view.pixel_km)) ** 2
    smoothed = location.surface.smoothed()
    shown = Mixture(smoothed.centers, np.minimum(smoothed.kappa, narrowest), smoothed.log_weight)
    shown = shown.smoothed()  # no kernel changes any more; those within one pixel become one
    thresholds = dict(location.region_thresholds)
    if (smoothed.kappa > narrowest).any():
        widened = shown.log_density_at(samples)
        thresholds = {
            level: float(np.quantile(widened, (log_density < threshold).mean()))
            for level, threshold in thresholds.items()
        }
    image = log_density_image(shown, view, width)
    extent = (-view.half_width, view.half_width, -view.half_height, view.half_height)
    axes.imshow(_shaded(image, thresholds), extent=extent, aspect="auto", interpolation="bilinear", zorder=2)
    x, y = np.moveaxis(view.grid(width, len(image)), -1, 0)
    for level, style in zip(sorted(thresholds)[::-1], ("--", "-", "-"), strict=False):
        if np.nanmin(image) < thresholds[level] < np.nanmax(image):
            line = {"linewidths": 0.8 * _marker_scale(view) ** 0.5, "linestyles": style, "zorder": 3}
            axes.contour(x, y, image, [thresholds[level]], colors=_INK, **line)
            axes.plot([], [], color=_INK, linewidth=0.8, linestyle=style, label=f"{level:.0%} region")


def _shaded(image: Floats, thresholds: dict[float, float]) -> Floats:
    """Colors of log densities, (H, W) -> (H, W, 4): transparent well outside the widest region."""
    outer, inner = min(thresholds.values()), max(thresholds.values())
    anchors = np.array([outer - 1.2, outer, max(inner, outer + 0.1), max(np.nanmax(image), inner + 0.2)])
    depth = np.interp(np.nan_to_num(image, nan=-np.inf), anchors, [0.0, 0.25, 0.6, 1.0])
    colors: Floats = _COLORS(depth)
    colors[..., 3] = 0.85 * np.clip(depth / 0.35, 0.0, 1.0)
    return colors


# --- the sheet -------------------------------------------------------------------------------------


def _sheet(view: View, title: str, details: str) -> tuple[Figure, Any]:
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
    figure.text(y=1.0 - 0.16 / total, s=title, va="top", fontsize=12.5, weight="bold", color=_INK, **words)
    figure.text(y=1.0 - 0.41 / total, s=details, va="top", fontsize=7.5, color=_FAINT, **words)
    return figure, axes


def _background(axes: Any, view: View, tiles: str | None) -> str:
    """Draw what lies below everything else; returns whom to credit."""
    axes.add_patch(_outline(view))
    if tiles is not None:
        picture, credit = _tile_image(view, tiles)
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


def _graticule(axes: Any, view: View) -> None:
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


def _gallery(axes: Any, view: View, lonlat: Floats, *, size: float = 5.0) -> None:
    """The gallery's photos as small points."""
    xy = view.to_xy(np.asarray(lonlat, dtype=np.float64).reshape(-1, 2))
    style = {"c": _GALLERY, "linewidths": 0, "zorder": 4}
    axes.scatter(*xy[view.is_inside(xy)].T, s=size * _marker_scale(view), alpha=0.6, **style)
    axes.scatter([], [], s=18.0, label="photos of the gallery", **style)


def _neighbors(axes: Any, view: View, neighbors: Neighborhood) -> None:
    """Similar photos as rings, larger the more similar; the most similar on top."""
    similarity = np.where(np.isfinite(neighbors.similarity), neighbors.similarity, np.nan)
    spread = max(float(np.nanmax(similarity) - np.nanmin(similarity)), 1e-9)
    size = 8.0 + 82.0 * np.nan_to_num((similarity - np.nanmin(similarity)) / spread) ** 2
    order = np.argsort(size)
    axes.scatter(
        *view.to_xy(neighbors.lonlat)[order].T, s=_marker_scale(view) * size[order], zorder=6,
        facecolors="#ffffff99", edgecolors=_NEIGHBOR, linewidths=0.9,
        label="similar photos, larger when more similar",
    )  # fmt: skip


def _point(axes: Any, view: View, lonlat: tuple[float, float], *, s: float, **style: Any) -> None:
    """One marker, of `s` square points on a map of a region."""
    xy = view.to_xy(np.array(lonlat))[:, None]
    axes.scatter(*xy, s=s * _marker_scale(view), edgecolors=_INK, linewidths=0.9, zorder=8, **style)


def _marker_scale(view: View) -> float:
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
        [right - length, right], [y, y], color=_INK, linewidth=1.8, solid_capstyle="butt",
        path_effects=_HALO, zorder=9,
    )  # fmt: skip
    note = " at the equator" if view.projection == "equal earth" else ""
    axes.annotate(
        f"{length_km:,g} km{note}", (right, y), (0.0, 3.0), textcoords="offset points", ha="right",
        fontsize=6.5, color=_INK, path_effects=_HALO, zorder=9,
    )  # fmt: skip


def _finished(figure: Figure, axes: Any, view: View, credit: str, path: Path | None) -> bytes:
    """Legend, scale and credit; the picture as PNG."""
    _scale_bar(axes, view)
    height = float(figure.get_size_inches()[1])
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="center left", bbox_to_anchor=(0.01, 0.3 / height), ncols=len(handles),
        frameon=False, fontsize=6.2, labelcolor=_INK, handletextpad=0.3, columnspacing=1.2, markerscale=0.7,
    )  # fmt: skip
    figure.text(0.982, 0.07 / height, credit, ha="right", fontsize=5.2, color=_FAINT, parse_math=False)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # a place name in a script the font lacks
        figure.savefig(buffer, format="png", metadata={"Software": None})
    if path is not None:
        path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


# --- tiles from the network ------------------------------------------------------------------------


def _tile_image(view: View, tiles: str) -> tuple[NDArray[np.uint8], str]:
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
