"""NetVLAD: how the local features of a photo differ from the words of a vocabulary, in one embedding.

Arandjelović et al. 2016, arXiv:1511.07247. Each local feature x_i is assigned softly to K centers,
a_k(x_i) = softmax_k(w_k · x_i + b_k), and the residuals are summed, V(k) = Σ_i a_k(x_i) (x_i - c_k); then
each row k is brought to unit length, and the whole again. w, b and c start from one k-means and are
trained apart. Two ways to start, told apart by the released code of the authors:

- ``v1``: b = 0 and stays so, w_k = α c_k / ‖c_k‖, α = ln 100 / mean(first - second), of the dot products
  of descriptors with centers of unit length. All experiments of the paper were made so.
- ``v2``: w_k = 2 α c_k, b_k = -α ‖c_k‖², α = ln 100 / mean(d₂² - d₁²), of the squared distances to the
  two nearest centers: the assignment is softmax_k(-α ‖x - c_k‖²), the paper's own form.

So in both, averaged over descriptors, the nearest center weighs 100 times the second (geometric mean).

**Layout**: an embedding is K-major; entry k D + d is dimension d of center k. (The MATLAB release has k
fastest.) Letters: B photos, D channels, N = H W places of the grid, K centers.
"""

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .errors import InvalidOption, TooFewPairs, UninitializedVocabulary

Form = Literal["v1", "v2"]

FIRST_OVER_SECOND = 100.0
"""How much more the nearest center weighs than the second, at the start, in the geometric mean."""

N_DESCRIPTORS = 50_000
"""Descriptors that a vocabulary is fitted to, at most."""

PER_IMAGE = 100
"""Descriptors of one photo among them, at most."""

_Floats = NDArray[np.float32]


class NetVLAD(nn.Module):
    """The layer. It refuses to run before `fit`, or before it has loaded a fitted state.

    Args:
        channels: D.
        n_centers: K.
        form: see the head of this file.
    """

    is_fitted: Tensor

    def __init__(self, channels: int, n_centers: int = 64, *, form: Form = "v1") -> None:
        super().__init__()
        if channels < 1 or n_centers < 2:
            raise InvalidOption(f"channels={channels}, n_centers={n_centers}: NetVLAD needs 1 and 2 at least")
        if form not in ("v1", "v2"):
            raise InvalidOption(f"form={form!r}: NetVLAD has v1 and v2")
        self.channels, self.n_centers, self.form = channels, n_centers, form
        self.weight = nn.Parameter(torch.zeros(n_centers, channels))  # w
        self.bias = nn.Parameter(torch.zeros(n_centers), requires_grad=form == "v2")  # b
        self.centers = nn.Parameter(torch.zeros(n_centers, channels))  # c
        self.register_buffer("is_fitted", torch.tensor(False))

    @property
    def dimension(self) -> int:
        """Length K D of an embedding."""
        return self.n_centers * self.channels

    def assign(self, descriptors: Tensor) -> Tensor:
        """Soft assignment: descriptors of unit length (B, D, N) -> (B, K, N), summing to 1 over K."""
        return (torch.einsum("kd,bdn->bkn", self.weight, descriptors) + self.bias[:, None]).softmax(dim=1)

    def forward(self, features: Tensor) -> Tensor:
        """Aggregate: local features of any length (B, D, H, W) -> (B, K D), unit length.

        Raises:
            UninitializedVocabulary: `fit` has not been called.
        """
        if not self.is_fitted:
            raise UninitializedVocabulary(
                "this NetVLAD layer has no vocabulary yet, and training from random centers fails silently: "
                "call fit(sample_descriptors(...)) with local features of your photos first, or load a "
                "fitted state"
            )
        x = F.normalize(features.flatten(2), dim=1)  # (B, D, N)
        a = self.assign(x)
        # Σ_i a_ki (x_i - c_k) without the (B, K, D, N) array of residuals.
        residuals = torch.einsum("bkn,bdn->bkd", a, x) - a.sum(dim=2)[..., None] * self.centers
        return F.normalize(F.normalize(residuals, dim=2).flatten(1), dim=1)

    @torch.no_grad()
    def fit(self, descriptors: _Floats, *, seed: int = 0) -> float:
        """Start w, b and c from a k-means of 100 iterations at most.

        Args:
            descriptors: of the training photos, unit length, (n, D); see `sample_descriptors`.
            seed: of the k-means.

        Returns:
            α.

        Raises:
            TooFewPairs: fewer descriptors that differ than centers.
            InvalidOption: of another width.
        """
        if descriptors.ndim != 2 or descriptors.shape[1] != self.channels:
            raise InvalidOption(f"descriptors of shape {descriptors.shape}: must be (n, {self.channels})")
        if (n_apart := len(np.unique(descriptors[: 100 * self.n_centers], axis=0))) < self.n_centers:
            raise TooFewPairs(
                f"{n_apart} descriptors that differ, for {self.n_centers} centers: give more photos, or "
                "take fewer centers"
            )
        from sklearn.cluster import KMeans  # takes two seconds, and only a vocabulary is fitted with it

        found = KMeans(self.n_centers, n_init=1, max_iter=100, random_state=seed).fit(descriptors)
        centers = np.asarray(found.cluster_centers_, np.float64)
        if self.form == "v1":
            w, b, alpha = _start_v1(descriptors, centers)
        else:
            w, b, alpha = _start_v2(descriptors, centers)
        for parameter, value in ((self.weight, w), (self.bias, b), (self.centers, centers)):
            parameter.copy_(torch.from_numpy(value))
        self.is_fitted.fill_(True)
        return alpha


