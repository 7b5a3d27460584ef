"""Contrastive spatial pre-training: a location encoder learns what photos of a place look like.

A dual encoder after CSP (Mai et al. 2023, arXiv:2305.01118): places go through a `LocationEncoder`,
photos through a frozen image encoder, whose embeddings are given, and one linear projection. Both
meet in one space, where the cosine of a place and a photo says how well they fit together.

Ours beside the paper's: temperatures may be learned, as in CLIP (at most 100 for their inverse);
random places may be shared by a batch; image embeddings are first centered and turned to principal
components of unit variance. An embedding after a ReLU has only positive numbers, so that all photos
point the same way before; and of 1,280 dimensions a thousand photos fix few.

Letters: N pairs, B a batch, C random places, F numbers of an image embedding, K of them kept, P
positional features, D embedding. Places are `lonlat` degrees (..., 2), longitude first.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from . import csp_objectives as objectives
from .csp_settings import CspRun
from .location import LocationEncoder
from .processes import ALONE, World

MAX_LOGIT_SCALE = math.log(100.0)
"""Temperatures stop at 0.01, as in CLIP: further down a few pairs make the whole gradient."""


@dataclass(frozen=True, eq=False)
class ImageBasis:
    """The fixed, linear part of the image side: (x - mean) · basis.

    Attributes:
        mean: (F,) float32.
        basis: (F, K) float32.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    @classmethod
    def fit(cls, images: NDArray[np.float32], components: int | None) -> "ImageBasis":
        """Principal components of unit variance, of the training images (N, F); or no change.

        Args:
            images: embeddings of the training pairs alone.
            components: how many are kept; fewer where the images span fewer. None: as is.
        """
        width = images.shape[1]
        if components is None:
            return cls(np.zeros(width, np.float32), np.eye(width, dtype=np.float32))
        mean = images.astype(np.float64).mean(axis=0)
        centered = images - mean
        # The covariance is (F, F) however many images there are.
        variance, axes = np.linalg.eigh(centered.T @ centered / max(len(images) - 1, 1))
        order = np.argsort(-variance)[:components]
        order = order[variance[order] > 1e-7 * max(float(variance.max()), 1e-30)]
        axes = axes[:, order] * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(width)])[order]
        return cls(mean.astype(np.float32), (axes / np.sqrt(variance[order])).astype(np.float32))

    def apply(self, images: NDArray[np.float32]) -> Tensor:
        """Image embeddings to components: (N, F) -> (N, K)."""
        return torch.from_numpy((images - self.mean) @ self.basis)

    @property
    def dimension(self) -> int:
        """K."""
        return int(self.basis.shape[1])


