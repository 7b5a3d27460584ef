"""The surface model and its fit on synthetic galleries whose answers are known.

Claims: the gate, the softmax and the bandwidths do what their formulas say; the gradient is that of
the likelihood; the fit finds what made the data and never loses much to the prior; regions cover
what they state; few photos and missing neighbors are no error.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import exact_neighbors
from scipy.optimize import approx_fprime

from placeprint.encoders.sphere import EARTH_RADIUS_KM, uniform_on_sphere, unit_vectors
from placeprint.indexer.calibrate import _Likelihood, fit_surface_model
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface_model import SurfaceModel, default_surface_model, evidence_of

MANY_LEVELS = (0.1, 0.5, 0.9)


def noisy_gallery(n, *, noise_km, seed=0, n_dimensions=3):
    """Photos whose embedding is their place, moved by about `noise_km`, in many dimensions."""
    rng = np.random.default_rng(seed)
    lonlat = uniform_on_sphere(n, rng)
    embeddings = np.zeros((n, n_dimensions))
    embeddings[:, :3] = unit_vectors(lonlat)
    embeddings += rng.normal(0.0, noise_km / EARTH_RADIUS_KM, embeddings.shape)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), lonlat


def fitted(embeddings, lonlat, *, k=30, **options):
    photos = exact_neighbors(embeddings, lonlat, k=k)
    model = fit_surface_model(photos.similarity, photos.neighbor_lonlat, lonlat, lonlat, **options)
    return model, photos


@pytest.fixture(scope="module")
def informative():
    return fitted(*noisy_gallery(300, noise_km=300.0), levels=())


@pytest.fixture(scope="module")
def noise():
    rng = np.random.default_rng(5)
    embeddings = rng.normal(size=(400, 32))
    return fitted(
        embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), uniform_on_sphere(400, rng), levels=()
    )


def gain_in_bits(model, photos):
    """Mean log2 density at the truth, less that of the prior without the photo."""
    prior, gains = Prior.from_lonlat(photos.lonlat), []
    for row in range(0, len(photos.lonlat), 4):
        place = photos.lonlat[row : row + 1]
        own = prior.without(place)
        surface = model.surface(photos.similarity[row], photos.neighbor_lonlat[row], own)
        gains.append(surface.log_density(place)[0] - own.log_density(place)[0])
    return np.mean(gains) / np.log(2.0)


def test_with_the_gate_open_to_the_prior_alone_the_surface_is_the_prior():
    prior = Prior.from_lonlat(np.array([[10.0, 50.0], [20.0, 40.0]]))
    model = replace(default_surface_model(), gate_bias=1e4)
    surface = model.surface(np.array([0.9]), np.array([[100.0, 0.0]]), prior)
    points = uniform_on_sphere(20, np.random.default_rng(0))
    assert surface.log_density(points) == pytest.approx(prior.log_density(points), abs=1e-12)


def test_evidence_moves_the_gate_by_its_weight():
    model = replace(default_surface_model(), gate_weights=(2.0, 0.0, 0.0), evidence_mean=(0.5, 0.0, 0.0))
    share = model.prior_share(np.array([0.8]), np.zeros((1, 2)))
    assert share == pytest.approx(1.0 / (1.0 + np.exp(-2.0 * 0.3)))


def test_without_neighbors_the_gate_is_open_to_the_prior_alone():
    assert default_surface_model().prior_share(np.full(3, -np.inf), np.zeros((3, 2))) == 1.0


def test_weights_of_neighbors_are_the_softmax_of_similarity():
    model = replace(default_surface_model(), temperature=0.1)
    mixture = model.neighbor_mixture(np.array([0.5, 0.3]), np.array([[0.0, 0.0], [90.0, 0.0]]))
    first = np.exp(mixture.log_weight[mixture.centers[:, 0] > 0.5]).sum()
    assert first == pytest.approx(1.0 / (1.0 + np.exp(-2.0)))


def test_padding_changes_nothing():
    model = default_surface_model()
    similarity, places = np.array([0.8, 0.7, 0.2]), np.array([[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]])
    padded = model.neighbor_mixture(np.append(similarity, -np.inf), np.vstack([places, [[0.0, 0.0]]]))
    assert padded.log_weight == pytest.approx(model.neighbor_mixture(similarity, places).log_weight)
    assert evidence_of(np.append(similarity, -np.inf)[None], np.vstack([places, [[0.0, 0.0]]])[None]) == (
        pytest.approx(evidence_of(similarity[None], places[None]))
    )


def test_sharpening_narrows_the_kernels_of_more_similar_neighbors():
    model = replace(default_surface_model(), sharpening=1.0, evidence_mean=(0.5, 0.0, 0.0))
    near, far = (
        model.neighbor_mixture(np.array([similarity]), np.zeros((1, 2))) for similarity in (0.9, 0.1)
    )
    assert np.exp(near.log_weight) @ near.kappa > np.exp(far.log_weight) @ far.kappa


def test_evidence_is_best_similarity_lead_and_closeness():
    places = np.array([[[0.0, 0.0], [180.0, 0.0]]])
    apart = np.exp(-np.pi * EARTH_RADIUS_KM / 1492.7)
    expected = [0.9, 0.2, np.log((2.0 + 2.0 * apart) / 4.0)]
    assert evidence_of(np.array([[0.9, 0.7]]), places)[0] == pytest.approx(expected)


def test_evidence_does_not_depend_on_the_order_of_neighbors():
    rng = np.random.default_rng(0)
    similarity, places = rng.random((1, 30)), uniform_on_sphere(30, rng)[None]
    order = rng.permutation(30)
    assert evidence_of(similarity[:, order], places[:, order]) == pytest.approx(
        evidence_of(similarity, places)
    )


def test_the_gradient_is_that_of_the_likelihood():
    rng = np.random.default_rng(0)
    found = rng.random((20, 8)) > 0.2
    likelihood = _Likelihood(
        similarity=np.where(found, rng.random((20, 8)), 0.0),
        log_found=np.where(found, 0.0, -np.inf),
        kernel=rng.random((20, 8, 6)),
        tilt=rng.normal(size=(20, 8, 6)),
        evidence=rng.normal(size=(20, 3)),
        prior=rng.random(20),
        start=rng.normal(size=12),
    )
    here = rng.normal(size=12)
    numeric = approx_fprime(here, lambda x: likelihood(x)[0], 1e-6)
    assert likelihood(here)[1] == pytest.approx(numeric, abs=1e-5)


def test_blurrier_embeddings_make_wider_kernels(informative):
    blurry, _ = fitted(*noisy_gallery(300, noise_km=1200.0), levels=())
    weights = [np.exp(one.bandwidth_logits) for one in (informative[0], blurry)]
    sharp_km, blurry_km = (float(w @ np.log(blurry.bandwidths_km) / w.sum()) for w in weights)
    assert sharp_km < blurry_km


def test_similarities_stretched_by_a_factor_stretch_the_temperature(informative):
    model, photos = informative
    stretched = fit_surface_model(
        5.0 * photos.similarity, photos.neighbor_lonlat, photos.lonlat, photos.lonlat, levels=()
    )
    assert stretched.temperature == pytest.approx(5.0 * model.temperature, rel=0.2)  # the penalty pulls


def test_informative_embeddings_say_much_more_than_the_prior(informative):
    assert gain_in_bits(*informative) > 2.0


def test_noise_does_not_lose_to_the_prior(noise):
    assert gain_in_bits(*noise) > -0.05


def test_a_photo_is_not_predicted_by_its_own_group_in_the_prior():
    lonlat = np.repeat(uniform_on_sphere(60, np.random.default_rng(0)), 4, axis=0)
    groups = np.repeat(np.arange(60), 4)
    embeddings = np.random.default_rng(1).normal(size=(240, 16))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    photos = exact_neighbors(embeddings, lonlat, groups.tolist(), k=20)
    model = fit_surface_model(
        photos.similarity, photos.neighbor_lonlat, lonlat, lonlat, groups=groups.tolist()
    )
    # With the group left in, its peak would hold the truth and the half region would be a speck.
    assert dict(model.region_levels)[0.5] > 0.3


@pytest.fixture(scope="module")
def half_calibrated():
    """A model calibrated on half of the photos, and the thresholds and densities of the others."""
    embeddings, lonlat = noisy_gallery(400, noise_km=800.0, seed=3)
    photos = exact_neighbors(embeddings, lonlat, k=20)  # one gallery for both: exchangeable
    half = [array[::2] for array in (photos.similarity, photos.neighbor_lonlat, lonlat)]
    model, prior = fit_surface_model(*half, lonlat, levels=MANY_LEVELS), Prior.from_lonlat(lonlat)
    at_samples, at_truth = [], []
    for row in range(1, 400, 2):
        own = prior.without(lonlat[row : row + 1])
        surface = model.surface(photos.similarity[row], photos.neighbor_lonlat[row], own).smoothed()
        at_samples.append(surface.log_density_at(surface.sample_vectors(256)))
        at_truth.append(surface.log_density(lonlat[row : row + 1])[0])
    return dict(model.region_levels), np.array(at_samples), np.array(at_truth)


@pytest.mark.parametrize("level", MANY_LEVELS)
def test_regions_cover_new_photos_as_stated(half_calibrated, level):
    adjusted, at_samples, at_truth = half_calibrated
    covered = at_truth >= np.quantile(at_samples, 1.0 - adjusted[level], axis=1)
    # 200 new photos and 200 calibration photos: three standard deviations.
    assert np.mean(covered) == pytest.approx(level, abs=3.0 * np.sqrt(level * (1.0 - level) * 2 / 200))


def test_photos_without_any_neighbor_give_the_default_model():
    model = fit_surface_model(
        np.full((2, 3), -np.inf), np.zeros((2, 3, 2)), np.zeros((2, 2)), np.zeros((2, 2))
    )
    assert model == default_surface_model()
    assert not model.is_calibrated


def test_one_photo_moves_the_parameters_little():
    model = fit_surface_model(
        np.array([[0.5]]), np.array([[[10.0, 10.0]]]), np.array([[10.5, 10.0]]), np.array([[10.5, 10.0]])
    )
    assert model.is_calibrated
    assert model.temperature == pytest.approx(default_surface_model().temperature, rel=0.5)


def test_groups_that_do_not_match_the_photos_are_refused():
    with pytest.raises(ValueError, match="2 groups for 1 photos"):
        fit_surface_model(
            np.zeros((1, 1)), np.zeros((1, 1, 2)), np.zeros((1, 2)), np.zeros((2, 2)), groups=["a", "b"]
        )


def test_the_arguments_are_not_changed(informative):
    _, photos = informative
    before = photos.similarity.copy()
    fit_surface_model(photos.similarity, photos.neighbor_lonlat, photos.lonlat, photos.lonlat, levels=())
    assert np.array_equal(photos.similarity, before)


def test_the_model_survives_json(informative):
    model, _ = informative
    assert SurfaceModel.from_dict(json.loads(json.dumps(model.to_dict()))) == model
