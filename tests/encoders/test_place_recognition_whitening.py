"""Whitening: identity covariance on what it was fitted to, prefixes, few photos, a checksum."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from placeprint.encoders.errors import InvalidOption, TooFewPairs, WeightsUnavailable
from placeprint.encoders.place_recognition import whitening as module
from placeprint.encoders.place_recognition.whitening import Whitening


def correlated(rng: np.random.Generator, n: int, width: int) -> NDArray[np.float32]:
    found: NDArray[np.float32] = (2.0 + rng.normal(size=(n, width)) @ rng.normal(size=(width, width))).astype(
        "f4"
    )
    return found


def projected(whitening: Whitening, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """By the formula, before unit length."""
    mean, basis, values = (one.numpy().astype(np.float64) for one in whitening.tensors.values())
    return np.diag(1.0 / np.sqrt(values + 1e-9)) @ basis @ (x - mean).T


@pytest.mark.parametrize(("n", "width"), [(300, 6), (20, 50)])
def test_what_it_was_fitted_to_comes_out_white(n: int, width: int, rng: np.random.Generator) -> None:
    x = correlated(rng, n, width)
    found = Whitening.fit(x)
    np.testing.assert_allclose(np.cov(projected(found, x)), np.eye(found.dimension), atol=1e-4)


def test_it_is_the_formula_and_unit_length(rng: np.random.Generator) -> None:
    x = correlated(rng, 300, 6)
    found = Whitening.fit(x)
    expected = projected(found, x).T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found(torch.from_numpy(x)), expected, atol=1e-5)
    assert (np.diff(found.eigenvalues) <= 0).all()
    np.testing.assert_allclose(found.basis @ found.basis.T, np.eye(6), atol=1e-5)


def test_fewer_photos_than_dimensions_leave_one_less_than_there_are(rng: np.random.Generator) -> None:
    x = correlated(rng, 20, 50)
    assert Whitening.fit(x).dimension == 19
    with pytest.raises(InvalidOption, match="20 embeddings of 50 dimensions leave 19"):
        Whitening.fit(x, dimension=20)


def test_both_ways_to_the_eigenvectors_agree(rng: np.random.Generator) -> None:
    x = correlated(rng, 40, 12)
    wide = np.concatenate([x, np.zeros((40, 60), np.float32)], axis=1)  # dimensions that say nothing
    few, many = Whitening.fit(wide), Whitening.fit(x)
    np.testing.assert_allclose(few.eigenvalues, many.eigenvalues, rtol=1e-4)
    np.testing.assert_allclose(few.basis[:, :12], many.basis, atol=1e-4)


def test_a_prefix_is_the_first_dimensions_at_unit_length(rng: np.random.Generator) -> None:
    x = correlated(rng, 300, 6)
    whole = Whitening.fit(x)
    expected = torch.nn.functional.normalize(whole(torch.from_numpy(x))[:, :3], dim=1)
    np.testing.assert_allclose(whole.prefix(3)(torch.from_numpy(x)), expected, atol=1e-6)
    np.testing.assert_allclose(Whitening.fit(x, dimension=3).basis, whole.basis[:3], atol=1e-6)
    with pytest.raises(InvalidOption, match="1 to 6"):
        whole.prefix(7)


def test_only_so_many_photos_are_looked_at(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PHOTOS", 10)
    x = correlated(rng, 500, 30)
    found = Whitening.fit(x, seed=1)
    assert found.dimension == 9
    assert found.checksum == Whitening.fit(x, seed=1).checksum != Whitening.fit(x, seed=2).checksum


def test_equal_data_give_equal_signs(rng: np.random.Generator) -> None:
    x = correlated(rng, 100, 5)
    for row in Whitening.fit(x).basis:
        assert float(row[row.abs().argmax()]) > 0.0


def test_a_file_that_was_edited_is_found_out(rng: np.random.Generator) -> None:
    found = Whitening.fit(correlated(rng, 100, 5))
    assert Whitening.of_tensors(found.tensors, found.checksum).checksum == found.checksum
    edited = {**found.tensors, "mean": found.mean + 1e-6}
    with pytest.raises(WeightsUnavailable, match="checksum"):
        Whitening.of_tensors(edited, found.checksum)


@pytest.mark.parametrize("x", [np.zeros((0, 4), "f4"), np.ones((1, 4), "f4"), np.ones((9, 4), "f4")])
def test_photos_that_do_not_differ_are_too_few(x: NDArray[np.float32]) -> None:
    with pytest.raises(TooFewPairs, match="do not differ"):
        Whitening.fit(x)
