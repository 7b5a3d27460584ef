"""How well a gallery locates photos of known place, against baselines that any method must beat.

A photo is located by photos of other groups (site, sequence, author) than its own, its group is
taken out of the prior too, and where it belongs to the gallery, the model was fitted on other folds
of groups. Thresholds are inclusive (an error of exactly 25 km is within 25 km); distances are
great-circle km. Letters: Q photos, N photos of the gallery, K neighbors, R radii.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..encoders.errors import NothingToLocateWith
from ..encoders.places import load_places
from ..encoders.sphere import great_circle_km, lonlat_of
from .calibrate import fit_surface_model
from .evaluation_report import Evaluation, Row
from .fitted import Fitted, fit_geolocation, group_folds
from .gallery import Gallery
from .geolocate import GEOSCORE_KM, RADII_KM, Location, geoscore_optimum, locate
from .held_out import HeldOut, held_out, held_out_from
from .locator import Locator
from .prior import Prior
from .queries import read_queries
from .sources import Item
from .surface import Floats
from .surface_model import SurfaceModel

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder
    from ..encoders.location import LocationEmbedder

_SAME_KM = 1.0
_SAME_SIMILARITY = 0.999
_CONSTANT_SAMPLES = 2048

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Trial:
    """What an evaluation is about: the photos asked, those fitted on, and the gallery.

    Attributes:
        queries: with their neighbors of other groups.
        fitting: photos of the gallery that the model is fitted on; may be the queries themselves.
        lonlat: places of the whole gallery, (N, 2).
        group: their groups, (N,).
        places: loads the location encoder; None to judge neighbors alone.
        fitted: what the gallery locates by, which may judge photos of no group of its own.
        n_folds: of groups; where no query is of a group of the gallery, one fit does for all.
        seed: of folds, samples, the random photo and the bootstrap.
    """

    queries: HeldOut
    fitting: HeldOut
    lonlat: Floats
    group: NDArray[np.str_]
    places: Callable[[], LocationEmbedder] | None = None
    fitted: Fitted | None = None
    n_folds: int = 5
    seed: int = 0

    @cached_property
    def prior(self) -> Prior:
        """Of the whole gallery."""
        return Prior.from_lonlat(self.lonlat, groups=self.group)

    def prior_without(self, group: str) -> Prior:
        """Of the gallery without one group."""
        own = self.lonlat[self.group == group]
        return self.prior.without(own) if len(own) else self.prior

    def folds(self) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]]:
        """For each fold: which queries are asked, which photos are fitted on, which gallery is known."""
        names = np.unique(np.concatenate([self.queries.group, self.fitting.group, self.group]))
        if not np.isin(self.queries.group, self.group).any():
            everyone = [np.ones(len(group), bool) for group in (self.queries, self.fitting, self.group)]
            yield everyone[0], everyone[1], everyone[2]
            return
        fold = group_folds(names, self.n_folds, seed=self.seed)
        groups = (self.queries.group, self.fitting.group, self.group)
        parts = [fold[np.searchsorted(names, group)] for group in groups]
        for one in range(self.n_folds):
            if (parts[0] == one).any():
                yield parts[0] == one, parts[1] != one, parts[2] != one

    def models(self) -> Iterator[tuple[NDArray[np.intp], Fitted]]:
        """Rows of queries with what may judge them, fitted on the other folds."""
        groups = self.group.tolist()
        for asked, known, _ in self.folds():
            if asked.all() and known.all() and self.fitted is not None:
                fitted = self.fitted
            else:
                part = self.fitting.take(known)
                fitted = fit_geolocation(part, self.lonlat, groups, self.places, prior=self.prior)
            yield np.flatnonzero(asked), fitted

    def nearest_models(self) -> Iterator[tuple[NDArray[np.intp], SurfaceModel]]:
        """Likewise, fitted with the nearest neighbor alone."""
        for asked, fitted, _ in self.folds():
            part = self.fitting.take(fitted)
            yield np.flatnonzero(asked), fit_surface_model(
                part.similarity[:, :1], part.neighbor_lonlat[:, :1], part.lonlat, self.lonlat,
                groups=part.group.tolist(), gallery_groups=self.group.tolist(), levels=(),
            )  # fmt: skip


def evaluate_source(
    items: Sequence[Item],
    gallery: Gallery,
    encoder: ImageEncoder,
    *,
    exclude_km: float = 0.0,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[Evaluation, list[str]]:
    """Judge a gallery by photos of known place, which may be its own.

    Args:
        items: the photos, see `list_source`; their places from the source or from EXIF.
        gallery: to be judged.
        encoder: of the gallery.
        exclude_km: hide the gallery's photos nearer than this to a query, besides its group, from
            its neighbors; what was fitted on other groups may have seen them.
        seed: of everything random.
        progress: called with photos done and their number.

    Returns:
        The figures, and a line for each photo that could not be asked.

    Raises:
        UnreadableSource: none of them could be asked.
    """
    _need_groups(gallery)
    queries = read_queries(items, gallery, encoder)
    asked = held_out(
        gallery, queries.embeddings, queries.lonlat, queries.groups,
        ids=queries.ids, exclude_km=exclude_km, progress=progress,
    )  # fmt: skip
    if queries.are_all_in_gallery:
        return evaluate(_trial(gallery, asked, asked, seed)), queries.skipped
    own, fitted = held_out_from(gallery, progress=progress), Locator(gallery, progress=progress).fitted
    return evaluate(_trial(gallery, asked, own, seed, fitted=fitted)), queries.skipped


def evaluate_gallery(
    gallery: Gallery, *, exclude_km: float = 0.0, seed: int = 0, progress: Progress = lambda done, total: None
) -> Evaluation:
    """Judge a gallery by its own placed photos, at most 2,000 of them."""
    _need_groups(gallery)
    asked = held_out_from(gallery, exclude_km=exclude_km, seed=seed, progress=progress)
    return evaluate(_trial(gallery, asked, asked, seed))


def _need_groups(gallery: Gallery) -> None:
    if len({photo.group for photo in gallery.placed()[0]}) < 2:
        raise NothingToLocateWith(
            f"gallery {gallery.name!r} has placed photos of fewer than two groups, and none judges "
            "itself; index photos of more places, or name the groups with --group-column"
        )


def _trial(
    gallery: Gallery, queries: HeldOut, fitting: HeldOut, seed: int, *, fitted: Fitted | None = None
) -> Trial:
    photos, lonlat = gallery.placed()
    groups = np.array([photo.group or photo.id for photo in photos], dtype=str)
    return Trial(queries, fitting, lonlat, groups, _location_encoder, fitted, seed=seed)


@cache
def _location_encoder() -> LocationEmbedder:
    from ..encoders.location_catalog import load_location_encoder  # it loads torch

    return load_location_encoder()


def geoscore(error_km: Floats) -> Floats:
    """The game's score without its rounding, 5000 e^{−d/1492.7}: 0 km is 5000 points."""
    score: Floats = 5000.0 * np.exp(-np.asarray(error_km) / GEOSCORE_KM)
    return score


