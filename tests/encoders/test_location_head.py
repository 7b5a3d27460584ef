"""A bilinear head finds what photos and places have in common, and nothing where there is nothing."""

import numpy as np
import pytest

from placeprint.encoders.errors import TooFewPairs
from placeprint.encoders.location_head import (
    Axes,
    fit_location_head,
    fit_over_penalties,
    information_bits,
)


@pytest.fixture
def world(rng):
    """300 photos whose first numbers follow those of their place, and 400 contrast places."""
    places, contrast = rng.normal(size=(300, 12)), rng.normal(size=(400, 12))
    photos = np.concatenate(
        [places[:, :3] + 0.5 * rng.normal(size=(300, 3)), rng.normal(size=(300, 7))], axis=1
    )
    return photos.astype(np.float32), places.astype(np.float32), contrast.astype(np.float32)


def bits_of(head, photos, places, contrast):
    own = (head.queries(photos) * head.keys(places)).sum(axis=1)
    return information_bits(own, head.scores(photos, contrast))


def test_places_not_seen_are_told_apart(world):
    photos, places, contrast = world
    head = fit_location_head(photos[:200], places[:200], contrast, penalty=1e-3)
    assert bits_of(head, photos[200:], places[200:], contrast).mean() > 1.0


def test_the_gradient_is_that_of_the_loss(world):
    """At the optimum every change of W makes the penalized likelihood worse."""
    photos, places, contrast = world
    head = fit_location_head(photos, places, contrast, penalty=1e-2, n_steps=400)
    a, b, c = head.image(photos), head.place(places), head.place(contrast)

    def loss(weight):
        logits = (a @ weight) @ c.T
        own = (a @ weight * b).sum(axis=1)
        return (np.log(np.exp(logits).sum(axis=1)) - own).mean() + 0.5e-2 * (weight**2).sum()

    best = loss(head.weight)
    for direction in np.random.default_rng(1).normal(size=(20, *head.weight.shape)):
        assert loss(head.weight + 0.3 * direction / np.linalg.norm(direction)) > best


def test_photos_that_say_nothing_get_strong_penalties_and_no_weight(rng):
    photos, places = rng.normal(size=(200, 10)), rng.normal(size=(200, 8))
    contrast = rng.normal(size=(300, 8))
    folds = np.arange(200) % 4
    head, heads = fit_over_penalties(photos, places, contrast, folds, penalties=(1.0, 1e-1, 1e-3))
    assert head.penalty == 1.0
    assert len(heads) == 4
    assert np.abs(bits_of(head, photos, places, contrast.astype(np.float32))).max() < 0.2


def test_what_speaks_is_found_with_a_weaker_penalty(world):
    photos, places, contrast = world
    head, heads = fit_over_penalties(photos, places, contrast, np.arange(300) % 3)
    assert head.penalty < 3e-2
    assert {one.penalty for one in heads} == {head.penalty}


def test_a_fold_is_judged_without_its_photos(world):
    """A fold of nonsense is not learned by the head of the others."""
    photos, places, contrast = world
    folds = np.repeat([0, 1, 2], 100)
    spoiled = photos.copy()
    spoiled[folds == 0] = 0.0
    _, heads = fit_over_penalties(spoiled, places, contrast, folds, penalties=(1e-3,))
    direct = fit_location_head(spoiled[folds != 0], places[folds != 0], contrast, penalty=1e-3)
    np.testing.assert_allclose(heads[0].weight, direct.weight, atol=1e-4)


def test_the_same_data_give_the_same_head(world):
    one, two = (fit_location_head(*world) for _ in range(2))
    assert np.array_equal(one.weight, two.weight)


def test_more_axes_than_photos_are_no_error(rng):
    axes = Axes.of(rng.normal(size=(5, 40)), 64)
    assert axes.basis.shape == (40, 4)


def test_axes_scale_to_unit_mean_square(rng):
    rows = rng.normal(size=(500, 6)) * [5, 1, 1, 1, 0.1, 0]
    coordinates = Axes.of(rows, 6)(rows)
    assert (coordinates**2).sum(axis=1).mean() == pytest.approx(1.0, rel=1e-3)


def test_flattening_makes_small_axes_larger(rng):
    rows = rng.normal(size=(500, 3)) * [9, 3, 1]
    plain, flat = (Axes.of(rows, 3, flatten=exponent)(rows).std(axis=0) for exponent in (0.0, 0.5))
    assert flat[2] / flat[0] == pytest.approx(np.sqrt(plain[2] / plain[0]), rel=1e-3)


def test_bits_are_zero_where_all_places_are_alike():
    assert information_bits(np.zeros(3), np.zeros((3, 7))) == pytest.approx(np.zeros(3))


def test_twice_as_likely_is_one_bit():
    contrast = np.log(np.array([[2.0, 0.5, 0.5]]))
    assert information_bits(np.log([2.0]), contrast) == pytest.approx([1.0])


def test_too_few_photos_are_refused(rng):
    with pytest.raises(TooFewPairs, match="not 1 and 9"):
        fit_location_head(rng.normal(size=(1, 3)), rng.normal(size=(1, 3)), rng.normal(size=(9, 3)))
    with pytest.raises(ValueError, match="one place for each photo"):
        fit_location_head(rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=(9, 3)))
