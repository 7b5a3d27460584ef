"""Recall, its chance level, its intervals, and answers that collapse by group."""

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest

from placeprint.encoders.errors import WrongPhotoSet
from placeprint.encoders.sphere import destination
from placeprint.indexer.place_recall import (
    chance_recall,
    collapse,
    error_area,
    error_m,
    interval_of,
    judge,
    judge_within,
    resampled_means,
    wilson,
)
from placeprint.indexer.place_truth import Positives

NEIGHBORS = np.array([[4, 1, 2, 0], [0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 3, 4]])
RIGHT = Positives.of_pairs([0, 0, 1, 2], [1, 0, 0, 4], 4, 5)  # query 3 has none


def values(judged, at=(1, 2, 4)):
    return [one.value for one in judged.recalls(at)]


def test_recall_is_the_share_with_a_right_photo_among_the_first():
    assert values(judge(NEIGHBORS, RIGHT)) == [0.25, 0.5, 0.5]


def test_queries_without_a_right_photo_fail_or_are_left_out():
    judged = judge(NEIGHBORS, RIGHT, are_all_counted=False)
    assert judged.n_without == 1
    assert values(judged) == pytest.approx([1 / 3, 2 / 3, 2 / 3])
    with pytest.raises(WrongPhotoSet, match="no query has a right photo"):
        judge(NEIGHBORS, Positives.of_pairs([], [], 4, 5), are_all_counted=False).recalls()
    assert values(judge(NEIGHBORS, Positives.of_pairs([], [], 4, 5))) == [0.0, 0.0, 0.0]


def test_missing_neighbors_are_never_right():
    judged = judge(np.array([[-1, -1], [0, -1]]), Positives.of_pairs([0, 1], [4, 0], 2, 5))
    assert judged.first_hit.tolist() == [np.inf, 0.0]


def test_cut_outs_of_a_panorama_are_one_answer():
    group = np.array(["a", "a", "b", "c", "c"])
    assert collapse(NEIGHBORS[:1], group).tolist() == [[4, 1, 2, -1]]
    assert collapse(np.array([[4, 3, 1, 0, 2]]), group).tolist() == [[4, 1, 2, -1, -1]]
    right = Positives.of_pairs([0], [2], 1, 5)
    neighbors = np.array([[4, 3, 1, 0, 2]])
    assert judge(neighbors, right).first_hit.tolist() == [4.0]
    collapsed = judge(neighbors, right, gallery_group=group)
    assert collapsed.first_hit.tolist() == [2.0]
    assert collapsed.n_gallery == 3 and collapsed.n_right.tolist() == [1.0]


def test_a_half_right_group_counts_half_for_chance():
    right = Positives.of_pairs([0, 0], [0, 2], 1, 4)
    judged = judge(np.array([[3]]), right, gallery_group=np.array(["a", "a", "b", "b"]))
    assert judged.n_right.tolist() == [1.0]


@pytest.mark.parametrize(
    ("n_right", "n_gallery", "n"), [(1, 6, 1), (2, 6, 3), (5, 6, 2), (0, 6, 6), (3, 6, 6)]
)
def test_chance_is_that_of_all_draws(n_right, n_gallery, n):
    draws = list(combinations(range(n_gallery), n))
    share = np.mean([min(draw) < n_right for draw in draws])
    assert chance_recall(np.array([float(n_right)]), n_gallery, n) == pytest.approx(share, abs=1e-12)


def test_chance_of_more_answers_than_photos_is_that_of_all():
    assert chance_recall(np.array([1.0, 0.0]), 3, 20).tolist() == [1.0, 0.0]


def test_chance_on_a_dense_set_is_what_the_field_forgets():
    # The median query of Pitts30k has 120 right among 10,000.
    assert chance_recall(np.array([120.0]), 10_000, 1)[0] == pytest.approx(0.012)
    assert chance_recall(np.array([120.0]), 10_000, 20)[0] == pytest.approx(0.2146, abs=1e-4)


def test_a_random_ranking_has_chance_recall(rng):
    pairs = [(query, row) for query in range(2000) for row in range(3 + query % 5)]
    right = Positives.of_pairs(*zip(*pairs, strict=True), 2000, 40)
    neighbors = rng.permuted(np.tile(np.arange(40), (2000, 1)), axis=1)[:, :10]
    for recall in judge(neighbors, right).recalls((1, 5, 10)):
        assert recall.low <= recall.chance <= recall.high


def test_wilson_holds_its_ends():
    for n_hits, n in ((0, 10), (10, 10), (100, 111), (1, 2)):
        theirs = binomtest(n_hits, n).proportion_ci(method="wilson")
        assert wilson(n_hits, n) == pytest.approx((theirs.low, theirs.high), abs=1e-7)


def test_queries_of_one_place_share_their_luck(rng):
    hits = np.repeat(rng.integers(0, 2, 30).astype(float), 20)
    alone, together = interval_of(hits, np.arange(600)), interval_of(hits, np.repeat(np.arange(30), 20))
    assert together[1] - together[0] > 3.0 * (alone[1] - alone[0])
    assert resampled_means(hits, np.repeat(np.arange(30), 20)).mean() == pytest.approx(hits.mean(), abs=0.02)


def test_distances_judge_like_pairs_do():
    home = np.array([180.0, -16.8])
    gallery = np.stack([destination(home, 90.0, km) for km in (0.5, 0.01, 0.024, 0.026)])
    judged = judge_within(np.array([[0, 3, 2, 1], [0, -1, -1, -1]]), np.stack([home, home]), gallery, 25.0)
    assert judged.first_hit.tolist() == [2.0, np.inf]
    assert judged.n_right.tolist() == [2.0, 2.0]
    assert judged.recalls((1,))[0].chance == pytest.approx(0.5)
    groups = np.array(["a", "a", "b", "b"])
    assert np.isnan(
        judge_within(np.array([[0]]), home[None], gallery, 25.0, gallery_group=groups).recalls((1,))[0].chance
    )


def test_errors_in_meters_and_the_area_under_their_curve():
    home = np.array([[25.0, 90.0]])
    gallery = np.stack([destination(home[0], 10.0, 0.025), home[0]])
    assert error_m(np.array([[0, 1]]), home, gallery) == pytest.approx([25.0])
    assert error_m(np.array([[-1, -1]]), home, gallery).tolist() == [np.inf]
    meters = np.array([0.0, 25.0, 150.0, np.inf])
    # The curve: 1/4 up to 25 m, 1/2 from there to 100 m.
    assert error_area(meters, limit_m=100.0) == pytest.approx((0.25 * 25 + 0.5 * 75) / 100.0)
