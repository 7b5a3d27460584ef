"""What contrastive pre-training draws.

Claims: every pair once an epoch; draws depend on seed and step alone; random places are uniform on
the sphere, or as dense as the photos; one place is known as one, at the antimeridian and the poles
too; a hold-out tears neither blocks nor groups.
"""

import numpy as np
import pytest

from placeprint.encoders.csp_sampling import (
    Pairs,
    choose_block_deg,
    epoch_batches,
    hold_out,
    jittered,
    n_batches,
    random_places,
    regions,
    same_place,
)
from placeprint.encoders.errors import InvalidCoordinate, PlaceprintError, TooFewPairs
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere

NOWHERE = np.empty((0, 2))


def test_every_pair_comes_once_an_epoch_and_batches_are_even() -> None:
    batches = list(epoch_batches(1000, 128, seed=3, epoch=5))
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(1000))
    assert {len(batch) for batch in batches} == {125}
    assert len(batches) == n_batches(1000, 128) == 8
    assert [len(batch) for batch in epoch_batches(3, 128, seed=0, epoch=0)] == [3]


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = next(epoch_batches(50, 50, seed=1, epoch=2))
    assert np.array_equal(first, next(epoch_batches(50, 50, seed=1, epoch=2)))
    assert not np.array_equal(first, next(epoch_batches(50, 50, seed=1, epoch=3)))
    assert not np.array_equal(first, next(epoch_batches(50, 50, seed=2, epoch=2)))


def test_places_on_the_sphere_are_uniform_by_area() -> None:
    places = random_places((4000, 10), kind="sphere", known=NOWHERE, seed=0, step=0).reshape(-1, 2)
    lon, lat = places.T
    # 40,000 draws: three standard errors of a share are below 0.0055. The square of degrees, which
    # CSP's scripts draw from, would put 0.333 beyond 60 degrees and 0.006 into the corners.
    assert (np.abs(lat) > 60).mean() == pytest.approx(1 - np.sin(np.deg2rad(60)), abs=0.0055)
    corners = (np.abs(lon) > 150) & (np.abs(lat) > 45)
    assert corners.mean() == pytest.approx((60 / 360) * (1 - np.sin(np.deg2rad(45))), abs=0.0035)
    assert lon.min() < -179 and lon.max() > 179 and lat.min() < -85 and lat.max() > 85


def test_places_of_the_data_are_as_dense_as_the_photos() -> None:
    known = np.array([[10.0, 50.0]] * 9 + [[179.9, -16.0]])
    places = random_places((1000, 2), kind="data", known=known, seed=0, step=0)
    assert places.shape == (1000, 2, 2)
    assert (places[..., 0] == 179.9).mean() == pytest.approx(0.1, abs=0.021)


def test_random_places_depend_on_seed_and_step_alone() -> None:
    draw = lambda seed, step: random_places((5, 2), kind="sphere", known=NOWHERE, seed=seed, step=step)  # noqa: E731
    assert np.array_equal(draw(1, 7), draw(1, 7))
    assert not np.array_equal(draw(1, 7), draw(1, 8))
    assert not np.array_equal(draw(1, 7), draw(2, 7))


def test_jitter_keeps_to_its_radius_in_all_directions_at_every_latitude() -> None:
    for start in ([20.0, 0.0], [179.999, -16.0], [-40.0, 89.9999], [5.0, 85.0]):
        place = np.tile(start, (4000, 1))
        moved = jittered(place, 2.0, seed=0, step=0)
        distance_km = great_circle_km(place, moved)
        assert distance_km.max() == pytest.approx(2.0, abs=0.01) and distance_km.max() <= 2.0 + 1e-9
        assert np.median(distance_km) == pytest.approx(np.sqrt(2.0), abs=0.05)  # uniform by area
        assert moved[:, 1].max() > start[1] + 1e-6 or start[1] > 89
        assert moved[:, 1].min() < start[1] - 1e-6
    assert np.array_equal(jittered(place, 0.0, seed=0, step=0), place)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([180.0 - 1e-5, 10.0], [-180.0 + 1e-5, 10.0]),  # 2 m across the antimeridian
        ([0.0, 90.0], [123.0, 90.0]),  # a pole by two names
        ([0.0, -89.99999], [180.0, -89.99999]),  # 2 m across a pole
        ([8.5, 47.4], [8.5, 47.40001]),
    ],
)
def test_one_place_is_known_as_one(a: list[float], b: list[float]) -> None:
    assert same_place(np.array([a]), np.array([b]), 0.005).all()


