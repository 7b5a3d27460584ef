"""A photo's place from its neighbors, on galleries whose answers are known.

Claims: the most similar neighbor wins; galleries of a single photo, poles and the antimeridian are
no special cases; probabilities, names and regions agree with the density; uninformative photos
abstain; the answer is the same every time and survives JSON.
"""

import json
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import shapely

from placeprint.encoders.sphere import (
    EARTH_RADIUS_KM,
    great_circle_km,
    lonlat_of,
    uniform_on_sphere,
    unit_vectors,
)
from placeprint.indexer.geolocate import (
    REMOTE,
    geoscore_optimum,
    locate,
    name_shares,
    region_thresholds,
    spherical_median,
)
from placeprint.indexer.prior import Prior
from placeprint.indexer.surface_model import SurfaceModel, default_surface_model

KYOTO, PARIS, NADI = (135.77, 35.01), (2.35, 48.86), (177.44, -17.78)
SURE = replace(default_surface_model(), gate_bias=-6.0, bandwidth_logits=(-9.0, -9.0, 3.0, 0.0, -9.0, -9.0))


def located(neighbors, similarity=None, *, model=SURE, gallery=None, **options):
    neighbors = np.array(neighbors, dtype=float).reshape(-1, 2)
    similarity = np.full(len(neighbors), 0.8) if similarity is None else np.array(similarity)
    prior = Prior.from_lonlat(neighbors if gallery is None else np.array(gallery, dtype=float))
    return locate(similarity, neighbors, prior, model, **options)


def error_km(point, truth):
    return great_circle_km(np.array(point), np.array(truth, dtype=float))


@pytest.mark.parametrize("first", [KYOTO, PARIS, NADI])
def test_the_most_similar_neighbor_wins(first):
    others = [place for place in (KYOTO, PARIS, NADI) if place != first]
    answer = located([others[0], first, others[1]], [0.3, 0.9, 0.3])
    assert error_km(answer.mode, first) < 1.0
    # The GeoScore point may lean to what little weight is elsewhere.
    assert error_km(answer.geoscore_point, first) < 25.0


def test_neighbors_that_agree_outvote_a_single_better_one():
    answer = located([KYOTO, PARIS, PARIS, PARIS], [0.8, 0.79, 0.79, 0.79])
    assert error_km((answer.lon, answer.lat), PARIS) < 25.0


@pytest.mark.parametrize("place", [(0.0, 90.0), (12.0, -90.0), (-180.0, 10.0), (179.9999, 0.0)])
def test_a_gallery_of_one_photo_answers_with_its_place(place):
    answer = located([place])
    assert error_km((answer.lon, answer.lat), place) < 25.0


@pytest.mark.parametrize("n", [1, 2, 20])
def test_tiny_galleries_are_answered_and_marked_uncalibrated(n):
    answer = located(uniform_on_sphere(n, np.random.default_rng(n)), model=default_surface_model())
    assert not answer.is_calibrated
    assert sum(share.probability for share in answer.countries) == pytest.approx(1.0)
    assert all(region.area_km2 > 0.0 for region in answer.regions)


def test_between_neighbors_across_the_antimeridian_lies_the_antimeridian():
    answer = located([(179.8, 0.0), (-179.8, 0.0)])
    assert error_km((answer.lon, answer.lat), (180.0, 0.0)) < 10.0


def test_between_neighbors_around_the_pole_lies_the_pole():
    answer = located([(0.0, 89.8), (90.0, 89.8), (180.0, 89.8), (-90.0, 89.8)])
    assert answer.lat > 89.9


@pytest.mark.parametrize("degrees", [180.0, 77.0])
def test_turning_the_earth_turns_the_answer(degrees):
    neighbors = np.array([(10.0, 80.0), (12.0, 79.0), (-60.0, 85.0)])
    turned = np.column_stack([(neighbors[:, 0] + degrees + 180.0) % 360.0 - 180.0, neighbors[:, 1]])
    before, after = located(neighbors, [0.9, 0.85, 0.8]), located(turned, [0.9, 0.85, 0.8])
    expected = ((before.mode[0] + degrees + 180.0) % 360.0 - 180.0, before.mode[1])
    assert error_km(after.mode, expected) < 0.1


