"""Kernels and mixtures on the sphere, the gallery's prior, and level sets.

Claims: every density integrates to 1; the antimeridian and the poles are ordinary places; samples
follow the density; the prior predicts photos it has not seen and forgets those taken out; level
sets have the area of closed forms and are valid GeoJSON.
"""

import json

import numpy as np
import pytest
import shapely
from scipy.special import logsumexp

from placeprint.encoders.sphere import (
    EARTH_AREA_KM2,
    EARTH_RADIUS_KM,
    cap_area_km2,
    great_circle_km,
    lonlat_of,
    uniform_on_sphere,
    unit_vectors,
)
from placeprint.indexer.level_sets import level_sets
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface import Mixture, kappa_of_km, log_kernel

EDGES = [(0.0, 0.0), (179.999, -16.8), (20.0, 89.99), (0.0, -90.0)]


def single(lon, lat, bandwidth_km):
    return Mixture(unit_vectors(np.array([[lon, lat]])), kappa_of_km([bandwidth_km]), np.zeros(1))


def turned(lonlat, degrees):
    """The same places after the Earth has turned about its axis."""
    lon = (np.asarray(lonlat)[..., 0] + degrees + 180.0) % 360.0 - 180.0
    return np.stack([lon, np.asarray(lonlat)[..., 1]], axis=-1)


def cloud(n, *, seed=0):
    return uniform_on_sphere(n, np.random.default_rng(seed))


@pytest.mark.parametrize("bandwidth_km", [1.0, 25.0, 1500.0, 20_000.0])
def test_a_kernel_integrates_to_one(bandwidth_km):
    kappa = kappa_of_km(bandwidth_km)
    # Gauss–Legendre in the fall 1 − cosine, over all of the sphere that e^-60 leaves.
    end = min(2.0, 60.0 / float(kappa))
    node, weight = np.polynomial.legendre.leggauss(200)
    fall = end * (node + 1.0) / 2.0
    density = np.exp(log_kernel(1.0 - fall, kappa))
    total = 2.0 * np.pi * EARTH_RADIUS_KM**2 * end / 2.0 * (weight @ density)
    assert total == pytest.approx(1.0, abs=1e-7)  # 1 − fall is rounded to 1e-16, times κ = 4e7


def test_a_flat_kernel_is_uniform():
    assert np.exp(log_kernel(np.array([-1.0, 0.3]), np.array(1e-9))) * EARTH_AREA_KM2 == pytest.approx(1.0)


def test_a_narrow_kernel_is_the_planar_gaussian():
    mixture = single(10.0, 50.0, 25.0)
    at_one_sigma = lonlat_of(unit_vectors(np.array([[10.0, 50.0 + np.rad2deg(25.0 / EARTH_RADIUS_KM)]])))
    expected = np.exp(-0.5) / (2.0 * np.pi * 25.0**2)
    assert np.exp(mixture.log_density(at_one_sigma)[0]) == pytest.approx(expected, rel=1e-5)


def test_a_mixture_integrates_to_one_over_the_sphere():
    mixture = Prior.from_lonlat(cloud(40), bandwidth_km=900.0).mixture
    lat = np.rad2deg(np.arcsin(np.linspace(-1.0, 1.0, 401)[:-1] + 1.0 / 400.0))
    lon = np.arange(-180.0, 180.0, 0.9)
    grid = np.stack(np.meshgrid(lon, lat), axis=-1).reshape(-1, 2)
    total = np.exp(mixture.log_density(grid)).mean() * EARTH_AREA_KM2
    assert total == pytest.approx(1.0, abs=1e-3)


def test_a_density_far_below_the_smallest_float_keeps_its_logarithm():
    kappa = float(kappa_of_km(1.0))
    opposite = single(0.0, 0.0, 1.0).log_density(np.array([[-180.0, 0.0]]))[0]
    assert opposite == pytest.approx(np.log(kappa / (2.0 * np.pi * EARTH_RADIUS_KM**2)) - 2.0 * kappa)


@pytest.mark.parametrize("degrees", [180.0, -90.0, 37.0])
def test_turning_the_earth_turns_the_density(degrees):
    places, points = cloud(30), cloud(200, seed=1)
    before = Prior.from_lonlat(places, bandwidth_km=300.0).log_density(points)
    after = Prior.from_lonlat(turned(places, degrees), bandwidth_km=300.0).log_density(
        turned(points, degrees)
    )
    assert after == pytest.approx(before, abs=1e-3)  # single precision


@pytest.mark.parametrize(("lon", "lat"), EDGES)
@pytest.mark.parametrize("bandwidth_km", [1.0, 1500.0, 8000.0])
def test_samples_follow_the_kernel(lon, lat, bandwidth_km):
    mixture = single(lon, lat, bandwidth_km)
    distance_km = great_circle_km(mixture.sample(2000), np.array([lon, lat]))
    kappa = float(mixture.kappa[0])
    fall = 1.0 - np.cos(distance_km / EARTH_RADIUS_KM)
    mass = np.sort(np.expm1(-kappa * fall) / np.expm1(-2.0 * kappa))
    assert mass == pytest.approx((np.arange(2000) + 0.5) / 2000, abs=0.01)


