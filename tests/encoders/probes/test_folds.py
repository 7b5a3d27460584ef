"""Folds of the benchmark.

Claims: random folds are every fifth of one permutation in file order; a block is never divided, nor by
the antimeridian; splits are read from their names, and others refused.
"""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidCoordinate, InvalidProbe
from placeprint.encoders.probes.folds import Split, block_cells, block_folds, random_folds


def test_random_folds_take_every_fifth_of_a_permutation() -> None:
    order = np.random.default_rng(0).permutation(23)
    folds = random_folds(23)
    for fold in range(5):
        assert set(np.flatnonzero(folds == fold)) == set(order[fold::5])


def test_blocks_follow_the_published_formula(rng: np.random.Generator) -> None:
    lonlat = np.stack([rng.uniform(-180, 180, 400), rng.uniform(-90, 90, 400)], axis=1)
    cells = np.floor(lonlat[:, 1] / 10).astype(int) * 100_003 + np.floor(lonlat[:, 0] / 10).astype(int)
    known = sorted(set(cells.tolist()))
    order = np.random.default_rng(0).permutation(len(known))
    expected = [order[known.index(cell)] % 5 for cell in cells]
    np.testing.assert_array_equal(block_folds(lonlat), expected)


def test_a_block_is_not_divided(rng: np.random.Generator) -> None:
    lonlat = np.stack([rng.uniform(-180, 180, 2000), rng.uniform(-90, 90, 2000)], axis=1)
    folds, cells = block_folds(lonlat, 30.0), block_cells(lonlat, 30.0)
    for cell in np.unique(cells):
        assert len(np.unique(folds[cells == cell])) == 1


def test_both_ways_to_write_the_antimeridian_are_one_cell() -> None:
    cells = block_cells([[180.0, 5.0], [-180.0, 5.0], [179.9, 5.0]], 10.0)
    assert cells[0] == cells[1] != cells[2]


def test_the_north_pole_has_a_cell_of_its_own() -> None:
    assert len(set(block_cells([[0.0, 90.0], [0.0, 89.9], [0.0, -90.0]], 10.0).tolist())) == 3


def test_places_off_the_earth_are_refused() -> None:
    with pytest.raises(InvalidCoordinate, match="lat"):
        block_folds([[35.7, 139.7]])


@pytest.mark.parametrize("name", ["random", "block1", "block10", "block2.5"])
def test_a_split_has_the_name_it_was_read_from(name: str) -> None:
    assert Split.named(name).name == name


@pytest.mark.parametrize("name", ["", "block", "block0", "block91", "blocks", "Random", "block-1"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidProbe, match="no split"):
        Split.named(name)


def test_a_split_makes_its_folds(rng: np.random.Generator) -> None:
    lonlat = np.stack([rng.uniform(-9, 9, 50), rng.uniform(-9, 9, 50)], axis=1)
    np.testing.assert_array_equal(Split().folds(lonlat), random_folds(50))
    np.testing.assert_array_equal(Split(2.0).folds(lonlat), block_folds(lonlat, 2.0))
