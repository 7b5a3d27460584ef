"""Global and local views of places: what is cut, and cutting it.

A view is a crop of its own, sampled from the map at its own center, width and angle. Turning or
zooming a square crop would bring black corners and blurred pixels. Global views keep the place at
their center; local ones lie off it by a bounded way, so that the embedding stays tied to the place.

Letters: B places, V views.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..sphere import destination
from .crop_source import CropSource
from .settings import MapRun

N_GLOBAL = 2
_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cuts:
    """Where views are cut, and how: arrays (V, B), centers (V, B, 2) degrees."""

    lonlat: _Floats
    ground_m: _Floats
    angle_rad: _Floats
    is_flipped: NDArray[np.bool_]
    px: int

    def take(self, places: slice) -> "Cuts":
        """The views of some of the places."""
        return Cuts(
            self.lonlat[:, places],
            self.ground_m[:, places],
            self.angle_rad[:, places],
            self.is_flipped[:, places],
            self.px,
        )

    def cut(self, source: CropSource) -> NDArray[np.uint8]:
        """Class ids of all views: (V, B, px, px)."""
        shape = self.ground_m.shape
        if not self.ground_m.size:
            return np.zeros((*shape, self.px, self.px), np.uint8)
        found = source.crops(
            self.lonlat.reshape(-1, 2),
            ground_m=self.ground_m.reshape(-1),
            angle_rad=self.angle_rad.reshape(-1),
            px=self.px,
        ).reshape(*shape, self.px, self.px)
        if self.is_flipped.any():
            found[self.is_flipped] = found[self.is_flipped][..., ::-1]
        return found


def draw_cuts(lonlat: _Floats, run: MapRun, rng: np.random.Generator) -> tuple[Cuts, Cuts]:
    """Draw two global and `n_local` local views of each place.

    Widths are drawn evenly on a logarithmic scale, offsets evenly by area.

    Args:
        lonlat: the places, (B, 2) degrees.
        run: the settings.
        rng: of the step.
    """
    still = _draw(lonlat, run, rng, n=N_GLOBAL, zoom=run.global_zoom, offset=0.0, px=run.global_px)
    moved = _draw(
        lonlat, run, rng, n=run.n_local, zoom=run.local_zoom, offset=run.local_offset, px=run.local_px
    )
    return still, moved


def _draw(
    lonlat: _Floats,
    run: MapRun,
    rng: np.random.Generator,
    *,
    n: int,
    zoom: tuple[float, float],
    offset: float,
    px: int,
) -> Cuts:
    shape = (n, len(lonlat))
    ground_m = run.ground_m * np.exp(rng.uniform(np.log(zoom[0]), np.log(zoom[1]), shape))
    turn = rng.uniform(0.0, 2.0 * np.pi, shape)
    bearing_deg = rng.uniform(0.0, 360.0, shape)
    way_km = offset * run.ground_m / 1000.0 * np.sqrt(rng.uniform(0.0, 1.0, shape))
    flip = rng.uniform(0.0, 1.0, shape) < 0.5
    centers = np.broadcast_to(lonlat, (*shape, 2))
    return Cuts(
        destination(centers, bearing_deg, way_km) if offset > 0.0 else centers,
        ground_m,
        turn if run.is_rotated else np.zeros(shape),
        flip & run.is_flipped,
        px,
    )
