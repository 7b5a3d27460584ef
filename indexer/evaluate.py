"""How well a gallery's own photos are located, against baselines that any method must beat.

Every photo is located by photos of other groups (site, sequence, author), and by a model fitted on
other folds of groups. Its own group is taken out of the prior too. Thresholds are inclusive (an
error of exactly 25 km is within 25 km); distances are great-circle km. Letters: Q photos, K
neighbors, R radii.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..encoders.places import load_places
from ..encoders.sphere import great_circle_km, lonlat_of
from .calibrate import fit_surface_model
from .evaluation_report import Evaluation, Row
from .geolocate import GEOSCORE_KM, RADII_KM, Location, geoscore_optimum, locate
from .prior import Prior
from .surface import Floats

_SAME_KM = 1.0
_SAME_SIMILARITY = 0.999
_BLOCK = 1024  # queries whose similarities to the whole gallery are held at once
_CONSTANT_SAMPLES = 2048


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Photos, each with its nearest neighbors from other groups, most similar first.

    Attributes:
        lonlat: the photos' places, (Q, 2).
        group: whole-number label of each photo, (Q,).
        similarity: (Q, K), -inf where fewer than K are left.
        neighbor: row of each neighbor, (Q, K).
    """

    lonlat: Floats
    group: NDArray[np.intp]
    similarity: Floats
    neighbor: NDArray[np.intp]

    @property
    def neighbor_lonlat(self) -> Floats:
        """Places of the neighbors, (Q, K, 2)."""
        return self.lonlat[self.neighbor]


def geoscore(error_km: Floats) -> Floats:
    """The game's score without its rounding, 5000 e^{−d/1492.7}: 0 km is 5000 points."""
    score: Floats = 5000.0 * np.exp(-np.asarray(error_km) / GEOSCORE_KM)
    return score


def share_within(error_km: Floats, radius_km: float) -> float:
    """Share of errors of `radius_km` or less."""
    return float(np.mean(np.asarray(error_km) <= radius_km))


