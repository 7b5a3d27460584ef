"""Few labels: fixed subsets, the loss that fits a place prior on them, and its fusion with images.

The setting of CSP (Mai et al. 2023, arXiv:2305.01118, section 3): many photos with places, few with
labels. A location encoder, pre-trained or not, gets a class head and learns P(y | place); a linear
probe on frozen image embeddings learns P(y | image); the two are multiplied.

Letters: n samples, B a batch of them, Q classes. Labels are integers 0..Q-1.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from .errors import PlaceprintError

FORMAT = 1
SHARES = (0.05, 0.1, 0.2, 1.0)
_Rows = NDArray[np.intp]
_Floats = NDArray[np.float64]

_SUBSET, _BALANCE = 11, 12  # streams of one seed that must not meet


def stratified_subset(labels: ArrayLike, share: float, *, seed: int) -> _Rows:
    """Choose a share of every class, at least one of each.

    Subsets of one seed are nested: what 5 % holds, 10 % holds too, so that a curve over shares
    shows more labels and not other labels. Rare classes make the whole larger than the share.

    Args:
        labels: of the samples, (n,).
        share: of each class, in (0, 1].
        seed: of the choice.

    Returns:
        Rows in ascending order.
    """
    if not 0.0 < share <= 1.0:
        raise PlaceprintError(f"a share of labels lies above 0 and up to 1; got {share}")
    labels = np.asarray(labels)
    chosen = []
    for number, label in enumerate(np.unique(labels)):
        rows = np.random.default_rng([seed, _SUBSET, number]).permutation(np.flatnonzero(labels == label))
        chosen.append(rows[: max(1, int(np.floor(share * len(rows) + 0.5)))])
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.intp)


@dataclass(frozen=True)
class Subsets:
    """Rows of few-label subsets, written once so that everyone trains on the same.

    Attributes:
        n: number of samples chosen from.
        digest: of their labels in order; rows mean nothing for other samples.
        rows: share -> seed -> rows, ascending.
    """

    n: int
    digest: str
    rows: dict[float, dict[int, _Rows]]

    @classmethod
    def choose(
        cls, labels: ArrayLike, *, shares: Sequence[float] = SHARES, seeds: Sequence[int] = range(5)
    ) -> "Subsets":
        """Choose a subset for every share and seed; labels (n,)."""
        rows = {
            share: {seed: stratified_subset(labels, share, seed=seed) for seed in seeds} for share in shares
        }
        return cls(len(np.asarray(labels)), _digest(labels), rows)

    def write(self, path: Path) -> None:
        """Write the rows as JSON, whole or not at all."""
        rows = {
            f"{share:g}": {str(seed): chosen.tolist() for seed, chosen in by_seed.items()}
            for share, by_seed in self.rows.items()
        }
        text = json.dumps({"format": FORMAT, "n": self.n, "labels_sha256": self.digest, "rows": rows})
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path, labels: ArrayLike) -> "Subsets":
        """Read rows written before, for these labels.

        Raises:
            PlaceprintError: no such file of subsets, a newer format, or it was made for others.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if told["format"] > FORMAT:
                raise PlaceprintError(
                    f"{path}: made by a newer Placeprint (format {told['format']}, known here {FORMAT})"
                )
            rows = {
                float(share): {int(seed): np.array(chosen, dtype=np.intp) for seed, chosen in by_seed.items()}
                for share, by_seed in told["rows"].items()
            }
            subsets = cls(int(told["n"]), str(told["labels_sha256"]), rows)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlaceprintError(f"{path}: no file of few-label subsets ({error!r})") from None
        if subsets.digest != _digest(labels):
            raise PlaceprintError(
                f"{path}: made for {subsets.n} samples of other labels or in another order, not for these "
                f"{len(np.asarray(labels))}; delete it to choose anew"
            )
        return subsets


