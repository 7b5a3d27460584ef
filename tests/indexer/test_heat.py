"""What a heat map of an answer measures: the answer's own density, asked of the gallery anew."""

import numpy as np
import pytest
from fakes import fingerprint_of, record

from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.heat import density_score
from placeprint.indexer.locator import Locator
from placeprint.indexer.settings import Settings


def of_place(lonlat: np.ndarray) -> np.ndarray:
    raw = np.concatenate([unit_vectors(lonlat), np.full((len(lonlat), 5), 0.1)], axis=1)
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def locator(settings: Settings, rng: np.random.Generator):
    lonlat = uniform_on_sphere(80, rng)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        gallery.add(
            [
                record(str(i), one, lon=lon, lat=lat, group=f"g{i}")
                for i, (one, (lon, lat)) in enumerate(zip(of_place(lonlat), lonlat.tolist(), strict=True))
            ]
        )
        yield Locator(gallery)


@pytest.mark.parametrize("prior", ["gallery", "uniform", "population"])
def test_the_score_of_the_whole_photo_is_the_density_of_its_answer(locator: Locator, prior) -> None:
    asked = of_place(np.array([[20.0, 50.0]]))[0]
    nearest = locator.gallery.nearest(asked, 1)[0].photo
    others = Filter(exclude_ids=frozenset([nearest.id]))
    location, _ = locator.locate(asked, filter=others, prior=prior)
    point = (location.lon, location.lat)
    score = density_score(locator, point, filter=others, prior=prior)(asked[None])
    expected = location.surface.log_density(np.array([point])) / np.log(2.0)
    np.testing.assert_allclose(score, expected, atol=1e-5)


def test_a_photo_that_may_not_speak_does_not(locator: Locator) -> None:
    asked = of_place(np.array([[20.0, 50.0]]))
    nearest = locator.gallery.nearest(asked[0], 1)[0].photo
    others = Filter(exclude_ids=frozenset([nearest.id]))
    there = (nearest.lon, nearest.lat)
    assert density_score(locator, there)(asked) > density_score(locator, there, filter=others)(asked)


def test_a_photo_of_the_place_scores_higher_than_one_of_elsewhere(locator: Locator) -> None:
    score = density_score(locator, (179.9, -17.0))  # Fiji, by the antimeridian
    here, across, elsewhere = score(of_place(np.array([[179.9, -17.0], [-179.9, -17.0], [0.0, 50.0]])))
    assert here == pytest.approx(across, abs=0.3) and here > elsewhere + 1.0


def test_other_photos_of_the_place_stay_whole(locator: Locator) -> None:
    there, elsewhere = of_place(np.array([[20.0, 50.0], [-100.0, -40.0]]))
    alone = density_score(locator, (20.0, 50.0))
    together = density_score(locator, (20.0, 50.0), others=9.0 * there)
    assert together(elsewhere[None]) > alone(elsewhere[None]) + 1.0
    np.testing.assert_allclose(together(elsewhere[None]), alone((elsewhere + 9.0 * there)[None]), atol=1e-6)