@dataclass(frozen=True)
class Losses:
    """Of one batch, in nats; parts that are switched off are 0."""

    total: Tensor
    batch: Tensor
    location: Tensor
    dropout: Tensor


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        images: components of the photos, (B, K).
        features: positional features of their places, (B, P).
        random_features: those of random places, (B, C, P), or (C, P) where the batch shares them;
            None without part L.
        near: which places of the batch are one, (B, B) booleans; None if all are negatives.
        random_near: which random places are the photo's own, (B, C) booleans; None likewise.
    """

    images: Tensor
    features: Tensor
    random_features: Tensor | None = None
    near: Tensor | None = None
    random_near: Tensor | None = None


class CspModel(nn.Module):
    """The dual encoder and its temperatures.

    Args:
        run: the settings.
        image_dimension: K.
        world: the processes that embed a batch together.
    """

    _is_learned: Tensor

    def __init__(self, run: CspRun, image_dimension: int, world: World = ALONE) -> None:
        super().__init__()
        self.run, self.world = run, world
        self.location = LocationEncoder(
            run.positional,
            run.network,
            dimension=run.dimension,
            positional_options=run.positional_options,
            network_options=run.network_options,
            name="csp",
        )
        self.image_dropout = nn.Dropout(run.image_dropout)
        self.projection = nn.Linear(image_dimension, self.location.dimension, bias=False)
        start = (run.temperature, run.location_temperature, run.dropout_temperature)
        self.logit_scales = nn.Parameter(torch.tensor([math.log(1.0 / one) for one in start]))
        self.logit_biases = nn.Parameter(torch.zeros(3))  # of NCE
        learned = [part in run.learned_temperatures for part in "BLD"]
        self.register_buffer("_is_learned", torch.tensor(learned), persistent=False)
        self.logit_scales.requires_grad_(any(learned))
        self.logit_biases.requires_grad_(any(learned) and run.objective == "nce")
        world.share_noise(self)

    def embed_features(self, features: Tensor) -> Tensor:
        """Positional features to unit embeddings of places: (..., P) -> (..., D)."""
        return F.normalize(self.location.network(features), dim=-1)

    def embed_images(self, images: Tensor) -> Tensor:
        """Components of images to unit embeddings: (..., K) -> (..., D)."""
        return F.normalize(self.projection(self.image_dropout(images)), dim=-1)

    def scales(self) -> Tensor:
        """1 / temperature of parts B, L and D: (3,)."""
        # Those that are fixed may stand beyond the bound, where none may learn to go.
        learned = self.logit_scales.clamp(max=MAX_LOGIT_SCALE)
        return torch.where(self._is_learned, learned, self.logit_scales.detach()).exp()

    def losses(self, batch: Batch) -> Losses:
        """The objective on one batch, in the mode (training or evaluation) the model is in."""
        run = self.run
        images = self._divided(self.embed_images, batch.images)  # (B, D)
        places = self._divided(self.embed_features, batch.features)  # (B, D)
        zero = places.new_zeros(())
        by_location = by_dropout = zero
        if batch.random_features is not None and "L" in run.parts:
            random = self._divided(self.embed_features, batch.random_features)  # (B, C, D) or (C, D)
            by_location = self._location(places, images, random, batch.random_near)
        if "D" in run.parts:
            again = self._divided(self.embed_features, batch.features)  # another dropout mask
            by_dropout = self._dropout(places, again, batch.near)
        by_batch = self._batch(places, images, batch.near)
        total = by_batch + run.location_weight * by_location + run.dropout_weight * by_dropout
        return Losses(total, by_batch, by_location, by_dropout)

    def _divided(self, embed: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        return self.world.divided(lambda part: embed(rows[part]), len(rows))

    def _batch(self, places: Tensor, images: Tensor, near: Tensor | None) -> Tensor:
        scale, bias = self.scales()[0], self.logit_biases[0]
        if self.run.objective == "nce":
            return objectives.nce_in_batch(places, images, scale, bias, ignored=near)
        return objectives.mc_in_batch(places, images, scale, ignored=near, is_symmetric=self.run.is_symmetric)

    def _location(self, places: Tensor, images: Tensor, random: Tensor, near: Tensor | None) -> Tensor:
        scale, bias = self.scales()[1], self.logit_biases[1]
        if self.run.objective == "nce":
            return objectives.nce_random_locations(images, random, scale, bias, ignored=near)
        return objectives.mc_random_locations(places, images, random, scale, ignored=near)

    def _dropout(self, places: Tensor, again: Tensor, near: Tensor | None) -> Tensor:
        scale, bias = self.scales()[2], self.logit_biases[2]
        if self.run.objective == "nce":
            return objectives.nce_dropout(places, again, scale, bias, ignored=near)
        return objectives.mc_dropout(places, again, scale, ignored=near)

    def folded_projection(self, basis: ImageBasis) -> tuple[Tensor, Tensor]:
        """The image side as one affine map of the encoder's own embeddings: weight (D, F), bias (D,)."""
        weight = self.projection.weight.detach() @ torch.from_numpy(basis.basis).T
        return weight, -weight @ torch.from_numpy(basis.mean)
