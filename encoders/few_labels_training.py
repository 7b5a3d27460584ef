"""Class probabilities of places and of images, each fitted on the few labels there are.

`PlacePrior` is a location encoder with a class head, P(y | place): fitted from scratch it is the
"supervised only" row of CSP's tables (Mai et al. 2023, arXiv:2305.01118), fitted from a pre-trained
encoder it is CSP's. `ImageProbe` is logistic regression on frozen embeddings, P(y | image). `few_labels`
multiplies the two.

Letters: n samples, B a batch, Q classes, F numbers of an image embedding. Labels are integers 0..Q-1.
"""

import copy
import math
import warnings
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from .csp_sampling import epoch_batches, random_places, torch_seed
from .errors import PlaceprintError
from .few_labels import class_balanced_batches, presence_absence_loss
from .location import LocationEncoder
from .location_networks import ClassHead
from .sphere import as_lonlat

_Floats = NDArray[np.float64]
_NOWHERE = np.empty((0, 2))


@dataclass(frozen=True, kw_only=True)
class PriorRun:
    """How a place prior is fitted."""

    loss: Literal["softmax", "presence"] = "softmax"  # cross-entropy, or equation 5 of the paper
    trains_encoder: bool = True  # or the class head alone
    random_weight: float = 1.0  # of absence at random places; presence only
    is_balanced: bool = False  # at most `per_class` samples of each class an epoch
    per_class: int = 100
    epochs: int = 100
    batch_size: int = 512
    learning_rate: float = 1e-2  # of the class head; both decay along a cosine
    encoder_learning_rate: float = 1e-4  # low, so that few labels do not undo the pre-training
    weight_decay: float = 0.0
    seed: int = 0


class PlacePrior(nn.Module):
    """P(y | place): a location encoder and a class head.

    Args:
        location: copied, so that one pre-trained encoder serves many fits.
        n_classes: Q.
        run: how it is fitted.
    """

    def __init__(self, location: LocationEncoder, n_classes: int, run: PriorRun) -> None:
        super().__init__()
        self.run = run
        self.location = copy.deepcopy(location)
        self.head = ClassHead(location.dimension, n_classes)

    def forward(self, lonlat: Tensor) -> Tensor:
        """Logits of the classes: degrees (..., 2), longitude first -> (..., Q)."""
        logits: Tensor = self.head(F.normalize(self.location(lonlat), dim=-1) * self.location.dimension**0.5)
        return logits

    @classmethod
    def fit(
        cls, location: LocationEncoder, lonlat: ArrayLike, labels: ArrayLike, n_classes: int, run: PriorRun
    ) -> Self:
        """Fit a prior on labelled places.

        Args:
            location: what to begin with, pre-trained or not; not changed.
            lonlat: degrees, longitude first, (n, 2).
            labels: (n,).
            n_classes: Q.
            run: the settings.

        Raises:
            InvalidCoordinate: a place that is not on Earth; leave photos without a place out.
            PlaceprintError: labels that are not 0..Q-1, or none.
        """
        places, classes = as_lonlat(lonlat), checked_labels(labels, n_classes)
        if len(places) != len(classes):
            raise PlaceprintError(f"{len(places)} places and {len(classes)} labels: one each is needed")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(run.seed, 0))
            prior = cls(location, n_classes, run)
            prior._fit(places, torch.from_numpy(classes))
        return prior.eval()

    def _fit(self, lonlat: _Floats, labels: Tensor) -> None:
        run = self.run
        trained: list[dict[str, object]] = [{"params": self.head.parameters(), "lr": run.learning_rate}]
        if run.trains_encoder:
            trained.append({"params": self.location.parameters(), "lr": run.encoder_learning_rate})
        optimizer = torch.optim.AdamW(trained, weight_decay=run.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, run.epochs)
        self.train()
        if not run.trains_encoder:
            self.location.eval()
        step = 0
        for epoch in range(run.epochs):
            for rows in self._batches(labels, epoch):
                loss = self._loss(lonlat[rows], labels[torch.from_numpy(rows)], step)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                step += 1
            schedule.step()

    def _batches(self, labels: Tensor, epoch: int) -> "list[NDArray[np.intp]]":
        run = self.run
        if run.is_balanced:
            size, per_class = run.batch_size, run.per_class
            return list(
                class_balanced_batches(labels.numpy(), size, per_class=per_class, seed=run.seed, epoch=epoch)
            )
        return list(epoch_batches(len(labels), run.batch_size, seed=run.seed, epoch=epoch))

    def _loss(self, lonlat: _Floats, labels: Tensor, step: int) -> Tensor:
        if self.run.loss == "softmax":
            return F.cross_entropy(self(torch.from_numpy(lonlat)), labels)
        absent = random_places((len(lonlat),), kind="sphere", known=_NOWHERE, seed=self.run.seed, step=step)
        present, random = self(torch.from_numpy(np.concatenate([lonlat, absent]))).chunk(2)
        return presence_absence_loss(present, labels, random, random_weight=self.run.random_weight)

    @torch.inference_mode()
    def probabilities(self, lonlat: ArrayLike, *, is_raw: bool = False) -> _Floats:
        """P(y | place): (n, 2) degrees -> (n, Q), NaN where the place is NaN.

        The loss of presence weighs the true class Q times, so the sigmoid says one half where the
        class has a share of 1 in Q + 1, and is near 1 for many classes at once. Multiplied with an
        image's answer that hardly speaks; so the weight is taken out again: σ(s - log Q).

        Args:
            lonlat: degrees, longitude first; NaN for no place.
            is_raw: the plain sigmoid, as the paper's code fuses it.
        """
        places = np.array(lonlat, dtype=np.float64).reshape(-1, 2)
        is_known = ~np.isnan(places).any(axis=1)
        logits = self(torch.from_numpy(as_lonlat(places[is_known]))).double()
        if self.run.loss == "softmax":
            answers = logits.softmax(-1)
        else:
            answers = (logits - (0.0 if is_raw else math.log(logits.shape[1]))).sigmoid()
        scores = np.full((len(places), logits.shape[1]), np.nan)
        scores[is_known] = answers.numpy()
        return scores