def class_balanced_batches(
    labels: ArrayLike, batch_size: int, *, per_class: int = 100, seed: int, epoch: int
) -> Iterator[_Rows]:
    """Rows of each batch of an epoch that takes at most so many of every class.

    A class with more is sampled anew every epoch, without replacement; a class with fewer is taken
    whole. Only for training with labels: pre-training must not know them.
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng([seed, _BALANCE, epoch])
    some = [rng.permutation(np.flatnonzero(labels == label))[:per_class] for label in np.unique(labels)]
    order = rng.permutation(np.concatenate(some))
    return iter(np.array_split(order, max(1, -(-len(order) // batch_size))))


def presence_absence_loss(
    logits: Tensor, labels: Tensor, random_logits: Tensor | None = None, *, random_weight: float = 1.0
) -> Tensor:
    """Is each class present at these places, and absent at random ones? Paper, equation 5.

    Mean binary cross-entropy over samples and classes, the true class weighted by Q, so that it
    weighs as much as all the others; and, where asked, that of "no class" at random places.

    Args:
        logits: of the classes at the samples' places, (B, Q).
        labels: true classes, (B,).
        random_logits: of the classes at random places, (B', Q).
        random_weight: of the second term.
    """
    n_classes = logits.shape[1]
    present = F.one_hot(labels, n_classes).to(logits.dtype)
    weight = torch.full((n_classes,), float(n_classes), dtype=logits.dtype, device=logits.device)
    loss = F.binary_cross_entropy_with_logits(logits, present, pos_weight=weight)
    if random_logits is None:
        return loss
    return loss + random_weight * F.softplus(random_logits).mean()  # -log(1 - σ(s)) is softplus(s)


@dataclass(frozen=True)
class Fused:
    """Class probabilities of photos, from the image and, where known, the place.

    Attributes:
        probabilities: (n, Q), rows sum to 1.
        n_without_place: how many rest on the image alone.
    """

    probabilities: _Floats
    n_without_place: int


def fuse(
    of_image: ArrayLike,
    of_place: ArrayLike,
    has_place: ArrayLike,
    *,
    class_share: ArrayLike | None = None,
    place_weight: float = 1.0,
) -> Fused:
    """Combine P(y | image) and P(y | place): their product over P(y), made to sum to 1.

    That is Bayes' rule for an image and a place that are independent given the class. The paper
    (section 3.4) leaves P(y) out, as if classes were equally frequent; a frequent class is then
    counted twice.

    A photo without a place keeps its image's answer, and is counted; so is one whose place rules
    out every class, or all those that the image allows.

    Args:
        of_image: (n, Q), non-negative.
        of_place: (n, Q), non-negative; rows need not sum to 1. Rows without a place may hold
            anything.
        has_place: (n,) booleans.
        class_share: P(y), (Q,), positive; None for the paper's rule.
        place_weight: power to which the place's part is raised: 0 not to trust it at all.
    """
    image = np.asarray(of_image, dtype=np.float64)
    place = np.asarray(of_place, dtype=np.float64)
    share = np.ones(image.shape[1]) if class_share is None else np.asarray(class_share, dtype=np.float64)
    image = image / image.sum(axis=1, keepdims=True)
    says_something = np.isfinite(place).all(axis=1) & (place > 0.0).any(axis=1)
    is_used = np.asarray(has_place, dtype=bool) & says_something
    told = np.where(is_used[:, None], place / share, 1.0)
    with np.errstate(divide="ignore"):  # log 0 is -inf, which is meant
        total = np.log(image) + (place_weight * np.log(told) if place_weight else 0.0)
        is_void = np.isneginf(total.max(axis=1))
        total[is_void] = np.log(image[is_void])
    probabilities = np.exp(total - total.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Fused(probabilities, int((~is_used | is_void).sum()))


def class_shares(labels: ArrayLike, n_classes: int) -> _Floats:
    """P(y) from labels (n,), each class counted once more, so that none is impossible: (Q,)."""
    counts = np.bincount(np.asarray(labels), minlength=n_classes) + 1.0
    share: _Floats = counts / counts.sum()
    return share


def _digest(labels: ArrayLike) -> str:
    text = "\n".join(str(label) for label in np.asarray(labels).tolist())
    return hashlib.sha256(text.encode()).hexdigest()
