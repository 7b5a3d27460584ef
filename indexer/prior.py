"""Where a gallery's photos lie: what is known about a photo before looking at it.

Conventions are those of `surface`. Letters: N photos, C cells, B bandwidths, Q photos held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import h3
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..encoders.sphere import EARTH_AREA_KM2, unit_vectors
from .surface import BANDWIDTHS_KM, Floats, Mixture, kappa_of_km, log_kernel

_PRIOR_SHARES = (0.02, 0.02, 0.06, 0.2, 0.4, 0.2, 0.1)  # of BANDWIDTHS_KM, then uniform
_PSEUDO_PHOTOS = 2.0  # how many photos the shares above are worth
_FINEST_RESOLUTION = 7  # h3, 2.4 km across: finer differences drown in the kernels
_MAX_CELLS = 2000
_MAX_HELD_OUT = 2000


@dataclass(frozen=True, eq=False)
class Prior:
    """The density of a gallery's photos.

    A mixture over h3 cells, with several bandwidths and a uniform share, so that it is nowhere 0.
    The shares are those under which photos are best predicted from the others (see `from_lonlat`).

    Attributes:
        resolution: h3 resolution of the cells.
        cells: h3 cells with photos, C of them.
        centers: mean place of each cell's photos as unit vectors, (C, 3).
        counts: photos of each cell, (C,).
        bandwidths_km: kernel widths, B of them.
        shares: of each bandwidth, then of the uniform density, (B + 1,); they add up to 1.
    """

    resolution: int
    cells: tuple[str, ...]
    centers: Floats
    counts: Floats
    bandwidths_km: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def from_lonlat(
        cls, lonlat: Floats, *, groups: ArrayLike | None = None, bandwidth_km: float | None = None
    ) -> Prior:
        """Fit the density of a gallery.

        Args:
            lonlat: all placed photos, (N, 2); may be empty, which gives the uniform density.
            groups: label of each photo, (N,). A photo is predicted from the other groups when the
                shares are fitted; when left out, from the other cells.
            bandwidth_km: use this one kernel width in place of the fitted ones.
        """
        lonlat = np.asarray(lonlat, dtype=np.float64).reshape(-1, 2)
        resolution, photo_cells = _cells_within_budget(lonlat)
        cells, index = np.unique(np.asarray(photo_cells, dtype=str), return_inverse=True)
        sums = np.zeros((len(cells), 3))
        np.add.at(sums, index, unit_vectors(lonlat))
        centers = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        counts = np.bincount(index, minlength=len(cells)).astype(np.float64)
        names = tuple(cells.tolist())
        if bandwidth_km is not None:
            return cls(resolution, names, centers, counts, (float(bandwidth_km),), (0.98, 0.02))
        prior = cls(resolution, names, centers, counts, BANDWIDTHS_KM, _PRIOR_SHARES)
        labels = index if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
        return prior._with_fitted_shares(lonlat, index, labels)

    @cached_property
    def mixture(self) -> Mixture:
        """The density as a mixture; only the uniform kernel when no photos are left."""
        uniform = Mixture.uniform()
        total = self.counts.sum()
        if total == 0.0:
            return uniform
        weight = self.counts[:, None] / total * np.asarray(self.shares[:-1])
        kernels = Mixture.of_weights(self.centers, self.bandwidths_km, weight)
        return Mixture.blend([(1.0 - self.shares[-1], kernels), (self.shares[-1], uniform)])

    def log_density(self, lonlat: Floats) -> Floats:
        """Natural log of the density per km²: (n, 2) degrees -> (n,)."""
        return self.mixture.log_density(lonlat)

    def without(self, lonlat: Floats) -> Prior:
        """The prior when some of the gallery's photos, (n, 2), are taken out; the shares stay."""
        row_of = self._row_of_cell
        counts = self.counts.copy()
        for cell in _cells(np.asarray(lonlat, dtype=np.float64).reshape(-1, 2), self.resolution):
            if cell in row_of:
                counts[row_of[cell]] = max(0.0, counts[row_of[cell]] - 1.0)
        return Prior(self.resolution, self.cells, self.centers, counts, self.bandwidths_km, self.shares)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON types."""
        return {
            "resolution": self.resolution,
            "cells": list(self.cells),
            "centers": self.centers.tolist(),
            "counts": self.counts.tolist(),
            "bandwidths_km": list(self.bandwidths_km),
            "shares": list(self.shares),
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Prior:
        """Read what `to_dict` wrote."""
        return cls(
            int(value["resolution"]),
            tuple(value["cells"]),
            np.asarray(value["centers"], dtype=np.float64).reshape(-1, 3),
            np.asarray(value["counts"], dtype=np.float64),
            tuple(value["bandwidths_km"]),
            tuple(value["shares"]),
        )

    @cached_property
    def _row_of_cell(self) -> dict[str, int]:
        return {cell: row for row, cell in enumerate(self.cells)}

    def _with_fitted_shares(self, lonlat: Floats, index: NDArray[np.intp], labels: NDArray[np.intp]) -> Prior:
        """Expectation maximization of the shares, each photo predicted without its own group."""
        held_out = np.unique(np.linspace(0, len(lonlat) - 1, min(len(lonlat), _MAX_HELD_OUT)).astype(int))
        counts = np.tile(self.counts, (len(held_out), 1))
        for row, photo in enumerate(held_out):
            counts[row] -= np.bincount(index[labels == labels[photo]], minlength=len(self.counts))
        lonely = counts.sum(axis=1) == 0.0  # nothing to be predicted from
        density = self._density_by_bandwidth(unit_vectors(lonlat[held_out[~lonely]]), counts[~lonely])
        start = np.asarray(self.shares)
        shares = start.copy()
        for _ in range(200):
            credit = density * shares
            credit /= credit.sum(axis=1, keepdims=True)
            total = credit.sum(axis=0) + _PSEUDO_PHOTOS * start
            shares = total / total.sum()
        return Prior(
            self.resolution, self.cells, self.centers, self.counts, self.bandwidths_km, tuple(shares.tolist())
        )

    def _density_by_bandwidth(self, vectors: Floats, counts: Floats) -> Floats:
        """Density per km² under each bandwidth alone, then the uniform one: (Q, B + 1)."""
        weight = counts / counts.sum(axis=1, keepdims=True)
        cosine = vectors @ self.centers.T
        uniform = np.full(len(vectors), 1.0 / EARTH_AREA_KM2)
        kernels = [
            np.einsum("qc,qc->q", weight, np.exp(log_kernel(cosine, kappa)))
            for kappa in kappa_of_km(self.bandwidths_km)
        ]
        return np.stack([*kernels, uniform], axis=1)


def _cells(lonlat: Floats, resolution: int) -> list[str]:
    """H3 cell of each point at a resolution, by way of the finest: parents do not nest exactly."""
    fine = [h3.latlng_to_cell(lat, lon, _FINEST_RESOLUTION) for lon, lat in lonlat.tolist()]
    return (
        fine if resolution == _FINEST_RESOLUTION else [h3.cell_to_parent(cell, resolution) for cell in fine]
    )


def _cells_within_budget(lonlat: Floats) -> tuple[int, list[str]]:
    """The finest resolution with at most `_MAX_CELLS` occupied cells, and each photo's cell there."""
    cells = _cells(lonlat, _FINEST_RESOLUTION)
    resolution = _FINEST_RESOLUTION
    while len(set(cells)) > _MAX_CELLS and resolution > 0:
        resolution -= 1
        cells = [h3.cell_to_parent(cell, resolution) for cell in cells]
    return resolution, cells
