"""A second look changes the first answers of unsure queries, and of nobody else."""

import numpy as np
import pytest
import torch

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.matching import unit_features
from placeprint.encoders.reranking import fit_threshold, match_scores, rerank

NEIGHBORS = np.array([[5, 6, 7, 8], [5, 6, 7, 8], [9, 8, -1, -1]])


def by_number(row, found):
    return found.astype(float)  # the highest row of the gallery is the best


def test_the_first_k_are_put_in_order_and_the_rest_stay():
    again = rerank(NEIGHBORS, by_number, k=3)
    assert again.neighbors.tolist() == [[7, 6, 5, 8], [7, 6, 5, 8], [9, 8, -1, -1]]
    assert again.share == 1.0
    assert NEIGHBORS[0].tolist() == [5, 6, 7, 8]


def test_sure_queries_are_left_alone():
    asked = []

    def score_of(row, found):
        asked.append(row)
        return by_number(row, found)

    again = rerank(NEIGHBORS, score_of, k=4, doubt=np.array([0.2, 0.5, 0.3]), threshold=0.3)
    assert asked == [1]
    assert again.looked_at.tolist() == [False, True, False]
    assert again.neighbors[[0, 2]].tolist() == NEIGHBORS[[0, 2]].tolist()
    assert again.share == pytest.approx(1 / 3)


def test_equal_scores_stay_in_the_order_of_similarity():
    again = rerank(NEIGHBORS, lambda row, found: np.zeros(len(found)), k=4)
    assert (again.neighbors == NEIGHBORS).all()


def test_senseless_options_are_refused():
    with pytest.raises(InvalidOption, match="k=0"):
        rerank(NEIGHBORS, by_number, k=0)
    with pytest.raises(InvalidOption, match="needs the doubt"):
        rerank(NEIGHBORS, by_number, threshold=0.5)


def test_a_threshold_parts_where_second_looks_help_from_where_they_harm():
    doubt = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    before = np.array([True, True, False, True, False, False])
    after = np.array([False, True, True, True, True, True])
    threshold = fit_threshold(doubt, before, after)
    assert 0.2 <= threshold < 0.3
    assert (np.where(doubt > threshold, after, before)).sum() == 6


def test_a_threshold_asks_for_no_look_that_does_not_pay():
    doubt = np.array([0.1, 0.2, 0.3])
    some = np.array([True, False, True])
    assert fit_threshold(doubt, some, some) == np.inf
    assert fit_threshold(doubt, some, ~some) == np.inf
    assert fit_threshold(doubt, ~some & False, some | True) == -np.inf
    # Equal doubts are looked at together: the gain of one cannot be had without the loss of the other.
    assert fit_threshold(np.array([0.5, 0.5]), np.array([False, True]), np.array([True, False])) == np.inf


@pytest.mark.parametrize("score", ["nearest", "mutual", "votes", "ransac"])
def test_every_score_finds_the_picture_taken_a_step_aside(score):
    maps = torch.randn(6, 24, 6, 10, generator=torch.Generator().manual_seed(5))
    query = unit_features(maps[2:3, :, :, :8])[0]
    candidates = unit_features(maps[:, :, :, 2:])
    found = match_scores(query, candidates, (6, 8), score)
    assert found.shape == (6,)
    assert found.argmax() == 2


def test_geometry_tells_apart_what_a_heap_of_features_does_not():
    maps = torch.randn(1, 24, 6, 8, generator=torch.Generator().manual_seed(5))
    query = unit_features(maps)[0]
    shuffled = query[torch.randperm(48, generator=torch.Generator().manual_seed(1))]
    both = torch.stack([shuffled, query])
    for score in ("nearest", "mutual"):
        heap, same = match_scores(query, both, (6, 8), score)
        assert heap == pytest.approx(same)
    for score in ("votes", "ransac"):
        heap, same = match_scores(query, both, (6, 8), score)
        assert same == pytest.approx(1.0) and heap < 0.5


def test_an_unknown_score_is_refused():
    with pytest.raises(InvalidOption, match="there are nearest, mutual, votes, ransac"):
        match_scores(torch.ones(1, 2), torch.ones(1, 1, 2), (1, 1), "magic")
