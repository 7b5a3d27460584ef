"""What decided a match: maps that add up to the lead of the answer."""

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from placeprint.encoders.match_map import match_map
from placeprint.encoders.matching import nearest

GRID = (3, 4)


@pytest.fixture
def features() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return normalize(torch.randn(6, 12, 8, generator=generator), dim=-1)


def test_both_maps_add_up_to_the_lead(features: torch.Tensor) -> None:
    query, answer, others = features[0], features[1], features[2:]
    found = match_map(query, answer, others, GRID)
    scores = nearest(query, features[1:]).double()
    assert found.score == pytest.approx(float(scores[0]), abs=1e-6)
    assert found.lead == pytest.approx(float(scores[0] - scores[1:].mean()), abs=1e-6)
    assert found.query.shape == found.answer.shape == GRID
    assert found.query.mean() == pytest.approx(found.lead, abs=1e-6)
    assert found.answer.sum() == pytest.approx(found.lead, abs=1e-6)


def test_what_is_found_everywhere_decides_nothing_and_what_is_found_here_alone_does(
    features: torch.Tensor,
) -> None:
    query, answer, others = features[0].clone(), features[1].clone(), features[2:].clone()
    sky, door = query[2], query[7]
    answer[5], others[:, 0] = sky, sky  # in all of them
    answer[11] = door  # in this one alone
    found = match_map(query, answer, others, GRID)
    assert found.query.flat[2] == pytest.approx(0.0, abs=1e-6)
    assert found.query.argmax() == 7 and found.query.flat[7] > 0.2
    assert found.answer.flat[11] >= found.query.flat[7] / 12 - 1e-6


def test_alone_the_score_itself_comes_apart(features: torch.Tensor) -> None:
    found = match_map(features[0], features[0], features[:0], GRID)
    assert found.lead == pytest.approx(1.0) == pytest.approx(found.score)
    np.testing.assert_allclose(found.query, 1.0, atol=1e-5)