def _start_v1(x: _Floats, c: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    unit = c / np.linalg.norm(c, axis=1, keepdims=True)
    second, first = np.partition(x @ unit.T, -2, axis=1)[:, -2:].T
    alpha = math.log(FIRST_OVER_SECOND) / float(np.mean(first - second))
    return alpha * unit, np.zeros(len(c)), alpha


def _start_v2(x: _Floats, c: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    norm2 = np.sum(c**2, axis=1)
    # ‖x‖² is common to a descriptor's distances, and falls out of their difference.
    first, second = np.partition(norm2 - 2.0 * (x @ c.T), 1, axis=1)[:, :2].T
    alpha = math.log(FIRST_OVER_SECOND) / float(np.mean(second - first))
    return 2.0 * alpha * c, -alpha * norm2, alpha


def images_to_sample(n_images: int, n_places: int, *, seed: int) -> NDArray[np.intp]:
    """Which photos a vocabulary is fitted to: random ones, as many as fill `N_DESCRIPTORS`.

    (The authors' release takes the first 500, in the order of the data set.)

    Args:
        n_images: how many there are.
        n_places: H W of the grid of one.
        seed: of the draw.

    Returns:
        Rows, ascending.
    """
    n = min(n_images, math.ceil(N_DESCRIPTORS / min(PER_IMAGE, n_places)))
    return np.sort(np.random.default_rng([seed, 0]).permutation(n_images)[:n])


def sample_descriptors(features: _Floats, *, seed: int) -> _Floats:
    """Descriptors for `NetVLAD.fit`: random places of each photo, brought to unit length.

    Args:
        features: local features, (B, D, H, W); see `images_to_sample`.
        seed: of the draw.

    Returns:
        (n, D), n at most `PER_IMAGE` a photo; features of zero length, which have no direction, are
        left out.
    """
    places = features.reshape(*features.shape[:2], -1).transpose(0, 2, 1)  # (B, N, D)
    rng = np.random.default_rng([seed, 1])
    drawn = np.concatenate([one[rng.permutation(len(one))[:PER_IMAGE]] for one in places])
    length = np.linalg.norm(drawn, axis=1, keepdims=True)
    unit: _Floats = (drawn / np.maximum(length, 1e-12))[length[:, 0] > 1e-12].astype(np.float32)
    return unit
