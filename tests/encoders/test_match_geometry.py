"""Planted transforms among false matches are found; collapsed and mirrored ones are not taken."""

import pytest
import torch

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.match_geometry import LEAST, fit, ransac, residuals, votes
from placeprint.encoders.matching import grid_positions

TURN = torch.tensor(0.3)
SIMILARITY = torch.tensor(
    [
        [1.2 * TURN.cos(), 1.2 * TURN.sin(), 0.0],
        [-1.2 * TURN.sin(), 1.2 * TURN.cos(), 0.0],
        [3.0, -2.0, 1.0],
    ]
).double()
AFFINE = torch.tensor([[1.1, 0.2, 0.0], [-0.3, 0.8, 0.0], [2.0, 1.0, 1.0]]).double()
HOMOGRAPHY = torch.tensor([[1.0, 0.1, 0.01], [-0.2, 0.9, 0.02], [2.0, 1.0, 1.0]]).double()
PLANTED = {"similarity": SIMILARITY, "affine": AFFINE, "homography": HOMOGRAPHY}


def sent(source, transform):
    extended = torch.cat([source, torch.ones(len(source), 1).double()], dim=1) @ transform
    return extended[:, :2] / extended[:, 2:]


@pytest.mark.parametrize("model", PLANTED)
def test_a_planted_transform_is_found_among_twice_as_many_false_matches(model):
    generator = torch.Generator().manual_seed(7)
    source = grid_positions(10, 9).double()
    target = sent(source, PLANTED[model])
    false = torch.randperm(90, generator=generator)[:60]
    target[false] = target[false] + 6.0 + 20.0 * torch.rand(60, 2, generator=generator).double()
    found = ransac(source, target, model=model, tolerance=0.5, n_trials=2000)
    assert not found.inliers[false].any()
    assert found.n_inliers == 30
    torch.testing.assert_close(found.transform / found.transform[2, 2], PLANTED[model], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model", PLANTED)
def test_the_least_matches_fix_a_transform_exactly(model):
    source = torch.tensor([[0.0, 0.0], [7.0, 1.0], [2.0, 8.0], [9.0, 9.0]])[: LEAST[model]].double()
    target = sent(source, PLANTED[model])
    transform = fit(source[None], target[None], model)
    assert residuals(transform, source, target).max() < 1e-6
    found = ransac(source, target, model=model)
    assert found.n_inliers == LEAST[model]
    assert ransac(source[1:], target[1:], model=model).transform is None


def test_the_fit_averages_noise_away():
    generator = torch.Generator().manual_seed(2)
    source = grid_positions(12, 12).double()
    target = sent(source, AFFINE) + 0.2 * torch.randn(144, 2, generator=generator).double()
    found = ransac(source, target, model="affine", tolerance=1.0)
    torch.testing.assert_close(found.transform, AFFINE, atol=0.08, rtol=0.0)
    assert found.n_inliers > 140


def test_the_same_seed_gives_the_same_answer():
    generator = torch.Generator().manual_seed(2)
    source, target = 9.0 * torch.rand(2, 40, 2, generator=generator)
    first, again = ransac(source, target, seed=4), ransac(source, target, seed=4)
    assert (first.inliers == again.inliers).all()


def test_collapsing_and_mirroring_transforms_are_refused():
    source = grid_positions(6, 6)
    at_one_spot = source * 0.01
    assert ransac(source, at_one_spot, model="similarity", tolerance=1.5).n_inliers < 36
    mirrored = source * torch.tensor([-1.0, 1.0])
    assert ransac(source, mirrored, model="affine", tolerance=0.5).n_inliers < 36


def test_votes_are_for_one_displacement():
    source = grid_positions(4, 5)
    assert votes(source, source + torch.tensor([3.0, -1.0])) == pytest.approx(20.0)
    half = source.clone()
    half[:10] += torch.tensor([100.0, 0.0])
    assert votes(source, half) == pytest.approx(10.0)
    assert votes(source, half, weights=torch.cat([torch.full((10,), 0.5), torch.ones(10)])) == pytest.approx(
        10.0
    )
    apart = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
    assert votes(torch.zeros(2, 2), apart, width=1.5) == pytest.approx(1.0 + torch.e**-2.0)
    assert votes(source[:0], source[:0]) == 0.0


@pytest.mark.parametrize("wrong", [{"model": "fisheye"}, {"tolerance": 0.0}, {"n_trials": 0}])
def test_senseless_options_are_refused(wrong):
    with pytest.raises(InvalidOption, match="models are similarity, affine, homography"):
        ransac(torch.zeros(5, 2), torch.zeros(5, 2), **wrong)
