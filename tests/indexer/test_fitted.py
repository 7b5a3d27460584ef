"""A gallery's geolocation is fitted without seeing the answer, and uses evidence where it pays."""

import numpy as np
import pytest
from fakes import exact_neighbors

from placeprint.encoders.sphere import destination, uniform_on_sphere, unit_vectors
from placeprint.indexer import fitted as module
from placeprint.indexer.fitted import (
    CLASSIFIER,
    LOCATION_HEAD,
    Fitted,
    fit_geolocation,
    group_folds,
)
from placeprint.indexer.held_out import HeldOut

N = 320
REGIONS = np.array([[0.0, 45.0], [100.0, 45.0], [-100.0, 45.0], [20.0, 5.0], [140.0, 44.0], [-60.0, 46.0]])


class FakePlaces:
    """A location encoder that knows latitude and little else."""

    name, dimension, fingerprint = "latitude", 3, "fake"

    def encode(self, lonlat, *, batch_size=0):
        z = unit_vectors(np.asarray(lonlat))[:, 2]
        return np.stack([z, z**2, z**3], axis=1).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "N_DRAWN", 400)
        patch.setattr(module, "MIN_PHOTOS", N - 20)
        patch.setattr(module, "_MAX_LEVEL_PHOTOS", 100)
        patch.setattr(module, "_MAX_FUSION_PHOTOS", 250)
        yield


def photos_that_know(what, *, seed=0) -> HeldOut:
    """Noise and, weakly, the latitude or the region: too weak for neighbors, clear to a head."""
    rng = np.random.default_rng(seed)
    lonlat = uniform_on_sphere(N, rng)
    signal = np.zeros((N, 6))
    if what == "latitude":
        signal[:, 0] = 0.6 * unit_vectors(lonlat)[:, 2]
    elif what == "region":
        region = rng.integers(0, 6, N)
        lonlat = destination(REGIONS[region], rng.uniform(0.0, 360.0, N), rng.exponential(300.0, N))
        signal[np.arange(N), region] = 0.5
    embeddings = np.concatenate([signal, 0.25 * rng.normal(size=(N, 14))], axis=1)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    near = exact_neighbors(embeddings, lonlat, [f"g{i // 2}" for i in range(N)], k=40)
    return HeldOut(near.lonlat, near.group, near.similarity, near.neighbor_lonlat, embeddings.astype("f4"))


@pytest.fixture(scope="module")
def latitude() -> HeldOut:
    return photos_that_know("latitude")


def fit(sample: HeldOut, **options) -> Fitted:
    return fit_geolocation(sample, sample.lonlat, sample.group.tolist(), FakePlaces, **options)


def log_density(fitted: Fitted, sample: HeldOut, row: int, *, is_heard: bool) -> float:
    heard = fitted.heard(sample.embedding[row]) if is_heard else None
    surface = fitted.surface(sample.similarity[row], sample.neighbor_lonlat[row], fitted.prior, heard)
    return float(surface.log_density(sample.lonlat[row][None])[0])


@pytest.fixture(scope="module")
def told(latitude) -> tuple[Fitted, list[str]]:
    """A fit, and the stages it told of."""
    stages: list[str] = []
    return fit(latitude, stage=stages.append), stages


def gain_on(other: HeldOut, fitted: Fitted) -> float:
    """Nats by which the evidence makes the places of photos likelier, on the mean."""
    return float(
        np.mean(
            [
                log_density(fitted, other, row, is_heard=True)
                - log_density(fitted, other, row, is_heard=False)
                for row in range(60)
            ]
        )
    )


def test_evidence_helps_photos_of_another_draw(told):
    fitted, stages = told
    assert fitted.evidence is not None
    assert len(stages) == 3
    assert gain_on(photos_that_know("latitude", seed=1), fitted) > 0.2


def test_what_the_location_encoder_cannot_tell_the_geocells_do():
    """All but one region have the same latitude, which is all that the encoder knows."""
    fitted = fit(photos_that_know("region"))
    assert fitted.evidence is not None
    assert CLASSIFIER in [source.name for source in fitted.evidence.sources]
    assert len(fitted.model.evidence_weights) == len(fitted.evidence.sources)
    assert gain_on(photos_that_know("region", seed=1), fitted) > 0.1


def test_a_source_that_says_nothing_new_is_left_out(told):
    assert [source.name for source in told[0].evidence.sources] == [LOCATION_HEAD]


def test_the_length_of_an_embedding_says_nothing(latitude, told):
    """Several photos of one place are asked about by the sum of their embeddings."""
    one, thrice = (told[0].heard(factor * latitude.embedding[3]) for factor in (1.0, 3.0))
    np.testing.assert_allclose(one.log_ratios, thrice.log_ratios, rtol=1e-4, atol=1e-5)


def test_regions_are_calibrated_with_the_evidence(told):
    levels = dict(told[0].model.region_levels)
    assert 0.3 < levels[0.5] < 0.7
    assert 0.8 < levels[0.9] <= 1.0


def test_photos_that_say_nothing_do_no_harm():
    fitted = fit(photos_that_know("nothing"))
    assert abs(gain_on(photos_that_know("nothing", seed=1), fitted)) < 0.05


def test_few_photos_are_judged_by_neighbors_alone(latitude):
    def never():
        raise AssertionError("the location encoder was loaded for nothing")

    few = latitude.take(np.arange(N - 21))
    fitted = fit_geolocation(few, few.lonlat, few.group.tolist(), never)
    assert fitted.evidence is None
    assert fitted.heard(few.embedding[0]) is None
    assert fitted.model.is_calibrated


def test_without_embeddings_there_is_no_evidence(latitude):
    bare = HeldOut(latitude.lonlat, latitude.group, latitude.similarity, latitude.neighbor_lonlat)
    assert fit(bare).evidence is None


def test_the_fit_is_the_same_every_time(latitude, told):
    assert fit(latitude).model == told[0].model


def test_folds_keep_groups_whole_and_use_all_numbers():
    group = np.repeat([f"g{i}" for i in range(30)], 3)
    fold = group_folds(group, 4)
    assert set(fold) == {0, 1, 2, 3}
    assert all(len(set(fold[group == name])) == 1 for name in group)
