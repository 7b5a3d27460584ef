"""The nearest inhabited places.

Claims: the table is whole and keeps Namibia; the nearest place is the one that a search through all
great-circle distances finds, at the antimeridian and the poles too; ties go to the larger place;
what is far from everything is marked remote.
"""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidCoordinate
from placeprint.encoders.places import Places, describe, load_places
from placeprint.encoders.sphere import as_lonlat, destination, great_circle_km, uniform_on_sphere


@pytest.fixture
def rng():
    return np.random.default_rng(20240818)


def row(city, lon, lat, population=0, country_code="XX", **names):
    return {
        "city": city,
        "longitude": lon,
        "latitude": lat,
        "population": population,
        "country_code": country_code,
        **names,
    }


def nearest_city(rows, lonlat, countries=None):
    return Places(rows, countries or {}).describe(lonlat)[0].city


# --- the table


def test_the_table_is_read_once():
    assert load_places() is load_places()


def test_the_table_is_whole():
    places = load_places()
    assert len(places) == len(places.city) == len(places.population) > 150_000
    assert np.abs(places.lonlat).max(axis=0).tolist() < [180.0, 90.0]
    assert len(set(places.country_code)) > 240


def test_missing_names_are_empty_text():
    places = load_places()
    for column in (places.country_code, places.country, places.state, places.county, places.city):
        assert {type(name) for name in column} == {str}
    assert "" in places.state and "" in places.county


def test_every_country_has_a_name():
    assert all(load_places().country)


def test_namibia_keeps_its_code():
    (windhoek,) = describe([17.08, -22.57])
    assert (windhoek.city, windhoek.country_code, windhoek.country) == ("Windhoek", "NA", "Namibia")


# --- the nearest place


def test_tokyo_is_described_in_full():
    (tokyo,) = describe(as_lonlat([139.70, 35.69]))
    assert (tokyo.country_code, tokyo.country, tokyo.state) == ("JP", "Japan", "Tokyo")
    assert tokyo.distance_km == pytest.approx(
        great_circle_km(np.array([tokyo.lon, tokyo.lat]), np.array([139.70, 35.69]))
    )
    assert tokyo.distance_km < 2.0 and not tokyo.is_remote and isinstance(tokyo.population, int)


@pytest.mark.parametrize("lon", [179.99, 180.0, -180.0, -179.99])
def test_fiji_is_found_from_both_sides_of_the_antimeridian(lon):
    assert describe([lon, -16.8])[0].country_code == "FJ"


@pytest.mark.parametrize("lon", [0.0, 120.0, -77.0])
def test_the_south_pole_is_remote_under_every_longitude(lon):
    (place,) = describe([lon, -90.0])
    assert place.is_remote
    assert place.distance_km == pytest.approx(np.deg2rad(place.lat + 90) * 6371.0088)


def test_the_nearest_place_is_that_of_a_search_through_all(rng):
    places = load_places()
    edges = as_lonlat([[180, -16.5], [-180, 66], [0, 90], [12, -90], [179.999, 0], [0, 0]])
    points = np.concatenate([edges, uniform_on_sphere(60, rng)])
    answer = places.nearest(points)
    for point, distance_km in zip(points, answer.distance_km, strict=True):
        assert distance_km == pytest.approx(great_circle_km(point, places.lonlat).min(), abs=1e-8)


def test_the_distance_is_that_to_the_place_named(rng):
    places, points = load_places(), uniform_on_sphere(50, rng)
    answer = places.nearest(points)
    assert np.array_equal(answer.distance_km, great_circle_km(points, places.lonlat[answer.index]))


def test_every_place_is_nearest_to_itself():
    places = load_places()
    answer = places.nearest(places.lonlat)
    assert np.array_equal(places.lonlat[answer.index], places.lonlat)
    assert np.mean(answer.index != np.arange(len(places))) < 1e-3  # 37 positions are shared


def test_degrees_of_longitude_are_short_in_the_north():
    rows = [row("west", -20, 80), row("south", 0, 70)]
    assert nearest_city(rows, [0.0, 80.0]) == "west"


def test_a_whole_turn_of_longitude_changes_nothing():
    assert describe([-180.5, 66.0]) == describe([179.5, 66.0])


# --- ties


@pytest.mark.parametrize("order", [1, -1])
def test_the_larger_of_two_places_at_one_position_is_named(order):
    rows = [row("small", 10, 20, 5), row("large", 10, 20, 6)][::order]
    assert nearest_city(rows, [10.1, 20.1]) == "large"


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "first, second",
    [
        (row("z", 1, 2, country_code="B"), row("a", 1, 2, country_code="A")),
        (row("z", 1, 2, state="A", country_code="A"), row("a", 1, 2, state="B", country_code="A")),
        (row("z", 1, 2, county="A", country_code="A"), row("a", 1, 2, county="B", country_code="A")),
        (row("A", 1, 2, country_code="A"), row("B", 1, 2, country_code="A")),
    ],
    ids=["country", "state", "county", "city"],
)
def test_equal_populations_are_decided_by_name(first, second, order):
    countries = {"A": "Zambia", "B": "Albania"}
    assert nearest_city([first, second][::order], [1.0, 2.0], countries) == first["city"]


# --- shapes, distances, refusals


def test_answers_have_the_shape_of_the_points():
    answer = load_places().nearest(np.zeros((2, 3, 2)))
    assert answer.index.shape == answer.distance_km.shape == answer.is_remote.shape == (2, 3)
    assert load_places().nearest(np.zeros((0, 2))).index.shape == (0,)


def test_descriptions_keep_the_order_of_the_points():
    cities = [place.city for place in describe([[17.08, -22.56], [139.69, 35.69], [17.08, -22.56]])]
    assert cities == ["Windhoek", "Tokyo", "Windhoek"]


@pytest.mark.parametrize("beyond_km, is_remote", [(-0.001, False), (0.001, True)])
def test_names_are_remote_beyond_200_km(beyond_km, is_remote):
    places = Places([row("only", 179.5, -16)], {})
    point = destination(as_lonlat([179.5, -16]), 90.0, 200.0 + beyond_km)
    assert places.describe(point)[0].is_remote is is_remote
    assert places.nearest(point).is_remote == is_remote


def test_a_point_off_the_earth_is_refused():
    with pytest.raises(InvalidCoordinate, match="order must be lon, lat"):
        describe([35.68, 139.77])


def test_the_points_are_not_changed():
    points = np.array([[190.0, 5.0]])
    describe(points)
    assert points.tolist() == [[190.0, 5.0]]
