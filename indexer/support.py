"""The places at which evidence is heard: the prior, cut into kernels that each stand for one place.

A source of evidence says how much a photo speaks for a place. The prior's wide kernels are no place:
one of 1,500 km covers deserts and fjords. So its narrow kernels are kept, and the wide ones together
are replaced by many narrower ones, drawn from them evenly, as wide as they lie apart. Letters:
C cells of the prior, N drawn places, A = C + N centers, n points.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import logsumexp

from ..encoders.sphere import EARTH_AREA_KM2, km_of_chord
from .prior import Prior
from .surface import Floats, Mixture, kappa_of_km, log_kernel

N_DRAWN = 10_000
WIDE_KM = 200.0
"""Kernels wider than this are no place."""

_SPREAD = 0.8  # of the distance to the second nearest drawn place
_LEAST_KM = 5.0
_WIDTH_STEP = 1.1
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class Support:
    """Kernels around A centers, which together are about the prior.

    Attributes:
        prior: of the whole gallery.
        drawn: places from the prior's wide kernels, unit vectors, (N, 3).
        drawn_km: width of the kernel around each, (N,).
    """

    prior: Prior
    drawn: Floats
    drawn_km: Floats

    @classmethod
    def of_prior(cls, prior: Prior, *, n_drawn: int = N_DRAWN, seed: int = 0) -> Support:
        """Draw the places; the same prior gives the same ones."""
        mixture = prior.mixture
        wide = mixture.kappa < kappa_of_km(WIDE_KM)
        log_weight = mixture.log_weight[wide]
        part = Mixture(mixture.centers[wide], mixture.kappa[wide], log_weight - logsumexp(log_weight))
        drawn = part.sample_vectors(n_drawn, seed=seed)
        apart = km_of_chord(cKDTree(drawn).query(drawn, k=3)[0][:, 2])
        step = np.log(_WIDTH_STEP)  # a map draws all kernels of one width together
        width = np.exp(np.round(np.log(_SPREAD * apart) / step) * step)
        return cls(prior, drawn, np.maximum(width, _LEAST_KM))

    @cached_property
    def centers(self) -> Floats:
        """The prior's cells, then the drawn places, as unit vectors, (A, 3)."""
        return np.concatenate([self.prior.centers, self.drawn])

    def __len__(self) -> int:
        return len(self.prior.centers) + len(self.drawn)

    def rows_near(self, vectors: Floats) -> NDArray[np.intp]:
        """The cell of the prior nearest to each place of a gallery's photo, (n, 3) -> (n,)."""
        rows: NDArray[np.intp] = self._cells.query(vectors)[1]
        return rows

    def log_weights(self, prior: Prior | None = None) -> Floats:
        """Log share of each center, (A,).

        Args:
            prior: the prior without some photos (`Prior.without`); the whole one by default. What its
                wide kernels no longer reach weighs less, exactly as importance weights have it.
        """
        prior = prior or self.prior
        total = max(float(prior.counts.sum()), 1e-12)
        narrow = np.asarray(prior.shares[:-1])[self._is_narrow].sum() * prior.counts / total
        taken = self.prior.counts - prior.counts
        density = self._wide_sums.copy()
        for cell in np.flatnonzero(taken > 0.0):
            density -= taken[cell] * self._wide_density(prior.centers[cell : cell + 1])[:, 0]
        uniform = prior.shares[-1] / EARTH_AREA_KM2
        whole = float(self.prior.counts.sum())
        ratio = (np.maximum(density, 0.0) / total + uniform) / (self._wide_sums / whole + uniform)
        wide = (1.0 - np.asarray(prior.shares[:-1])[self._is_narrow].sum()) * ratio / ratio.sum()
        with np.errstate(divide="ignore"):  # a cell whose only photos were taken out
            result: Floats = np.log(np.concatenate([narrow, wide]))
        return result

    def log_kernels(self, vectors: Floats) -> Floats:
        """Log density per km² at points under the kernel of each center: (n, 3) -> (n, A)."""
        result = np.empty((len(vectors), len(self)))
        shares = np.asarray(self.prior.shares[:-1])[self._is_narrow]
        kappas = kappa_of_km(np.asarray(self.prior.bandwidths_km)[self._is_narrow])
        n_cells = len(self.prior.centers)
        for start in range(0, len(vectors), _BLOCK):
            part = slice(start, start + _BLOCK)
            cosine = vectors[part] @ self.centers.T
            each = log_kernel(cosine[:, :n_cells, None], kappas) + np.log(shares / shares.sum())
            result[part, :n_cells] = logsumexp(each, axis=2)
            result[part, n_cells:] = log_kernel(cosine[:, n_cells:], kappa_of_km(self.drawn_km))
        return result

    def mixture(self, log_weight: Floats) -> Mixture:
        """The kernels with other shares, (A,) logs that need not add up to 1."""
        n_cells = len(self.prior.centers)
        shares = np.asarray(self.prior.shares[:-1])[self._is_narrow]
        kappas = kappa_of_km(np.asarray(self.prior.bandwidths_km)[self._is_narrow])
        spread = (log_weight[:n_cells, None] + np.log(shares / shares.sum())).ravel()
        log_weight = np.concatenate([spread, log_weight[n_cells:]])
        kept = np.isfinite(log_weight)
        return Mixture(
            np.concatenate([np.repeat(self.prior.centers, len(kappas), axis=0), self.drawn])[kept],
            np.concatenate([np.tile(kappas, n_cells), kappa_of_km(self.drawn_km)])[kept],
            (log_weight - logsumexp(log_weight[kept]))[kept],
        )

    @cached_property
    def _is_narrow(self) -> NDArray[np.bool_]:
        return np.asarray(self.prior.bandwidths_km) <= WIDE_KM

    @cached_property
    def _cells(self) -> cKDTree:
        return cKDTree(self.prior.centers)

    @cached_property
    def _wide_sums(self) -> Floats:
        """Sum of the wide kernels of all photos at each drawn place, (N,)."""
        result = np.zeros(len(self.drawn))
        for start in range(0, len(self.prior.centers), _BLOCK):
            part = slice(start, start + _BLOCK)
            result += self._wide_density(self.prior.centers[part]) @ self.prior.counts[part]
        return result

    def _wide_density(self, centers: Floats) -> Floats:
        """Of one photo in each of some cells, at the drawn places: (c, 3) -> (N, c)."""
        cosine = self.drawn @ centers.T
        wide = ~self._is_narrow
        pairs = zip(
            np.asarray(self.prior.shares[:-1])[wide],
            np.asarray(self.prior.bandwidths_km)[wide],
            strict=True,
        )
        result: Floats = sum(
            (share * np.exp(log_kernel(cosine, kappa_of_km(width))) for share, width in pairs),
            np.zeros_like(cosine),
        )
        return result
