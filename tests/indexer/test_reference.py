"""The gallery's prior can be taken out of an answer, and area or people put in its place."""

import numpy as np
import pytest
from fakes import fingerprint_of, record, unit_rows

from placeprint.encoders.sphere import EARTH_AREA_KM2, uniform_on_sphere, unit_vectors
from placeprint.indexer.evidence import Heard
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.locator import Locator
from placeprint.indexer.prior import Prior
from placeprint.indexer.reference import log_population, tilts
from placeprint.indexer.settings import Settings
from placeprint.indexer.support import Support

TOKYO, PACIFIC, SAHARA = [139.7, 35.7], [-140.0, 0.0], [5.0, 25.0]


@pytest.fixture(scope="module")
def support() -> Support:
    """Of photos nearly all in Europe."""
    rng = np.random.default_rng(0)
    lonlat = np.concatenate([rng.normal([10.0, 50.0], 4.0, (190, 2)), uniform_on_sphere(10, rng)])
    return Support.of_prior(Prior.from_lonlat(lonlat), n_drawn=3000)


def mixture(support: Support, prior: str):
    heard = Heard(
        support, np.zeros((0, len(support)), np.float32), support.log_weights(), tilts(support, prior)
    )
    return support.mixture(heard.log_weight + heard.score(()))


def test_the_gallerys_own_prior_changes_nothing(support: Support) -> None:
    assert np.array_equal(tilts(support, "gallery"), np.zeros(len(support)))


def test_a_uniform_prior_is_about_even_over_the_earth(support: Support) -> None:
    at = unit_vectors(uniform_on_sphere(4000, np.random.default_rng(1)))
    density = mixture(support, "uniform").log_density_at(at) + np.log(EARTH_AREA_KM2)
    assert abs(np.median(density)) < 0.5
    europe = unit_vectors(np.array([[10.0, 50.0]]))
    before = mixture(support, "gallery").log_density_at(europe) + np.log(EARTH_AREA_KM2)
    after = mixture(support, "uniform").log_density_at(europe) + np.log(EARTH_AREA_KM2)
    assert before[0] > 4.0
    assert abs(after[0]) < 1.0


def test_people_live_in_tokyo_and_not_in_the_pacific() -> None:
    tokyo, pacific, sahara = log_population(unit_vectors(np.array([TOKYO, PACIFIC, SAHARA])))
    assert tokyo > sahara + 4.0
    assert pacific == pytest.approx(np.log(0.05 / EARTH_AREA_KM2), abs=0.01)


def test_the_density_of_people_adds_up_to_one() -> None:
    at = unit_vectors(uniform_on_sphere(30_000, np.random.default_rng(2)))
    assert np.exp(log_population(at)).mean() * EARTH_AREA_KM2 == pytest.approx(1.0, abs=0.25)


def test_an_answer_without_the_gallerys_prior_is_not_called_calibrated(
    settings: Settings, rng: np.random.Generator
) -> None:
    lonlat = np.concatenate([rng.normal([10.0, 50.0], 3.0, (50, 2)), [TOKYO]])
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        gallery.add(
            [
                record(str(i), embedding, lon=lon, lat=lat, group=f"g{i}")
                for i, ((lon, lat), embedding) in enumerate(
                    zip(lonlat.tolist(), unit_rows(rng, 51, 8), strict=True)
                )
            ]
        )
        locator, asked = Locator(gallery), unit_rows(rng, 1, 8)[0]
        kept, even = (locator.locate(asked, prior=prior)[0] for prior in ("gallery", "uniform"))
    assert kept.is_calibrated
    assert not even.is_calibrated
    assert even.surface.log_density(np.array([PACIFIC])) > kept.surface.log_density(np.array([PACIFIC])) + 1.0
