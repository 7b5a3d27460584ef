"""Areas of highest-density regions, against closed forms, and the recall at them."""

import numpy as np
import pytest

from placeprint.encoders.sphere import (
    EARTH_AREA_KM2,
    EARTH_RADIUS_KM,
    lonlat_of,
    uniform_on_sphere,
    unit_vectors,
)
from placeprint.indexer.recall_area import area_above_km2, recall_by_area
from placeprint.indexer.surface import Mixture, kappa_of_km


def kernel(lon, lat, km):
    return Mixture(unit_vectors(np.array([[lon, lat]])), kappa_of_km([km]), np.zeros(1))


@pytest.mark.parametrize(("lon", "lat"), [(10.0, 50.0), (180.0, -16.8), (0.0, 90.0)])
@pytest.mark.parametrize("km", [1.0, 50.0, 1000.0])
def test_the_region_of_one_kernel_is_a_cap(lon, lat, km):
    mixture = kernel(lon, lat, km)
    turn = np.array([0.5, 1.0, 2.0]) * km / EARTH_RADIUS_KM
    center = unit_vectors(np.array([lon, lat]))
    north = np.cross(center, [1.0, 0.0, 0.0] if abs(center[0]) < 0.9 else [0.0, 1.0, 0.0])
    edge = np.cos(turn)[:, None] * center + np.sin(turn)[:, None] * north / np.linalg.norm(north)
    area = area_above_km2(mixture, mixture.log_density(lonlat_of(edge)))
    assert area == pytest.approx(2.0 * np.pi * EARTH_RADIUS_KM**2 * (1.0 - np.cos(turn)), rel=0.05)


def test_two_equal_places_take_twice_the_area():
    mixture = Mixture.blend([(0.5, kernel(10.0, 50.0, 20.0)), (0.5, kernel(-100.0, 40.0, 20.0))])
    alone = kernel(10.0, 50.0, 20.0)
    at = np.array([[10.0, 50.2]])
    one = area_above_km2(alone, alone.log_density(at))
    assert area_above_km2(mixture, mixture.log_density(at)) == pytest.approx(2.0 * one, rel=0.05)


def test_the_least_likely_place_takes_the_whole_earth_and_no_place_more():
    mixture = kernel(0.0, 0.0, 2000.0)
    assert area_above_km2(mixture, np.array([-np.inf]))[0] == pytest.approx(EARTH_AREA_KM2, rel=0.05)
    assert (area_above_km2(mixture, np.array([-np.inf, -1e9])) <= EARTH_AREA_KM2).all()


def test_a_lower_density_is_exceeded_on_more_of_the_earth(rng):
    mixture = Mixture.blend([(0.7, kernel(0.0, 0.0, 100.0)), (0.3, kernel(90.0, 0.0, 900.0))])
    log_density = np.sort(mixture.log_density(uniform_on_sphere(50, rng)))
    assert (np.diff(area_above_km2(mixture, log_density)) <= 0.0).all()


def test_recall_is_the_share_found_within_an_area():
    areas, share = recall_by_area(np.array([1e6, 1e3, 1e5, 1e7]))
    assert areas.tolist() == [1e3, 1e5, 1e6, 1e7]
    assert share.tolist() == [0.25, 0.5, 0.75, 1.0]
