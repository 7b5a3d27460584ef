"""Regions cover what they state, also where a density is surer of one continent than of another."""

import numpy as np
import pytest

from placeprint.encoders.sphere import destination, unit_vectors
from placeprint.indexer.conformal import Held, conformal_level, held, with_region_levels
from placeprint.indexer.surface import Mixture, kappa_of_km
from placeprint.indexer.surface_model import SurfaceModel, default_surface_model

LEVELS = (0.5, 0.9)


def photos_of(continent: str, mass) -> list[Held]:
    return [Held(float(one), continent) for one in mass]


def test_the_conformal_level_is_the_finite_sample_quantile():
    mass = np.arange(1, 10) / 10.0  # n = 9: the ⌈10 · 0.5⌉ = 5th smallest
    assert conformal_level(mass[::-1], 0.5) == pytest.approx(0.5)


def test_too_few_photos_for_a_level_give_the_whole_density():
    assert conformal_level(np.array([0.2, 0.3]), 0.9) == 1.0


def test_a_photo_of_weight_two_counts_twice():
    mass = np.array([0.4, 0.1, 0.2, 0.3])
    twice = conformal_level(mass, 0.5, np.array([1.0, 2.0, 1.0, 1.0]))
    assert twice == conformal_level(np.array([0.4, 0.1, 0.1, 0.2, 0.3]), 0.5)


def test_a_flat_density_holds_its_middle_anywhere():
    assert held(np.array([12.0, 34.0]), Mixture.uniform()).mass == 0.5


def test_the_farther_off_the_truth_the_more_is_held_before_it():
    center = np.array([20.0, 5.0])
    surface = Mixture(unit_vectors(center)[None], kappa_of_km([100.0]), np.zeros(1))
    near, far = (held(destination(center, 90.0, km), surface) for km in (30.0, 200.0))
    # The mass within r of the center of a planar Gaussian is 1 − e^{−r²/2σ²}.
    assert near.mass == pytest.approx(1.0 - np.exp(-0.045), abs=0.02)
    assert far.mass == pytest.approx(1.0 - np.exp(-2.0), abs=0.02)
    assert near.continent == "AF"


@pytest.fixture(scope="module")
def mixed() -> SurfaceModel:
    """A density that is sound in Europe and overconfident in South America, and barely known in Oceania."""
    rng = np.random.default_rng(0)
    photos = [
        *photos_of("EU", rng.random(400)),
        *photos_of("SA", rng.random(100) ** 0.2),
        *photos_of("OC", rng.random(5)),
    ]
    return with_region_levels(default_surface_model(), photos, LEVELS)


def test_each_continent_gets_the_levels_it_needs(mixed):
    europe, america = (dict(mixed.levels_on(one)) for one in ("EU", "SA"))
    assert europe[0.5] == pytest.approx(0.5, abs=0.08)
    assert america[0.5] > 0.75  # its median is 0.87
    assert america[0.9] > europe[0.9]


def test_new_photos_of_each_continent_are_covered(mixed):
    rng = np.random.default_rng(1)
    for continent, mass in (("EU", rng.random(4000)), ("SA", rng.random(4000) ** 0.2)):
        level = dict(mixed.levels_on(continent))[0.9]
        assert np.mean(mass <= level) == pytest.approx(0.9, abs=0.04)


def test_a_continent_of_few_photos_has_the_levels_of_all(mixed):
    assert mixed.levels_on("OC") == mixed.levels_on("AN") == mixed.region_levels
    assert {name for name, _, _ in mixed.continent_levels} == {"EU", "SA"}


def test_few_photos_borrow_from_the_others():
    own = np.linspace(0.9, 0.99, 30)
    photos = [*photos_of("EU", np.linspace(0.0, 1.0, 400)), *photos_of("AF", own)]
    model = with_region_levels(default_surface_model(), photos, (0.5,))
    assert 0.92 < dict(model.levels_on("AF"))[0.5] < conformal_level(own, 0.5)


def test_the_levels_survive_json(mixed):
    assert SurfaceModel.from_dict(mixed.to_dict()) == mixed
