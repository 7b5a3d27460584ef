"""How much of a density a region must hold, so that regions cover what they state, continent by continent.

A region of level 0.9 is the smallest that holds a certain mass of the smoothed density; which mass,
photos of known place decide (split conformal prediction; Vovk, Gammerman, Shafer 2005). A density may
be overconfident in South America and timid in Europe: the mass is fitted for each continent that is
answered (a Mondrian taxonomy). What the others know counts as much as `_BORROWED`
photos, so that few photos do not make wild regions. Letters: n photos for calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..encoders.continents import continent_at
from ..encoders.sphere import lonlat_of
from .geolocate import geoscore_optimum
from .surface import Floats, Mixture
from .surface_model import SurfaceModel

_N_SAMPLES = 256
_BORROWED = 10.0
_FEWEST = 30  # photos answered to be on a continent, for levels of its own


class Held(NamedTuple):
    """A photo's density, looked at from its place.

    Attributes:
        mass: share of the density that is higher than there, and half of what is as high.
        continent: of the answer.
    """

    mass: float
    continent: str


def held(truth: Floats, surface: Mixture) -> Held:
    """Look at a density from a photo's place, (2,) degrees."""
    surface = surface.smoothed()
    samples = surface.sample_vectors(_N_SAMPLES)
    log_density, own = surface.log_density_at(samples), surface.log_density(truth[None])[0]
    mass = float(np.mean(log_density > own) + np.mean(log_density == own) / 2.0)
    return Held(mass, str(continent_at(lonlat_of(geoscore_optimum(samples)))))


def with_region_levels(model: SurfaceModel, photos: Sequence[Held], levels: Sequence[float]) -> SurfaceModel:
    """The model with calibrated regions of some nominal levels."""
    mass = np.array([one.mass for one in photos])
    continent = np.array([one.continent for one in photos], dtype=str)
    names, counts = np.unique(continent, return_counts=True)
    own_levels = []
    for name in names[counts >= _FEWEST].tolist():
        is_own = continent == name
        weight = np.where(is_own, 1.0, min(1.0, _BORROWED / max(int((~is_own).sum()), 1)))
        own_levels += [(name, float(level), conformal_level(mass, level, weight)) for level in levels]
    return replace(
        model,
        region_levels=tuple((float(level), conformal_level(mass, level)) for level in levels),
        continent_levels=tuple(own_levels),
    )


def conformal_level(mass: Floats, level: float, weight: NDArray[np.floating] | None = None) -> float:
    """The mass a region must hold to cover a share `level` of truths.

    The least m so that the photos, (n,), whose growing highest-density region first held their truth
    at m or before weigh `level` of all and the one asked about: the ⌈(n + 1) level⌉-th smallest where
    all weigh 1.
    """
    each = np.ones(len(mass)) if weight is None else weight
    order = np.argsort(mass, kind="stable")
    reached = np.cumsum(each[order])
    rank = int(np.searchsorted(reached, level * (each.sum() + 1.0) - 1e-9))
    return float(mass[order[rank]]) if rank < len(mass) else 1.0
