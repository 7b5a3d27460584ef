"""Entropy: values by hand, what is not covered, weights and the report."""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.mosaics.entropy import (
    class_shares,
    entropy_bits,
    sampling_weight,
)


def view(*counts: int) -> np.ndarray:
    """A view of 8 × 8 with so many pixels of each class, from class 0 on."""
    ids = np.repeat(np.arange(len(counts)), counts).astype(np.uint8)
    return ids.reshape(8, 8)


def test_values_by_hand() -> None:
    views = np.stack([view(0, 64), view(0, 32, 32), view(0, 16, 16, 16, 16), view(0, 48, 16)])
    quarter = -(0.75 * np.log2(0.75) + 0.25 * np.log2(0.25))
    assert entropy_bits(views) == pytest.approx([0.0, 1.0, 2.0, quarter])


def test_what_is_not_covered_says_nothing() -> None:
    views = np.stack([view(64), view(32, 32), view(32, 16, 16), view(0, 32, 32)])
    assert entropy_bits(views) == pytest.approx([0.0, 0.0, 0.5, 1.0])


def test_all_classes_alike_say_most() -> None:
    ids = np.repeat(np.arange(1, 16), 15).reshape(1, 15, 15).astype(np.uint8)
    assert entropy_bits(ids)[0] == pytest.approx(np.log2(15))


def test_shares_of_a_batch_are_those_of_each(rng: np.random.Generator) -> None:
    ids = rng.integers(0, 16, (7, 9, 11), dtype=np.uint8)
    shares = class_shares(ids)
    assert shares.shape == (7, 16)
    assert shares.sum(axis=1) == pytest.approx(1.0)
    for one, row in zip(ids, shares, strict=True):
        assert row == pytest.approx(np.bincount(one.ravel(), minlength=16) / 99)
    assert entropy_bits(np.empty((0, 4, 4), np.uint8)).shape == (0,)


def test_weights_rise_from_the_floor_to_one() -> None:
    weight = sampling_weight(np.array([0.0, 1.0, 2.0, 3.0]), reference=2.0, keep_floor=0.2)
    assert weight == pytest.approx([0.2, 0.6, 1.0, 1.0])


def test_the_sea_must_stay_possible() -> None:
    for floor in (0.0, -0.1, 1.1):
        with pytest.raises(InvalidOption, match="keep_floor"):
            sampling_weight(np.zeros(1), reference=1.0, keep_floor=floor)
    with pytest.raises(InvalidOption, match="positive bits"):
        sampling_weight(np.zeros(1), reference=0.0)
