"""Signs of doubt against closed forms, and the curves that judge them."""

import numpy as np
import pytest

from placeprint.indexer.place_uncertainty import (
    best_distance,
    distance_of,
    distance_ratio,
    fall_off,
    ground_positions,
    least_area,
    risk_coverage,
    spatial_spread,
)


def test_distances_are_those_of_unit_vectors(rng):
    a, b = rng.normal(size=(2, 50, 7))
    a, b = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b))
    assert distance_of((a * b).sum(axis=1)) == pytest.approx(np.linalg.norm(a - b, axis=1), abs=1e-7)
    assert distance_of(np.array([1.0 + 1e-12, -np.inf])).tolist() == [0.0, 2.0]


def test_the_ratio_is_of_the_best_two():
    similarity = np.array([[1.0 - 0.5 * 0.3**2, 1.0 - 0.5 * 0.6**2, -1.0], [1.0, 1.0, 0.0]])
    assert distance_ratio(similarity) == pytest.approx([0.5, 1.0])
    assert distance_ratio(similarity[:, :1]).tolist() == [1.0, 1.0]
    assert best_distance(similarity) == pytest.approx([0.3, 0.0])


def test_equally_similar_answers_spread_like_their_positions():
    positions = np.array([[0.0], [10.0], [40.0]])
    similarity = np.full((1, 2), 0.7)
    assert spatial_spread(similarity, np.array([[0, 1]]), positions) == pytest.approx([5.0])
    assert spatial_spread(similarity, np.array([[2, -1]]), positions) == pytest.approx([0.0])


def test_a_far_answer_weighs_less_the_less_alike_it_is():
    positions = np.array([[0.0], [100.0]])
    near, far = (1.0 - 0.5 * d * d for d in (0.5, 0.5 + 0.1 * np.log(3.0)))
    found = spatial_spread(np.array([[near, far]]), np.array([[0, 1]]), positions, scale=0.1)
    assert found == pytest.approx([100.0 * np.sqrt(0.75 * 0.25)])  # weights 3/4 and 1/4


def test_over_the_queries_the_best_weighs_100_times_the_last(rng):
    similarity = -np.sort(-rng.uniform(0.2, 0.9, (30, 10)), axis=1)
    distance = distance_of(similarity)
    weights = np.exp(-distance / fall_off(similarity))
    assert np.exp(np.log(weights[:, 0] / weights[:, -1]).mean()) == pytest.approx(100.0)
    assert fall_off(np.full((3, 4), 0.5)) == 1.0 == fall_off(similarity[:, :1])


@pytest.mark.parametrize("place", [(180.0, -16.8), (-180.0, 0.0), (0.0, 90.0), (0.0, 0.0)])
def test_the_spread_on_the_ground_knows_no_meridian(place):
    from placeprint.encoders.sphere import destination

    east, west = (destination(np.array(place), bearing, 0.03) for bearing in (90.0, 270.0))
    found = spatial_spread(np.full((1, 2), 0.5), np.array([[0, 1]]), ground_positions(np.stack([east, west])))
    assert found == pytest.approx([30.0], abs=1e-4)


def test_a_perfect_sign_has_the_least_area_and_a_wrong_one_the_most():
    wrong = np.array([True, False, False, True, False])
    perfect = risk_coverage(wrong.astype(float) + np.linspace(0, 0.1, 5), wrong)
    assert perfect.area == pytest.approx(least_area(2, 5)) == pytest.approx((1 / 4 + 2 / 5) / 5)
    assert perfect.risk.tolist() == pytest.approx([0, 0, 0, 0.25, 0.4])
    backward = risk_coverage(-wrong.astype(float) - np.linspace(0, 0.1, 5), wrong)
    assert backward.area == pytest.approx((1 + 1 + 2 / 3 + 2 / 4 + 2 / 5) / 5)


def test_a_sign_that_tells_nothing_has_the_error_rate():
    flat = risk_coverage(np.zeros(8), np.array([True, False] * 4))
    assert flat.coverage.tolist() == [1.0]
    assert flat.area == pytest.approx(0.5)
    assert flat.interval[0] < 0.5 < flat.interval[1]


def test_the_area_of_a_random_order_is_the_error_rate(rng):
    wrong = rng.uniform(size=3000) < 0.3
    assert risk_coverage(rng.uniform(size=3000), wrong).area == pytest.approx(0.3, abs=0.04)


def test_places_are_resampled_whole(rng):
    doubt = np.repeat(rng.uniform(size=25), 16)
    wrong = np.repeat(rng.uniform(size=25) < 0.4, 16)
    alone, together = (
        risk_coverage(doubt, wrong, place=place) for place in (None, np.repeat(np.arange(25), 16))
    )
    assert alone.area == together.area
    assert np.ptp(together.interval) > 2.5 * np.ptp(alone.interval)
