"""The probability surface of an answer, shaded on a map.

Colors are relative to the surface's own regions, so that a street and a continent are shaded alike:
nothing well outside the 90 % region, full color at the peak, logarithmic in between.

Conventions: densities are natural logs per km². Images are (height, width), top row first.
"""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import ListedColormap
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from ..encoders.sphere import EARTH_RADIUS_KM, unit_vectors
from ..indexer.geolocate import Location
from ..indexer.surface import Floats, Mixture, log_kernel
from .map_layers import INK, marker_scale
from .map_views import KM_PER_DEGREE, WIDTH_PX, View

# Magma without its ends: from a pale yellow that shows on paper to a purple that text shows on.
_COLORS = ListedColormap(mpl.colormaps["magma_r"](np.linspace(0.06, 0.8, 256)))


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


def surface(axes: Any, view: View, location: Location, samples: Floats, log_density: Floats) -> None:
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
            line = {"linewidths": 0.8 * marker_scale(view) ** 0.5, "linestyles": style, "zorder": 3}
            axes.contour(x, y, image, [thresholds[level]], colors=INK, **line)
            axes.plot([], [], color=INK, linewidth=0.8, linestyle=style, label=f"{level:.0%} region")


def _shaded(image: Floats, thresholds: dict[float, float]) -> Floats:
    """Colors of log densities, (H, W) -> (H, W, 4): transparent well outside the widest region."""
    outer, inner = min(thresholds.values()), max(thresholds.values())
    anchors = np.array([outer - 1.2, outer, max(inner, outer + 0.1), max(np.nanmax(image), inner + 0.2)])
    depth = np.interp(np.nan_to_num(image, nan=-np.inf), anchors, [0.0, 0.25, 0.6, 1.0])
    colors: Floats = _COLORS(depth)
    colors[..., 3] = 0.85 * np.clip(depth / 0.35, 0.0, 1.0)
    return colors
