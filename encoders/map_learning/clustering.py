"""Intermediate clustering: student and teacher put a place's views with the same prototypes.

After Bougie et al. 2023 (ACML, PMLR 222:185-200): features of a middle layer, projected, are compared
with learned prototypes; a running diversity offset keeps one prototype from taking everything. Taken
away from features, it is a fixed bias for each prototype, as DINO's center is for each output. The
paper takes it away on both sides; DINO, and we by default, from the teacher alone.

Letters: S student views, T teacher views, B samples, M projected features, P prototypes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..dino import Center, Distillation, distill_views


class PrototypeClustering(nn.Module):
    """Prototypes, the diversity offset and the loss between views.

    Features and prototypes are of unit length, so that the temperatures mean the same for every
    network; the teacher sees the student's prototypes as constants.

    Args:
        width: M.
        n_prototypes: P.
        student_temperature: divides the student's similarities.
        teacher_temperature: divides the teacher's; the paper has one for both.
        is_student_centered: take the offset from the student's features, too.
        momentum: of the offset.
    """

    def __init__(
        self,
        width: int,
        n_prototypes: int,
        *,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.1,
        is_student_centered: bool = False,
        momentum: float = 0.9,
    ) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(n_prototypes, width))
        self.offset = Center(width, momentum)
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        self.is_student_centered = is_student_centered

    def logits(self, features: Tensor, *, is_centered: bool, temperature: float) -> Tensor:
        """Similarity to each prototype over the temperature: (..., M) -> (..., P)."""
        unit = F.normalize(features.float(), dim=-1)
        unit = self.offset(unit) if is_centered else unit
        return F.linear(unit, F.normalize(self.prototypes.float(), dim=-1)) / temperature

    def forward(self, student: Tensor, teacher: Tensor) -> Distillation:
        """Compare projected features; in training mode the offset then moves on.

        Args:
            student: of all views, (S, B, M).
            teacher: of the first T views, (T, B, M); no gradient reaches it, nor the prototypes by it.
        """
        found = self.logits(
            student, is_centered=self.is_student_centered, temperature=self.student_temperature
        )
        with torch.no_grad():
            wanted = self.logits(teacher, is_centered=True, temperature=self.teacher_temperature)
        loss = distill_views(torch.log_softmax(found, -1), torch.softmax(wanted, -1))
        if self.training:
            self.offset.update(F.normalize(teacher.detach().float(), dim=-1))
        return loss