def test_samples_surround_the_center():
    samples = single(179.9, 60.0, 50.0).sample_vectors(2000)
    assert great_circle_km(lonlat_of(samples.mean(axis=0)), np.array([179.9, 60.0])) < 1.0


def test_each_kernel_gets_its_share_of_samples():
    parts = [(0.7, single(0.0, 0.0, 10.0)), (0.3, single(90.0, 0.0, 10.0))]
    near_first = Mixture.blend(parts).sample(1000)[:, 0] < 45.0
    assert near_first.sum() == pytest.approx(700, abs=1)


def test_a_part_with_no_share_leaves_no_trace():
    mixture = single(0.0, 0.0, 10.0)
    assert len(Mixture.blend([(0.0, single(50.0, 0.0, 1.0)), (1.0, mixture)]).kappa) == 1


def test_mean_shift_climbs_to_the_heavier_of_two_peaks_it_starts_near():
    parts = [(0.7, single(179.8, 10.0, 50.0)), (0.3, single(-170.0, 10.0, 50.0))]
    peak = lonlat_of(Mixture.blend(parts).climb(unit_vectors(np.array([[-179.9, 10.4]]))))[0]
    assert great_circle_km(peak, np.array([179.8, 10.0])) < 0.1


def test_mean_shift_ends_where_the_density_is_highest():
    parts = [(0.5, single(0.0, 0.0, 100.0)), (0.5, single(2.0, 0.0, 200.0))]
    mixture = Mixture.blend(parts)
    peak = lonlat_of(mixture.climb(unit_vectors(np.array([[1.0, 0.3]])), n_steps=500))[0]
    lon = np.linspace(-1.0, 3.0, 4001)
    along = mixture.log_density(np.column_stack([lon, np.zeros_like(lon)]))
    assert peak == pytest.approx([lon[along.argmax()], 0.0], abs=0.002)


def test_smoothing_widens_what_is_narrower_than_the_median_kernel():
    parts = [(0.4, single(0.0, 0.0, 1.0)), (0.6, single(90.0, 0.0, 400.0))]
    smoothed = Mixture.blend(parts).smoothed()
    assert smoothed.kappa == pytest.approx(kappa_of_km([400.0, 400.0]))


def test_smoothing_leaves_narrow_kernels_that_carry_most_of_the_weight():
    parts = [(0.6, single(0.0, 0.0, 1.0)), (0.4, single(90.0, 0.0, 400.0))]
    assert Mixture.blend(parts).smoothed().kappa.max() == pytest.approx(float(kappa_of_km(1.0)))


def test_smoothing_joins_what_it_can_no_longer_tell_apart():
    parts = [(0.2, single(5.0, 5.0, 1.0)), (0.2, single(5.01, 5.0, 1.0)), (0.6, single(90.0, 0.0, 400.0))]
    smoothed = Mixture.blend(parts).smoothed()
    assert np.sort(np.exp(smoothed.log_weight)) == pytest.approx([0.4, 0.6])


def test_the_prior_of_no_photos_is_uniform():
    assert np.exp(
        Prior.from_lonlat(np.empty((0, 2))).log_density(cloud(3))
    ) * EARTH_AREA_KM2 == pytest.approx(1)


def test_the_prior_of_one_photo_peaks_there_and_is_nowhere_zero():
    prior = Prior.from_lonlat(np.array([[139.7, 35.7]]))
    here, antipode = prior.log_density(np.array([[139.7, 35.7], [-40.3, -35.7]]))
    assert here > antipode > -40.0


def test_taking_out_photos_equals_never_having_had_them():
    lonlat = cloud(50)
    kept = Prior.from_lonlat(lonlat[10:], bandwidth_km=200.0)
    taken = Prior.from_lonlat(lonlat, bandwidth_km=200.0).without(lonlat[:10])
    assert taken.log_density(cloud(20, seed=2)) == pytest.approx(kept.log_density(cloud(20, seed=2)))


def test_taking_out_all_photos_leaves_the_uniform_density():
    lonlat = cloud(5)
    emptied = Prior.from_lonlat(lonlat).without(lonlat)
    assert np.exp(emptied.log_density(lonlat)) * EARTH_AREA_KM2 == pytest.approx(1.0)


def test_photos_that_cluster_ask_for_narrow_kernels_and_scattered_ones_for_wide():
    centers = np.repeat(cloud(40), 10, axis=0)
    jitter = np.random.default_rng(0).normal(0.0, 0.2, centers.shape)  # about 22 km
    clustered = Prior.from_lonlat(np.clip(centers + jitter, [-180, -90], [179.9, 90]))
    scattered = Prior.from_lonlat(cloud(400))
    assert sum(clustered.shares[:4]) > 0.8 > 0.2 > sum(scattered.shares[:4])


