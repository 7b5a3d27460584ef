"""Everything a gallery's geolocation rests on, fitted on its own photos.

Each photo is predicted by what cannot know it: neighbors of other groups, a prior without its group,
and two bilinear heads fitted on the other folds of groups. One knows places by their location
embedding; the other, over shares of geocells, is a classifier. Letters: Q photos held out, N photos
of the gallery, n photos the heads are fitted on, A centers of the support, D image numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..encoders.cell_memberships import CellMemberships
from ..encoders.geocells import default_geocells
from ..encoders.location_head import fit_over_penalties
from ..encoders.sphere import lonlat_of
from .calibrate import fit_surface_model
from .conformal import held, with_region_levels
from .evidence import Evidence, Heard, PlaceSource
from .fusion import FusionData, fit_fusion, fused_surface, fusion_data, held_out_log_densities
from .held_out import HeldOut
from .prior import Prior
from .support import N_DRAWN, Support
from .surface import Floats, Mixture
from .surface_model import SurfaceModel

if TYPE_CHECKING:  # it loads torch
    from ..encoders.location import LocationEmbedder

MIN_PHOTOS = 500
"""Fewer photos, or of fewer than `MIN_GROUPS` groups, teach a head nothing that holds."""

MIN_GROUPS = 40
LOCATION_HEAD, CLASSIFIER = "location head", "geocell classifier"
"""What photos may say of places: by what is known of them, and by the geocells they lie in."""

_LEAST_WEIGHT = 0.02
_N_CONTRAST = 2000
_N_FOLDS = 4
_MAX_FUSION_PHOTOS = 1000
_MAX_LEVEL_PHOTOS = 500

Stage = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A gallery's prior, model and evidence.

    Attributes:
        prior: density of its photos.
        model: of neighbors, and of the evidence's worth.
        evidence: what photos themselves say; None for small galleries, or where it does not pay.
    """

    prior: Prior
    model: SurfaceModel
    evidence: Evidence | None = None

    def heard(self, embedding: NDArray[np.floating], *, prior: Prior | None = None) -> Heard | None:
        """What the evidence says of one photo, (D,); None without any.

        Args:
            embedding: by the gallery's encoder, of any length: the mean of several photos will do.
            prior: without the photo's own group, when it is in the gallery.
        """
        if self.evidence is None:
            return None
        support = self.evidence.support
        direction = np.asarray(embedding, dtype=np.float32)
        ratios = self.evidence.log_ratios(direction / np.linalg.norm(direction))[:, 0]
        return Heard(support, ratios, support.log_weights(prior))

    def surface(
        self, similarity: Floats, neighbor_lonlat: Floats, prior: Prior, heard: Heard | None
    ) -> Mixture:
        """The density for one photo; shapes (K,) and (K, 2)."""
        if heard is None:
            return self.model.surface(similarity, neighbor_lonlat, prior)
        return fused_surface(self.model, similarity, neighbor_lonlat, heard)


def fit_geolocation(
    sample: HeldOut,
    lonlat: Floats,
    groups: Sequence[str],
    places: Callable[[], LocationEmbedder] | None,
    *,
    levels: Sequence[float] = (0.5, 0.9),
    prior: Prior | None = None,
    stage: Stage = lambda what: None,
) -> Fitted:
    """Fit all of it.

    Args:
        sample: photos of the gallery, with neighbors that cannot know them.
        lonlat: places of the whole gallery, (N, 2).
        groups: their groups, (N,).
        places: loads the location encoder, when there are photos enough; None for neighbors alone.
        levels: nominal levels of the regions to calibrate.
        prior: of the gallery, when it is at hand.
        stage: told what is being done.
    """
    prior = prior or Prior.from_lonlat(lonlat, groups=np.asarray(groups))
    n_groups = len(np.unique(sample.group))
    is_heard = places is not None and sample.embedding is not None
    is_heard = is_heard and len(sample) >= MIN_PHOTOS and n_groups >= MIN_GROUPS
    model = fit_surface_model(
        sample.similarity, sample.neighbor_lonlat, sample.lonlat, lonlat,
        groups=sample.group.tolist(), gallery_groups=list(groups), levels=() if is_heard else levels,
    )  # fmt: skip
    if not is_heard or places is None:
        return Fitted(prior, model)
    stage("what photos say of places")
    return _with_evidence(Fitted(prior, model), sample, lonlat, np.asarray(groups), places(), levels, stage)


