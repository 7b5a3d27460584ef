"""Self-distillation with no labels (DINO): head, center, loss over views, momentum teacher, KoLeo.

After Caron et al. 2021 (arXiv:2104.14294): a student names, for every view of a sample, the outputs
that a teacher names for another view of it. The teacher is an exponential mean of the student, its
distribution is sharpened by a low temperature, and kept from one output by a running center or by
Sinkhorn scaling. KoLeo is that of Sablayrolles et al. 2019 (arXiv:1806.03198), as in DINOv2 (Oquab et
al. 2023, arXiv:2304.07193).

Letters: S student views, T teacher views (the first T of the S), B samples, P outputs, D features.
Losses are means, in nats. All distributions are computed in float32, also under autocast.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DinoHead(nn.Module):
    """Three layers to a bottleneck of unit length, then cosines with P learned directions.

    The last layer is weight-normalized with its gain fixed at 1, so that no output can grow.

    Args:
        in_features: D.
        n_out: P.
        hidden: width of the two hidden layers.
        bottleneck: width of what the directions are compared with.
        is_batch_normed: normalize the hidden layers over the batch, an option of DINO's. What all
            samples of a young network have in common would fill the bottleneck, and the teacher
            would stay all but uniform for hundreds of steps; this takes it away at once.
    """

    def __init__(
        self,
        in_features: int,
        n_out: int,
        *,
        hidden: int = 512,
        bottleneck: int = 64,
        is_batch_normed: bool = False,
    ) -> None:
        super().__init__()

        def norm() -> nn.Module:
            # Without running means: the head is never used outside of training.
            return nn.BatchNorm1d(hidden, track_running_stats=False) if is_batch_normed else nn.Identity()

        self.projection = nn.Sequential(
            nn.Linear(in_features, hidden),
            norm(),
            nn.GELU(),
            nn.Linear(hidden, hidden),
            norm(),
            nn.GELU(),
            nn.Linear(hidden, bottleneck),
        )
        self.directions = nn.Parameter(torch.randn(n_out, bottleneck))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, D) -> logits (N, P), cosines in [-1, 1]."""
        projected = F.normalize(self.projection(features).float(), dim=-1)
        return F.linear(projected, F.normalize(self.directions.float(), dim=-1))