class ImageProbe:
    """P(y | image): logistic regression on frozen embeddings.

    Classes that no sample has get no probability.

    Args:
        images: embeddings, (n, F), unit length.
        labels: (n,).
        n_classes: Q.
        strength: of the regularization's inverse; unit embeddings want more than the usual 1.
    """

    def __init__(
        self, images: NDArray[np.float32], labels: ArrayLike, n_classes: int, *, strength: float = 30.0
    ) -> None:
        self._classes = checked_labels(labels, n_classes)
        self._n_classes = n_classes
        self._seen = np.unique(self._classes)
        self._model = None
        if len(self._seen) > 1:
            with warnings.catch_warnings():  # that the classes are many for so few labels is our case
                warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
                self._model = LogisticRegression(C=strength, max_iter=2000).fit(images, self._classes)

    def probabilities(self, images: NDArray[np.float32]) -> _Floats:
        """Class probabilities of embeddings: (n, F) -> (n, Q), rows sum to 1."""
        probabilities = np.zeros((len(images), self._n_classes))
        told = 1.0 if self._model is None else self._model.predict_proba(images)
        probabilities[:, self._seen] = told
        return probabilities


def checked_labels(labels: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    """Labels as integers 0..Q-1, (n,).

    Raises:
        PlaceprintError: there are none, or one lies outside.
    """
    classes = np.asarray(labels)
    if classes.ndim != 1 or not len(classes) or classes.dtype.kind not in "iu":
        raise PlaceprintError(
            f"labels must be a row of integers, at least one; got {classes.dtype} {classes.shape}"
        )
    if classes.min() < 0 or classes.max() >= n_classes:
        raise PlaceprintError(f"labels must lie in 0..{n_classes - 1}; got {classes.min()}..{classes.max()}")
    return classes.astype(np.int64)
