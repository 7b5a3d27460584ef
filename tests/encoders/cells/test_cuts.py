"""Cuts and how they are found.

Claims: two towns are told apart, a town in its hinterland is cut out; every part has enough points; force
always finds a way where there is one; nothing depends on the order of points; the antimeridian is no gap.
"""

import numpy as np
import pytest

from placeprint.encoders.cells.building import cut_groups
from placeprint.encoders.cells.cuts import Cut
from placeprint.encoders.cells.splitting import find_cut, optics_rounds
from placeprint.encoders.sphere import as_lonlat, destination, unit_vectors


def town(lon: float, lat: float, n: int, km: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    reach = km * np.sqrt(rng.random(n))
    return destination(as_lonlat([[lon, lat]] * n), rng.uniform(0, 360, n), reach)


def parts(points: np.ndarray, cut: Cut | None) -> np.ndarray:
    assert cut is not None
    return cut.child_of(unit_vectors(points))


@pytest.mark.parametrize("lon", [10.0, 180.0])
def test_two_towns_are_told_apart(lon: float) -> None:
    points = np.vstack([town(lon - 0.2, 50.0, 40, 5.0), town(lon + 0.2, 50.0, 40, 5.0, seed=1)])
    side = parts(points, find_cut(unit_vectors(points), min_points=20, force_split=False))
    assert len(set(side[:40])) == len(set(side[40:])) == 1 and side[0] != side[40]


def test_a_town_is_cut_out_of_its_hinterland() -> None:
    rng = np.random.default_rng(4)
    around = destination(as_lonlat([[20.0, 60.0]] * 60), rng.uniform(0, 360, 60), rng.uniform(60, 150, 60))
    points = np.vstack([town(20.0, 60.0, 60, 5.0), around])
    side = parts(points, find_cut(unit_vectors(points), min_points=30, force_split=False))
    assert len(set(side[:60])) == 1
    assert np.mean(side[60:] != side[0]) > 0.9


def test_no_part_is_too_small() -> None:
    points = np.vstack([town(10.0, 50.0, 70, 30.0), town(11.0, 50.0, 12, 3.0, seed=1)])
    for force in (False, True):
        cut = find_cut(unit_vectors(points), min_points=20, force_split=force)
        if cut is not None:
            assert np.bincount(parts(points, cut)).min() >= 20


def test_force_divides_what_has_no_gap() -> None:
    line = np.stack([10.0 + np.arange(60) * 0.01, np.full(60, 50.0)], axis=1)
    assert find_cut(unit_vectors(line), min_points=30, force_split=False) is None
    side = parts(line, find_cut(unit_vectors(line), min_points=30, force_split=True))
    assert np.bincount(side).tolist() == [30, 30]


def test_force_finds_the_only_way() -> None:
    # K-means would take the far few apart; only a circle between the 45th and the 46th leaves 45.
    lon = np.concatenate([10.0 + np.arange(80) * 0.001, 30.0 + np.arange(10) * 0.001])
    points = np.stack([lon, np.full(90, 0.0)], axis=1)
    side = parts(points, find_cut(unit_vectors(points), min_points=45, force_split=True))
    assert np.bincount(side).tolist() == [45, 45]


def test_one_position_cannot_be_cut() -> None:
    points = np.repeat([[10.0, 50.0]], 100, axis=0)
    assert find_cut(unit_vectors(points), min_points=10, force_split=True) is None


def test_the_order_of_points_does_not_matter() -> None:
    points = np.vstack([town(10.0, 50.0, 50, 5.0), town(10.4, 50.0, 50, 9.0, seed=1)])
    order = np.random.default_rng(1).permutation(100)
    one = find_cut(unit_vectors(points), min_points=20, force_split=True)
    other = find_cut(unit_vectors(points[order]), min_points=20, force_split=True)
    assert one is not None and other is not None
    assert np.array_equal(one.lonlat, other.lonlat) and np.array_equal(one.child, other.child)


def test_the_settings_of_the_papers_tables() -> None:
    assert optics_rounds(30) == ((8, 0.05), (10, 0.025), (15, 0.015))
    assert optics_rounds(1000) == ((300, 0.05), (400, 0.005), (1000, 0.0001))


def test_a_forest_counts_as_it_was_cut() -> None:
    points = np.vstack([town(10.0, 50.0, 90, 20.0), town(-60.0, -10.0, 10, 20.0), town(11.0, 50.0, 60, 5.0)])
    group = np.repeat([0, 2, 0], [90, 10, 60])
    forest = cut_groups(unit_vectors(points), group, 3, min_points=20, max_points=40, force_split=True)
    cell = forest.cells_of(group, unit_vectors(points))
    n = np.bincount(cell, minlength=forest.n_cells)
    assert forest.n_cells == len(n) and n.sum() == 160
    assert forest.cell[1] >= 0 and n[forest.cell[1]] == 0 and n[forest.cell[2]] == 10
    large = np.delete(n, forest.cell[[1, 2]])
    assert large.min() >= 20 and large.max() <= 40