def test_the_geoscore_point_beats_all_places_of_a_grid():
    samples = unit_vectors(
        np.vstack([uniform_on_sphere(50, np.random.default_rng(0)), np.tile(KYOTO, (10, 1))])
    )
    best = geoscore_optimum(samples)
    grid = unit_vectors(uniform_on_sphere(20_000, np.random.default_rng(1)))

    def score(points):
        angle = np.arccos(np.clip(points @ samples.T, -1.0, 1.0))
        return np.exp(-EARTH_RADIUS_KM * angle / 1492.7).mean(axis=1)

    assert score(best[None])[0] >= score(grid).max()


def test_the_geoscore_point_of_a_narrow_ring_is_its_middle_though_no_sample_lies_there():
    turn = np.deg2rad(np.arange(0.0, 360.0, 30.0))
    ring = unit_vectors(np.column_stack([2.0 * np.cos(turn), 2.0 * np.sin(turn)]))
    assert geoscore_optimum(ring) == pytest.approx([1.0, 0.0, 0.0], abs=2e-4)  # 1 km


def test_regions_are_those_of_the_continent_that_is_answered():
    own = replace(SURE, region_levels=((0.9, 0.6),), continent_levels=(("AS", 0.9, 0.95),))
    pooled = replace(own, continent_levels=())
    in_asia, in_europe = (located([place], model=own).region_thresholds[0.9] for place in (KYOTO, PARIS))
    assert in_asia < located([KYOTO], model=pooled).region_thresholds[0.9]  # it reaches farther out
    assert in_europe == located([PARIS], model=pooled).region_thresholds[0.9]


def test_no_place_of_a_grid_is_nearer_to_all_samples_than_their_median():
    samples = unit_vectors(
        np.vstack([uniform_on_sphere(40, np.random.default_rng(2)), np.tile(KYOTO, (15, 1))])
    )
    grid = unit_vectors(uniform_on_sphere(20_000, np.random.default_rng(1)))

    def mean_angle(points):
        return np.arccos(np.clip(points @ samples.T, -1.0, 1.0)).mean(axis=1)

    assert mean_angle(spherical_median(samples)[None])[0] <= mean_angle(grid).min() + 1e-9


def test_the_median_of_three_corners_lies_where_they_pull_alike():
    turn = np.deg2rad([90.0, 210.0, 330.0])
    corners = unit_vectors(np.column_stack([179.0 + 5.0 * np.cos(turn), 5.0 * np.sin(turn)]))
    assert error_km(lonlat_of(spherical_median(corners)), (179.0, 0.0)) < 5.0


def test_a_place_of_most_samples_is_their_median_to_the_meter():
    samples = unit_vectors(np.array([KYOTO, KYOTO, KYOTO, PARIS]))
    assert error_km(lonlat_of(spherical_median(samples)), KYOTO) < 1e-3


def test_most_of_the_samples_hold_the_median_and_the_rest_do_not_draw_it_away():
    answer = located([KYOTO, KYOTO, KYOTO, PARIS])
    assert error_km(answer.median_point, KYOTO) < 60.0


def test_probability_within_a_radius_is_the_mass_of_the_cap():
    only = replace(SURE, gate_bias=-50.0, bandwidth_logits=(-99.0, -99.0, -99.0, 0.0, -99.0, -99.0))
    answer = located([KYOTO], model=only)
    expected = 1.0 - np.exp(-0.5 * 2.0**2)  # 200 km around a kernel of 100 km
    assert answer.p_within_km[200.0] == pytest.approx(expected, abs=0.01)


def test_a_region_holds_the_stated_share_of_the_density():
    answer = located([KYOTO, PARIS, NADI], [0.9, 0.85, 0.8])
    smoothed = answer.surface.smoothed()
    fresh = smoothed.log_density_at(answer.surface.sample_vectors(4000, seed=9))
    for level, threshold in answer.region_thresholds.items():
        assert np.mean(fresh >= threshold) == pytest.approx(level, abs=0.03)


def test_polygons_agree_with_the_density_about_what_is_inside():
    answer = located([KYOTO, PARIS, NADI], [0.9, 0.85, 0.8])
    points = answer.surface.sample(400, seed=4)
    for region in answer.regions:
        inside = shapely.covers(shapely.geometry.shape(region.geojson), shapely.points(points))
        covered = [answer.is_covered(point, region.level) for point in points]
        assert np.mean(inside == covered) > 0.95  # boxes on the edge count by their centers


