"""Boosted trees on top of the stack.

Claims: they add what a linear stack cannot say; of noise they take little; test labels are not read.
"""

import numpy as np
import pytest

from placeprint.encoders.probes.boost import Table, boosted_correction
from placeprint.encoders.probes.folds import Split
from placeprint.encoders.probes.level1 import Fold, Labeled, neighbor_predictions


@pytest.fixture
def lonlat(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform([-6.0, 40.0], [6.0, 50.0], (700, 2))


@pytest.fixture
def features(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(700, 3)).astype(np.float32)


def corrected(lonlat: np.ndarray, features: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The correction of a stack that says 0, and the numbers of the test rows."""
    fold = Fold.of(Labeled.of(lonlat, y, False), Split().folds(lonlat), 0, Split())
    table = Table.of(fold, *neighbor_predictions(fold), features)
    assert table.train.shape[1] == table.test.shape[1]
    return boosted_correction(fold, table, np.zeros(len(fold.train)), n_rounds=60), fold.test


def test_they_add_what_is_left_and_read_no_test_label(lonlat: np.ndarray, features: np.ndarray) -> None:
    y = 3.0 * np.sign(features[:, 0]) * (features[:, 1] > 0)
    added, test = corrected(lonlat, features, y)
    assert 1 - ((y[test] - added) ** 2).mean() / y[test].var() > 0.5
    other = y.copy()
    other[test] = 1e6
    np.testing.assert_array_equal(corrected(lonlat, features, other)[0], added)


def test_of_noise_they_take_little(
    lonlat: np.ndarray, features: np.ndarray, rng: np.random.Generator
) -> None:
    added, _ = corrected(lonlat, features, rng.normal(size=700))
    assert added.std() < 0.3
