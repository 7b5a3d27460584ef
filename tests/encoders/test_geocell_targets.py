"""Claims: rows sum to 1; hard labels are the limit; the Earth is round; τ fits the cells."""

import numpy as np
import pytest
from geocell_fakes import NearestCells, cells_at
from hypothesis import given
from hypothesis import strategies as st

from placeprint.encoders.errors import InvalidCoordinate, InvalidOption
from placeprint.encoders.geocell_targets import (
    AUTO_FACTOR,
    hard_targets,
    nearest_center_km,
    pigeon_targets,
    smoothed_targets,
    target_entropy,
    tau_km_of,
    top_cell_mass,
)
from placeprint.encoders.sphere import EARTH_RADIUS_KM, great_circle_km, uniform_on_sphere

DEGREE_KM = np.pi * EARTH_RADIUS_KM / 180.0


@pytest.fixture
def world(rng: np.random.Generator) -> NearestCells:
    return cells_at(uniform_on_sphere(60, rng))


@pytest.mark.parametrize("tau", [0.0, 1e-6, 15.0, 75.0, 2500.0, "auto", "per-cell"])
def test_rows_sum_to_one_everywhere_on_earth(
    world: NearestCells, rng: np.random.Generator, tau: float
) -> None:
    edges = [[0.0, 90.0], [0.0, -90.0], [180.0, 0.0], [-180.0, 0.0], [179.999, 66.0]]
    points = np.vstack([edges, uniform_on_sphere(200, rng), world.center_lonlat])
    targets = smoothed_targets(points, world, tau)
    assert np.isfinite(targets.data).all() and (targets.data > 0.0).all()
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, atol=1e-12)


def test_two_cells_share_by_the_difference_of_their_distances() -> None:
    cells = cells_at([[0.0, 0.0], [2.0, 0.0]])
    near, far = smoothed_targets([[0.5, 0.0]], cells, 100.0).toarray()[0]
    assert np.log(near / far) == pytest.approx(1.0 * DEGREE_KM / 100.0, abs=1e-9)


def test_it_is_the_plain_loop(world: NearestCells, rng: np.random.Generator) -> None:
    points = uniform_on_sphere(20, rng)
    got = smoothed_targets(points, world, 900.0, kept=1.0).toarray()
    for row, point in enumerate(points):
        weight = [np.exp(-float(great_circle_km(center, point)) / 900.0) for center in world.center_lonlat]
        np.testing.assert_allclose(got[row], np.array(weight) / sum(weight), rtol=1e-9)


def test_a_vanishing_tau_gives_the_hard_labels(world: NearestCells, rng: np.random.Generator) -> None:
    points = uniform_on_sphere(300, rng)
    hard = smoothed_targets(points, world, 0).toarray()
    np.testing.assert_array_equal(hard.argmax(axis=1), world.assign(points))
    np.testing.assert_allclose(smoothed_targets(points, world, 1e-3).toarray(), hard, atol=1e-6)


def test_hard_labels_are_of_the_cell_that_holds_the_photo_not_of_the_nearest_center() -> None:
    cells = cells_at([[0.0, 0.0], [10.0, 0.0]])
    cells.assign = lambda lonlat: np.array([1])  # type: ignore[method-assign]
    np.testing.assert_array_equal(smoothed_targets([[1.0, 0.0]], cells, 0).toarray(), [[0.0, 1.0]])


@pytest.mark.parametrize("tau", [60.0, "auto", "per-cell"])
def test_both_sides_of_the_antimeridian_are_alike(tau: float) -> None:
    cells = cells_at([[179.0, 10.0], [-179.0, 10.0], [179.0, -10.0], [-179.0, -10.0]])
    east, west = smoothed_targets([[179.6, 3.0], [-179.6, 3.0]], cells, tau).toarray()
    np.testing.assert_allclose(east, west[[1, 0, 3, 2]], rtol=1e-9)
    assert east[1] > 0.1  # across the line, 155 km away


def test_at_the_pole_all_longitudes_are_one_point() -> None:
    cells = cells_at([[0.0, 80.0], [90.0, 80.0], [180.0, 80.0], [-90.0, 80.0]])
    a, b = smoothed_targets([[12.0, 90.0], [-140.0, 90.0]], cells, 75.0).toarray()
    np.testing.assert_allclose(a, 0.25, rtol=1e-9)
    np.testing.assert_allclose(b, 0.25, rtol=1e-9)


def test_neither_distance_0_nor_the_antipode_is_nan() -> None:
    cells = cells_at([[30.0, 40.0], [-150.0, -40.0]])
    np.testing.assert_allclose(smoothed_targets([[30.0, 40.0]], cells, 1.0).toarray(), [[1.0, 0.0]])