def _with_evidence(
    fitted: Fitted,
    sample: HeldOut,
    lonlat: Floats,
    groups: NDArray[np.str_],
    places: LocationEmbedder,
    levels: Sequence[float],
    stage: Stage,
) -> Fitted:
    prior, model = fitted.prior, fitted.model
    support = Support.of_prior(prior, n_drawn=N_DRAWN)
    rows = _spread(len(sample), _MAX_FUSION_PHOTOS)
    part = sample.take(rows)
    sources, ratios = _heads(sample, rows, support, places)
    stage("how much it is worth")
    own_rows = _rows_of_groups(groups, part.group)
    priors = {group: prior.without(lonlat[own]) for group, own in own_rows.items()}
    log_weight = np.empty((len(rows), len(support)))
    for group, without in priors.items():
        log_weight[part.group == group] = support.log_weights(without)
    data = fusion_data(model, part.similarity, part.neighbor_lonlat, part.lonlat, support, log_weight, ratios)
    model = fit_fusion(model, data)
    heavy = np.array(model.evidence_weights) >= _LEAST_WEIGHT
    if heavy.any() and not heavy.all():  # without those that say nothing new
        ratios, sources = ratios[heavy], [sources[number] for number in np.flatnonzero(heavy)]
        data = replace(data, log_ratios=ratios)
        model = fit_fusion(model, data)
    if _pays(model, data, part.group):
        fused = Fitted(prior, model, Evidence(support, tuple(sources)))
    else:
        fused = Fitted(prior, replace(model, evidence_weights=(), evidence_gate=0.0))
    stage("how large the regions must be")
    photos = []
    for row in _spread(len(part), _MAX_LEVEL_PHOTOS):
        heard = Heard(support, ratios[:, row], log_weight[row]) if fused.evidence else None
        near = part.similarity[row], part.neighbor_lonlat[row]
        photos.append(held(part.lonlat[row], fused.surface(*near, priors[part.group[row]], heard)))
    return replace(fused, model=with_region_levels(fused.model, photos, levels))


def _heads(
    sample: HeldOut, rows: NDArray[np.intp], support: Support, places: LocationEmbedder
) -> tuple[list[PlaceSource], NDArray[np.float32]]:
    """Fit the sources, and ask them about some photos when fitted without their folds: (S, Q, A)."""
    assert sample.embedding is not None
    folds = group_folds(sample.group, _N_FOLDS)
    contrast = lonlat_of(support.prior.mixture.sample_vectors(_N_CONTRAST, seed=1))
    centers = lonlat_of(support.centers)
    described = {
        LOCATION_HEAD: places.encode,
        CLASSIFIER: CellMemberships.of_photos(default_geocells(), sample.lonlat).encode,
    }
    sources, ratios = [], np.empty((len(described), len(rows), len(support)), dtype=np.float32)
    for number, (name, encode) in enumerate(described.items()):
        head, heads = fit_over_penalties(sample.embedding, encode(sample.lonlat), encode(contrast), folds)
        keys = encode(centers)
        sources.append(PlaceSource.of(name, head, keys))
        for fold, one in enumerate(heads):
            own = np.flatnonzero(folds[rows] == fold)
            ratios[number, own] = PlaceSource.of(name, one, keys).log_ratios(sample.embedding[rows[own]])
    return sources, ratios


def _rows_of_groups(groups: NDArray[np.str_], wanted: NDArray[np.str_]) -> dict[str, NDArray[np.intp]]:
    """Rows of a gallery's photos, by group; comparing each group with a million photos takes minutes."""
    order = np.argsort(groups, kind="stable")
    names = np.unique(wanted)
    first, last = (np.searchsorted(groups[order], names, side=side) for side in ("left", "right"))
    return {name: order[a:b] for name, a, b in zip(names.tolist(), first, last, strict=True)}


def _pays(model: SurfaceModel, data: FusionData, group: NDArray[np.str_]) -> bool:
    """Whether evidence makes held-out photos likelier by more than fitting its weights to them does.

    By Akaike's criterion: the gain in log-likelihood has to exceed the number of parameters. Photos of one
    group share their luck, so that they count for fewer: the parameters are multiplied by the design
    effect, how much the sums over groups vary more than those of single photos would.
    """
    none = replace(model, evidence_weights=(0.0,) * len(model.evidence_weights), evidence_gate=0.0)
    gain = held_out_log_densities(model, data) - held_out_log_densities(none, data)
    away = gain - gain.mean()
    by_group = np.bincount(np.unique(group, return_inverse=True)[1], away)
    design_effect = max(1.0, float((by_group**2).sum()) / max(float((away**2).sum()), 1e-12))
    return bool(gain.sum() > design_effect * (len(model.evidence_weights) + 1))


def group_folds(group: NDArray[Any], n_folds: int, *, seed: int = 0) -> NDArray[np.intp]:
    """Fold of each photo; a group lies in one fold."""
    names, number = np.unique(group, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    fold: NDArray[np.intp] = order[number] % n_folds
    return fold


def _spread(n: int, at_most: int) -> NDArray[np.intp]:
    """Up to so many of n rows, evenly."""
    return np.unique(np.linspace(0, n - 1, min(n, at_most)).astype(np.intp))
