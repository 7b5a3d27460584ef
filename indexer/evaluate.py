"""How well a gallery locates photos of known place, against baselines that any method must beat.

A photo is located by photos of other groups (site, sequence, author) than its own, its group is
taken out of the prior too, and where it belongs to the gallery, the model was fitted on other folds
of groups. Thresholds are inclusive (an error of exactly 25 km is within 25 km) but for benchmarks
that count otherwise; distances are great-circle km. Letters: Q photos, N photos of the gallery, K
neighbors, R radii.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoders.errors import NothingToLocateWith
from ..encoders.sphere import great_circle_km
from .baselines import (
    areas,
    constant_points,
    log_densities,
    log_priors,
    nearest_log_densities,
    prior_areas,
    random_points,
)
from .blocks import block_of, check_block_deg, held_out_by_block
from .breakdown import continents_of, countries_of
from .ceilings import ceilings
from .evaluation_report import Evaluation
from .gallery import Gallery
from .geolocate import RADII_KM, Location, locate
from .held_out import HeldOut, held_out, held_out_from
from .leakage import BURNED_IN, leakage_audit
from .listing import Item
from .locator import Locator
from .queries import read_queries
from .rows import geoscore as geoscore
from .rows import named_answers, row_of
from .rows import share_within as share_within
from .trial import Trial as Trial

if TYPE_CHECKING:  # it loads torch, which an encoder may do without
    from ..encoders.image import ImageEncoder
    from ..encoders.location import LocationEmbedder

_MAX_OWN = 2000  # of a gallery's own photos, to be asked or fitted on

Progress = Callable[[int, int], None]


def evaluate_source(
    items: Sequence[Item],
    gallery: Gallery,
    encoder: ImageEncoder,
    *,
    exclude_km: float = 0.0,
    exclude_similarity: float | None = None,
    without_burned_in: bool = False,
    block_deg: float | None = None,
    is_inclusive: bool = True,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> tuple[Evaluation, list[str]]:
    """Judge a gallery by photos of known place, which may be its own.

    Args:
        items: the photos, see `list_source` and `list_protocol`; their places from the source, from
            EXIF, or from JPEG comments.
        gallery: to be judged.
        encoder: of the gallery.
        exclude_km: hide the gallery's photos nearer than this to a query, besides its group, from
            its neighbors; what was fitted on other groups may have seen them.
        exclude_similarity: likewise for photos more similar than this to a query: copies of the scene.
        without_burned_in: leave out photos that may show text burned in; otherwise they are counted.
        block_deg: take blocks of so many degrees for groups: neighbors are of other blocks, and what
            judges a photo was fitted on folds without its block.
        is_inclusive: whether an error of exactly a radius is within it.
        seed: of everything random.
        progress: called with photos done and their number.

    Returns:
        The figures, and a line for each photo that could not be asked.

    Raises:
        UnreadableSource: none of them could be asked.
        InvalidProbe: there are no blocks of so many degrees.
        InvalidFilter: no cosine is `exclude_similarity`.
    """
    _need_groups(gallery, block_deg)
    queries = read_queries(items, gallery, encoder, without_burned_in=without_burned_in)
    about = queries.embeddings, queries.lonlat, queries.groups
    hidden: dict[str, Any] = {
        "ids": queries.ids, "exclude_km": exclude_km, "exclude_similarity": exclude_similarity,
        "told": queries.told,
    }  # fmt: skip
    if block_deg is None:
        asked = held_out(gallery, *about, **hidden, progress=progress)
    else:
        asked = held_out_by_block(gallery, *about, block_deg, **hidden, progress=progress)
    trial = _trial(gallery, asked, queries.groups, exclude_km, block_deg, seed)
    if not queries.are_all_in_gallery:
        if block_deg is None:
            own = held_out_from(gallery, progress=progress)
            trial = replace(trial, fitting=own, fitted=Locator(gallery, progress=progress).fitted)
        else:
            own, _ = _own_by_block(gallery, block_deg, 0.0, None, 0, progress)
            trial = replace(trial, fitting=own)
    figures = evaluate(trial, is_inclusive=is_inclusive)
    audit = figures.audit | {BURNED_IN: len(queries.burned_in)}
    return replace(figures, audit=audit, burned_in=queries.burned_in), queries.skipped


def evaluate_gallery(
    gallery: Gallery,
    *,
    exclude_km: float = 0.0,
    exclude_similarity: float | None = None,
    block_deg: float | None = None,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Judge a gallery by its own placed photos, at most 2,000 of them; see `evaluate_source`."""
    _need_groups(gallery, block_deg)
    if block_deg is None:
        asked = held_out_from(
            gallery, exclude_km=exclude_km, exclude_similarity=exclude_similarity, seed=seed,
            progress=progress,
        )  # fmt: skip
        return evaluate(_trial(gallery, asked, asked.group.tolist(), exclude_km, None, seed))
    asked, sites = _own_by_block(gallery, block_deg, exclude_km, exclude_similarity, seed, progress)
    return evaluate(_trial(gallery, asked, sites, exclude_km, block_deg, seed))


def _need_groups(gallery: Gallery, block_deg: float | None) -> None:
    photos, lonlat = gallery.placed()
    if block_deg is not None:
        check_block_deg(block_deg)
        if len(photos) == 0 or len(np.unique(block_of(lonlat, block_deg))) < 2:
            raise NothingToLocateWith(
                f"gallery {gallery.name!r} lies within one block of {block_deg:g} degrees, and without it "
                "nothing is left to locate by; take smaller blocks, or none"
            )
    if len({photo.group for photo in photos}) < 2:
        raise NothingToLocateWith(
            f"gallery {gallery.name!r} has placed photos of fewer than two groups, and none judges "
            "itself; index photos of more places, or name the groups with --group-column"
        )