def test_a_group_does_not_predict_itself():
    places = np.repeat(cloud(60), 5, axis=0) + np.tile(
        [[0.0, 0.0], [0.02, 0], [0.04, 0], [0.06, 0], [0.08, 0]], (60, 1)
    )
    groups = np.repeat(np.arange(60), 5)
    own = Prior.from_lonlat(places, groups=np.arange(300))
    grouped = Prior.from_lonlat(places, groups=groups)
    assert sum(own.shares[:3]) > 0.8 > 0.2 > sum(grouped.shares[:3])


def test_many_photos_make_few_cells_and_none_is_lost():
    prior = Prior.from_lonlat(cloud(5000), bandwidth_km=400.0)
    assert len(prior.cells) <= 2000
    assert prior.counts.sum() == 5000


def test_the_prior_survives_json():
    prior = Prior.from_lonlat(cloud(30))
    again = Prior.from_dict(json.loads(json.dumps(prior.to_dict())))
    assert again.log_density(cloud(9, seed=3)) == pytest.approx(prior.log_density(cloud(9, seed=3)), abs=0)


@pytest.mark.parametrize(("lon", "lat"), EDGES)
@pytest.mark.parametrize("bandwidth_km", [1.0, 400.0])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_region_of_one_kernel_has_the_area_of_its_cap(lon, lat, bandwidth_km, level):
    mixture = single(lon, lat, bandwidth_km)
    kappa = mixture.kappa[0]
    fall = -np.log1p(level * np.expm1(-2.0 * kappa)) / kappa
    (region,) = level_sets(mixture, log_kernel(1.0 - np.array([fall]), kappa))
    # Boxes on the edge count by their centers; the caps hold 60 of them and more.
    assert region.area_km2 == pytest.approx(cap_area_km2(EARTH_RADIUS_KM * np.arccos(1.0 - fall)), rel=0.08)


@pytest.mark.parametrize(("lon", "lat"), EDGES)
def test_a_region_is_valid_counterclockwise_and_within_the_map(lon, lat):
    (region,) = level_sets(single(lon, lat, 50.0), np.array([-12.0]))
    shape = shapely.geometry.shape(region.geometry)
    assert shape.is_valid
    assert shapely.box(-180.0, -90.0, 180.0, 90.0).covers(shape)
    assert all(part.exterior.is_ccw for part in getattr(shape, "geoms", [shape]))


def test_the_stated_area_is_that_of_the_polygons():
    (region,) = level_sets(single(30.0, 60.0, 300.0), np.array([-15.0]))
    # In (lon, sin lat) areas are true; the sides are meridians and parallels, which stay straight.
    flat = shapely.transform(
        shapely.geometry.shape(region.geometry),
        lambda xy: np.column_stack([np.deg2rad(xy[:, 0]), np.sin(np.deg2rad(xy[:, 1]))]),
    )
    assert region.area_km2 == pytest.approx(EARTH_RADIUS_KM**2 * flat.area, rel=1e-9)


def test_a_narrow_peak_in_a_wide_plain_is_not_overlooked():
    parts = [(0.99, single(0.0, 0.0, 1500.0)), (0.01, single(-100.3, 40.1, 1.0))]
    (region,) = level_sets(Mixture.blend(parts), np.array([-9.0]))
    assert shapely.geometry.shape(region.geometry).covers(shapely.Point(-100.3, 40.1))
    assert region.area_km2 < 50.0


def test_a_region_of_almost_everything_has_almost_the_area_of_the_earth():
    (region,) = level_sets(single(0.0, 0.0, 20_000.0), np.array([-100.0]))
    assert region.area_km2 == pytest.approx(EARTH_AREA_KM2, rel=1e-12)


def test_a_density_that_is_nowhere_reached_gives_an_empty_region():
    (region,) = level_sets(single(0.0, 0.0, 100.0), np.array([5.0]))
    assert region.area_km2 == 0.0
    assert region.geometry == {"type": "MultiPolygon", "coordinates": []}


def test_single_precision_is_near_double():
    kappa = kappa_of_km(np.geomspace(0.5, 5000.0, 400))
    centers = unit_vectors(cloud(400, seed=4))
    mixture = Mixture(centers, kappa, np.full(400, -np.log(400.0)))
    points = np.concatenate([centers, mixture.sample_vectors(200), unit_vectors(cloud(200, seed=5))])
    exact = logsumexp(log_kernel(points @ centers.T, kappa) + mixture.log_weight, axis=1)
    assert np.abs(mixture.log_density_at(points) - exact).max() < 1e-3


def test_kernels_of_hardly_any_weight_keep_a_direction() -> None:
    centers = unit_vectors(np.array([[2.0, 48.0], [2.0, 48.0], [140.0, 36.0], [-60.0, -30.0]]))
    mixture = Mixture(centers, np.full(4, 1e4), np.array([-900.0, -901.0, 0.0, -np.inf]))
    smoothed = mixture.smoothed()
    assert np.isfinite(smoothed.centers).all()
    assert np.linalg.norm(smoothed.centers, axis=1) == pytest.approx(1.0)
    assert np.sort(smoothed.log_weight)[1] == pytest.approx(np.logaddexp(-900.0, -901.0))
    assert np.isfinite(smoothed.log_density_at(centers[2:3])).all()
