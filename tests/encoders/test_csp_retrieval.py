"""Ranks and errors of photos among candidate places.

Claims: ranks against a sort by hand, ties count half; intervals hold the figure and grow when photos
share regions; baselines by hand.
"""

import numpy as np
import pytest

from placeprint.encoders import csp_retrieval as retrieval
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere


def rows(rng: np.random.Generator, n: int, d: int = 6) -> np.ndarray:
    vectors = rng.normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_rank_shares_are_those_of_a_sort(rng: np.random.Generator) -> None:
    queries, candidates = rows(rng, 30), rows(rng, 41)
    truth = rng.integers(0, 41, 30)
    similarity = queries @ candidates.T
    expected = [
        list(np.argsort(-one, kind="stable")).index(own) / 40
        for one, own in zip(similarity, truth, strict=True)
    ]
    assert retrieval.rank_shares(queries, candidates, truth) == pytest.approx(expected)


def test_candidates_that_are_all_equal_rank_at_chance() -> None:
    same = np.ones((7, 3), np.float32)
    assert retrieval.rank_shares(same[:4], same, np.arange(4)) == pytest.approx([0.5] * 4)


def test_best_candidates_are_the_most_similar(rng: np.random.Generator) -> None:
    queries, candidates = rows(rng, 2000), rows(rng, 9)
    assert np.array_equal(
        retrieval.best_candidates(queries, candidates), np.argmax(queries @ candidates.T, axis=1)
    )
    assert len(retrieval.best_candidates(queries[:0], candidates)) == 0


def test_answers_do_not_depend_on_how_many_are_asked_at_a_time(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries, candidates, truth = rows(rng, 50), rows(rng, 11), rng.integers(0, 11, 50)
    best = retrieval.best_candidates(queries, candidates)
    shares = retrieval.rank_shares(queries, candidates, truth)
    monkeypatch.setattr(retrieval, "_CHUNK_NUMBERS", 40)
    assert np.array_equal(retrieval.best_candidates(queries, candidates), best)
    assert np.array_equal(retrieval.rank_shares(queries, candidates, truth), shares)


def test_the_best_constant_has_the_least_median_error(rng: np.random.Generator) -> None:
    fiji = np.array([179.9, -17.0]) + rng.normal(0.0, 0.5, (40, 2))
    lonlat = np.concatenate([uniform_on_sphere(30, rng), fiji])
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180
    place = retrieval.best_constant(lonlat)
    medians = [np.median(great_circle_km(one, lonlat)) for one in lonlat]
    assert np.array_equal(place, lonlat[int(np.argmin(medians))])
    assert great_circle_km(place, np.array([179.9, -17.0])) < 200  # a cluster on the antimeridian


def test_the_floor_is_the_distance_to_the_nearest_known_place(rng: np.random.Generator) -> None:
    lonlat, known = uniform_on_sphere(20, rng), uniform_on_sphere(50, rng)
    table = great_circle_km(lonlat[:, None], known[None])
    assert retrieval.nearest_known_km(lonlat, known) == pytest.approx(table.min(axis=1))


def test_random_answers_come_from_the_known_places() -> None:
    known = np.array([[0.0, 0.0], [90.0, 0.0]])
    errors = retrieval.random_errors_km(np.array([[0.0, 0.0]]), known, n_draws=1000)
    assert set(np.round(errors.ravel())) == {0.0, 10008.0}
    assert (errors > 0).mean() == pytest.approx(0.5, abs=0.05)


def test_figures_are_medians_and_shares_with_intervals_around_them(rng: np.random.Generator) -> None:
    errors = rng.exponential(500.0, 200)
    figures = retrieval.figures(errors, np.arange(200))
    median = figures["median_km"]
    assert median.value == pytest.approx(np.median(errors))
    assert median.low < median.value < median.high
    assert figures["within_200_km"].value == pytest.approx((errors <= 200.0).mean())
    assert set(figures) == {"median_km", *(f"within_{r}_km" for r in (25, 200, 750, 2500))}


def test_photos_that_share_their_luck_widen_the_interval(rng: np.random.Generator) -> None:
    errors = np.repeat(rng.exponential(500.0, 20), 10)
    lone = retrieval.figures(errors, np.arange(200))["median_km"]
    shared = retrieval.figures(errors, np.repeat(np.arange(20), 10))["median_km"]
    assert shared.high - shared.low > 1.5 * (lone.high - lone.low)
