"""PCA-whitening of embeddings: what varies with everything else weighs less; any dimension is a prefix.

Fitted to embeddings of training photos and to nothing else: x -> diag(1/√(λ + ε)) Uᵀ (x - μ), brought to
unit length, with λ and U the eigenvalues and eigenvectors of their covariance, the largest first, and
ε = 1e-9 (Arandjelović et al. 2016, as released). For fewer dimensions the first ones are kept and brought
to unit length again; nothing is fitted anew.

n embeddings span n - 1 dimensions at most: with fewer photos than dimensions `rank` says what is left, and
the last few of these directions are noise of so few photos. A dimension of half the photos is plenty.

Letters: n photos, M dimensions of an aggregation, D of the whitened embedding.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InvalidOption, TooFewPairs, WeightsUnavailable

EPSILON = 1e-9
MAX_PHOTOS = 10_000
"""Training photos that are looked at, at most."""

_NEGLIGIBLE = 1e-10  # of the largest eigenvalue: rounding of float32 embeddings leaves less


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted projection.

    Attributes:
        mean: μ, (M,) float32.
        basis: Uᵀ, a row an eigenvector, (D, M) float32.
        eigenvalues: λ, largest first, (D,) float32.
    """

    mean: Tensor
    basis: Tensor
    eigenvalues: Tensor

    @classmethod
    def fit(
        cls, embeddings: NDArray[np.float32], *, dimension: int | None = None, seed: int = 0
    ) -> "Whitening":
        """Find the projection.

        Args:
            embeddings: of training photos, (n, M); with more than `MAX_PHOTOS` random ones are taken.
            dimension: D; None for all there are.
            seed: of that draw.

        Raises:
            TooFewPairs: embeddings that do not differ.
            InvalidOption: more dimensions than these photos leave; the message says how many those are.
        """
        if len(embeddings) > MAX_PHOTOS:
            rows = np.sort(np.random.default_rng([seed, 2]).permutation(len(embeddings))[:MAX_PHOTOS])
            embeddings = embeddings[rows]
        x = embeddings.astype(np.float64)
        mean = x.mean(axis=0) if len(x) else np.zeros(x.shape[1])
        x -= mean
        if len(x) < 2 or not x.any():
            raise TooFewPairs(f"{len(x)} embedding(s) that do not differ: whitening needs photos that do")
        n, width = x.shape
        # The smaller of the two matrices has the same eigenvalues but for zeros.
        values, vectors = np.linalg.eigh((x @ x.T if n < width else x.T @ x) / (n - 1))
        order = np.argsort(values)[::-1]
        values, vectors = values[order], vectors[:, order]
        rank = int((values > _NEGLIGIBLE * values[0]).sum())
        wanted = rank if dimension is None else dimension
        if not 1 <= wanted <= rank:
            raise InvalidOption(
                f"dimension={wanted}: {n} embeddings of {width} dimensions leave {rank}; take that many or "
                "fewer, or more training photos"
            )
        values, vectors = values[:wanted], vectors[:, :wanted]
        if n < width:
            vectors = x.T @ vectors / np.sqrt((n - 1) * values)
        # The sign of an eigenvector is arbitrary: fix it, so that equal data give equal files.
        vectors *= np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(wanted)])
        return cls(
            *(torch.from_numpy(np.ascontiguousarray(a, np.float32)) for a in (mean, vectors.T, values))
        )

    @property
    def dimension(self) -> int:
        """D."""
        return len(self.eigenvalues)

    @property
    def checksum(self) -> str:
        """SHA-256 over the bytes of mean, basis and eigenvalues, in this order."""
        digest = hashlib.sha256()
        for array in (self.mean, self.basis, self.eigenvalues):
            digest.update(f"{tuple(array.shape)}".encode() + array.contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, embeddings: Tensor) -> Tensor:
        """Whiten: (B, M) -> (B, D), unit length."""
        projected = F.linear(embeddings - self.mean.to(embeddings.device), self.basis.to(embeddings.device))
        return F.normalize(projected / (self.eigenvalues.to(projected.device) + EPSILON).sqrt(), dim=1)

    def prefix(self, dimension: int) -> "Whitening":
        """The same projection with fewer dimensions: its first ones.

        Raises:
            InvalidOption: there are not so many.
        """
        if not 1 <= dimension <= self.dimension:
            raise InvalidOption(f"dimension={dimension}: this whitening has 1 to {self.dimension}")
        return Whitening(self.mean, self.basis[:dimension].clone(), self.eigenvalues[:dimension].clone())

    @property
    def tensors(self) -> dict[str, Tensor]:
        """For a file: mean, basis, eigenvalues by name."""
        return {"mean": self.mean, "basis": self.basis, "eigenvalues": self.eigenvalues}

    @classmethod
    def of_tensors(cls, tensors: dict[str, Tensor], checksum: str) -> Self:
        """The whitening of a file.

        Raises:
            WeightsUnavailable: its numbers are not those that were written.
        """
        found = cls(tensors["mean"], tensors["basis"], tensors["eigenvalues"])
        if found.checksum != checksum:
            raise WeightsUnavailable(
                "the whitening in this file is not the one that was written into it: its checksum is "
                f"{found.checksum[:16]}…, not {checksum[:16]}…; take the file from where it was made again"
            )
        return found
