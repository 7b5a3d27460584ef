"""Places as shares of cells, and the classifier that a bilinear head over them is."""

import numpy as np
import pytest

from placeprint.encoders.cell_memberships import MAX_CELLS, CellMemberships
from placeprint.encoders.geocells import default_geocells
from placeprint.encoders.location_head import fit_location_head
from placeprint.encoders.sphere import EARTH_RADIUS_KM, destination, uniform_on_sphere, unit_vectors

TOWNS = np.array([[2.35, 48.85], [13.4, 52.5], [179.9, -17.8], [-70.9, -53.2]])


@pytest.fixture(scope="module")
def cells():
    return default_geocells()


def test_only_cells_with_photos_are_asked(cells):
    memberships = CellMemberships.of_photos(cells, np.repeat(TOWNS, 3, axis=0))
    held = cells.center_lonlat[np.unique(cells.assign(TOWNS))]
    np.testing.assert_allclose(memberships.centers, unit_vectors(held))


def test_shares_add_up_and_fall_with_the_distance():
    memberships = CellMemberships(unit_vectors(TOWNS), tau_km=500.0)
    share = memberships.encode(np.concatenate([TOWNS, [[-179.9, -17.8], [0.0, 90.0], [0.0, -90.0]]]))
    assert share.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (share[:4].argmax(axis=1) == np.arange(4)).all()
    assert share[4].argmax() == 2  # across the antimeridian
    paris_km, berlin_km = 0.0, 878.0
    assert share[0, 1] / share[0, 0] == pytest.approx(np.exp((paris_km - berlin_km) / 500.0), rel=0.02)


def test_tau_follows_the_spacing_of_the_cells():
    near = CellMemberships.of_photos(_Spots(200.0), _Spots(200.0).center_lonlat)
    far = CellMemberships.of_photos(_Spots(800.0), _Spots(800.0).center_lonlat)
    assert near.tau_km == pytest.approx(400.0, rel=1e-3)
    assert far.tau_km == pytest.approx(1600.0, rel=1e-3)
    assert CellMemberships.of_photos(_Spots(200.0), [[10.0, 0.0]]).tau_km > 0.0  # one cell has no spacing


def test_of_very_many_cells_the_fullest_are_kept(cells):
    every = uniform_on_sphere(20_000, np.random.default_rng(0))
    memberships = CellMemberships.of_photos(cells, np.concatenate([every, np.repeat(TOWNS[:1], 50, axis=0)]))
    assert len(memberships.centers) == MAX_CELLS
    assert (memberships.centers @ unit_vectors(TOWNS[0])).max() > np.cos(200.0 / EARTH_RADIUS_KM)


def test_a_head_over_shares_tells_cells_apart():
    rng = np.random.default_rng(0)
    town = rng.integers(0, 4, 400)
    looks = np.eye(4)[town] + 0.3 * rng.normal(size=(400, 4))
    lonlat = destination(TOWNS[town], rng.uniform(0, 360, 400), rng.exponential(30.0, 400))
    memberships = CellMemberships(unit_vectors(TOWNS), tau_km=100.0)
    share = memberships.encode(lonlat)
    head = fit_location_head(looks[:300], share[:300], share[:300], penalty=1e-3)
    answer = head.scores(looks[300:], memberships.encode(TOWNS)).argmax(axis=1)
    assert np.mean(answer == town[300:]) > 0.9


class _Spots:
    """Cells along the equator, so many kilometers apart."""

    def __init__(self, apart_km: float) -> None:
        self.center_lonlat = destination(np.zeros(2), 90.0, apart_km * np.arange(10))

    def assign(self, lonlat):
        return (unit_vectors(np.asarray(lonlat)) @ unit_vectors(self.center_lonlat).T).argmax(axis=1)