def held_out_neighbors(
    embeddings: NDArray[np.floating],
    lonlat: Floats,
    groups: Sequence[Hashable] | None = None,
    *,
    k: int = 200,
    exclude_km: float = 0.0,
) -> HeldOut:
    """Nearest neighbors of each photo among the photos of other groups.

    Args:
        embeddings: unit length, (Q, D).
        lonlat: places, (Q, 2).
        groups: label of each photo, (Q,); its place when left out.
        k: neighbors at most.
        exclude_km: leave out photos nearer than this as well, whatever their group.
    """
    labels: Sequence[Hashable] = groups if groups is not None else [tuple(place) for place in lonlat.tolist()]
    number: dict[Hashable, int] = {}
    group = np.array([number.setdefault(label, len(number)) for label in labels], dtype=np.intp)
    k = min(k, len(lonlat))
    similarity, neighbor = np.empty((len(lonlat), k)), np.empty((len(lonlat), k), dtype=np.intp)
    for start in range(0, len(lonlat), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = np.asarray(embeddings[rows] @ embeddings.T, dtype=np.float64)
        block[group[rows, None] == group] = -np.inf
        if exclude_km > 0.0:
            block[great_circle_km(lonlat[rows, None], lonlat) < exclude_km] = -np.inf
        neighbor[rows] = np.argsort(-block, axis=1, kind="stable")[:, :k]
        similarity[rows] = np.take_along_axis(block, neighbor[rows], axis=1)
    return HeldOut(np.asarray(lonlat, dtype=np.float64), group, similarity, neighbor)


def fold_of_groups(group: NDArray[np.intp], n_folds: int, seed: int) -> NDArray[np.intp]:
    """Fold of each photo, (Q,): a group lies in one fold."""
    order = np.random.default_rng(seed).permutation(int(group.max()) + 1)
    fold: NDArray[np.intp] = order[group] % n_folds
    return fold


def cross_fitted_locations(photos: HeldOut, *, n_folds: int = 5, seed: int = 0) -> list[Location]:
    """Locate each photo by a model fitted on the groups of the other folds."""
    prior = Prior.from_lonlat(photos.lonlat, groups=photos.group)
    fold, places = fold_of_groups(photos.group, n_folds, seed), photos.neighbor_lonlat
    result: dict[int, Location] = {}
    for one in range(n_folds):
        fitted = fold != one
        model = fit_surface_model(
            photos.similarity[fitted],
            places[fitted],
            photos.lonlat[fitted],
            photos.lonlat,
            groups=photos.group[fitted].tolist(),
            gallery_groups=photos.group.tolist(),
        )
        for row in np.flatnonzero(~fitted).tolist():
            own_prior = prior.without(photos.lonlat[photos.group == photos.group[row]])
            result[row] = locate(photos.similarity[row], places[row], own_prior, model, seed=seed)
    return [result[row] for row in range(len(photos.lonlat))]


def evaluate(photos: HeldOut, *, n_folds: int = 5, seed: int = 0, n_resamples: int = 1000) -> Evaluation:
    """Measure the located photos and the baselines.

    The rows: `prior`, one answer for all, the point with the best expected GeoScore over the
    photos of the other folds; `random photo` of another group; `nearest photo`, with the density
    of a model fitted for it alone (K = 1); and ours, by its mode and by its GeoScore point.

    Args:
        photos: see `held_out_neighbors`.
        n_folds: of groups, for fitting.
        seed: of folds, samples, the random photo and the bootstrap.
        n_resamples: of the bootstrap over groups.
    """
    locations = cross_fitted_locations(photos, n_folds=n_folds, seed=seed)
    log_prior = _log_priors(photos)
    bits = (_log_densities(photos, locations) - log_prior) / np.log(2.0)
    nearest_bits = (_nearest_log_densities(photos, n_folds, seed) - log_prior) / np.log(2.0)
    best_country, best_state = _named_answers(locations)
    names = (best_country, best_state)
    zeros, unknown = np.zeros(len(bits)), np.full(len(bits), np.nan)
    geoscore_points = np.array([one.geoscore_point for one in locations])
    rows = [
        _row("prior", photos, _constant_points(photos, n_folds, seed), zeros),
        _row("random photo", photos, _random_points(photos, seed), unknown),
        _row("nearest photo", photos, photos.neighbor_lonlat[:, 0], nearest_bits),
        _row("ours, mode", photos, np.array([one.mode for one in locations]), bits, names),
        _row("ours, GeoScore point", photos, geoscore_points, bits, names),
    ]
    best_error = great_circle_km(np.array([(one.lon, one.lat) for one in locations]), photos.lonlat)
    levels = sorted(locations[0].region_thresholds)
    return Evaluation(
        rows=rows,
        group=photos.group,
        covered={
            level: np.array(
                [one.is_covered(place, level) for one, place in zip(locations, photos.lonlat, strict=True)]
            )
            for level in levels
        },
        stated={radius: np.array([one.p_within_km[radius] for one in locations]) for radius in RADII_KM},
        best_error_km=best_error,
        information_bits=np.array([one.information_bits for one in locations]),
        abstained=np.array([one.abstain for one in locations]),
        audit=leakage_audit(photos),
        seed=seed,
        n_resamples=n_resamples,
    )


def leakage_audit(photos: HeldOut) -> dict[str, int]:
    """Photos whose nearest neighbor, though of another group, may be the same scene."""
    found = np.isfinite(photos.similarity[:, 0])
    distance_km = great_circle_km(photos.lonlat, photos.neighbor_lonlat[:, 0])
    return {
        "nearest neighbor within 1 km": int(np.sum(found & (distance_km < _SAME_KM))),
        "nearest neighbor above similarity 0.999": int(np.sum(photos.similarity[:, 0] > _SAME_SIMILARITY)),
    }


def _row(
    name: str,
    photos: HeldOut,
    points: Floats,
    bits: Floats,
    names: tuple[NDArray[np.object_], NDArray[np.object_]] | None = None,
) -> Row:
    """Errors of the points, (Q, 2); countries and states are theirs unless named."""
    country, state = names if names is not None else _names_at(points)
    true_country, true_state = _names_at(photos.lonlat)
    error_km = great_circle_km(points, photos.lonlat)
    return Row(name, error_km, geoscore(error_km), bits, country == true_country, state == true_state)


def _names_at(lonlat: Floats) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Country code, and code with state, of the place nearest to each point."""
    places = load_places()
    index = places.nearest(lonlat).index
    code = places.country_code[index]
    return code, np.array([f"{a} {b}" for a, b in zip(code, places.state[index], strict=True)], dtype=object)


def _named_answers(locations: Sequence[Location]) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """The most probable country and state of each photo that are not the remote."""
    country = [next((share.code for share in one.countries if share.code), "") for one in locations]
    state = [
        next((f"{share.code} {share.name}" for share in one.states if share.code), "") for one in locations
    ]
    return np.array(country, dtype=object), np.array(state, dtype=object)


def _log_priors(photos: HeldOut) -> Floats:
    """Log density of the prior at each photo's place, its own group taken out."""
    prior = Prior.from_lonlat(photos.lonlat, groups=photos.group)
    result = np.empty(len(photos.lonlat))
    for group in np.unique(photos.group):
        own = photos.group == group
        result[own] = prior.without(photos.lonlat[own]).log_density(photos.lonlat[own])
    return result


def _log_densities(photos: HeldOut, locations: Sequence[Location]) -> Floats:
    pairs = zip(locations, photos.lonlat, strict=True)
    return np.array([one.surface.log_density(place[None])[0] for one, place in pairs])


def _nearest_log_densities(photos: HeldOut, n_folds: int, seed: int) -> Floats:
    """Log density at the truth under the same family of models, fitted with one neighbor."""
    prior = Prior.from_lonlat(photos.lonlat, groups=photos.group)
    fold, places = fold_of_groups(photos.group, n_folds, seed), photos.neighbor_lonlat[:, :1]
    similarity, result = photos.similarity[:, :1], np.empty(len(photos.lonlat))
    for one in range(n_folds):
        fitted = fold != one
        model = fit_surface_model(
            similarity[fitted],
            places[fitted],
            photos.lonlat[fitted],
            photos.lonlat,
            groups=photos.group[fitted].tolist(),
            gallery_groups=photos.group.tolist(),
            levels=(),
        )
        for row in np.flatnonzero(~fitted).tolist():
            own_prior = prior.without(photos.lonlat[photos.group == photos.group[row]])
            surface = model.surface(similarity[row], places[row], own_prior)
            result[row] = surface.log_density(photos.lonlat[row : row + 1])[0]
    return result


def _constant_points(photos: HeldOut, n_folds: int, seed: int) -> Floats:
    """The best constant answer for each fold, learned from the others: (Q, 2)."""
    fold, points = fold_of_groups(photos.group, n_folds, seed), np.empty_like(photos.lonlat)
    for one in range(n_folds):
        fitted = fold != one
        prior = Prior.from_lonlat(photos.lonlat[fitted], groups=photos.group[fitted])
        samples = prior.mixture.sample_vectors(_CONSTANT_SAMPLES, seed=seed)
        points[~fitted] = lonlat_of(geoscore_optimum(samples))
    return points


def _random_points(photos: HeldOut, seed: int) -> Floats:
    """The place of a random photo of another group, for each photo: (Q, 2)."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(np.flatnonzero(photos.group != own)) for own in photos.group]
    points: Floats = photos.lonlat[np.array(drawn)]
    return points
