"""Published figures: they belong to benchmarks that there are, and are shares that rise with the radius."""

import pytest

from placeprint.indexer.protocols import PROTOCOLS
from placeprint.indexer.published import CAVEAT, published

ROWS = [row for name in PROTOCOLS for row in published(name)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.protocol}-{row.method}")
def test_shares_rise_with_the_radius(row):
    told = [one for one in row.percent if one is not None]
    assert len(row.percent) == 5
    assert told == sorted(told)
    assert all(0.0 < one < 100.0 for one in told)
    assert told or row.besides


def test_every_benchmark_has_some_and_no_method_stands_twice():
    assert {row.protocol for row in ROWS} == set(PROTOCOLS)
    assert len({(row.protocol, row.method) for row in ROWS}) == len(ROWS)
    assert published("gws15k") == []


def test_figures_are_told_as_an_evaluation_tells_its_own():
    (row,) = [row for row in published("im2gps3k") if row.method == "GeoCLIP"]
    assert row.to_dict() == {
        "method": "GeoCLIP", "within_1_km": 0.141, "within_25_km": 0.345, "within_200_km": 0.507,
        "within_750_km": 0.697, "within_2500_km": 0.838,
    }  # fmt: skip
    (bare,) = [row for row in published("yfcc26k") if row.method == "GeoCLIP"]
    assert bare.to_dict()["within_25_km"] is None


def test_the_caveat_names_what_differs():
    for word in ("training data", "crops", "leakage", "orientation"):
        assert word in CAVEAT
