"""What an evaluation is about, and what may judge each photo: models fitted on the other folds.

Letters: Q photos asked, N photos of the gallery, F folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .blocks import without_blocks
from .calibrate import fit_surface_model
from .fitted import Fitted, fit_geolocation, group_folds
from .held_out import HeldOut
from .prior import Prior
from .surface import Floats
from .surface_model import SurfaceModel

if TYPE_CHECKING:  # it loads torch
    from ..encoders.location import LocationEmbedder

Masks = tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Trial:
    """What an evaluation is about: the photos asked, those fitted on, and the gallery.

    Where `block_deg` is given, groups are blocks of the map, and what judges a photo has seen nothing of
    the blocks of its fold: neither their photos, nor their places in the prior, nor photos of
    theirs as neighbors of others. Otherwise a photo's own group alone is taken out of the prior.

    Attributes:
        queries: with their neighbors of other groups.
        fitting: photos of the gallery that the model is fitted on; may be the queries themselves.
        lonlat: places of the whole gallery, (N, 2).
        group: their groups, (N,).
        places: loads the location encoder; None to judge neighbors alone.
        fitted: what the gallery locates by, which may judge photos of no group of its own.
        n_folds: of groups; where no query is of a group of the gallery, one fit does for all.
        seed: of folds, samples, the random photo and the bootstrap.
        exclude_km: how near the gallery's photos were hidden from a query, besides its group.
        block_deg: size of the blocks that the groups are; None where they are no blocks.
        sites: smaller groups that were hidden besides, of the queries (Q,) and of the gallery (N,).
    """

    queries: HeldOut
    fitting: HeldOut
    lonlat: Floats
    group: NDArray[np.str_]
    places: Callable[[], LocationEmbedder] | None = None
    fitted: Fitted | None = None
    n_folds: int = 5
    seed: int = 0
    exclude_km: float = 0.0
    block_deg: float | None = None
    sites: tuple[NDArray[np.str_], NDArray[np.str_]] | None = None
    _known_priors: dict[bytes, Prior] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def prior(self) -> Prior:
        """Of the whole gallery."""
        return Prior.from_lonlat(self.lonlat, groups=self.group)

    def prior_without(self, group: str) -> Prior:
        """Of the gallery without one group."""
        own = self.lonlat[self.group == group]
        return self.prior.without(own) if len(own) else self.prior

    def known_prior(self, known: NDArray[np.bool_]) -> Prior:
        """Of a part of the gallery, (N,), as if there were no other."""
        key = known.tobytes()
        if key not in self._known_priors:
            part = self.lonlat[known], self.group[known]
            self._known_priors[key] = Prior.from_lonlat(part[0], groups=part[1])
        return self._known_priors[key]

    def folds(self) -> Iterator[Masks]:
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
        for asked, known, gallery in self.folds():
            if asked.all() and known.all() and self.fitted is not None:
                fitted = self.fitted
            else:
                part, lonlat, group = self._seen(known, gallery)
                prior = self.prior if self.block_deg is None else self.known_prior(gallery)
                fitted = fit_geolocation(part, lonlat, group.tolist(), self.places, prior=prior)
            yield np.flatnonzero(asked), fitted

    def nearest_models(self) -> Iterator[tuple[NDArray[np.intp], SurfaceModel]]:
        """Likewise, fitted with the nearest neighbor alone."""
        for asked, known, gallery in self.folds():
            part, lonlat, group = self._seen(known, gallery)
            yield np.flatnonzero(asked), fit_surface_model(
                part.similarity[:, :1], part.neighbor_lonlat[:, :1], part.lonlat, lonlat,
                groups=part.group.tolist(), gallery_groups=group.tolist(), levels=(),
            )  # fmt: skip

    def prior_of(self, row: int) -> Prior:
        """The prior of one query: without its group, or of the other folds of blocks."""
        if self.block_deg is None:
            return self.prior_without(self.queries.group[row])
        return self.known_prior(self._fold_masks[self._fold_of_row[row]])

    def by_prior(self) -> Iterator[tuple[NDArray[np.intp], Prior]]:
        """Rows of queries with the prior they share."""
        labels = self.queries.group if self.block_deg is None else self._fold_of_row
        _, shared = np.unique(labels, return_inverse=True)
        for one in range(int(shared.max()) + 1):
            rows = np.flatnonzero(shared == one)
            yield rows, self.prior_of(int(rows[0]))

    @cached_property
    def _fold_masks(self) -> list[NDArray[np.bool_]]:
        """The gallery that each fold knows, F of (N,)."""
        return [gallery for _, _, gallery in self.folds()]

    @cached_property
    def _fold_of_row(self) -> NDArray[np.intp]:
        """The fold in which each query is asked, (Q,)."""
        fold = np.empty(len(self.queries), dtype=np.intp)
        for number, (asked, _, _) in enumerate(self.folds()):
            fold[asked] = number
        return fold

    def _seen(
        self, known: NDArray[np.bool_], gallery: NDArray[np.bool_]
    ) -> tuple[HeldOut, Floats, NDArray[np.str_]]:
        """What a fold's model is fitted on, and places and groups of the gallery that it knows of."""
        part = self.fitting.take(known)
        if self.block_deg is None:
            return part, self.lonlat, self.group
        blocks = np.unique(self.group[gallery]).astype(np.int64)
        return without_blocks(part, self.block_deg, blocks), self.lonlat[gallery], self.group[gallery]
