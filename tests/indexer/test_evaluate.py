"""Metrics in closed form, and the evaluation of synthetic galleries whose answers are known.

Claims: scores and thresholds have their published values, inclusive or strict as benchmarks count;
no row exceeds the oracle that bounds it; photos are never located by their own
group; constants, folds and intervals are what they say; informative embeddings beat every
baseline, and noise does not lose to the prior.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import exact_neighbors
from rich.console import Console

from placeprint.encoders.sphere import EARTH_RADIUS_KM, uniform_on_sphere, unit_vectors
from placeprint.indexer.evaluate import (
    Trial,
    evaluate,
    geoscore,
    share_within,
)
from placeprint.indexer.evaluation_report import Evaluation, Row, expected_calibration_error
from placeprint.indexer.evaluation_tables import comparison_table, parts_table
from placeprint.indexer.fitted import Fitted, group_folds
from placeprint.indexer.held_out import HeldOut
from placeprint.indexer.leakage import BURNED_IN
from placeprint.indexer.prior import Prior
from placeprint.indexer.protocols import PROTOCOLS
from placeprint.indexer.published import published
from placeprint.indexer.surface_model import default_surface_model


def gallery(*, noise_km, n_places=45, n_each=2, seed=0):
    """Places with several photos each, whose embedding is the place moved by about `noise_km`."""
    rng = np.random.default_rng(seed)
    lonlat = np.repeat(uniform_on_sphere(n_places, rng), n_each, axis=0)
    embeddings = unit_vectors(lonlat) + rng.normal(0.0, noise_km / EARTH_RADIUS_KM, (len(lonlat), 3))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return embeddings, lonlat, np.repeat(np.arange(n_places), n_each).tolist()


def trial_of(photos, **options):
    """A gallery judged by all of its own photos."""
    return Trial(photos, photos, photos.lonlat, photos.group, **options)


@pytest.fixture(scope="module")
def informative():
    photos = exact_neighbors(*gallery(noise_km=1500.0, n_places=90, n_each=1), k=40)
    return evaluate(trial_of(photos, n_folds=2), n_resamples=200)


@pytest.fixture(scope="module")
def noise():
    return evaluate(trial_of(exact_neighbors(*gallery(noise_km=1e7), k=40), n_folds=2), n_resamples=200)


def by_name(evaluation):
    return {row.name: row for row in evaluation.rows}


@pytest.mark.parametrize(
    ("error_km", "score"), [(0.0, 5000.0), (1.0, 4996.7), (25.0, 4917.0), (750.0, 3025.2)]
)
def test_geoscore_has_its_published_values(error_km, score):
    assert geoscore(np.array(error_km)) == pytest.approx(score, abs=0.05)


def test_an_error_of_exactly_the_radius_is_within_it():
    assert share_within(np.array([24.9, 25.0, 25.1, 30.0]), 25.0) == 0.5


def test_an_error_of_exactly_the_radius_is_not_within_it_where_the_benchmark_counts_strictly():
    assert share_within(np.array([24.9, 25.0, 25.1, 30.0]), 25.0, is_inclusive=False) == 0.25


@pytest.mark.parametrize(("is_inclusive", "share", "sign"), [(True, 1.0, "≤ 25 km"), (False, 0.5, "< 25 km")])
def test_figures_and_table_count_as_the_benchmark_does(is_inclusive, share, sign):
    evaluation = replace(made_up([25.0, 24.0], [0, 1]), is_inclusive=is_inclusive)
    assert evaluation.figures(evaluation.rows[0])["within_25_km"][0] == share
    assert evaluation.to_dict()["is_inclusive"] is is_inclusive
    assert sign in list(evaluation.table().columns[0].cells)


def test_mean_and_median_are_not_mixed():
    """Trap 7: errors are skewed, and the two differ by far."""
    evaluation = made_up([1.0, 2.0, 3000.0], [0, 1, 2])
    figures = evaluation.figures(evaluation.rows[0])
    assert (figures["median_km"][0], figures["mean_km"][0]) == (2.0, 1001.0)
    table = evaluation.table()
    shown = dict(zip(table.columns[0].cells, table.columns[1].cells, strict=True))
    assert (shown["median km"], shown["mean km"]) == ("2", "1,001")
    below = comparison_table(replace(evaluation, ceilings=evaluation.rows))
    assert str(below.columns[-1].header) == "median"
    assert list(below.columns[-1].cells) == ["2.0", "2.0"]


def test_calibration_error_is_zero_for_honest_probabilities():
    assert expected_calibration_error(np.full(4, 0.25), np.array([True, False, False, False])) == 0.0


def test_calibration_error_is_the_gap_of_overconfident_ones():
    stated, hit = np.array([0.95] * 4 + [0.05] * 4), np.array([True, False, True, False] + [False] * 4)
    assert expected_calibration_error(stated, hit) == pytest.approx((0.45 + 0.05) / 2)


def test_a_certain_probability_falls_into_the_last_bin():
    assert expected_calibration_error(np.ones(2), np.array([True, True])) == 0.0


def test_a_group_lies_in_one_fold_and_folds_are_even():
    fold = group_folds(np.repeat(np.arange(50), 3), 5, seed=1)
    assert (fold.reshape(50, 3) == fold.reshape(50, 3)[:, :1]).all()
    assert np.bincount(fold) == pytest.approx(30)


def test_each_model_is_fitted_on_the_groups_of_the_other_folds(monkeypatch):
    photos = exact_neighbors(*gallery(noise_km=400.0, n_places=10), k=10)
    trial, calls = trial_of(photos, n_folds=5), []

    def spy(similarity, places, truth, gallery_lonlat, **options):
        calls.append((options["groups"], similarity))
        return default_surface_model()

    for module in ("fitted", "trial"):
        monkeypatch.setattr(f"placeprint.indexer.{module}.fit_surface_model", spy)
    evaluate(trial, n_resamples=2)
    asked = [set(photos.group[queries]) for queries, _, _ in trial.folds()]
    assert len(calls) == 2 * len(asked)  # ours, then the nearest photo alone
    for hidden, (groups, _) in zip(asked * 2, calls, strict=True):
        assert set(groups) == set(photos.group) - hidden
    assert calls[-1][1].shape[1] == 1


def test_photos_from_elsewhere_are_judged_by_the_whole_gallery():
    photos = exact_neighbors(*gallery(noise_km=400.0, n_places=10), k=10)
    strangers = HeldOut(
        photos.lonlat, np.array([f"new {g}" for g in photos.group]), photos.similarity, photos.neighbor_lonlat
    )
    ((asked, fitted, known),) = Trial(strangers, photos, photos.lonlat, photos.group).folds()
    assert asked.all()
    assert fitted.all()
    assert known.all()


def test_photos_from_elsewhere_are_judged_by_what_the_gallery_locates_by():
    photos = exact_neighbors(*gallery(noise_km=400.0, n_places=10), k=10)
    strangers = HeldOut(
        photos.lonlat, np.array([f"new {g}" for g in photos.group]), photos.similarity, photos.neighbor_lonlat
    )
    kept = Fitted(Prior.from_lonlat(photos.lonlat), default_surface_model())
    ((rows, used),) = Trial(strangers, photos, photos.lonlat, photos.group, fitted=kept).models()
    assert used is kept
    assert len(rows) == len(strangers)
    own = Trial(photos, photos, photos.lonlat, photos.group, fitted=kept, n_folds=2)
    assert all(fitted is not kept for _, fitted in own.models())


def test_informative_embeddings_beat_every_baseline_beyond_chance(informative):
    for name in ("prior", "random photo", "nearest photo"):
        assert informative.gains()[name]["geoscore"][1] > 0.0
    for name in ("prior", "nearest photo"):
        assert informative.gains()[name]["bits"][1] > 0.0


def test_noise_does_not_lose_to_the_prior_and_mostly_abstains(noise):
    rows = by_name(noise)
    assert rows["ours, mode"].bits.mean() > -0.05
    assert noise.abstained.mean() > 0.9


def test_the_constant_answer_beats_a_random_photo_where_photos_cluster():
    cluster = np.random.default_rng(0).normal((0.0, 50.0), 3.0, (15, 2))
    lonlat = np.vstack([cluster, gallery(noise_km=1.0)[1][:5]])
    photos = exact_neighbors(np.ones((20, 1)), lonlat, k=5)
    rows = by_name(evaluate(trial_of(photos, n_folds=2), n_resamples=10))
    assert rows["prior"].geoscore.mean() > rows["random photo"].geoscore.mean()


def test_no_nearest_photo_is_nearer_than_the_gallery_oracle(informative, noise):
    """Trap 11: an oracle that is beaten by what it bounds sees less than it, or other photos."""
    for evaluation in (informative, noise):
        oracle = evaluation.ceilings[0]
        assert (oracle.error_km <= by_name(evaluation)["nearest photo"].error_km + 1e-6).all()
        for radius in ("within_25_km", "within_200_km", "within_750_km", "within_2500_km", "geoscore"):
            shares = [
                evaluation.figures(row)[radius][0] for row in (oracle, by_name(evaluation)["nearest photo"])
            ]
            assert shares[0] >= shares[1]


def test_a_photo_without_any_neighbor_is_answered_by_the_prior():
    photos = exact_neighbors(*gallery(noise_km=400.0, n_places=10), k=10)
    alone = photos.take(np.arange(len(photos)))
    alone.similarity[0] = -np.inf
    rows = by_name(evaluate(trial_of(alone, n_folds=2, exclude_km=0.0), n_resamples=5))
    assert rows["nearest photo"].error_km[0] == rows["prior"].error_km[0]


def test_informative_photos_need_less_of_the_earth_searched_than_the_prior(informative):
    ours, prior = (np.median(informative.area_km2[name]) for name in ("ours", "prior"))
    assert ours < prior / 3.0
    recall = informative.recall_at_area()["ours"]
    assert recall["1000"][0] <= recall["1e+06"][0] <= recall["1e+08"][0]
    assert "likeliest" in informative.summary()


def test_the_prior_says_nothing_over_itself_and_a_random_photo_states_nothing(informative):
    rows = by_name(informative)
    assert not rows["prior"].bits.any()
    assert np.isnan(rows["random photo"].bits).all()


def test_informative_photos_name_their_country_more_often_than_noise(informative, noise):
    found = [by_name(one)["ours, mode"].country_hit.mean() for one in (informative, noise)]
    assert found[0] > found[1] + 0.05


def test_the_evaluation_is_the_same_every_time():
    photos = exact_neighbors(*gallery(noise_km=400.0, n_places=10), k=10)
    first, second = (evaluate(trial_of(photos, n_folds=2), n_resamples=20).to_dict() for _ in range(2))
    assert first == second


def made_up(errors, group):
    errors = np.array(errors)
    hit = np.ones(len(errors), bool)
    row = Row("ours", errors, geoscore(errors), np.zeros(len(errors)), hit, hit)
    return Evaluation(
        [row], np.array(group), {0.9: hit}, {25.0: np.ones(len(errors))}, errors, errors, ~hit, {}, 0, 500
    )


def test_intervals_resample_groups_not_photos():
    values = np.repeat([0.0, 1.0], 50)
    grouped, alone = made_up(values, np.repeat([0, 1], 50)), made_up(values, np.arange(100))
    # With two groups a resample is all 0, all 1 or half; with a hundred it stays near a half.
    assert grouped.interval(values) == (0.5, 0.0, 1.0)
    _, low, high = alone.interval(values)
    assert 0.35 < low < 0.5 < high < 0.65


def test_a_paired_gain_has_no_spread_when_rows_differ_by_a_constant():
    evaluation = made_up([1.0, 5000.0, 300.0], [0, 1, 2])
    better = evaluation.rows[0]
    worse = Row(
        "worse",
        better.error_km,
        better.geoscore - 10.0,
        better.bits - 1.0,
        ~better.country_hit,
        better.state_hit,
    )
    both = Evaluation(**(vars(evaluation) | {"rows": [worse, better]}))
    assert both.gains()["worse"]["geoscore"] == pytest.approx((10.0, 10.0, 10.0))


def test_the_median_interval_holds_the_median():
    evaluation = made_up(np.arange(101.0), np.arange(101))
    middle, low, high = evaluation.median_interval(np.arange(101.0))
    assert middle == 50.0
    assert 30.0 < low < 50.0 < high < 70.0


def sure(stated, errors):
    """An evaluation that states these probabilities of an error within 750 km."""
    whole = made_up(np.asarray(errors, dtype=float), np.arange(len(errors)))
    return Evaluation(**(vars_of(whole) | {"stated": {750.0: np.asarray(stated, dtype=float)}}))


def vars_of(evaluation):
    return {name: getattr(evaluation, name) for name in Evaluation.__dataclass_fields__}


def test_risk_falls_with_coverage_where_probabilities_know_it():
    coverage, risk = sure([0.9, 0.8, 0.2, 0.1], [10.0, 750.0, 751.0, 5000.0]).risk_coverage()
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk == pytest.approx([0.0, 0.0, 1 / 3, 0.5])


def test_photos_stated_alike_are_answered_together():
    coverage, risk = sure([0.5, 0.5, 0.5, 0.5], [10.0, 5000.0, 10.0, 5000.0]).risk_coverage()
    assert (coverage.tolist(), risk.tolist()) == ([1.0], [0.5])


def test_the_area_under_the_risk_is_least_for_the_true_order():
    errors = [10.0, 20.0, 3000.0, 4000.0]
    knows, wrong = sure([0.9, 0.8, 0.2, 0.1], errors), sure([0.1, 0.2, 0.8, 0.9], errors)
    assert knows.area_under_risk() == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert knows.area_under_risk() < 0.5 < wrong.area_under_risk()


def test_photos_that_may_show_text_are_counted_and_the_first_is_named():
    flagged = replace(sure([0.9, 0.1], [1.0, 2.0]), audit={BURNED_IN: 2}, burned_in=["b.jpg", "a.jpg"])
    assert "look at: 2 photos, may show text burned in, the first: b.jpg" in flagged.summary()
    assert flagged.to_dict()["burned_in"] == ["b.jpg", "a.jpg"]
    assert "look at" not in replace(flagged, audit={BURNED_IN: 0}, burned_in=[]).summary()


def test_hidden_copies_are_told_and_the_oracle_is_said_to_see_them():
    photos = exact_neighbors(*gallery(noise_km=400.0, n_places=10), k=10)
    photos = replace(photos, n_copies=np.arange(len(photos)) % 2, exclude_similarity=0.98)
    told = evaluate(trial_of(photos, n_folds=2), n_resamples=5)
    assert "10 photos, neighbors above similarity 0.98, hidden as copies" in told.summary()
    assert told.to_dict()["exclude_similarity"] == 0.98
    assert "see copies too" in str(comparison_table(told).caption)
    assert "copies" not in str(comparison_table(replace(told, exclude_similarity=None)).caption)


def test_the_surest_half_is_told(informative):
    assert "of the surest half" in informative.summary()


def test_the_figures_are_plain_json(informative):
    figures = json.loads(json.dumps(informative.to_dict(), allow_nan=False))
    assert figures["rows"]["random photo"]["bits"] == [None, None, None]
    assert figures["n_groups"] == 90
    assert sum(part["n_photos"] for part in figures["continents"].values()) == 90
    assert list(figures["ceilings"]) == ["gallery oracle", "geocell oracle"]
    assert figures["block_deg"] is None


def test_the_table_has_a_column_for_each_method_and_fits_a_terminal(informative):
    table = informative.table()
    assert [str(column.header) for column in table.columns[1:]] == [row.name for row in informative.rows]
    bits = list(table.columns[0].cells).index("bits")
    assert list(table.columns[2].cells)[bits] == "–"
    assert Console(width=100).measure(table).minimum <= 80


def test_tables_of_oracles_and_published_figures_fit_a_terminal(informative):
    for name in PROTOCOLS:
        table = comparison_table(informative, published(name))
        assert Console(width=200).measure(table).minimum <= 80
        methods = list(table.columns[0].cells)
        assert methods[:3] == ["ours", "gallery oracle", "geocell oracle"]
        assert methods[3:] == [one.method for one in published(name)]
        assert "orientation only" in str(table.caption)
    for kind in ("continent", "country"):
        assert Console(width=200).measure(parts_table(informative.breakdown(kind), kind)).minimum <= 80


def test_the_plot_is_written(informative, tmp_path):
    informative.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