@given(kept=st.floats(0.5, 1.0), seed=st.integers(0, 50))
def test_the_smallest_set_that_holds_the_share_is_kept(kept: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells, point = cells_at(uniform_on_sphere(30, rng)), uniform_on_sphere(1, rng)
    whole = np.sort(smoothed_targets(point, cells, 2000.0, kept=1.0).toarray()[0])[::-1]
    some = np.sort(smoothed_targets(point, cells, 2000.0, kept=kept).toarray()[0])[::-1]
    n = int((some > 0.0).sum())
    assert whole[:n].sum() >= kept - 1e-9 and (n == 1 or whole[: n - 1].sum() < kept)
    np.testing.assert_allclose(some[:n], whole[:n] / whole[:n].sum(), rtol=1e-9)


def test_repeated_places_and_many_chunks_change_nothing(
    world: NearestCells, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = uniform_on_sphere(40, rng)[rng.integers(0, 40, 100)]
    whole = smoothed_targets(points, world, 500.0).toarray()
    monkeypatch.setattr("placeprint.encoders.geocell_targets._CHUNK_NUMBERS", 7 * 60)
    np.testing.assert_array_equal(smoothed_targets(points, world, 500.0).toarray(), whole)
    np.testing.assert_array_equal(smoothed_targets(points[:1], world, 500.0).toarray(), whole[:1])


def test_auto_follows_the_median_spacing_and_per_cell_the_own() -> None:
    cells = cells_at([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [13.0, 0.0], [33.0, 0.0]])
    np.testing.assert_allclose(
        nearest_center_km(cells.center_lonlat) / DEGREE_KM, [1, 1, 2, 10, 20], rtol=1e-9
    )
    np.testing.assert_allclose(tau_km_of("auto", cells), AUTO_FACTOR * 2.0 * DEGREE_KM, rtol=1e-9)
    np.testing.assert_allclose(
        tau_km_of("per-cell", cells), AUTO_FACTOR * DEGREE_KM * np.array([1, 1, 2, 10, 20]), rtol=1e-9
    )


def test_with_a_tau_per_cell_a_nearer_center_still_gets_more() -> None:
    cells = cells_at([[0.0, 0.0], [0.1, 0.0], [30.0, 0.0], [75.0, 0.0]])
    row = smoothed_targets([[0.02, 0.0]], cells, "per-cell", kept=1.0).toarray()[0]
    assert (np.diff(row) <= 0.0).all() and row[1] > 0.01


def test_one_cell_alone_takes_all() -> None:
    for tau in (0.0, 75.0, "auto"):
        np.testing.assert_array_equal(
            smoothed_targets([[5.0, 5.0]], cells_at([[0.0, 0.0]]), tau).toarray(), [[1.0]]
        )


@pytest.mark.parametrize("tau", [-1.0, float("nan"), float("inf"), "automatic"])
def test_a_tau_without_meaning_is_refused(world: NearestCells, tau: float) -> None:
    with pytest.raises(InvalidOption, match="hard labels"):
        smoothed_targets([[0.0, 0.0]], world, tau)


def test_bad_shares_and_places_are_refused(world: NearestCells) -> None:
    with pytest.raises(InvalidOption, match="kept=0"):
        smoothed_targets([[0.0, 0.0]], world, 75.0, kept=0.0)
    with pytest.raises(InvalidCoordinate, match="lon, lat"):
        smoothed_targets([[35.68, 139.77]], world, 75.0)


def test_pigeons_weights_do_not_sum_to_one_and_ours_are_theirs_normalized(
    world: NearestCells, rng: np.random.Generator
) -> None:
    points = uniform_on_sphere(50, rng)
    theirs = pigeon_targets(points, world, 900.0, reference="nearest")
    total = np.asarray(theirs.sum(axis=1))
    assert theirs.max() == pytest.approx(1.0) and total.max() > 1.2
    ours = smoothed_targets(points, world, 900.0, kept=1.0).toarray()
    np.testing.assert_allclose(theirs.toarray() / total[:, None], ours, atol=1e-4)


def test_pigeons_paper_and_code_part_where_a_nearer_center_lies_in_another_cell() -> None:
    cells = cells_at([[0.0, 0.0], [10.0, 0.0]])
    cells.assign = lambda lonlat: np.array([1])  # type: ignore[method-assign]
    paper = pigeon_targets([[4.0, 0.0]], cells, 1000.0).toarray()[0]
    code = pigeon_targets([[4.0, 0.0]], cells, 1000.0, reference="nearest").toarray()[0]
    assert paper[1] == pytest.approx(1.0) and paper[0] == pytest.approx(np.exp(2.0 * DEGREE_KM / 1000.0))
    assert code[0] == pytest.approx(1.0) and code[1] == pytest.approx(np.exp(-2.0 * DEGREE_KM / 1000.0))
    with pytest.raises(InvalidOption, match="above 0"):
        pigeon_targets([[4.0, 0.0]], cells, 0.0)
    with pytest.raises(InvalidOption, match="their code"):
        pigeon_targets([[4.0, 0.0]], cells, 75.0, reference="first")  # type: ignore[arg-type]


def test_entropy_and_top_mass_of_known_rows() -> None:
    cells = cells_at([[0.0, 80.0], [90.0, 80.0], [180.0, 80.0], [-90.0, 80.0]])
    even = smoothed_targets([[0.0, 90.0]], cells, 75.0)
    assert target_entropy(even)[0] == pytest.approx(np.log(4.0)) and top_cell_mass(even)[0] == pytest.approx(
        0.25
    )
    hard = hard_targets(np.array([2, 0]), 4)
    np.testing.assert_array_equal(target_entropy(hard), 0.0)
    np.testing.assert_array_equal(top_cell_mass(hard), 1.0)


def test_wider_smoothing_is_more_uncertain(world: NearestCells, rng: np.random.Generator) -> None:
    points = uniform_on_sphere(50, rng)
    entropy = [
        target_entropy(smoothed_targets(points, world, tau)).mean() for tau in (0, 100, 300, 1000, 3000)
    ]
    assert (np.diff(entropy) > 0.0).all()
