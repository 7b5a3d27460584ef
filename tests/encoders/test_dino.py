"""Self-distillation against values worked out by hand: pairs, entropies, center, teacher, KoLeo, RankMe.

Claims: the loss is the mean cross-entropy over pairs of different views, and splits into entropy and
divergence; a uniform student costs ln(n_out); no gradient reaches the teacher; the center moves by a
tenth of the batch mean and shifts nothing common to all outputs; the teacher is an exponential mean.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from placeprint.encoders.dino import (
    Center,
    DinoHead,
    DinoLoss,
    distill_views,
    follow,
    koleo,
    rank_me,
    sinkhorn,
)


def log_p(*rows: list[float]) -> torch.Tensor:
    """Views of one sample: (V, 1, P) log-probabilities."""
    return torch.tensor(rows).log()[:, None]


def test_two_global_views_make_two_pairs() -> None:
    student = log_p([0.5, 0.5], [0.25, 0.75])
    teacher = torch.tensor([[[1.0, 0.0]], [[0.5, 0.5]]])
    # Teacher 0 with student 1, teacher 1 with student 0; never a view with itself.
    wanted = (-math.log(0.25) - math.log(0.5)) / 2
    found = distill_views(student, teacher)
    assert float(found.loss) == pytest.approx(wanted)
    assert float(found.teacher_entropy) == pytest.approx(math.log(2.0) / 2)
    assert float(found.kl) == pytest.approx(wanted - math.log(2.0) / 2)
    mean = torch.tensor([0.75, 0.25])
    assert float(found.batch_entropy) == pytest.approx(float(-(mean * mean.log()).sum()))


def test_local_views_learn_from_both_teachers_and_teach_nobody() -> None:
    rng = np.random.default_rng(0)
    student = torch.log_softmax(torch.from_numpy(rng.normal(size=(10, 3, 7))), -1)
    teacher = torch.softmax(torch.from_numpy(rng.normal(size=(2, 3, 7))), -1)
    pairs = [-(teacher[t] * student[s]).sum(-1).mean() for t in range(2) for s in range(10) if s != t]
    assert len(pairs) == 18
    assert float(distill_views(student, teacher).loss) == pytest.approx(float(torch.stack(pairs).mean()))


@pytest.mark.parametrize(("n_out", "nats"), [(2048, 7.6246), (4096, 8.3178), (65536, 11.0904)])
def test_a_uniform_student_costs_ln_n_out(n_out: int, nats: float) -> None:
    found = DinoLoss(n_out)(torch.zeros(4, 2, n_out), torch.randn(2, 2, n_out), 0.04)
    assert float(found.loss) == pytest.approx(nats, abs=1e-3)


def test_no_gradient_reaches_the_teacher() -> None:
    student, teacher = torch.randn(3, 4, 8, requires_grad=True), torch.randn(2, 4, 8, requires_grad=True)
    DinoLoss(8)(student, teacher, 0.05).loss.backward()
    assert teacher.grad is None
    assert student.grad is not None and float(student.grad.abs().sum()) > 0.0


def test_the_gradient_is_student_minus_teacher_over_the_temperature() -> None:
    student, teacher = torch.randn(2, 1, 5, requires_grad=True), torch.randn(2, 1, 5)
    loss = DinoLoss(5, student_temperature=0.1)
    loss(student, teacher, 0.05).loss.backward()
    wanted = (torch.softmax(student.detach() / 0.1, -1) - torch.softmax(teacher.flip(0) / 0.05, -1)) / 0.1 / 2
    assert student.grad is not None
    torch.testing.assert_close(student.grad, wanted, rtol=1e-4, atol=1e-5)


def test_the_center_is_a_running_mean_that_evaluation_leaves_alone() -> None:
    loss = DinoLoss(3, center_momentum=0.9)
    teacher = torch.tensor([[[1.0, 2.0, 3.0]], [[3.0, 2.0, 1.0]]])
    loss(torch.zeros(2, 1, 3), teacher, 0.05)
    torch.testing.assert_close(loss.center.mean, torch.tensor([0.2, 0.2, 0.2]))
    loss(torch.zeros(2, 1, 3), teacher, 0.05)
    torch.testing.assert_close(loss.center.mean, torch.full((3,), 0.38))
    loss.eval()(torch.zeros(2, 1, 3), teacher, 0.05)
    torch.testing.assert_close(loss.center.mean, torch.full((3,), 0.38))


def test_sinkhorn_uses_every_output_alike_and_sums_to_one() -> None:
    logits = torch.randn(64, 8) + torch.tensor([9.0, *[0.0] * 7])  # all prefer the first
    found = sinkhorn(logits / 0.5, n_rounds=50)
    torch.testing.assert_close(found.sum(1), torch.ones(64))
    torch.testing.assert_close(found.sum(0), torch.full((8,), 8.0), rtol=1e-3, atol=1e-3)
    few = sinkhorn(logits / 0.5)
    assert float((few.sum(0) / 8.0 - 1.0).abs().max()) < 0.3  # three rounds come near it


def test_sinkhorn_gives_equal_samples_equal_outputs_at_any_temperature() -> None:
    logits = torch.randn(4, 6)[[0, 0, 1, 1, 2, 3]]
    for temperature in (1.0, 0.04, 1e-4):
        found = sinkhorn(logits / temperature)
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found[0], found[1])
        torch.testing.assert_close(found[2], found[3])


def test_sinkhorn_keeps_who_prefers_what() -> None:
    """By hand: of two samples that prefer output 0, the one that prefers it less gets the other."""
    logits = torch.tensor([[4.0, 0.0], [3.0, 2.0]])
    found = sinkhorn(logits, n_rounds=200)
    # Scaling keeps the odds ratio, e^(4 - 0 - 3 + 2) = e^3, and doubly stochastic it is x² / (1 - x)² = e^3.
    x = math.exp(1.5) / (1.0 + math.exp(1.5))
    torch.testing.assert_close(found, torch.tensor([[x, 1 - x], [1 - x, x]]), rtol=1e-3, atol=1e-3)


def test_the_loss_scales_both_teacher_views_together_and_leaves_the_center_alone() -> None:
    loss = DinoLoss(5, centering="sinkhorn", student_temperature=0.1)
    student, teacher = torch.randn(3, 4, 5), torch.randn(2, 4, 5)
    targets = sinkhorn(teacher.flatten(0, 1) / 0.05).unflatten(0, (2, 4))
    found, wanted = loss(student, teacher, 0.05), distill_views(torch.log_softmax(student / 0.1, -1), targets)
    torch.testing.assert_close(found.loss, wanted.loss)
    torch.testing.assert_close(found.named, targets[0].argmax(-1))
    assert not loss.center.mean.any()


def test_a_center_takes_away_what_all_samples_share() -> None:
    center = Center(4, momentum=0.0)
    logits = torch.randn(6, 4) * 0.01 + torch.tensor([9.0, 0.0, 0.0, 0.0])
    assert (logits.argmax(1) == 0).all()
    center.update(logits)
    assert len(center(logits).argmax(1).unique()) > 1


def test_the_teacher_is_an_exponential_mean_of_the_student() -> None:
    teacher, student = torch.nn.Linear(2, 1), torch.nn.Linear(2, 1)
    wanted = 0.9 * teacher.weight.detach() + 0.1 * student.weight.detach()
    follow(teacher, student, 0.9)
    torch.testing.assert_close(teacher.weight.detach(), wanted)
    before = student.weight.detach().clone()
    follow(teacher, student, 0.0)
    torch.testing.assert_close(teacher.weight.detach(), before)


def test_logits_of_the_head_are_cosines() -> None:
    head = DinoHead(6, 9, hidden=8, bottleneck=4)
    with torch.no_grad():
        head.directions.mul_(100.0)  # no output can grow
        logits = head(torch.randn(50, 6) * 100.0)
    assert logits.shape == (50, 9)
    assert float(logits.abs().max()) <= 1.0 + 1e-5


def test_batch_norm_in_the_head_tells_young_samples_apart() -> None:
    torch.manual_seed(0)
    features = torch.randn(64, 16) * 0.05 + torch.randn(16)  # what they share is larger than what differs
    spread = {}
    for is_normed in (False, True):
        head = DinoHead(16, 32, hidden=32, bottleneck=16, is_batch_normed=is_normed)
        with torch.no_grad():
            spread[is_normed] = float(head(features).std(0).mean())
    assert spread[True] > 5 * spread[False]


def test_koleo_is_minus_the_mean_log_distance_to_the_nearest() -> None:
    at = [0.0, 0.2, math.pi / 2]  # angles on the circle; lengths do not matter
    features = torch.tensor([[3 * math.cos(a), 3 * math.sin(a)] for a in at])
    nearest = [2 * math.sin(0.1), 2 * math.sin(0.1), 2 * math.sin((math.pi / 2 - 0.2) / 2)]
    assert float(koleo(features)) == pytest.approx(-np.log(nearest).mean(), abs=1e-5)


def test_koleo_of_equal_samples_is_finite_and_of_one_sample_zero() -> None:
    same = torch.ones(3, 4, requires_grad=True)
    loss = koleo(same)
    loss.backward()
    assert 10.0 < float(loss.detach()) < math.inf
    assert same.grad is not None and torch.isfinite(same.grad).all()
    assert float(koleo(torch.ones(1, 4))) == 0.0


def test_rank_me_counts_the_axes_that_are_used() -> None:
    assert rank_me(torch.eye(8)) == pytest.approx(8.0)
    assert rank_me(torch.outer(torch.arange(1.0, 9.0), torch.ones(5))) == pytest.approx(1.0, abs=1e-4)
    two = torch.diag(torch.tensor([3.0, 1.0]))
    p = np.array([0.75, 0.25])
    assert rank_me(two) == pytest.approx(float(np.exp(-(p * np.log(p)).sum())))


def test_the_loss_is_lower_when_student_and_teacher_agree() -> None:
    logits = F.one_hot(torch.arange(4), 4).float()[None].repeat(2, 1, 1)
    agreeing = DinoLoss(4)(logits, logits, 0.05).loss
    assert float(agreeing) < float(DinoLoss(4)(logits.roll(1, dims=-1), logits, 0.05).loss)
