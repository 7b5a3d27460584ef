"""Claims: the loss falls as the answer comes nearer; levels are sums; missing labels weigh nothing."""

import numpy as np
import pytest
import torch
from geocell_fakes import cells_at

from placeprint.encoders.geocell_heads.levels import level_of
from placeprint.encoders.geocell_heads.objective import (
    level_cross_entropy,
    offset_error,
    soft_cross_entropy,
    task_error,
)
from placeprint.encoders.geocell_targets import smoothed_targets


def test_an_answer_nearer_to_the_truth_costs_less() -> None:
    cells = cells_at([[float(lon), 0.0] for lon in range(0, 60, 5)])
    targets = torch.from_numpy(smoothed_targets([[0.0, 0.0]], cells, 400.0, kept=1.0).toarray())
    logits = 5.0 * torch.eye(12, dtype=torch.float64)
    losses = [float(soft_cross_entropy(torch.log_softmax(row[None], dim=1), targets)) for row in logits]
    assert (np.diff(losses) > 0.0).all()


def test_it_is_least_where_the_answer_is_the_target_and_is_then_its_entropy() -> None:
    y = torch.tensor([[0.7, 0.2, 0.1]])
    least = soft_cross_entropy(y.log(), y)
    assert float(least) == pytest.approx(-float((y * y.log()).sum()))
    for other in ([0.6, 0.3, 0.1], [0.8, 0.1, 0.1], [1 / 3] * 3):
        assert soft_cross_entropy(torch.tensor([other]).log(), y) > least


def test_one_step_downhill_moves_mass_to_the_right_cell() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    soft_cross_entropy(torch.log_softmax(logits, dim=1), torch.tensor([[1.0, 0.0, 0.0]])).backward()
    assert logits.grad is not None and logits.grad[0, 0] < 0 < logits.grad[0, 1]


def test_a_wrong_cell_of_the_right_country_costs_the_country_term_nothing() -> None:
    cells = cells_at([[0.0, 0.0], [5.0, 0.0], [50.0, 0.0], [55.0, 0.0]])  # AA AA BB BB
    shares = torch.from_numpy(level_of(cells, "country").shares.toarray())
    targets = torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)

    def cost(*p: float) -> float:
        return float(level_cross_entropy(torch.tensor([p], dtype=torch.float64).log(), targets, shares))

    assert cost(0.05, 0.85, 0.05, 0.05) == pytest.approx(-np.log(0.9))
    assert cost(0.85, 0.05, 0.05, 0.05) == pytest.approx(-np.log(0.9))
    assert cost(0.05, 0.05, 0.85, 0.05) == pytest.approx(-np.log(0.1))


def test_levels_have_gradients_where_probabilities_are_extreme() -> None:
    cells = cells_at([[0.0, 0.0], [50.0, 0.0]])
    shares = torch.from_numpy(level_of(cells, "country").shares.toarray().astype(np.float32))
    logits = torch.tensor([[0.0, 500.0]], requires_grad=True)
    loss = level_cross_entropy(torch.log_softmax(logits, dim=1), torch.tensor([[1.0, 0.0]]), shares)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()


def test_offsets_are_measured_in_radii_and_wanted_on_the_circle_at_most() -> None:
    got = offset_error(
        torch.tensor([[3.0, 4.0], [0.0, 0.0], [9.0, 9.0]]),
        torch.tensor([[0.0, 0.0], [0.0, 80.0], [1.0, 1.0]]),
        torch.tensor([10.0, 20.0, 0.0]),  # the third cell has no extent, and does not count
    )
    assert float(got) == pytest.approx((0.25 + 1.0) / 2)
    assert float(offset_error(torch.ones(1, 2), torch.ones(1, 2), torch.zeros(1))) == 0.0


def test_missing_labels_weigh_nothing() -> None:
    logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [5.0, 0.0]])
    nan = float("nan")
    some = task_error(logits, torch.tensor([0.0, nan, nan]))
    assert float(some) == pytest.approx(np.log1p(np.exp(-2.0)))
    assert float(task_error(logits, torch.tensor([nan, nan, nan]))) == 0.0
    numbers = torch.tensor([[1.0], [7.0]], requires_grad=True)
    task_error(numbers, torch.tensor([3.0, nan])).backward()
    assert numbers.grad.tolist() == [[-4.0], [0.0]]
