"""Claims: a label is the sum of its cells; shares divide a cell; countries keep states apart."""

import numpy as np
import pytest
from geocell_fakes import NearestCells, cells_at

from placeprint.encoders.geocell_heads.levels import level_of
from placeprint.encoders.sphere import uniform_on_sphere


@pytest.fixture
def cells(rng: np.random.Generator) -> NearestCells:
    return cells_at(uniform_on_sphere(7, rng))


def test_countries_are_sums_of_cells(cells: NearestCells, rng: np.random.Generator) -> None:
    p = rng.dirichlet(np.ones(7), size=5)
    level = level_of(cells, "country")
    assert level.labels.tolist() == ["AA", "BB"]
    got = np.exp(level.log_probabilities(np.log(p)))
    np.testing.assert_allclose(
        got, np.stack([p[:, :4].sum(axis=1), p[:, 4:].sum(axis=1)], axis=1), rtol=1e-12
    )


def test_a_cell_in_two_states_is_divided(cells: NearestCells) -> None:
    shares = [{"one": 0.75, "two": 0.2499}, *({"one": 1.0} for _ in range(6))]
    divided = type("Divided", (NearestCells,), {"admin1_shares": property(lambda self: shares)})
    level = level_of(divided(**vars(cells)), "state")
    assert level.labels.tolist() == ["AA/one", "AA/two", "BB/one"]  # "one" of two countries is two states
    with np.errstate(divide="ignore"):
        got = np.exp(level.log_probabilities(np.log(np.eye(7)[:1])))
    np.testing.assert_allclose(got, [[0.75 / 0.9999, 0.2499 / 0.9999, 0.0]])
    np.testing.assert_allclose(level.shares.sum(axis=1), 1.0)


def test_cells_without_shares_fall_back_to_their_admin1(cells: NearestCells) -> None:
    bare = type("Bare", (NearestCells,), {"admin1_shares": property(lambda self: [{}] * 7)})
    assert level_of(bare(**vars(cells)), "state").labels.tolist() == level_of(cells, "state").labels.tolist()


def test_tiny_probabilities_do_not_underflow(cells: NearestCells) -> None:
    log_p = np.full((1, 7), -2000.0)
    np.testing.assert_allclose(
        level_of(cells, "country").log_probabilities(log_p), [[-2000.0 + np.log(4), -2000.0 + np.log(3)]]
    )
