"""Folds of blocks keep blocks together, everywhere on Earth, in every tool of scikit-learn."""

import numpy as np
import pytest
from place_fakes import table_of_places
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import cross_validate

import placeprint
from placeprint.encoders.block_kfold import BlockKFold
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption
from placeprint.encoders.sphere import uniform_on_sphere


def test_every_row_is_tested_once_and_no_block_is_on_both_sides(rng: np.random.Generator) -> None:
    lonlat, folds = uniform_on_sphere(500, rng), BlockKFold(15.0)
    blocks, seen = folds.blocks(lonlat), []
    for train, test in folds.split(lonlat):
        assert not set(blocks[train]) & set(blocks[test])
        assert sorted([*train, *test]) == list(range(500))
        assert 60 < len(test) < 140
        seen += test.tolist()
    assert sorted(seen) == list(range(500))


def test_blocks_are_cut_at_whole_multiples_also_west_and_south() -> None:
    lonlat = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.9, 0.9], [-0.1, -0.9], [179.9, 0.5]])
    assert len(set(BlockKFold(1.0).blocks(lonlat))) == 4
    same = BlockKFold(1.0).blocks(lonlat)
    assert same[0] == same[3]
    assert same[2] == same[4]


def test_longitudes_counted_either_way_are_in_one_block() -> None:
    blocks = BlockKFold(1.0).blocks(
        np.array([[-77.04, -12.05], [282.96, -12.05], [180.0, 0.0], [-180.0, 0.0]])
    )
    assert (blocks[0], blocks[2]) == (blocks[1], blocks[3])


def test_the_seed_decides() -> None:
    table = table_of_places(200)
    tested = [[test.tolist() for _, test in BlockKFold(10.0, seed=seed).split(table)] for seed in (0, 0, 1)]
    assert tested[0] == tested[1] != tested[2]


def test_it_is_a_splitter_of_scikit_learn() -> None:
    table = table_of_places(200)
    found = cross_validate(DummyRegressor(), table, table.rooms, cv=BlockKFold(10.0, n_splits=4))
    assert len(found["test_score"]) == BlockKFold(10.0, n_splits=4).get_n_splits() == 4


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(InvalidOption, match="degrees=0"):
        BlockKFold(0.0)
    with pytest.raises(InvalidOption, match="1 blocks of 90° for 5 folds: choose smaller blocks"):
        next(BlockKFold(90.0).split(np.array([[1.0, 1.0], [2.0, 2.0]])))
    with pytest.raises(InvalidCoordinate, match="row 0 of 1"):
        BlockKFold().blocks(np.array([[np.nan, 1.0]]))


def test_it_stands_among_the_names_of_the_package() -> None:
    assert placeprint.BlockKFold is BlockKFold
