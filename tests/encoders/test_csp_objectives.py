"""The objectives of contrastive pre-training.

Claims: closed forms at every temperature of the paper and its scripts; the paper's sums written as
plain loops; the switches for direction and ignored pairs; gradients pull partners together and push
strangers apart; chance costs log B.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from placeprint.encoders.csp_objectives import (
    mc_dropout,
    mc_in_batch,
    mc_random_locations,
    nce_dropout,
    nce_in_batch,
    nce_random_locations,
)

B, C, D = 6, 4, 5


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1)


def simplex(n: int) -> Tensor:
    """n unit vectors, the cosine of any two of which is -1 / (n - 1)."""
    centered = torch.eye(n, dtype=torch.float64) - 1.0 / n
    return F.normalize(centered, dim=-1)


# --- closed forms ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("temperature", "nats"), [(1.0, 5.93), (20.0, 6.88), (0.07, 0.0006)])
def test_a_perfect_fit_of_1024_pairs_costs_what_the_temperature_leaves(
    temperature: float, nats: float
) -> None:
    axes = torch.eye(1024, dtype=torch.float64)  # positives at cosine 1, negatives at 0
    cost = mc_in_batch(axes, axes, 1.0 / temperature)
    assert float(cost) == pytest.approx(math.log(1.0 + 1023.0 * math.exp(-1.0 / temperature)), rel=1e-9)
    assert float(cost) == pytest.approx(nats, abs=0.005)


def test_negatives_spread_as_far_as_they_go_cost_less() -> None:
    corners = simplex(8)
    assert float(mc_in_batch(corners, corners, 1.0)) == pytest.approx(
        math.log(1.0 + 7.0 * math.exp(-1.0 - 1.0 / 7.0)), rel=1e-12
    )


@pytest.mark.parametrize("scale", [1.0, 1 / 20, 14.3])
def test_embeddings_that_are_all_equal_cost_chance(scale: float) -> None:
    same = unit(1, D).expand(B, D)
    assert float(mc_in_batch(same, same, scale)) == pytest.approx(math.log(B), rel=1e-12)
    negatives = same[:, None].expand(B, C, D)
    assert float(mc_random_locations(same, same, negatives, scale)) == pytest.approx(
        math.log(C + 1), rel=1e-12
    )


def test_nce_of_a_perfect_fit_at_the_papers_temperature_leaves_one_nat() -> None:
    axes = torch.eye(B, dtype=torch.float64)
    expected = math.log(1 + math.exp(-1.0)) + math.log(2.0)  # positives at σ(1), negatives at σ(0)
    assert float(nce_in_batch(axes, axes)) == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(1.006, abs=0.001)


def test_a_bias_lets_nce_fit_strangers_at_right_angles() -> None:
    axes = torch.eye(B, dtype=torch.float64)
    assert float(nce_in_batch(axes, axes, 30.0, -15.0)) < 1e-6


# --- the paper's sums as loops --------------------------------------------------------------------


def dot(a: Tensor, b: Tensor) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


def loop_mc(
    first: Tensor, second: Tensor, scale: float, ignored: set[tuple[int, int]] = frozenset()
) -> float:
    """Equation 2 with in-batch negatives, one question: first i -> which second?"""
    total = 0.0
    for i in range(len(first)):
        positive = math.exp(scale * dot(first[i], second[i]))
        negatives = sum(
            math.exp(scale * dot(first[i], second[j]))
            for j in range(len(second))
            if j != i and (i, j) not in ignored
        )
        total -= math.log(positive / (positive + negatives))
    return total / len(first)


def loop_nce(
    first: Tensor, second: Tensor, scale: float, bias: float, ignored: set[tuple[int, int]] = frozenset()
) -> float:
    """Equation 1: means over the pairs that belong together and over those that do not."""
    sigma = lambda s: 1.0 / (1.0 + math.exp(-s))  # noqa: E731
    logit = lambda i, j: scale * dot(first[i], second[j]) + bias  # noqa: E731
    pairs = [(i, j) for i in range(len(first)) for j in range(len(second))]
    positives = [-math.log(sigma(logit(i, i))) for i in range(len(first))]
    negatives = [-math.log(1 - sigma(logit(i, j))) for i, j in pairs if i != j and (i, j) not in ignored]
    return sum(positives) / len(positives) + sum(negatives) / len(negatives)


def test_mc_in_batch_is_the_papers_sum_in_both_directions() -> None:
    places, photos = unit(B, D, seed=1), unit(B, D, seed=2)
    there, back = loop_mc(places, photos, 3.0), loop_mc(photos, places, 3.0)
    assert there != pytest.approx(back, rel=1e-3)
    assert float(mc_in_batch(places, photos, 3.0, is_symmetric=False)) == pytest.approx(there, rel=1e-12)
    assert float(mc_in_batch(places, photos, 3.0)) == pytest.approx((there + back) / 2, rel=1e-12)
    assert float(mc_dropout(places, photos, 3.0)) == pytest.approx(there, rel=1e-12)


def test_mc_random_locations_is_the_papers_sum_with_the_positive_inside() -> None:
    places, photos, negatives = unit(B, D, seed=1), unit(B, D, seed=2), unit(B, C, D, seed=3)
    total = 0.0
    for i in range(B):
        positive = math.exp(2.0 * dot(places[i], photos[i]))
        others = sum(math.exp(2.0 * dot(negatives[i, c], photos[i])) for c in range(C))
        total -= math.log(positive / (positive + others))
    assert float(mc_random_locations(places, photos, negatives, 2.0)) == pytest.approx(total / B, rel=1e-12)


def test_nce_is_the_papers_sum_and_has_no_positive_in_part_l() -> None:
    places, photos, negatives = unit(B, D, seed=1), unit(B, D, seed=2), unit(B, C, D, seed=3)
    whole = loop_nce(places, photos, 2.0, -0.5)
    assert float(nce_in_batch(places, photos, 2.0, -0.5)) == pytest.approx(whole, rel=1e-12)
    assert float(nce_dropout(places, photos, 2.0, -0.5)) == pytest.approx(whole, rel=1e-12)
    sigma = [1 / (1 + math.exp(-dot(negatives[i, c], photos[i]))) for i in range(B) for c in range(C)]
    expected = -sum(math.log(1 - s) for s in sigma) / len(sigma)
    assert float(nce_random_locations(photos, negatives)) == pytest.approx(expected, rel=1e-12)


# --- pairs that are no negatives ------------------------------------------------------------------


def test_two_photos_of_one_place_are_no_negatives_of_each_other() -> None:
    places, photos = unit(B, D, seed=1), unit(B, D, seed=2)
    ignored = {(0, 3), (3, 0)}
    mask = torch.zeros(B, B, dtype=torch.bool)
    mask[0, 3] = mask[3, 0] = True
    mask.fill_diagonal_(True)  # every point is near itself, and still is the positive
    expected = (loop_mc(places, photos, 3.0, ignored) + loop_mc(photos, places, 3.0, ignored)) / 2
    assert float(mc_in_batch(places, photos, 3.0, ignored=mask)) == pytest.approx(expected, rel=1e-12)
    assert float(mc_in_batch(places, photos, 3.0)) > expected
    assert float(nce_in_batch(places, photos, 2.0, 0.1, ignored=mask)) == pytest.approx(
        loop_nce(places, photos, 2.0, 0.1, ignored), rel=1e-12
    )


def test_a_random_location_that_is_the_photos_own_is_no_negative() -> None:
    places, photos = unit(B, D, seed=1), unit(B, D, seed=2)
    negatives = unit(B, C, D, seed=3).clone()
    mask = torch.zeros(B, C, dtype=torch.bool)
    mask[2, 1] = True
    fewer = torch.cat([negatives[2, :1], negatives[2, 2:]])
    mc = float(mc_random_locations(places[2:3], photos[2:3], negatives[2:3], 2.0, ignored=mask[2:3]))
    assert mc == pytest.approx(
        float(mc_random_locations(places[2:3], photos[2:3], fewer[None], 2.0)), rel=1e-12
    )
    nce = float(nce_random_locations(photos[2:3], negatives[2:3], ignored=mask[2:3]))
    assert nce == pytest.approx(float(nce_random_locations(photos[2:3], fewer[None])), rel=1e-12)


def test_a_batch_of_one_place_has_no_negatives_and_costs_no_nan() -> None:
    places, photos = unit(B, D, seed=1), unit(B, D, seed=2)
    everything = torch.ones(B, B, dtype=torch.bool)
    assert float(mc_in_batch(places, photos, 3.0, ignored=everything)) == 0.0
    assert math.isfinite(float(nce_in_batch(places, photos, ignored=everything)))
    assert float(nce_random_locations(photos, places[:, None], ignored=everything[:, :1])) == 0.0


# --- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [mc_in_batch, mc_dropout, nce_in_batch, nce_dropout])
def test_gradients_pull_partners_together_and_push_strangers_apart(objective: object) -> None:
    places, photos = unit(B, D, seed=1).requires_grad_(), unit(B, D, seed=2)
    objective(places, photos, 3.0).backward()  # type: ignore[operator]
    assert places.grad is not None
    moved = -places.grad @ photos.T  # what a step down does to the cosine of place i and photo j
    strangers = (moved.sum(1) - moved.diagonal()) / (B - 1)
    assert (moved.diagonal() > 0).all()
    assert (strangers < moved.diagonal()).all() and float(strangers.mean()) < 0


def test_gradients_of_random_locations_push_them_away() -> None:
    for objective in (
        lambda n: mc_random_locations(unit(B, D, seed=1), unit(B, D, seed=2), n, 3.0),
        lambda n: nce_random_locations(unit(B, D, seed=2), n, 3.0),
    ):
        negatives = unit(B, C, D, seed=3).requires_grad_()
        objective(negatives).backward()
        assert (torch.einsum("bcd,bd->bc", -negatives.grad, unit(B, D, seed=2)) < 0).all()


def test_gradients_agree_with_finite_differences() -> None:
    mask = torch.zeros(B, B, dtype=torch.bool)
    mask[1, 2] = True

    def total(places: Tensor, photos: Tensor, negatives: Tensor, scale: Tensor) -> Tensor:
        return (
            mc_in_batch(places, photos, scale, ignored=mask)
            + mc_random_locations(places, photos, negatives, scale)
            + nce_in_batch(places, photos, scale, 0.3, ignored=mask)
            + nce_random_locations(photos, negatives, scale, 0.3)
        )

    inputs = (unit(B, D, seed=1), unit(B, D, seed=2), unit(B, C, D, seed=3), torch.tensor(2.0).double())
    assert torch.autograd.gradcheck(total, tuple(one.requires_grad_() for one in inputs))


def test_the_order_of_a_batch_does_not_matter() -> None:
    places, photos, negatives = unit(B, D, seed=1), unit(B, D, seed=2), unit(B, C, D, seed=3)
    turn = torch.tensor([3, 5, 0, 1, 4, 2])
    for one, other in (
        (mc_in_batch(places, photos, 2.0), mc_in_batch(places[turn], photos[turn], 2.0)),
        (nce_in_batch(places, photos), nce_in_batch(places[turn], photos[turn])),
        (
            mc_random_locations(places, photos, negatives, 2.0),
            mc_random_locations(places[turn], photos[turn], negatives[turn], 2.0),
        ),
    ):
        assert float(one) == pytest.approx(float(other), rel=1e-12)