class Center(nn.Module):
    """The running mean that is subtracted before a softmax, so that no output can win for all samples.

    Args:
        size: length of the vectors.
        momentum: share of the mean that stays at each update; 0.9 in DINO.
    """

    mean: Tensor

    def __init__(self, size: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("mean", torch.zeros(size))

    def forward(self, vectors: Tensor) -> Tensor:
        """Subtract the mean: (..., size) -> the same."""
        return vectors - self.mean

    @torch.no_grad()
    def update(self, vectors: Tensor) -> None:
        """Move the mean toward that of a batch: (..., size)."""
        batch = vectors.float().reshape(-1, vectors.shape[-1]).mean(0)
        self.mean.mul_(self.momentum).add_(batch, alpha=1.0 - self.momentum)


@torch.no_grad()
def sinkhorn(logits: Tensor, n_rounds: int = 3) -> Tensor:
    """Distributions of samples over outputs, of which the batch uses every output alike.

    Rows and columns are scaled in turn (Caron et al. 2020, SwAV, arXiv:2006.09882, section 3.1), in
    logarithms, so that no temperature is too low. Equal samples get equal distributions.

    Args:
        logits: divided by the temperature, (N, P).
        n_rounds: of scaling; 3 as in DINOv2.

    Returns:
        (N, P); rows sum to 1, columns nearly to N / P.
    """
    scaled = logits.float()
    for _ in range(n_rounds):
        scaled = scaled - scaled.logsumexp(dim=0, keepdim=True)
        scaled = scaled - scaled.logsumexp(dim=1, keepdim=True)
    return scaled.exp()


@dataclass(frozen=True)
class Distillation:
    """The loss of a batch, and what it is made of: loss = teacher_entropy + kl.

    Attributes:
        loss: mean cross-entropy over pairs of different views; has gradients, the others have not.
        teacher_entropy: mean entropy of the teacher's distributions.
        kl: mean Kullback-Leibler divergence of the student's from the teacher's.
        batch_entropy: entropy of the teacher's mean distribution; near 0 all samples share an output.
        named: output that the teacher prefers for its first view of each sample, (B,).
    """

    loss: Tensor
    teacher_entropy: Tensor
    kl: Tensor
    batch_entropy: Tensor
    named: Tensor


def distill_views(student: Tensor, teacher: Tensor) -> Distillation:
    """Cross-entropy between views with different indices; 2 teacher and 10 student views make 18 pairs.

    Args:
        student: log-probabilities of all views, (S, B, P).
        teacher: probabilities of the first T views, (T, B, P); treated as constant.
    """
    student, teacher = student.float(), teacher.detach().float()
    n_pairs = len(teacher) * (len(student) - 1)
    others = student.sum(0) - student[: len(teacher)]  # (T, B, P), the sum over all other views
    loss = -(teacher * others).sum(-1).mean(1).sum() / n_pairs
    entropy = entropy_of(teacher).mean()
    # Each teacher view is in as many pairs, so that its entropy weighs the same in the loss.
    kl, batch_entropy = loss.detach() - entropy, entropy_of(teacher.mean(dim=(0, 1)))
    return Distillation(loss, entropy, kl, batch_entropy, teacher[0].argmax(dim=-1))


def entropy_of(probabilities: Tensor) -> Tensor:
    """Entropy in nats: (..., P) -> (...)."""
    entropy: Tensor = torch.special.entr(probabilities).sum(-1)
    return entropy


class DinoLoss(nn.Module):
    """From logits to the loss. What keeps the teacher from naming one output for all is its centering.

    Args:
        n_out: P.
        centering: ``mean`` subtracts a running mean of its logits, as in DINO; ``sinkhorn`` makes each
            batch use all outputs alike, as DINOv2 does. With batches of 64 the mean lets most outputs
            die: after 400 steps on street maps 6 % of 256 were in use.
        student_temperature: divides the student's logits.
        center_momentum: see `Center`.
    """

    def __init__(
        self,
        n_out: int,
        *,
        centering: Literal["mean", "sinkhorn"] = "mean",
        student_temperature: float = 0.1,
        center_momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.student_temperature, self.centering = student_temperature, centering
        self.center = Center(n_out, center_momentum)

    def forward(self, student: Tensor, teacher: Tensor, teacher_temperature: float) -> Distillation:
        """Compare logits; in training mode the center then moves on.

        Args:
            student: (S, B, P).
            teacher: of the first T views, (T, B, P); no gradient reaches it.
            teacher_temperature: divides its logits.
        """
        teacher = teacher.detach().float()
        if self.centering == "sinkhorn":
            targets = sinkhorn(teacher.flatten(0, 1) / teacher_temperature).reshape(teacher.shape)
        else:
            targets = torch.softmax(self.center(teacher) / teacher_temperature, dim=-1)
        found = distill_views(torch.log_softmax(student.float() / self.student_temperature, -1), targets)
        if self.training and self.centering == "mean":
            self.center.update(teacher)
        return found


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's weights toward the student's: t <- momentum · t + (1 - momentum) · s.

    Buffers are copied. The two must be of one architecture.
    """
    weights: list[Tensor] = list(teacher.parameters())
    torch._foreach_lerp_(weights, [one.detach() for one in student.parameters()], 1.0 - momentum)
    for mine, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        mine.copy_(theirs)


def koleo(features: Tensor) -> Tensor:
    """Minus the mean logarithm of the distance to the nearest other sample, at unit length.

    It spreads a batch over the sphere: two equal samples cost much, a sample alone costs nothing.

    Args:
        features: (B, D); with fewer than two samples the loss is 0.
    """
    if len(features) < 2:
        return features.sum() * 0.0
    unit = F.normalize(features.float(), dim=-1)
    with torch.no_grad():
        cosine = unit @ unit.T
        cosine.fill_diagonal_(-2.0)
        nearest = cosine.argmax(dim=1)
    # 1e-8 keeps the logarithm of equal samples, which symmetric crops are, finite.
    distance = F.pairwise_distance(unit, unit[nearest], eps=1e-8)
    return -torch.log(distance + 1e-8).mean()


def rank_me(embeddings: Tensor) -> float:
    """Effective rank of embeddings (N, D): the exponential of the entropy of the singular values.

    Garrido et al. 2023 (RankMe, arXiv:2210.02885). From 1, all on a line, to min(N, D).
    """
    values = torch.linalg.svdvals(embeddings.double())
    shares = values / values.sum().clamp(min=1e-300)
    return math.exp(float(entropy_of(shares)))
