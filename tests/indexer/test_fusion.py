"""Evidence joins the neighbors: it moves weight to where it speaks, and at weight 0 it is not there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from placeprint.encoders.location_head import Axes
from placeprint.encoders.sphere import (
    EARTH_AREA_KM2,
    EARTH_RADIUS_KM,
    lonlat_of,
    uniform_on_sphere,
    unit_vectors,
)
from placeprint.indexer.evidence import Evidence, Heard, PlaceSource
from placeprint.indexer.fusion import (
    LEAST_SHARE,
    FusionData,
    _loss,
    fit_fusion,
    fused_surface,
    fusion_data,
    held_out_log_densities,
)
from placeprint.indexer.prior import Prior
from placeprint.indexer.support import Support
from placeprint.indexer.surface_model import default_surface_model

N_DRAWN = 800


@pytest.fixture(scope="module")
def lonlat():
    rng = np.random.default_rng(5)
    return np.concatenate([uniform_on_sphere(60, rng), rng.normal([10.0, 50.0], 5.0, (60, 2))])


@pytest.fixture(scope="module")
def prior(lonlat):
    return Prior.from_lonlat(lonlat)


@pytest.fixture(scope="module")
def support(prior):
    return Support.of_prior(prior, n_drawn=N_DRAWN)


def test_the_support_stands_for_the_prior(prior, support):
    """On the average over places drawn from it, the support's density is the prior's within a tenth."""
    at = prior.mixture.sample_vectors(2000, seed=3)
    gap = support.mixture(support.log_weights()).log_density_at(at) - prior.mixture.log_density_at(at)
    assert abs(gap.mean()) < 0.15
    assert np.percentile(np.abs(gap), 90) < 0.7


def test_the_shares_of_the_support_add_up(prior, support, lonlat):
    assert np.exp(support.log_weights()).sum() == pytest.approx(1.0)
    assert np.exp(support.log_weights(prior.without(lonlat[:3]))).sum() == pytest.approx(1.0)


def test_a_group_taken_out_leaves_no_trace():
    """A lonely photo in the Pacific: without it, its surroundings weigh what they should."""
    rng = np.random.default_rng(1)
    many, lonely = rng.normal([10.0, 50.0], 4.0, (80, 2)), np.array([[-150.0, -20.0]])
    everyone = np.concatenate([many, lonely])
    prior = Prior.from_lonlat(everyone)
    support = Support.of_prior(prior, n_drawn=2000)
    without = prior.without(lonely)
    log_weight = support.log_weights(without)
    near = support.centers @ unit_vectors(lonely)[0] > np.cos(1500.0 / EARTH_RADIUS_KM)
    uniform = prior.shares[-1] * np.pi * 1500.0**2 / EARTH_AREA_KM2
    assert np.exp(log_weight[near]).sum() == pytest.approx(uniform, rel=0.3)
    left, whole = (
        support.mixture(weights).log_density(lonely) for weights in (log_weight, support.log_weights())
    )
    assert left == pytest.approx(without.log_density(lonely), abs=1.5)
    assert whole > left + 5.0


def test_kernels_of_centers_are_those_of_the_mixture(support):
    at = unit_vectors(np.array([[10.0, 50.0], [-170.0, 70.0], [0.0, -90.0]]))
    log_weight = support.log_weights()
    by_center = np.log(np.exp(support.log_kernels(at) + log_weight).sum(axis=1))
    assert by_center == pytest.approx(support.mixture(log_weight).log_density_at(at), abs=1e-3)


def heard_of(support, log_ratios):
    return Heard(support, np.asarray(log_ratios, np.float32)[None], support.log_weights())


def neighbors(lonlat, n=20):
    return np.linspace(0.6, 0.3, n), lonlat[:n]


def test_evidence_without_weight_changes_nothing(prior, support, lonlat):
    model = replace(default_surface_model(), evidence_weights=(0.0,))
    loud = heard_of(support, 5.0 * support.centers[:, 2])
    at = uniform_on_sphere(300, np.random.default_rng(2))
    fused = fused_surface(model, *neighbors(lonlat), loud).log_density(at)
    alone = model.surface(*neighbors(lonlat), prior).log_density(at)
    assert np.abs(fused - alone).mean() < 0.25  # as the support stands for the prior


def test_without_neighbors_the_evidence_decides(support):
    """All neighbors missing: the answer is the prior times the evidence."""
    model = replace(default_surface_model(), evidence_weights=(1.0,))
    north = heard_of(support, np.where(support.centers[:, 2] > 0, 4.0, 0.0))
    nobody = np.full(3, -np.inf), np.zeros((3, 2))
    samples = fused_surface(model, *nobody, north).sample_vectors(2000)
    share = np.exp(support.log_weights()) * np.where(support.centers[:, 2] > 0, np.exp(4.0), 1.0)
    expected = share[support.centers[:, 2] > 0].sum() / share.sum()
    assert np.mean(samples[:, 2] > 0) == pytest.approx(expected, abs=0.03)


def test_a_fused_density_is_one_and_nowhere_zero(support, lonlat):
    model = replace(default_surface_model(), evidence_weights=(1.5,))
    surface = fused_surface(model, *neighbors(lonlat), heard_of(support, 30.0 * support.centers[:, 0]))
    assert np.exp(surface.log_weight).sum() == pytest.approx(1.0)
    everywhere = surface.log_density(uniform_on_sphere(500, np.random.default_rng(0)))
    assert everywhere.min() >= np.log(0.99 * LEAST_SHARE / EARTH_AREA_KM2)


@pytest.fixture(scope="module")
def told(support, lonlat):
    """Photos whose evidence points to their place, and whose neighbors are anywhere."""
    rng = np.random.default_rng(8)
    truth = lonlat[rng.integers(0, len(lonlat), 80)] + rng.normal(0.0, 1.0, (80, 2))
    truth = lonlat_of(unit_vectors(np.clip(truth, [-180, -89], [180, 89])))
    similarity = np.sort(rng.uniform(0.2, 0.6, (80, 30)))[:, ::-1]
    near = lonlat[rng.integers(0, len(lonlat), (80, 30))]
    toward = 3.0 * unit_vectors(truth) @ support.centers.T
    noise = rng.normal(0.0, 1.0, toward.shape)
    return truth, similarity, near, np.stack([toward, noise]).astype(np.float32)


def data_of(support, told, sources) -> FusionData:
    truth, similarity, near, ratios = told
    weights = np.tile(support.log_weights(), (len(truth), 1))
    return fusion_data(default_surface_model(), similarity, near, truth, support, weights, ratios[sources])


def test_evidence_that_pays_gets_weight_and_noise_gets_little(support, told):
    model = fit_fusion(default_surface_model(), data_of(support, told, [0, 1]))
    toward, noise = model.evidence_weights
    assert toward > 0.5
    assert noise < 0.15


def test_the_fit_predicts_better_than_none(support, told):
    data = data_of(support, told, [0])
    model = fit_fusion(default_surface_model(), data)
    none = replace(default_surface_model(), evidence_weights=(0.0,))
    gain = held_out_log_densities(model, data) - held_out_log_densities(none, data)
    assert gain.mean() > 0.5


def test_fitted_densities_are_those_of_the_surface(support, told):
    """What the fit maximizes is what a query gets, row by row."""
    truth, similarity, near, ratios = told
    model = replace(default_surface_model(), evidence_weights=(0.7,), evidence_gate=0.5)
    data = data_of(support, told, [0])
    expected = [
        fused_surface(
            model,
            similarity[i],
            near[i],
            Heard(support, ratios[:1, i], support.log_weights()),
            least_share=1e-9,
        ).log_density(truth[i][None])[0]
        for i in range(10)
    ]
    floor = np.log(LEAST_SHARE / EARTH_AREA_KM2)
    expected = np.logaddexp(np.log1p(-LEAST_SHARE) + np.array(expected), floor)
    assert held_out_log_densities(model, data)[:10] == pytest.approx(expected, abs=1e-3)


def test_the_gradient_is_that_of_the_loss(support, told):
    data = data_of(support, told, [0, 1])
    for theta in (np.zeros(3), np.array([0.8, 0.2, -0.5])):
        numeric = approx_fprime(theta, lambda t: _loss(t, data)[0], 1e-6)
        assert _loss(theta, data)[1] == pytest.approx(numeric, abs=1e-4)


def test_evidence_is_kept_for_its_own_model_alone(tmp_path: Path, prior, support, rng):
    source = PlaceSource(
        "latitude",
        Axes(np.zeros(4, np.float32), np.eye(4, 3, dtype=np.float32)),
        rng.normal(size=(3, 2)).astype(np.float32),
        rng.normal(size=(len(support), 2)).astype(np.float32),
    )
    path = tmp_path / "evidence.safetensors"
    path.write_bytes(Evidence(support, (source,)).to_bytes(made_for="a"))
    again = Evidence.load(path, prior, made_for="a")
    assert again is not None
    photos = rng.normal(size=(5, 4)).astype(np.float32)
    np.testing.assert_array_equal(again.log_ratios(photos), Evidence(support, (source,)).log_ratios(photos))
    assert Evidence.load(path, prior, made_for="b") is None
    path.write_bytes(path.read_bytes()[:500])
    assert Evidence.load(path, prior, made_for="a") is None
    assert Evidence.load(tmp_path / "none", prior, made_for="a") is None


def test_drawn_places_have_few_widths(support):
    """A map takes as long as there are widths."""
    widths = np.unique(support.drawn_km)
    assert 3 <= len(widths) < 60
    assert np.diff(np.log(widths)).min() > 0.02
