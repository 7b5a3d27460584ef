"""Predictions from labeled neighbors.

Claims: nobody is its own neighbor, whatever shares its place; the antimeridian and the poles are no
borders; held-out neighbors lie outside the inner fold; weights sum to one and are what their names say;
classes are smoothed as columns of zeros and ones would be.
"""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidProbe
from placeprint.encoders.probes.neighbors import (
    Near,
    context,
    density,
    held_out_nearest,
    nearest,
    smooth,
    smooth_classes,
    smoother_names,
    smoother_weights,
    spacing_km,
    spread_of_labels,
)
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere


@pytest.fixture
def lonlat(rng: np.random.Generator) -> np.ndarray:
    return uniform_on_sphere(200, rng)


def test_neighbors_are_the_nearest_by_great_circle(lonlat: np.ndarray) -> None:
    among, of = np.arange(0, 150), np.arange(140, 200)
    near = nearest(lonlat, among, of, 4)
    for place, row in enumerate(of):
        others = among[among != row]
        km = great_circle_km(lonlat[row], lonlat[others])
        order = np.argsort(km)[:4]
        np.testing.assert_array_equal(near.rows[place], others[order])
        np.testing.assert_allclose(near.km[place], km[order], rtol=1e-9)


def test_the_antimeridian_and_the_poles_are_no_borders() -> None:
    lonlat = np.array([[179.99, -16.8], [-179.99, -16.8], [178.0, -16.8], [0.0, 89.99], [180.0, 89.99]])
    near = nearest(lonlat, np.arange(5), np.arange(5), 1)
    assert near.rows[:, 0].tolist() == [1, 0, 0, 4, 3]
    assert near.km[0, 0] == pytest.approx(2.129, abs=1e-3)


def test_nobody_is_its_own_neighbor_where_many_share_a_place() -> None:
    lonlat = np.tile([[-118.3, 34.1]], (30, 1))
    rows = np.arange(30)
    near = nearest(lonlat, rows, rows, 3)
    assert not (near.rows == rows[:, None]).any()
    np.testing.assert_array_equal(near.km, 0.0)


def test_one_labeled_row_is_not_enough(lonlat: np.ndarray) -> None:
    with pytest.raises(InvalidProbe, match="too few"):
        nearest(lonlat, np.array([3]), np.arange(5))


def test_held_out_neighbors_lie_outside_the_inner_fold(lonlat: np.ndarray) -> None:
    train = np.arange(20, 180)
    inner = np.arange(160) % 4
    near = held_out_nearest(lonlat, train, inner, 6)
    assert (inner[near.rows - 20] != inner[:, None]).all()
    alone = held_out_nearest(lonlat, train, None, 6)
    assert not (alone.rows == train[:, None]).any()
    assert (alone.km <= near.km).all()


def test_weights_sum_to_one_and_favor_the_near(lonlat: np.ndarray) -> None:
    near = nearest(lonlat, np.arange(150), np.arange(150, 200), 48)
    weights = smoother_weights(near, spacing_km(near))
    assert weights.shape == (50, len(smoother_names()), 48)
    np.testing.assert_allclose(weights.sum(axis=2), 1.0, atol=1e-6)
    assert (np.diff(weights, axis=2) <= 1e-7).all()


def test_the_smoothers_are_what_they_are_called() -> None:
    near = Near(np.arange(1, 49)[None, :], np.linspace(1.0, 48.0, 48)[None, :])
    weights = dict(zip(smoother_names(), smoother_weights(near, 10.0)[0], strict=True))
    np.testing.assert_allclose(weights["mean of 5"][:6], [0.2] * 5 + [0.0])
    np.testing.assert_allclose(weights["10 by 1/d^1"][0] / weights["10 by 1/d^1"][3], (4 + 1) / (1 + 1))
    np.testing.assert_allclose(weights["48 by 1/d^2"][0] / weights["48 by 1/d^2"][3], 25 / 4, rtol=1e-5)
    kernel = weights["kernel of 1 spacings"]
    assert kernel[9] / kernel[0] == pytest.approx(np.exp(-0.5 * (100 - 1) / 100), rel=1e-5)


def test_a_kernel_far_from_all_is_the_nearest_row() -> None:
    near = Near(np.arange(3)[None, :], np.array([[9000.0, 9500.0, 9999.0]]))
    kernel = smoother_weights(near, 1.0)[0, smoother_names().index("kernel of 0.5 spacings")]
    np.testing.assert_allclose(kernel, [1.0, 0.0, 0.0])


def test_classes_are_smoothed_as_zeros_and_ones(lonlat: np.ndarray, rng: np.random.Generator) -> None:
    near = nearest(lonlat, np.arange(150), np.arange(150, 200), 7)
    weights, codes = rng.random((50, 3, 7)), rng.integers(0, 4, 200)
    found = smooth_classes(weights, near, codes, 4)
    np.testing.assert_allclose(found, smooth(weights, near, np.eye(4)[codes]), atol=1e-12)


def test_what_stands_beside(lonlat: np.ndarray) -> None:
    near = Near(np.arange(48)[None, :], np.concatenate([[0.0, 0.0], np.linspace(1, 46, 46)])[None, :])
    np.testing.assert_allclose(np.expm1(density(near, 10.0))[0], [2, 5, 12, 32])
    np.testing.assert_allclose(np.exp(context(near, 10.0))[0], [1.0, 4.0, 19.0])
    values = np.arange(48.0)
    np.testing.assert_allclose(spread_of_labels(near, values)[0, 1:4], [2.0, 0.0, 4.0])
