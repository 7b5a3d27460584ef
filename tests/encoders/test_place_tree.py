"""The tree finds what a scan of all pairs finds, across every edge of the map."""

import numpy as np
import pytest

from placeprint.encoders.place_tree import PlaceTree
from placeprint.encoders.sphere import as_lonlat, destination, great_circle_km, uniform_on_sphere


def scan(asked: np.ndarray, known: np.ndarray) -> np.ndarray:
    return great_circle_km(asked[:, None], known)


def test_neighbors_are_those_of_a_scan(rng: np.random.Generator) -> None:
    known, asked = uniform_on_sphere(300, rng), uniform_on_sphere(40, rng)
    km, number = PlaceTree(known).nearest(asked, 7)
    every = scan(asked, known)
    np.testing.assert_array_equal(number, np.argsort(every, axis=1)[:, :7])
    np.testing.assert_allclose(km, np.sort(every, axis=1)[:, :7], rtol=1e-9)


@pytest.mark.parametrize("beyond_km", [0.0, 500.0, 4000.0])
def test_hidden_neighbors_are_those_of_a_scan_without_them(
    rng: np.random.Generator, beyond_km: float
) -> None:
    known = uniform_on_sphere(300, rng)
    known[200:] = known[:100]  # every third place is known twice
    km, number = PlaceTree(known).nearest(known, 5, beyond_km=beyond_km)
    every = scan(known, known)
    every[every <= beyond_km] = np.inf
    np.testing.assert_allclose(km, np.sort(every, axis=1)[:, :5], rtol=1e-9)
    np.testing.assert_allclose(every[np.arange(300)[:, None], number], km, rtol=1e-9)


def test_a_pole_and_a_full_turn_are_the_same_place() -> None:
    known = as_lonlat([[0.0, 90.0], [-180.0, 0.0]])
    asked = as_lonlat([[123.4, 90.0], [180.0, 0.0]])
    km, _ = PlaceTree(known).nearest(asked, 1, beyond_km=0.0)
    np.testing.assert_allclose(km[:, 0], np.pi / 2 * 6371.0088)
    assert PlaceTree(known).count_within(asked, 0.0).tolist() == [1, 1]


def test_a_meter_away_is_another_place() -> None:
    here = np.array([139.7671, 35.6812])
    km, _ = PlaceTree(destination(here, 90.0, 0.001)[None]).nearest(here[None], 1, beyond_km=0.0)
    np.testing.assert_allclose(km, [[0.001]], rtol=1e-6)


def test_where_there_are_fewer_the_rest_is_infinitely_far() -> None:
    known = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    km, number = PlaceTree(known).nearest(known, 4, beyond_km=0.0)
    assert np.isfinite(km).sum(axis=1).tolist() == [2, 1, 1]
    assert number[0, :2].tolist() in ([1, 2], [2, 1])
    assert number[:, 2:].tolist() == [[0, 0]] * 3
    assert np.isinf(PlaceTree(np.empty((0, 2))).nearest(known, 2)[0]).all()


def test_counts_are_those_of_a_scan(rng: np.random.Generator) -> None:
    known, asked = uniform_on_sphere(500, rng), uniform_on_sphere(30, rng)
    every = scan(asked, known)
    for radius_km in (300.0, 3000.0, 25_000.0):
        found = PlaceTree(known).count_within(asked, radius_km)
        np.testing.assert_array_equal(found, (every <= radius_km).sum(axis=1))
    assert PlaceTree(known).count_within(np.empty((0, 2)), 1.0).shape == (0,)


def test_batches_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    known = uniform_on_sphere(300, rng)
    whole = PlaceTree(known).nearest(known, 5, beyond_km=3000.0)
    monkeypatch.setattr("placeprint.encoders.place_tree.ENTRIES_AT_A_TIME", 50)
    np.testing.assert_array_equal(PlaceTree(known).nearest(known, 5, beyond_km=3000.0), whole)


def test_no_places_have_no_neighbors() -> None:
    km, number = PlaceTree(np.zeros((3, 2))).nearest(np.empty((0, 2)), 4, beyond_km=1.0)
    assert km.shape == number.shape == (0, 4)