def test_other_places_are_not_the_same() -> None:
    a = np.array([[8.5, 47.4]])
    near = np.array([[8.5, 47.4 + 0.0001]])  # 11 m
    assert not same_place(a, near, 0.010).any()
    assert same_place(a, near, 0.012).all()
    assert not same_place(a, near, 0.0).any()
    assert not same_place(a, np.array([[-171.5, -47.4]]), 100.0).any()  # the antipode


def test_equal_points_are_one_place_whatever_rounding_does() -> None:
    points = uniform_on_sphere(3000, np.random.default_rng(0))
    assert same_place(points[:, None], points[:, None], 0.0).all()
    assert same_place(points, points, 0.0).sum() == 3000


def test_a_hold_out_tears_neither_blocks_nor_groups() -> None:
    rng = np.random.default_rng(0)
    lonlat = uniform_on_sphere(2000, rng)
    groups = rng.integers(0, 1500, 2000).astype(str)
    part = hold_out(regions(lonlat, groups, 5.0), (0.1, 0.1), seed=0)
    cells = np.floor(lonlat / 5.0).astype(int)
    for name in (groups, cells[:, 0] * 1000 + cells[:, 1]):
        for one in np.unique(name):
            assert len(set(part[name == one].tolist())) == 1


def test_a_hold_out_keeps_to_its_shares_and_follows_its_seed() -> None:
    lonlat = uniform_on_sphere(2000, np.random.default_rng(0))
    region = regions(lonlat, np.arange(2000).astype(str), 5.0)
    part = hold_out(region, (0.1, 0.2), seed=0)
    assert np.bincount(part) / 2000 == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
    assert np.array_equal(part, hold_out(region, (0.1, 0.2), seed=0))
    assert not np.array_equal(part, hold_out(region, (0.1, 0.2), seed=1))


def test_a_hold_out_of_one_region_is_refused() -> None:
    region = regions(np.full((50, 2), 10.0), np.arange(50).astype(str), 5.0)
    with pytest.raises(TooFewPairs, match=r"1 separate region\(s\)"):
        hold_out(region, (0.2,), seed=0)


def test_blocks_are_as_large_as_the_spread_of_the_photos_allows() -> None:
    rng = np.random.default_rng(0)
    world = uniform_on_sphere(2000, rng)
    city = np.array([139.7, 35.6]) + rng.uniform(-0.2, 0.2, (2000, 2))
    own = np.arange(2000).astype(str)
    assert choose_block_deg(world, own) == 10.0
    assert choose_block_deg(city, own) == pytest.approx(0.05)
    with pytest.raises(TooFewPairs, match=r"make 1 separate region"):
        choose_block_deg(np.full((50, 2), 10.0), own[:50])


def test_pairs_refuse_what_is_no_place() -> None:
    images, groups = np.ones((2, 3), np.float32), np.array(["a", "b"])
    with pytest.raises(InvalidCoordinate, match="row 1"):
        Pairs(images, np.array([[0.0, 0.0], [np.nan, 5.0]]), groups)
    with pytest.raises(PlaceprintError, match="embedding of pair 1"):
        Pairs(np.array([[0.0], [np.inf]], np.float32), np.zeros((2, 2)), groups)
    with pytest.raises(PlaceprintError, match="one group each"):
        Pairs(images, np.zeros((3, 2)), groups)
    assert Pairs(images, np.array([[190.0, 0.0], [0.0, 1.0]]), groups).lonlat[0, 0] == -170.0
