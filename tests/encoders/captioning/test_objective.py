"""The contrastive loss: closed forms, false negatives, and the same gradients in parts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from placeprint.encoders.captioning.objective import (
    MAX_SCALE,
    backward_in_parts,
    contrastive_loss,
    false_negatives,
)
from placeprint.encoders.sphere import uniform_on_sphere


def unit(n: int, *, seed: int = 0, dimension: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dimension, generator=generator, dtype=torch.float64), dim=-1)


def test_all_alike_scores_the_logarithm_of_the_batch() -> None:
    one = unit(1).expand(16, -1)
    assert float(contrastive_loss(one, one, torch.tensor(2.0))) == pytest.approx(np.log(16))


def test_a_perfect_match_scores_nothing_and_a_wrong_order_much() -> None:
    eye = torch.eye(8)
    sharp = torch.tensor(float(np.log(100.0)))
    assert float(contrastive_loss(eye, eye, sharp)) < 1e-6
    assert float(contrastive_loss(eye, eye.roll(1, 0), sharp)) == pytest.approx(100.0)


def test_it_is_the_mean_of_both_directions() -> None:
    images, texts, scale = unit(12), unit(12, seed=1), torch.tensor(1.5)
    assert float(contrastive_loss(images, texts, scale)) == pytest.approx(
        float(contrastive_loss(texts, images, scale))
    )
    logits = scale.exp() * images @ texts.T
    by_hand = -0.5 * (F.log_softmax(logits, 1).diag().mean() + F.log_softmax(logits, 0).diag().mean())
    assert float(contrastive_loss(images, texts, scale)) == pytest.approx(float(by_hand))


def test_the_scale_stops_at_its_limit() -> None:
    images, texts = unit(6), unit(6, seed=1)
    at_limit = contrastive_loss(images, texts, torch.tensor(np.log(MAX_SCALE)))
    assert torch.allclose(contrastive_loss(images, texts, torch.tensor(20.0)), at_limit)


def test_false_negatives_are_as_if_they_were_not_there() -> None:
    images, texts, scale = unit(5), unit(5, seed=1), torch.tensor(1.0)
    is_same = torch.eye(5, dtype=torch.bool)
    is_same[3, 4] = is_same[4, 3] = True
    logits = scale.exp() * images @ texts.T
    losses = []
    for side in (logits, logits.T):
        for row in range(5):
            others = [column for column in range(5) if column == row or not is_same[row, column]]
            losses.append(-F.log_softmax(side[row, others], 0)[others.index(row)])
    expected = torch.stack(losses).mean()
    assert torch.allclose(contrastive_loss(images, texts, scale, is_same), expected)
    assert not torch.allclose(contrastive_loss(images, texts, scale), expected)


def test_a_batch_of_one_place_has_nothing_to_learn() -> None:
    images = unit(4).requires_grad_()
    loss = contrastive_loss(images, unit(4, seed=1), torch.tensor(1.0), torch.ones(4, 4, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0.0 and images.grad is not None and not images.grad.any()


def test_near_places_and_equal_words_are_false_negatives() -> None:
    lonlat = np.array([[179.999, 0.0], [-179.999, 0.0], [0.0, 89.999], [180.0 - 360, 89.9999], [10.0, 10.0]])
    near = false_negatives(lonlat, None, 1.0).numpy()
    expected = np.eye(5, dtype=bool)
    expected[0, 1] = expected[1, 0] = expected[2, 3] = expected[3, 2] = True
    assert (near == expected).all()
    words = false_negatives(lonlat, ["a", "b", "c", "d", "a"], None).numpy()
    assert words[0, 4] and words[4, 0] and words.sum() == 7
    assert (false_negatives(lonlat, None, None).numpy() == np.eye(5, dtype=bool)).all()


@pytest.mark.parametrize("distance_km", [0.9, 1.1])
def test_the_distance_counts_in_kilometers_everywhere(distance_km: float, rng: np.random.Generator) -> None:
    from placeprint.encoders.sphere import destination

    starts = uniform_on_sphere(20, rng)
    for start in starts:
        pair = np.stack([start, destination(start, 70.0, distance_km)])
        assert bool(false_negatives(pair, None, 1.0)[0, 1]) == (distance_km < 1.0)


@pytest.mark.parametrize("part_size", [1, 3, 4, 10])
def test_parts_give_the_gradients_of_the_whole(part_size: int) -> None:
    torch.manual_seed(0)
    seen, said = torch.randn(10, 6, dtype=torch.float64), torch.randn(10, 7, dtype=torch.float64)

    def gradients(size: int) -> tuple[float, list[torch.Tensor]]:
        torch.manual_seed(1)
        image_tower, text_tower = torch.nn.Linear(6, 5).double(), torch.nn.Linear(7, 5).double()
        scale = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        loss = backward_in_parts(
            lambda part: (F.normalize(image_tower(seen[part])), F.normalize(text_tower(said[part]))),
            10, size, lambda images, texts: contrastive_loss(images, texts, scale),
        )  # fmt: skip
        parameters = [*image_tower.parameters(), *text_tower.parameters(), scale]
        return loss, [one.grad.clone() for one in parameters if one.grad is not None]

    whole, parts = gradients(100), gradients(part_size)
    assert parts[0] == pytest.approx(whole[0]) and len(parts[1]) == len(whole[1]) == 5
    for one, other in zip(parts[1], whole[1], strict=True):
        torch.testing.assert_close(one, other)


def test_a_frozen_tower_is_left_alone() -> None:
    frozen, learning = torch.nn.Linear(4, 3).requires_grad_(False), torch.nn.Linear(4, 3)
    x = torch.randn(6, 4)
    backward_in_parts(
        lambda part: (frozen(x[part]), learning(x[part])), 6, 2,
        lambda images, texts: contrastive_loss(images, texts, torch.tensor(1.0)),
    )  # fmt: skip
    assert frozen.weight.grad is None and learning.weight.grad is not None
