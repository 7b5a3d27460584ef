"""Kriging from the nearest labels.

Claims: weights solve the equations of the dense problem; without a nugget a label is returned at its own
place; ordinary weights sum to one, simple ones vanish far away; the covariance that is chosen is the one
the field was drawn with, and noise gets a nugget; jointly with an embedding, neighbors count by likeness.
"""

import numpy as np
import pytest

from placeprint.encoders.probes.kriging import (
    Covariance,
    Space,
    best_covariances,
    covariances_by_likeness,
    covariances_by_range,
    kriging_weights,
    principal_components,
)
from placeprint.encoders.probes.neighbors import Near, nearest, smooth
from placeprint.encoders.sphere import EARTH_RADIUS_KM, lonlat_of, unit_vectors


@pytest.fixture
def lonlat(rng: np.random.Generator) -> np.ndarray:
    """Points around Fiji, on both sides of the antimeridian."""
    lonlat = np.array([180.0, -17.0]) + rng.uniform(-1.5, 1.5, (260, 2))
    lonlat[:, 0] = np.where(lonlat[:, 0] >= 180.0, lonlat[:, 0] - 360.0, lonlat[:, 0])
    return lonlat


def chords_km(lonlat: np.ndarray) -> np.ndarray:
    xyz = unit_vectors(lonlat) * EARTH_RADIUS_KM
    return np.linalg.norm(xyz[:, None] - xyz[None], axis=-1)


def test_weights_solve_the_dense_equations(lonlat: np.ndarray) -> None:
    train, asked = np.arange(12), np.array([20])
    near = nearest(lonlat, train, asked, 11)
    covariance = Covariance(60.0, 0.1)
    used = near.rows[0]
    C = np.exp(-chords_km(lonlat)[np.ix_(used, used)] / 60.0) + 0.1 * np.eye(11)
    c = np.exp(-chords_km(lonlat)[used, 20] / 60.0)
    simple, variance = kriging_weights(Space.of(lonlat), near, asked, covariance, is_mean_known=True)
    np.testing.assert_allclose(simple[0], np.linalg.solve(C, c), atol=1e-5)
    assert variance[0] == pytest.approx(1 - c @ np.linalg.solve(C, c), abs=1e-5)
    bordered = np.block([[C, np.ones((11, 1))], [np.ones((1, 11)), np.zeros((1, 1))]])
    ordinary, _ = kriging_weights(Space.of(lonlat), near, asked, covariance)
    np.testing.assert_allclose(ordinary[0], np.linalg.solve(bordered, np.append(c, 1.0))[:11], atol=1e-5)


def test_without_a_nugget_a_label_is_returned_at_its_place(lonlat: np.ndarray) -> None:
    lonlat[30] = lonlat[3]
    near = nearest(lonlat, np.arange(20), np.array([30]), 10)
    weights, variance = kriging_weights(Space.of(lonlat), near, np.array([30]), Covariance(50.0, 1e-9))
    np.testing.assert_allclose(weights[0], [1.0] + [0.0] * 9, atol=1e-3)
    assert variance[0] == pytest.approx(0.0, abs=1e-3)


def test_far_away_simple_kriging_says_nothing_and_ordinary_the_mean() -> None:
    lonlat = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [120.0, 60.0]])
    near = nearest(lonlat, np.arange(3), np.array([3]), 2)
    near = Near(np.array([[0, 1, 2]]), np.repeat(near.km[:, :1], 3, axis=1))
    simple, variance = kriging_weights(
        Space.of(lonlat), near, np.array([3]), Covariance(30.0, 0.1), is_mean_known=True
    )
    np.testing.assert_allclose(simple, 0.0, atol=1e-12)
    assert variance[0] == pytest.approx(1.0)
    ordinary, _ = kriging_weights(Space.of(lonlat), near, np.array([3]), Covariance(30.0, 0.1))
    assert ordinary.sum() == pytest.approx(1.0)
    assert (ordinary > 0.25).all()


def test_neighbors_beyond_those_kriged_have_no_weight(lonlat: np.ndarray) -> None:
    near = nearest(lonlat, np.arange(50), np.arange(50, 60), 20)
    weights, _ = kriging_weights(Space.of(lonlat), near, np.arange(50, 60), Covariance(50.0, 0.1), n_kriged=8)
    assert not weights[:, 8:].any()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)


def chosen(space: Space, groups: list[list[Covariance]], values: np.ndarray) -> list[Covariance]:
    rows = np.arange(len(values))
    lonlat = lonlat_of(space.xyz)
    near = nearest(lonlat, rows, rows, 20)

    def error(weights: np.ndarray, some: np.ndarray) -> float:
        predicted = smooth(weights[:, None, :], near[some], values[:, None])[:, 0, 0]
        return float(((predicted - values[some]) ** 2).mean())

    return best_covariances(space, near, rows, groups, error)


def test_the_covariance_of_a_drawn_field_is_found(lonlat: np.ndarray, rng: np.random.Generator) -> None:
    root = np.linalg.cholesky(np.exp(-chords_km(lonlat) / 100.0) + 1e-9 * np.eye(len(lonlat)))
    best = chosen(Space.of(lonlat), covariances_by_range(10.0), root @ rng.normal(size=len(lonlat)))
    assert best[0].range_km >= 30.0
    assert best[0].nugget <= 0.05
    assert len({one.range_km for one in best}) == len(best) == 5


def test_noise_gets_the_largest_nugget(lonlat: np.ndarray, rng: np.random.Generator) -> None:
    best = chosen(Space.of(lonlat), covariances_by_range(10.0), rng.normal(size=len(lonlat)))
    assert best[0].nugget == 0.6


def test_among_neighbors_the_like_ones_count(lonlat: np.ndarray, rng: np.random.Generator) -> None:
    kind = rng.integers(0, 2, len(lonlat)) * 5.0
    space = Space.of(lonlat, kind[:, None])
    rows = np.arange(len(lonlat))
    near = nearest(lonlat, rows, rows, 20)
    weights, _ = kriging_weights(space, near, rows, Covariance(100.0, 0.1, likeness=0.5))
    like = kind[near.rows] == kind[:, None]
    assert np.abs(weights[like]).sum() > 20 * np.abs(weights[~like]).sum()
    values = kind + 0.1 * rng.normal(size=len(lonlat))
    best = chosen(space, [*covariances_by_range(10.0), *covariances_by_likeness(10.0, 1.0)], values)
    assert np.isfinite(best[0].likeness)


def test_components_are_those_of_standardized_training_rows(rng: np.random.Generator) -> None:
    features = rng.normal(size=(400, 30)).astype(np.float32)
    features[:, 1:4] = features[:, :1] * [2.0, -30.0, 0.01] + 0.1 * features[:, 1:4] * [2.0, 30.0, 0.01]
    train = np.arange(300)
    found = principal_components(features, train)
    assert found.shape == (400, 24)
    standard = (features - features[train].mean(axis=0)) / features[train].std(axis=0)
    _, _, axes = np.linalg.svd(standard[train], full_matrices=False)
    np.testing.assert_allclose(np.abs(found[:, 0]), np.abs(standard @ axes[0]), rtol=1e-3, atol=1e-3)
    wild = features.copy()
    wild[300:] *= 100.0
    np.testing.assert_allclose(principal_components(wild, train)[:300], found[:300])
