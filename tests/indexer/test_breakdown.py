"""Figures by continent and country: each photo in one part, with intervals over the part's own groups."""

import json

import numpy as np
import pytest

from placeprint.indexer.breakdown import MIN_GROUPS, continents_of, countries_of
from placeprint.indexer.evaluation_report import Evaluation, Row
from placeprint.indexer.evaluation_tables import parts_table
from placeprint.indexer.rows import geoscore

PARIS, TOKYO, CAIRO = (2.35, 48.86), (139.7, 35.7), (31.2, 30.0)


def evaluation(places, errors, held, group=None, **options):
    errors, held, lonlat = np.array(errors, float), np.array(held, bool), np.array(places)
    row = Row("ours", errors, geoscore(errors), np.zeros(len(errors)), held, held)
    return Evaluation(
        [row], np.arange(len(errors)) if group is None else np.array(group), {0.5: held, 0.9: ~held},
        {750.0: np.ones(len(errors))}, errors, errors, ~held, {}, 0, 200,
        parts={"continent": continents_of(lonlat), "country": countries_of(lonlat)}, **options,
    )  # fmt: skip


@pytest.fixture
def made_up():
    places = [PARIS] * 6 + [TOKYO] * 8 + [CAIRO] * 2
    return evaluation(places, [10.0] * 3 + [900.0] * 3 + [100.0] * 8 + [25.0] * 2, [True] * 6 + [False] * 10)


def test_each_part_has_its_own_figures_the_largest_first(made_up):
    parts = made_up.breakdown("continent")
    assert [(part.code, part.name, part.n_photos) for part in parts] == [
        ("AS", "Asia", 8), ("EU", "Europe", 6), ("AF", "Africa", 2),
    ]  # fmt: skip
    figures = [part.figures for part in parts]
    assert [one["within_25_km"][0] for one in figures] == [0.0, 0.5, 1.0]
    assert [one["coverage_50"][0] for one in figures] == [0.0, 1.0, 0.0]
    assert figures[1]["geoscore"][0] == pytest.approx(geoscore(np.array([10.0, 900.0])).mean())
    low, high = figures[1]["within_25_km"][1:]
    assert 0.0 <= low < 0.5 < high <= 1.0


def test_countries_are_named(made_up):
    assert [(part.code, part.name) for part in made_up.breakdown("country")] == [
        ("JP", "Japan"), ("FR", "France"), ("EG", "Egypt"),
    ]  # fmt: skip


def test_few_groups_have_no_interval(made_up):
    africa = made_up.breakdown("continent")[-1]
    assert africa.n_groups == 2 < MIN_GROUPS
    assert np.isnan(africa.figures["coverage_90"][1:]).all()
    assert africa.to_dict()["coverage_90"] == [1.0, None, None]


def test_a_share_of_nothing_or_all_is_not_certain(made_up):
    asia = made_up.breakdown("continent")[0].figures
    excluded = 1.0 - 0.025 ** (1 / 8)  # with more, 8 photos would miss all with less than 2.5 %
    assert asia["coverage_50"] == pytest.approx((0.0, 0.0, excluded))
    assert asia["coverage_90"] == pytest.approx((1.0, 1.0 - excluded, 1.0))


def test_the_radius_itself_counts_or_not_as_the_benchmark_has_it():
    inclusive, strict = (
        evaluation([PARIS] * 2, [25.0, 24.0], [True] * 2, is_inclusive=way).breakdown("continent")[0]
        for way in (True, False)
    )
    assert inclusive.figures["within_25_km"][0] == 1.0
    assert strict.figures["within_25_km"][0] == 0.5


def test_groups_that_a_resample_leaves_out_make_no_figure_unknown():
    places, errors = [PARIS] * 5 + [TOKYO] * 95, np.arange(100.0)
    whole = evaluation(places, errors, errors < 50.0)
    (_, europe) = whole.breakdown("continent")
    assert np.isfinite([one for figure in europe.figures.values() for one in figure]).all()


def test_parts_are_plain_json_and_make_a_table(made_up):
    figures = json.loads(json.dumps(made_up.to_dict(), allow_nan=False))
    assert figures["continents"]["EU"]["n_photos"] == 6
    assert set(figures["countries"]) == {"JP", "FR", "EG"}
    table = parts_table(made_up.breakdown("continent"), "continent", at_most=2)
    assert [str(cell) for cell in table.columns[0].cells] == ["Asia", "", "Europe", ""]
    assert "1 more" in str(table.caption)


def test_an_evaluation_without_places_has_no_parts(made_up):
    bare = Evaluation(
        **{name: getattr(made_up, name) for name in Evaluation.__dataclass_fields__} | {"parts": {}}
    )
    assert bare.breakdown("continent") == []
    assert bare.to_dict()["continents"] == {}
