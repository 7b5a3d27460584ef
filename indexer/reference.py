"""What a place counts for before the photo is looked at, when the gallery is not to say it.

A gallery of holiday photos expects the sea. `tilts` takes its prior out of an answer and puts another
in its place: that every square kilometer is as likely, or every inhabitant. Letters: A centers of the
support.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import logsumexp

from ..encoders.places import load_places
from ..encoders.sphere import EARTH_AREA_KM2, unit_vectors
from .support import Support
from .surface import Floats, kappa_of_km, log_kernel

PriorName = Literal["gallery", "uniform", "population"]

_PEOPLE_KM = 50.0  # the width over which the inhabitants of a place are spread
_NEAREST = 512
_UNINHABITED = 0.05  # share of the population prior that is even over the Earth


def tilts(support: Support, prior: PriorName) -> Floats:
    """Log of how much heavier each center becomes under another prior, (A,)."""
    if prior == "gallery":
        return np.zeros(len(support))
    own = support.prior.mixture.log_density_at(support.centers)
    return (log_population(support.centers) if prior == "population" else -np.log(EARTH_AREA_KM2)) - own


def log_population(vectors: Floats) -> Floats:
    """Log density of people, per km² and all adding up to 1, from GeoNames' places: (n, 3) -> (n,)."""
    places = load_places()
    known = places.population > 0
    people, at = places.population[known].astype(np.float64), unit_vectors(places.lonlat[known])
    near = cKDTree(at).query(vectors, k=_NEAREST)[1]
    cosine = np.einsum("nd,nkd->nk", vectors, at[near])
    spread = log_kernel(cosine, kappa_of_km(_PEOPLE_KM)) + np.log(people[near] / people.sum())
    even = np.log(_UNINHABITED / EARTH_AREA_KM2)
    result: Floats = np.logaddexp(np.log1p(-_UNINHABITED) + logsumexp(spread, axis=1), even)
    return result
