"""Ridge regression from sums over rows.

Claims: moments of parts add up to those of the whole; one penalty alone is solved as among many; the
error that moments tell is that of the rows; a column that is constant in training has no weight.
"""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidProbe
from placeprint.encoders.probes.ridge import (
    ALPHAS,
    center_and_scale,
    chunk_moments,
    moments_of,
    total_of,
)


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    X = rng.normal(size=(90, 5)) * [1, 10, 1e3, 1e-2, 1] + [0, 3, 1e4, 0, -1]
    return X, np.stack([X[:, 0] + rng.normal(size=90), X[:, 1] * 0.1], axis=1)


def test_parts_add_up_to_the_whole(rows: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = rows
    shift, scale = center_and_scale(X)
    parts = total_of(chunk_moments(X[i::3], Y[i::3], shift, scale) for i in range(3))
    whole = moments_of(X, Y)
    np.testing.assert_allclose(parts.ridge().weights, whole.ridge().weights, atol=1e-10)


def test_one_penalty_is_solved_as_among_many(rows: tuple[np.ndarray, np.ndarray]) -> None:
    moments = moments_of(*rows)
    path = moments.ridge()
    for place in (0, 8, 20):
        alone = moments.ridge(ALPHAS[[place]])
        np.testing.assert_allclose(alone.weights, path.at(place).weights, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(alone.intercept, path.at(place).intercept)


@pytest.mark.parametrize("penalized", [True, False])
def test_moments_tell_the_error_of_their_rows(rows: tuple[np.ndarray, np.ndarray], penalized: bool) -> None:
    X, Y = rows
    shift, scale = center_and_scale(X)
    path = chunk_moments(X[:60], Y[:60], shift, scale).ridge(penalized_intercept=penalized)
    told = chunk_moments(X[60:], Y[60:], shift, scale).squared_error(path) + (Y[60:] ** 2).sum()
    direct = ((path.predict(X[60:]) - Y[60:, None, :]) ** 2).sum(axis=(0, 2))
    np.testing.assert_allclose(told, direct, rtol=1e-9)


def test_some_columns_are_as_if_there_were_no_others(rows: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = rows
    some = np.array([3, 0])
    taken, direct = moments_of(X, Y).take(some).ridge(), moments_of(X[:, some], Y).ridge()
    np.testing.assert_allclose(taken.predict(X[:, some]), direct.predict(X[:, some]), atol=1e-9)


def test_a_column_constant_in_training_has_no_weight(rows: tuple[np.ndarray, np.ndarray]) -> None:
    X, Y = rows
    X[:, 4] = 0.1
    path = moments_of(X, Y).ridge()
    assert not path.weights[4].any()
    wild = X.copy()
    wild[:, 4] = 1e6
    np.testing.assert_array_equal(path.predict(wild), path.predict(X))


def test_no_rows_are_refused() -> None:
    with pytest.raises(InvalidProbe, match="no rows"):
        moments_of(np.zeros((0, 2)), np.zeros((0, 1)), shift=np.zeros(2), scale=np.ones(2))