def test_a_region_of_a_higher_level_is_larger():
    half, most = located([KYOTO, PARIS]).regions
    assert (half.level, most.level) == (0.5, 0.9)
    assert half.area_km2 < most.area_km2


def test_calibrated_levels_move_the_thresholds():
    log_density = np.linspace(-10.0, 0.0, 101)
    assert region_thresholds(log_density, [(0.5, 0.8)]) == {0.5: pytest.approx(-8.0, abs=0.11)}


def test_countries_and_states_are_named_by_the_nearest_place():
    answer = located([KYOTO], model=replace(SURE, bandwidth_logits=(9.0, 0.0, 0.0, 0.0, 0.0, 0.0)))
    assert answer.countries[0][:2] == ("Japan", "JP")
    assert answer.states[0][:2] == ("Kyoto", "JP")
    assert answer.countries[0].probability > 0.9


def test_the_open_sea_is_in_no_country():
    countries, states = name_shares(np.array([[-140.0, -40.0], [-140.0, -40.0]]))
    assert countries == states == [(REMOTE, "", 1.0)]


def test_names_come_from_the_callers_polygons_where_given():
    frame = geopandas.GeoDataFrame(
        {"name": ["west", "east"], "code": ["WW", "EE"]},
        geometry=[shapely.box(-180, -90, 0, 90), shapely.box(0, -90, 100, 90)],
        crs="EPSG:4326",
    )
    points = np.array([[-10.0, 0.0], [10.0, 0.0], [0.0, 5.0], [150.0, 0.0]])
    countries, _ = name_shares(points, countries=frame)
    # On the shared border the first polygon; outside both, nowhere.
    assert countries == [("west", "WW", 0.5), ("east", "EE", 0.25), (REMOTE, "", 0.25)]


def test_a_photo_like_all_others_says_nothing_and_abstains():
    places = uniform_on_sphere(200, np.random.default_rng(0))
    model = replace(default_surface_model(), bandwidth_logits=(-9.0, -9.0, -9.0, -9.0, 0.0, 3.0))
    answer = located(places, np.zeros(200), model=model)
    assert answer.information_bits < 0.25
    assert "says little" in answer.abstain_reason
    assert answer.abstain


def test_no_neighbor_at_all_answers_with_the_prior_and_abstains():
    answer = located(np.zeros((2, 2)), [-np.inf, -np.inf], gallery=[KYOTO, PARIS])
    assert answer.prior_share == 1.0
    assert answer.information_bits == pytest.approx(0.0, abs=1e-9)
    assert answer.abstain_reason == "no similar photo has a place"


def test_information_is_that_of_the_density_over_the_prior():
    gallery = uniform_on_sphere(500, np.random.default_rng(0))
    answer = located([KYOTO], gallery=gallery)
    prior = Prior.from_lonlat(gallery)
    points = answer.surface.sample(4000, seed=3)
    gain = (answer.surface.log_density(points) - prior.log_density(points)).mean() / np.log(2.0)
    assert answer.information_bits == pytest.approx(gain, abs=0.1)
    assert not answer.abstain


def test_the_answer_is_the_same_every_time():
    answers = [located([KYOTO, PARIS], [0.8, 0.75]).to_dict() for _ in range(2)]
    assert answers[0] == answers[1]


def test_the_answer_survives_json():
    answer = located([KYOTO, PARIS], [0.8, 0.75]).to_dict()
    assert json.loads(json.dumps(answer)) == json.loads(json.dumps(answer, allow_nan=False))
    assert answer["p_within_km"].keys() == {"1", "25", "200", "750", "2500"}


def test_a_fitted_model_marks_its_answers_calibrated():
    assert located([KYOTO], model=SurfaceModel(n_photos=10)).is_calibrated


def test_the_arguments_are_not_changed():
    similarity, places = np.array([0.1, 0.9]), np.array([KYOTO, PARIS])
    before = similarity.copy(), places.copy()
    locate(similarity, places, Prior.from_lonlat(places), SURE)
    assert np.array_equal(similarity, before[0])
    assert np.array_equal(places, before[1])
