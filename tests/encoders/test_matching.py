"""Scores of local features against loops, and pictures that they must tell apart."""

import pytest
import torch

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.matching import (
    grid_positions,
    mutual,
    mutual_matches,
    nearest,
    unit_features,
)


@pytest.fixture
def features():
    generator = torch.Generator().manual_seed(3)
    return unit_features(torch.randn(4, 6, 3, 5, generator=generator))


def test_features_are_unit_rows_in_the_order_of_the_grid():
    maps = torch.arange(2 * 3 * 2 * 4).reshape(2, 3, 2, 4).float() + 1.0
    rows = unit_features(maps)
    assert rows.shape == (2, 8, 3)
    x, y = 2, 1
    number = grid_positions(2, 4).tolist().index([x, y])
    expected = maps[1, :, y, x] / maps[1, :, y, x].norm()
    torch.testing.assert_close(rows[1, number], expected)


def test_a_mean_is_taken_off_before():
    maps = torch.randn(2, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    mean = torch.tensor([1.0, -2.0, 0.5])
    torch.testing.assert_close(unit_features(maps, mean=mean), unit_features(maps - mean[:, None, None]))
    torch.testing.assert_close(unit_features(maps, mean=maps[0])[0], torch.zeros(8, 3))


def test_mutual_matches_are_each_others_nearest(features):
    query, candidate = features[:2]
    cosine = query @ candidate.T
    expected = [
        (i, j)
        for i in range(len(query))
        for j in range(len(candidate))
        if cosine[i].argmax() == j and cosine[:, j].argmax() == i
    ]
    found = mutual_matches(query, candidate)
    assert list(zip(found.query.tolist(), found.candidate.tolist(), strict=True)) == expected
    assert 0 < len(found) < len(query)
    torch.testing.assert_close(found.cosine, torch.tensor([cosine[pair] for pair in expected]))


def test_scores_of_many_candidates_are_those_of_each(features):
    query, candidates = features[0], features[1:]
    for number, candidate in enumerate(candidates):
        best = (query @ candidate.T).max(dim=1).values.mean()
        torch.testing.assert_close(nearest(query, candidates)[number], best)
        matches = mutual_matches(query, candidate)
        torch.testing.assert_close(mutual(query, candidates)[number], matches.cosine.sum() / len(query))


def test_a_picture_is_most_like_itself_however_it_is_shuffled(features):
    order = torch.randperm(15, generator=torch.Generator().manual_seed(1))
    shuffled = features[0][order]
    for score in (nearest, mutual):
        found = score(features[0], torch.stack([features[1], shuffled, features[2]]))
        assert found.argmax() == 1
        assert found[1] == pytest.approx(1.0)


def test_a_turned_camera_costs_what_left_the_picture():
    maps = torch.randn(1, 32, 4, 12, generator=torch.Generator().manual_seed(5))
    left, right = unit_features(maps[..., :9])[0], unit_features(maps[..., 3:])[0]
    assert nearest(left, right[None])[0] > 2.0 / 3.0  # two thirds of it are there, exactly
    matches = mutual_matches(left, right)
    shift = grid_positions(4, 9)[matches.candidate] - grid_positions(4, 9)[matches.query]
    exact = matches.cosine > 0.999
    assert exact.sum() == 24
    assert (shift[exact] == torch.tensor([-3.0, 0.0])).all()


def test_features_of_other_shapes_are_refused(features):
    with pytest.raises(InvalidOption, match="want"):
        nearest(features[0], features[1])
    with pytest.raises(InvalidOption, match="want"):
        mutual(features[0, :, :4], features[1:])
