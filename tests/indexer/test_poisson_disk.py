"""Points over an area: as many as asked, inside, apart, uniform by area, wherever on Earth.

Claims: n points; none nearer than the radius told; spread more evenly than by chance; no nearer than a
spacing asked for, and then as many as fit; the antimeridian and the poles are no borders; pieces get
their share by area on the sphere; the seed decides; an area too thin to be hit ends.
"""

import numpy as np
import pytest

from placeprint.encoders.areas import Polygon
from placeprint.encoders.sphere import great_circle_km
from placeprint.indexer.poisson_disk import poisson_disk, uniform_in


def polygon(*rings: list[list[float]]) -> Polygon:
    return Polygon.from_geojson({"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]})


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north]]


KILOMETER = polygon(box(10.0, 60.0, 10.0 + 0.0089932 / np.cos(np.deg2rad(60.0)), 60.0 + 0.0089932))


def gaps_km(lonlat):
    distance = great_circle_km(lonlat[:, None], lonlat[None])
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


@pytest.mark.parametrize("n", [0, 1, 2, 37, 300])
def test_as_many_as_asked_inside_and_no_nearer_than_told(n, rng):
    spread = poisson_disk(KILOMETER, n, rng)
    assert spread.lonlat.shape == (n, 2)
    assert KILOMETER.contains(spread.lonlat).all()
    assert n < 2 or gaps_km(spread.lonlat).min() >= spread.radius_km * (1.0 - 1e-9)


def test_more_even_than_chance(rng):
    # The densest lattice of 300 points on 1 km² has gaps of 62 m; chance alone leaves some of 1 or 2 m.
    assert gaps_km(poisson_disk(KILOMETER, 300, rng).lonlat).min() > 0.6 * 0.062
    assert gaps_km(uniform_in(KILOMETER, 300, rng)).min() < 0.1 * 0.062


def test_with_a_spacing_as_many_as_fit(rng):
    spread = poisson_disk(KILOMETER, 1000, rng, spacing_km=0.2)
    assert gaps_km(spread.lonlat).min() >= 0.2
    # Discs of 100 m that fell by chance cover 55 % of a plane when no more fit; here they may stand over
    # the edge, so that they have 1.2² km² to themselves.
    assert 17 <= len(spread.lonlat) <= 0.62 * 1.2**2 / (np.pi * 0.1**2)


def test_fewer_than_fit_keep_the_spacing(rng):
    spread = poisson_disk(KILOMETER, 10, rng, spacing_km=0.15)
    assert len(spread.lonlat) == 10 and gaps_km(spread.lonlat).min() >= 0.15
    assert gaps_km(poisson_disk(KILOMETER, 22, rng, spacing_km=0.2).lonlat).min() >= 0.2  # just about as many


def test_the_antimeridian_is_no_border(rng):
    fiji = polygon(box(179.0, -18.0, 181.0, -16.0))
    lon = poisson_disk(fiji, 400, rng).lonlat[:, 0]
    assert ((lon >= 179.0) | (lon <= -179.0)).all() and (np.abs(lon) <= 180.0).all()
    assert np.mean(lon > 0.0) == pytest.approx(0.5, abs=0.06)


def test_distances_hold_across_the_antimeridian(rng):
    strip = polygon(box(179.99, 0.0, 180.01, 0.02))
    assert gaps_km(poisson_disk(strip, 1000, rng, spacing_km=0.3).lonlat).min() >= 0.3


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_around_a_pole_uniform_by_area(pole, rng):
    edge = pole * 80.0 / 90.0
    cap = polygon([[lon, edge] for lon in np.arange(-180.0, 180.0, 5.0).tolist()])
    lonlat = uniform_in(cap, 4000, rng)
    height = np.abs(np.sin(np.deg2rad(lonlat[:, 1])))
    middle = (1.0 + np.sin(np.deg2rad(80.0))) / 2.0
    assert np.mean(height > middle) == pytest.approx(0.5, abs=0.03)
    assert np.histogram(lonlat[:, 0], 4, (-180.0, 180.0))[0] / 4000 == pytest.approx(0.25, abs=0.03)


def test_pieces_get_their_share_by_area_on_the_sphere(rng):
    # At 60 degrees a degree of longitude is half as long.
    both = polygon(box(0.0, -1.0, 1.0, 1.0), box(50.0, 59.0, 51.0, 61.0))
    assert np.mean(uniform_in(both, 4000, rng)[:, 0] < 10.0) == pytest.approx(2.0 / 3.0, abs=0.03)


def test_the_seed_decides():
    first, again, other = (
        poisson_disk(KILOMETER, 20, np.random.default_rng(seed)).lonlat for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_an_area_too_thin_to_be_hit_ends(rng):
    thread = polygon([[0.0, 0.0], [10.0, 10.0], [10.0, 10.0 + 1e-9]])
    assert len(poisson_disk(thread, 5, rng).lonlat) == 0