def share_within(error_km: Floats, radius_km: float) -> float:
    """Share of errors of `radius_km` or less."""
    return float(np.mean(np.asarray(error_km) <= radius_km))


def cross_fitted_locations(trial: Trial) -> tuple[list[Location], list[Location]]:
    """Locate each query by what was fitted on the groups of the other folds.

    Returns:
        By everything, and by the neighbors alone, as if there were no other evidence.
    """
    queries = trial.queries
    fused: dict[int, Location] = {}
    retrieved: dict[int, Location] = {}
    for rows, fitted in trial.models():
        for row in rows.tolist():
            prior = trial.prior_without(queries.group[row])
            near = queries.similarity[row], queries.neighbor_lonlat[row]
            retrieved[row] = fused[row] = locate(*near, prior, fitted.model, seed=trial.seed)
            if queries.embedding is not None and fitted.evidence is not None:
                heard = fitted.heard(queries.embedding[row], prior=prior)
                fused[row] = locate(*near, prior, fitted.model, heard=heard, seed=trial.seed)
    return [fused[row] for row in range(len(queries))], [retrieved[row] for row in range(len(queries))]


def evaluate(trial: Trial, *, n_resamples: int = 1000) -> Evaluation:
    """Measure the located photos and the baselines.

    The rows: `prior`, one answer for all, the point with the best expected GeoScore over the
    gallery without the query's fold; `random photo` of another group; `nearest photo`, with the
    density of a model fitted for it alone (K = 1); `neighbors`, without what the photo itself
    says of places; and ours, by its mode and by its GeoScore point.

    Args:
        trial: the photos and the gallery.
        n_resamples: of the bootstrap over groups.
    """
    photos = trial.queries
    locations, retrieved = cross_fitted_locations(trial)
    log_prior = _log_priors(trial)
    bits = (_log_densities(photos, locations) - log_prior) / np.log(2.0)
    nearest_bits = (_nearest_log_densities(trial) - log_prior) / np.log(2.0)
    best_country, best_state = _named_answers(locations)
    names = (best_country, best_state)
    by_neighbors = [one.geoscore_point for one in retrieved]
    neighbor_bits = (_log_densities(photos, retrieved) - log_prior) / np.log(2.0)
    zeros, unknown = np.zeros(len(bits)), np.full(len(bits), np.nan)
    geoscore_points = np.array([one.geoscore_point for one in locations])
    rows = [
        _row("prior", photos, _constant_points(trial), zeros),
        _row("random photo", photos, _random_points(trial), unknown),
        _row("nearest photo", photos, photos.neighbor_lonlat[:, 0], nearest_bits),
        _row("neighbors", photos, np.array(by_neighbors), neighbor_bits, _named_answers(retrieved)),
        _row("ours, mode", photos, np.array([one.mode for one in locations]), bits, names),
        _row("ours", photos, geoscore_points, bits, names),
    ]
    best_error = great_circle_km(np.array([(one.lon, one.lat) for one in locations]), photos.lonlat)
    levels = sorted(locations[0].region_thresholds)
    return Evaluation(
        rows=rows,
        group=np.unique(photos.group, return_inverse=True)[1],
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
        seed=trial.seed,
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


def _log_priors(trial: Trial) -> Floats:
    """Log density of the prior at each query's place, its own group taken out."""
    photos = trial.queries
    result = np.empty(len(photos))
    for group in np.unique(photos.group):
        own = photos.group == group
        result[own] = trial.prior_without(group).log_density(photos.lonlat[own])
    return result


def _log_densities(photos: HeldOut, locations: Sequence[Location]) -> Floats:
    pairs = zip(locations, photos.lonlat, strict=True)
    return np.array([one.surface.log_density(place[None])[0] for one, place in pairs])


def _nearest_log_densities(trial: Trial) -> Floats:
    """Log density at the truth under the same family of models, fitted with one neighbor."""
    photos, result = trial.queries, np.empty(len(trial.queries))
    for rows, model in trial.nearest_models():
        for row in rows.tolist():
            nearest = photos.similarity[row, :1], photos.neighbor_lonlat[row, :1]
            surface = model.surface(*nearest, trial.prior_without(photos.group[row]))
            result[row] = surface.log_density(photos.lonlat[row : row + 1])[0]
    return result


def _constant_points(trial: Trial) -> Floats:
    """The best constant answer for each fold, learned from the others: (Q, 2)."""
    points = np.empty_like(trial.queries.lonlat)
    for asked, _, known in trial.folds():
        prior = Prior.from_lonlat(trial.lonlat[known], groups=trial.group[known])
        samples = prior.mixture.sample_vectors(_CONSTANT_SAMPLES, seed=trial.seed)
        points[asked] = lonlat_of(geoscore_optimum(samples))
    return points


def _random_points(trial: Trial) -> Floats:
    """The place of a random photo of the gallery of another group, for each query: (Q, 2)."""
    rng = np.random.default_rng(trial.seed)
    drawn = [rng.choice(np.flatnonzero(trial.group != own)) for own in trial.queries.group]
    points: Floats = trial.lonlat[np.array(drawn)]
    return points
