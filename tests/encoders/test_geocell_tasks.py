"""Claims: labels of known places; missing is missing; unknown words are refused."""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.geocell_tasks import TASKS, task_labels
from placeprint.encoders.world.tables import CLIMATES

TOKYO, LONDON, OCEAN, LHASA, SYDNEY = (
    [139.75, 35.69],
    [-0.1, 51.5],
    [-30.0, 0.0],
    [91.1, 29.65],
    [151.2, -33.9],
)


def test_driving_side_is_of_the_country_and_missing_far_from_land() -> None:
    labels = task_labels(["driving-side"], [TOKYO, LONDON, [2.35, 48.86], OCEAN])["driving-side"]
    np.testing.assert_array_equal(labels, [1.0, 1.0, 0.0, np.nan])


def test_months_are_seasons_in_both_hemispheres() -> None:
    labels = task_labels(["month"], [LONDON, SYDNEY, SYDNEY, LONDON], [1, 1, 7, 0])["month"]
    np.testing.assert_array_equal(labels, [0.0, 6.0, 0.0, np.nan])


def test_climate_is_a_class_and_missing_at_sea() -> None:
    labels = task_labels(["climate"], [TOKYO, OCEAN])["climate"]
    assert CLIMATES[int(labels[0])] == "Cfa" and np.isnan(labels[1])
    assert TASKS["climate"].n_outputs == len(CLIMATES)


def test_months_that_do_not_match_and_unknown_tasks_are_refused() -> None:
    with pytest.raises(InvalidOption, match="one each"):
        task_labels(["month"], [LONDON], [1, 2])
    with pytest.raises(InvalidOption, match="one each"):
        task_labels(["month"], [LONDON], [13])
    with pytest.raises(InvalidOption, match="no side task 'weather'; there are climate"):
        task_labels(["weather"], [LONDON])


@pytest.mark.slow
def test_elevation_and_people_are_read_from_the_atlas() -> None:
    labels = task_labels(["elevation", "population"], [TOKYO, LHASA])
    assert np.sinh(labels["elevation"][1]) * 100.0 == pytest.approx(4500.0, abs=900.0)  # mountains around
    assert abs(np.sinh(labels["elevation"][0]) * 100.0) < 300.0
    assert labels["population"][0] > labels["population"][1]
    assert TASKS["population"].n_outputs == 1