def _own_by_block(
    gallery: Gallery,
    block_deg: float,
    exclude_km: float,
    exclude_similarity: float | None,
    seed: int,
    progress: Progress,
) -> tuple[HeldOut, list[str]]:
    """A sample of the gallery's own photos without their blocks, and the groups they have there."""
    photos, lonlat = gallery.placed()
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(photos), min(_MAX_OWN, len(photos)), replace=False))
    ids = [photos[row].id for row in chosen]
    sites = [photos[row].group or photos[row].id for row in chosen]
    held = held_out_by_block(
        gallery, gallery.embeddings(ids), lonlat[chosen], sites, block_deg,
        ids=ids, exclude_km=exclude_km, exclude_similarity=exclude_similarity,
        told=[photos[row].payload for row in chosen], progress=progress,
    )  # fmt: skip
    return held, sites


def _trial(
    gallery: Gallery,
    asked: HeldOut,
    sites: Sequence[str],
    exclude_km: float,
    block_deg: float | None,
    seed: int,
) -> Trial:
    """A trial in which the photos asked are those fitted on."""
    photos, lonlat = gallery.placed()
    groups = np.array([photo.group or photo.id for photo in photos], dtype=str)
    trial = Trial(asked, asked, lonlat, groups, _location_encoder, seed=seed, exclude_km=exclude_km)
    if block_deg is None:
        return trial
    blocks = block_of(lonlat, block_deg).astype(str)
    return replace(trial, group=blocks, block_deg=block_deg, sites=(np.array(sites, dtype=str), groups))


@cache
def _location_encoder() -> LocationEmbedder:
    from ..encoders.location_catalog import load_location_encoder  # it loads torch

    return load_location_encoder()


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
            prior = trial.prior_of(row)
            near = queries.similarity[row], queries.neighbor_lonlat[row]
            retrieved[row] = fused[row] = locate(*near, prior, fitted.model, seed=trial.seed)
            if queries.embedding is not None and fitted.evidence is not None:
                heard = fitted.heard(queries.embedding[row], prior=prior)
                fused[row] = locate(*near, prior, fitted.model, heard=heard, seed=trial.seed)
    return [fused[row] for row in range(len(queries))], [retrieved[row] for row in range(len(queries))]


def evaluate(trial: Trial, *, n_resamples: int = 1000, is_inclusive: bool = True) -> Evaluation:
    """Measure the located photos and the baselines.

    The rows: `prior`, one answer for all, the point with the best expected GeoScore over the
    gallery without the query's fold; `random photo` of another group; `nearest photo`, with the
    density of a model fitted for it alone (K = 1); `neighbors`, without what the photo itself
    says of places; and ours, by its mode and by its GeoScore point. Beside them stand the ceilings.

    Args:
        trial: the photos and the gallery.
        n_resamples: of the bootstrap over groups.
        is_inclusive: whether an error of exactly a radius is within it.
    """
    photos = trial.queries
    locations, retrieved = cross_fitted_locations(trial)
    log_prior = log_priors(trial)
    bits = (log_densities(photos, locations) - log_prior) / np.log(2.0)
    nearest_bits = (nearest_log_densities(trial) - log_prior) / np.log(2.0)
    names = named_answers(locations)
    by_neighbors = [one.geoscore_point for one in retrieved]
    neighbor_bits = (log_densities(photos, retrieved) - log_prior) / np.log(2.0)
    zeros, unknown = np.zeros(len(bits)), np.full(len(bits), np.nan)
    geoscore_points = np.array([one.geoscore_point for one in locations])
    truth, constant = photos.lonlat, constant_points(trial)
    is_alone = ~np.isfinite(photos.similarity[:, :1])
    nearest = np.where(is_alone, constant, photos.neighbor_lonlat[:, 0])
    rows = [
        row_of("prior", truth, constant, zeros),
        row_of("random photo", truth, random_points(trial), unknown),
        row_of("nearest photo", truth, nearest, nearest_bits),
        row_of("neighbors", truth, np.array(by_neighbors), neighbor_bits, named_answers(retrieved)),
        row_of("ours, mode", truth, np.array([one.mode for one in locations]), bits, names),
        row_of("ours", truth, geoscore_points, bits, names),
    ]
    levels = sorted(locations[0].region_thresholds)
    return Evaluation(
        rows=rows,
        group=np.unique(photos.group, return_inverse=True)[1],
        covered={
            level: np.array(
                [one.is_covered(place, level) for one, place in zip(locations, truth, strict=True)]
            )
            for level in levels
        },
        stated={radius: np.array([one.p_within_km[radius] for one in locations]) for radius in RADII_KM},
        best_error_km=great_circle_km(np.array([(one.lon, one.lat) for one in locations]), truth),
        information_bits=np.array([one.information_bits for one in locations]),
        abstained=np.array([one.abstain for one in locations]),
        audit=leakage_audit(photos),
        seed=trial.seed,
        n_resamples=n_resamples,
        ceilings=ceilings(trial, constant),
        is_inclusive=is_inclusive,
        parts={"continent": continents_of(truth), "country": countries_of(truth)},
        area_km2={"prior": prior_areas(trial, log_prior), "ours": areas(photos, locations)},
        block_deg=trial.block_deg,
        exclude_similarity=photos.exclude_similarity,
    )
