"""Windows on the Earth: the projections of maps, and which window shows given points.

Conventions: `lonlat` is (..., 2) degrees, longitude first. `xy` is (..., 2) on a map, in degrees of
arc at its center, x to the east and y to the north. Grids are (height, width, 2), top row first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..encoders.sphere import EARTH_RADIUS_KM, great_circle_km, lonlat_of, unit_vectors, wrap_lon
from ..indexer.surface import Floats

KM_PER_DEGREE = EARTH_RADIUS_KM * np.pi / 180.0
WIDTH_PX = 1200

_ASPECT = 4.0 / 3.0
_MIN_HALF_HEIGHT = 2.5 / KM_PER_DEGREE
_EQUAL_EARTH = (1.340264, -0.081106, 0.000893, 0.003796)  # Šavrič, Patterson and Jenny, 2018
_ROOT = np.sqrt(3.0) / 2.0


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
