"""Has the run collapsed? Watched at every step, and said in plain words.

The cross-entropy of teacher and student is the teacher's entropy plus their divergence, and only the
two apart tell what goes wrong. A loss that stays at ln(n_out), 8.3178 for 4096 outputs, is that of a
student to whom all outputs are the same.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..dino import rank_me

PATIENCE = 500
"""Steps that the loss may stay at ln(n_out) after the warm-up."""

BRIEF = 100
"""Steps that the teacher may be uniform, or sure of one output for all, after the warm-up."""

NEAR = 0.005
"""Within this share of ln(n_out) two figures are the same."""

LOW_RANK = 0.1
"""Effective rank over dimension below which embeddings have collapsed onto few axes."""

FLAT_ROUNDS = 5

PROBE_NOISE = 0.05
"""A fall of the probe that is more than chance among its 256 places."""

_SIGNS = {"student-uniform": PATIENCE, "teacher-uniform": BRIEF, "one-output": BRIEF}

MESSAGES = {
    "student-uniform": "The student is uniform: loss equals ln(n_out). Lower the teacher temperature, check "
    "the learning rate and centering.",
    "teacher-uniform": "The teacher is uniform, and the student has followed it: all outputs mean the same. "
    "The teacher is too hot or the center too strong: lower the teacher temperature, or raise "
    "center_momentum.",
    "one-output": "All samples are in one output. The center is missing or too slow: check "
    "center_momentum, and raise the teacher temperature a little.",
    "low-rank": "The embeddings lie on few axes: RankMe is far below the dimension. Raise koleo_weight, "
    "and check that views of one place differ.",
    "shortcut": "The loss falls, and so does the land-use probe: the network may have found a "
    "shortcut, such as the width of lines or the edge of the map. Check zoom ranges, styles and no-data.",
}


@dataclass(frozen=True)
class Signs:
    """Figures of one step, nats; see `dino.Distillation`."""

    loss: float
    teacher_entropy: float
    kl: float
    batch_entropy: float


@dataclass
class CollapseMonitor:
    """Counts how long signs of collapse have lasted.

    Attributes:
        n_out: outputs of the head.
        warm_up: steps in which nothing is counted; at first all is uniform.
        streaks: consecutive steps of each sign; kept in the log, so that a resumed run counts on.
    """

    n_out: int
    warm_up: int = 0
    streaks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SIGNS, 0))

    def observe(self, step: int, signs: Signs) -> None:
        """Take note of a step, from 0."""
        if step < self.warm_up:
            return
        highest = math.log(self.n_out)
        seen = {
            "student-uniform": abs(signs.loss / highest - 1.0) < NEAR,
            "teacher-uniform": signs.teacher_entropy > (1.0 - NEAR) * highest
            and abs(signs.kl) < NEAR * highest,
            "one-output": max(signs.teacher_entropy, abs(signs.kl), signs.loss, signs.batch_entropy)
            < 2.0 * NEAR * highest,
        }
        for name, is_seen in seen.items():
            self.streaks[name] = self.streaks[name] + 1 if is_seen else 0

    @property
    def found(self) -> tuple[str, ...]:
        """Signs that have lasted too long, keys of `MESSAGES`."""
        return tuple(name for name, limit in _SIGNS.items() if self.streaks[name] >= limit)


def judge_round(monitor: CollapseMonitor, records: Sequence[dict[str, Any]], dimension: int) -> list[str]:
    """Everything that should be said after a round, in plain words.

    Args:
        monitor: of the run.
        records: of all rounds so far, the last one new; ``loss``, ``rank_me`` and ``probe`` are read.
        dimension: of the embedding.
    """
    found = list(monitor.found)
    last = records[-1]
    if last["rank_me"] < LOW_RANK * dimension and len(records) > 1:
        found.append("low-rank")
    if len(records) > FLAT_ROUNDS:
        before = records[-1 - FLAT_ROUNDS]
        is_learning = last["distillation"] < 0.95 * before["distillation"]
        if is_learning and last["probe"] <= before["probe"] - PROBE_NOISE:
            found.append("shortcut")
    return [MESSAGES[name] for name in found]


def outputs_used(named: Tensor, n_out: int) -> float:
    """Share of the outputs that the teacher preferred for at least one sample: (N,) indices.

    Of fewer samples than outputs, the share of those that could have been.
    """
    return len(torch.unique(named)) / min(n_out, max(1, len(named)))


def effective_rank(embeddings: Tensor) -> float:
    """RankMe of embeddings (N, D) at unit length; a direction that all share takes it down, too."""
    return rank_me(torch.nn.functional.normalize(embeddings.float(), dim=-1))


def main_class(crops: np.ndarray[Any, np.dtype[np.uint8]], n_classes: int) -> np.ndarray[Any, Any]:
    """The commonest class in the middle of each crop, no-data aside: (B, px, px) -> (B,).

    The middle is a quarter of the area; a crop without data has class 0. It stands in for land use,
    for which no map has labels of its own.
    """
    px = crops.shape[1]
    middle = crops[:, px // 4 : px - px // 4, px // 4 : px - px // 4].reshape(len(crops), -1)
    rows = np.arange(len(crops))[:, None] * n_classes
    counts = np.bincount((middle + rows).reshape(-1), minlength=n_classes * len(crops))
    counts = counts.reshape(len(crops), n_classes)
    counts[:, 0] = 0
    found: np.ndarray[Any, Any] = np.where(counts.any(axis=1), counts.argmax(axis=1), 0)
    return found


def knn_probe(embeddings: Tensor, classes: np.ndarray[Any, Any], k: int = 5) -> float:
    """Balanced accuracy of naming each place's class from its k most similar others, in [0, 1].

    Args:
        embeddings: (N, D).
        classes: (N,).
        k: neighbors that vote; the most similar one breaks ties.
    """
    unit = torch.nn.functional.normalize(embeddings.float(), dim=-1)
    similarity = (unit @ unit.T).fill_diagonal_(-2.0)
    nearest = similarity.topk(min(k, len(unit) - 1), dim=1).indices.cpu().numpy()
    names, label = np.unique(classes, return_inverse=True)
    votes = np.zeros((len(label), len(names)))
    for rank in range(nearest.shape[1]):
        votes[np.arange(len(label)), label[nearest[:, rank]]] += 1.0 + 1e-3 * (rank == 0)
    is_right = votes.argmax(axis=1) == label
    return float(np.mean([is_right[label == one].mean() for one in range(len(names))]))
