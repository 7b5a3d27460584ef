"""Named places by text: posteriors, priors, temperatures, places, and the demonstration encoder."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from placeprint.encoders.captioning.zero_shot import (
    TEMPLATES,
    NamedPlaces,
    climate_texts,
    countries,
    country_texts,
    fit_temperature,
)
from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption, NoTextTower, UnknownWords
from placeprint.encoders.places import load_places


class Letters:
    """Embeds a text by which letters it has."""

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = np.array(
            [[one.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for one in texts]
        )
        unit: NDArray[np.float32] = (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(
            np.float32
        )
        return unit


NAMES = ("Norway", "Fiji", "the Netherlands")
PLACES = [(10.7, 59.9), (178.4, -18.1), (4.9, 52.4)]


@pytest.fixture
def named() -> NamedPlaces:
    return NamedPlaces.of(Letters(), NAMES, PLACES)


def test_a_name_is_the_mean_of_its_sentences(named: NamedPlaces) -> None:
    mean = Letters().embed_texts([one.format("Fiji") for one in TEMPLATES]).mean(axis=0)
    np.testing.assert_allclose(named.embeddings[1], mean / np.linalg.norm(mean), rtol=1e-6)


def test_the_posterior_adds_up_and_follows_similarity(named: NamedPlaces) -> None:
    images = Letters().embed_texts(["Fiji", "Netherlands"])
    posterior = named.posterior(images, temperature=0.05)
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)
    assert posterior.argmax(axis=1).tolist() == [1, 2]
    assert (posterior.argsort(axis=1) == named.similarity(images).argsort(axis=1)).all()


def test_temperature_and_prior(named: NamedPlaces) -> None:
    images = Letters().embed_texts(["Fiji"])
    sharp, soft = (named.posterior(images, temperature=t)[0, 1] for t in (0.01, 1.0))
    assert sharp > soft > 1 / 3
    prior = named.posterior(images, temperature=1e9, prior=[1, 2, 5])
    np.testing.assert_allclose(prior, [[0.125, 0.25, 0.625]], rtol=1e-6)
    assert named.posterior(images, temperature=0.01, prior=[1, 0, 1])[0, 1] == 0.0


def test_the_best_place_is_a_listed_one_and_minds_the_rest(named: NamedPlaces) -> None:
    certain = named.best_places(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(certain, [PLACES[1], PLACES[2]])
    # Fiji is most probable, but most of the rest lies near Norway.
    np.testing.assert_allclose(named.best_places(np.array([[0.33, 0.35, 0.32]])), [PLACES[0]])


def test_a_temperature_is_found_again(rng: np.random.Generator) -> None:
    similarity = rng.uniform(-1, 1, (4000, 5))
    odds = np.exp(similarity / 0.2) * np.array([1, 2, 3, 4, 5])
    truth = np.array([rng.choice(5, p=row / row.sum()) for row in odds])
    assert fit_temperature(similarity, truth, [1, 2, 3, 4, 5]) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("prior", [[1, 2], [0, 0, 0], [1, -1, 1], [np.nan, 1, 1]])
def test_a_prior_that_is_none_is_refused(named: NamedPlaces, prior: list[float]) -> None:
    with pytest.raises(InvalidOption, match="prior of 3 names"):
        named.posterior(named.embeddings, temperature=1.0, prior=prior)


def test_what_has_no_meaning_is_refused(named: NamedPlaces) -> None:
    with pytest.raises(InvalidOption, match="above 0"):
        named.posterior(named.embeddings, temperature=0.0)
    with pytest.raises(InvalidOption, match="some names, and templates"):
        NamedPlaces.of(Letters(), NAMES, templates=["A street."])
    with pytest.raises(InvalidOption, match="0 names"):
        NamedPlaces.of(Letters(), [])
    with pytest.raises(InvalidOption, match="one place each"):
        NamedPlaces.of(Letters(), NAMES, PLACES[:2])
    with pytest.raises(InvalidCoordinate):
        NamedPlaces.of(Letters(), ["Nowhere"], [(0.0, 99.0)])
    with pytest.raises(InvalidOption, match="no places"):
        NamedPlaces.of(Letters(), NAMES).best_places(np.ones((1, 3)) / 3)
    with pytest.raises(InvalidOption, match="none"):
        fit_temperature(np.empty((0, 3)), np.empty(0, dtype=np.intp))
    with pytest.raises(InvalidOption, match="no country 'UK'"):
        country_texts(Letters(), ["UK"])


def test_countries_lie_where_their_people_live_also_across_the_antimeridian() -> None:
    known = countries()
    assert len(known.codes) == len(set(known.codes)) == 245 and "NA" in known.codes
    nearest = load_places().nearest(known.lonlat)
    assert load_places().country_code[nearest.index].tolist() == list(known.codes)
    place = dict(zip(known.codes, known.lonlat.tolist(), strict=True))
    assert abs(place["FJ"][0]) > 176 and place["FJ"][1] < -15
    assert -105 < place["US"][0] < -80 and 30 < place["RU"][0] < 70
    assert dict(zip(known.codes, known.names, strict=True))["NL"] == "the Netherlands"


def test_some_countries_in_the_order_asked() -> None:
    some = country_texts(Letters(), ["PE", "NL"])
    assert some.names == ("Peru", "the Netherlands") and some.embeddings.shape == (2, 26)


def test_main_climates() -> None:
    climates = climate_texts(Letters())
    assert climates.names == ("tropical", "dry", "temperate", "continental", "polar")
    np.testing.assert_allclose(np.linalg.norm(climates.embeddings, axis=1), 1.0, rtol=1e-6)


def test_the_demonstration_encoder_tells_regions_by_text_and_refuses_countries() -> None:
    encoder = load_encoder("demonstration")
    named = NamedPlaces.of(
        encoder, ("north america", "middle east", "east asia"), templates=("a street in {}",)
    )
    images = encoder.embed_texts(["cactus in america", "a mosque with a minaret", "a tall pagoda"])
    assert named.similarity(images).argmax(axis=1).tolist() == [0, 1, 2]
    with pytest.raises(UnknownWords, match="Fiji"):
        NamedPlaces.of(encoder, ["Fiji"], templates=["{}"])


def test_an_encoder_without_texts_says_so() -> None:
    class Mute:
        def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise NoTextTower("knows pictures only")

    with pytest.raises(NoTextTower):
        country_texts(Mute())
