"""Claims: radii are inclusive, figures are their formulas, expected scores prefer company to luck."""

import numpy as np
import pytest

from placeprint.encoders.geocell_heads.figures import (
    best_expected,
    calibration_error,
    cell_figures,
    geoscore,
    nearest_image,
    place_figures,
    top_cells,
)
from placeprint.encoders.sphere import destination, great_circle_km


def test_an_error_of_exactly_the_radius_is_within_it(monkeypatch: pytest.MonkeyPatch) -> None:
    error = np.array([1.0, 25.0, 200.0, 750.0, 2500.0, 2500.0001])
    monkeypatch.setattr("placeprint.encoders.geocell_heads.figures.great_circle_km", lambda a, b: error)
    found = place_figures(np.zeros((6, 2)), np.zeros((6, 2)))
    assert [found[f"within_{radius}_km"] for radius in (1, 25, 200, 750, 2500)] == pytest.approx(
        [1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6]
    )


def test_median_and_mean_are_not_mixed_up() -> None:
    truth = np.zeros((3, 2))
    answer = destination(truth, np.zeros(3), np.array([1.0, 2.0, 600.0]))
    found = place_figures(answer, truth)
    assert found["median_km"] == pytest.approx(2.0) and found["mean_km"] == pytest.approx(201.0)


def test_geoscore_of_known_errors() -> None:
    np.testing.assert_allclose(
        geoscore(np.array([0.0, 1.0, 25.0, 750.0])), [5000, 4996.65, 4916.96, 3025.2], atol=0.05
    )


def test_cell_figures_of_known_rows() -> None:
    log_p = np.log([[0.8, 0.2], [0.6, 0.4]])
    found = cell_figures(log_p, np.array([0, 1]))
    assert found["nll"] == pytest.approx(-(np.log(0.8) + np.log(0.4)) / 2)
    assert found["cell_at_1"] == 0.5


def test_calibration_error_is_the_gap_bin_by_bin() -> None:
    stated = np.array([0.9, 0.9, 0.9, 0.9, 0.05, 0.05])
    right = np.array([True, True, True, False, False, False])
    assert calibration_error(stated, right) == pytest.approx((4 * 0.15 + 2 * 0.05) / 6)
    assert calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0.0


def test_company_beats_a_lone_cell_in_expectation_only() -> None:
    centers = np.array([[100.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    log_p = np.log([[0.31, 0.23, 0.23, 0.23]])
    np.testing.assert_array_equal(top_cells(log_p, centers), [[100.0, 0.0]])
    assert great_circle_km(best_expected(log_p, centers)[0], centers[1]) < 120.0


def test_the_nearest_image_is_the_most_similar() -> None:
    known = np.eye(3, dtype=np.float32)
    np.testing.assert_array_equal(nearest_image(known[[2, 0]], known), [2, 0])
    assert nearest_image(known[:0], known).shape == (0,)
