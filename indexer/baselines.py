"""What the located photos are held against: densities at the truth, and answers that anyone could give.

Letters: Q photos asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..encoders.sphere import lonlat_of
from .geolocate import Location, geoscore_optimum
from .held_out import HeldOut
from .recall_area import area_above_km2
from .surface import Floats
from .trial import Trial

_CONSTANT_SAMPLES = 2048


def log_priors(trial: Trial) -> Floats:
    """Log density of each query's prior at its place, (Q,)."""
    result = np.empty(len(trial.queries))
    for rows, prior in trial.by_prior():
        result[rows] = prior.log_density(trial.queries.lonlat[rows])
    return result


def log_densities(photos: HeldOut, locations: Sequence[Location]) -> Floats:
    """Log density that each answer states at the truth, (Q,)."""
    pairs = zip(locations, photos.lonlat, strict=True)
    return np.array([one.surface.log_density(place[None])[0] for one, place in pairs])


def areas(photos: HeldOut, locations: Sequence[Location]) -> Floats:
    """Area of the region that just holds the truth, (Q,), of the densities that regions are read from."""
    result = np.empty(len(photos))
    for row, (one, place) in enumerate(zip(locations, photos.lonlat, strict=True)):
        surface = one.surface.smoothed()
        result[row] = area_above_km2(surface, surface.log_density(place[None]))[0]
    return result


def prior_areas(trial: Trial, log_prior: Floats) -> Floats:
    """The same of the prior, (Q,); where groups are small, of the whole one, which they change little."""
    if trial.block_deg is None:
        return area_above_km2(trial.prior.mixture, log_prior)
    result = np.empty(len(trial.queries))
    for rows, prior in trial.by_prior():
        result[rows] = area_above_km2(prior.mixture, log_prior[rows])
    return result


def nearest_log_densities(trial: Trial) -> Floats:
    """Log density at the truth under the same family of models, fitted with one neighbor."""
    photos, result = trial.queries, np.empty(len(trial.queries))
    for rows, model in trial.nearest_models():
        for row in rows.tolist():
            nearest = photos.similarity[row, :1], photos.neighbor_lonlat[row, :1]
            surface = model.surface(*nearest, trial.prior_of(row))
            result[row] = surface.log_density(photos.lonlat[row : row + 1])[0]
    return result


def constant_points(trial: Trial) -> Floats:
    """The best constant answer for each fold, learned from the others: (Q, 2)."""
    points = np.empty_like(trial.queries.lonlat)
    for asked, _, known in trial.folds():
        samples = trial.known_prior(known).mixture.sample_vectors(_CONSTANT_SAMPLES, seed=trial.seed)
        points[asked] = lonlat_of(geoscore_optimum(samples))
    return points


def random_points(trial: Trial) -> Floats:
    """The place of a random photo of the gallery of another group, for each query: (Q, 2)."""
    rng = np.random.default_rng(trial.seed)
    drawn = [rng.choice(np.flatnonzero(trial.group != own)) for own in trial.queries.group]
    points: Floats = trial.lonlat[np.array(drawn)]
    return points
