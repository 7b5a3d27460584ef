"""Means of neighbors' labels: right by hand, and blind to a training row's own label."""

import pickle

import numpy as np
import pandas as pd
import pytest
from place_fakes import table_of_places
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from placeprint.encoders.block_kfold import BlockKFold
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption
from placeprint.encoders.neighbor_features import FARTHEST_KM, NeighborFeatures
from placeprint.encoders.sphere import EARTH_RADIUS_KM, uniform_on_sphere, unit_vectors

DEGREE_KM = np.pi * EARTH_RADIUS_KM / 180.0
OWN_LABEL = "training rows do not see their own labels: that is what the class is for"
NOT_ON_EARTH = "its rows are numbers around 100, and a latitude of 100 is rightly refused"
EXPECTED_FAILURES = {
    "check_transformer_general": OWN_LABEL,
    "check_transformer_data_not_an_array": OWN_LABEL,
    "check_fit_idempotent": NOT_ON_EARTH,
    "check_fit_check_is_fitted": NOT_ON_EARTH,
    "check_n_features_in": NOT_ON_EARTH,
}
LINE = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [7.0, 0.0], [15.0, 0.0], [31.0, 0.0]])
LABELS = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
FAR = np.stack([np.full(24, 180.0), np.linspace(-80.0, 80.0, 24)], axis=1)
MANY, MANY_LABELS = np.concatenate([LINE, FAR]), np.concatenate([LABELS, np.full(24, 50.0)])
"""The line among 30 rows, of which three may be averaged; the others are the far side of the Earth."""


@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API:sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [NeighborFeatures(lon=0, lat=1, task=task) for task in ("regression", "classification")],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_scikit_learn_finds_nothing_amiss(estimator: NeighborFeatures, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def only_k(*k: int, **options: object) -> NeighborFeatures:
    return NeighborFeatures(k=k, kernel_km=(), **options)  # type: ignore[arg-type]


def test_new_rows_see_all_labels_and_how_far_they_are() -> None:
    features = only_k(1, 3).fit(MANY, MANY_LABELS).transform(np.array([[0.0, 0.0], [5.5, 0.0]]))
    wanted = [[1.0, 0.0, 7 / 3, 3 * DEGREE_KM], [8.0, 1.5 * DEGREE_KM, 14 / 3, 4.5 * DEGREE_KM]]
    np.testing.assert_allclose(features, wanted, rtol=1e-9, atol=1e-6)


def test_training_rows_see_the_others_only() -> None:
    features = only_k(1, 2).fit_transform(MANY, MANY_LABELS)[:6]
    np.testing.assert_allclose(features[:, 0], [2, 1, 2, 4, 8, 16])
    np.testing.assert_allclose(features[:, 1], np.array([1, 1, 2, 4, 8, 16]) * DEGREE_KM)
    np.testing.assert_allclose(features[:, 2], [3, 2.5, 1.5, 3, 6, 12])


def test_training_rows_at_one_place_do_not_see_each_other() -> None:
    lonlat = np.concatenate([LINE, LINE[:2], [[360.0, 0.0]], FAR])  # the last of the line is LINE[0] again
    labels = np.concatenate([LABELS, [100.0, 200.0, 300.0], np.full(24, 50.0)])
    features = only_k(1, 2).fit_transform(lonlat, labels)
    assert set(features[[0, 6, 8], 0]) <= {2.0, 200.0}
    np.testing.assert_allclose(features[[0, 6, 8], 2], 101.0)


def test_exclude_km_hides_the_near_in_training_only() -> None:
    fitted = only_k(1, exclude_km=2.5 * DEGREE_KM)
    np.testing.assert_allclose(fitted.fit_transform(LINE, LABELS)[:, 0], [4, 8, 1, 4, 8, 16])
    np.testing.assert_allclose(fitted.transform(LINE)[:, 0], LABELS)


def test_folds_hide_whole_groups() -> None:
    groups = [0, 0, 0, 1, 1, 1]
    features = only_k(1, cv=GroupKFold(2)).fit_transform(LINE, LABELS, groups)
    np.testing.assert_allclose(features[:, 0], [8, 8, 8, 4, 4, 4])


def test_folds_hide_the_same_place_too() -> None:
    lonlat = np.repeat(LINE[:3], 2, axis=0)
    labels = np.array([1.0, 10.0, 2.0, 20.0, 4.0, 40.0])
    alternating = KFold(2).split(np.zeros(6))
    order = np.array([0, 2, 4, 1, 3, 5])  # the two folds hold the same three places
    features = only_k(1, cv=alternating).fit_transform(lonlat[order], labels[order])
    np.testing.assert_allclose(features[:, 0], [20, 10, 20, 2, 1, 2])


def test_folds_of_blocks_hide_the_neighborhood(rng: np.random.Generator) -> None:
    lonlat = uniform_on_sphere(300, rng)
    folds = BlockKFold(30.0)
    features = only_k(1, cv=folds).fit_transform(lonlat, np.arange(300.0))
    fold = np.empty(300)
    for number, (_, rows) in enumerate(folds.split(lonlat)):
        fold[rows] = number
    assert (fold[features[:, 0].astype(int)] != fold).all()


def test_distances_may_be_logarithms() -> None:
    fitted = only_k(2, is_log=True).fit(MANY, MANY_LABELS)
    assert fitted.get_feature_names_out().tolist() == ["neighbors_2_mean", "neighbors_2_log_km"]
    np.testing.assert_allclose(fitted.transform(LINE[:1])[0, 1], np.log(1.0 + DEGREE_KM))


def test_rows_in_no_fold_are_refused() -> None:
    with pytest.raises(InvalidOption, match="4 rows into no fold"):
        only_k(1, cv=[([0, 1, 2, 3], [4, 5])]).fit_transform(LINE, LABELS)


def test_kernels_weigh_by_distance_and_shrink_to_the_mean() -> None:
    width = 2.0
    model = NeighborFeatures(k=(), kernel_km=(width * DEGREE_KM,)).fit(MANY, MANY_LABELS)
    degrees = np.array([0.5, 1.5, 3.5])  # from -0.5 to the nearest three
    weights = np.exp(-0.5 * (degrees**2 - degrees[0] ** 2) / width**2)
    wanted = (weights @ LABELS[:3] + MANY_LABELS.mean()) / (weights.sum() + 1.0)
    spacing = weights @ np.log1p(degrees * DEGREE_KM) / weights.sum() - 0.5 * np.log(weights.sum())
    np.testing.assert_allclose(model.transform(np.array([[-0.5, 0.0]]))[0], [wanted, spacing], rtol=1e-9)


def test_far_from_all_labels_a_kernel_is_the_nearest_and_its_distance() -> None:
    model = NeighborFeatures(k=(), kernel_km=(0.1,)).fit(MANY, MANY_LABELS)
    wanted = [(32.0 + MANY_LABELS.mean()) / 2.0, np.log1p(10.0 * DEGREE_KM)]
    np.testing.assert_allclose(model.transform(np.array([[41.0, 0.0]]))[0], wanted, rtol=1e-9)


def test_spacing_halves_where_labels_are_four_times_as_dense(rng: np.random.Generator) -> None:
    """In a plane full of labels the spacing goes with 1 / √density."""
    lonlat = rng.uniform(-2.0, 2.0, (40_000, 2))
    told = [
        NeighborFeatures(k=(), kernel_km=(15.0,), max_neighbors=4000).fit(some, np.zeros(len(some)))
        for some in (lonlat[:10_000], lonlat)
    ]
    loose, tight = (one.transform(np.zeros((1, 2)))[0, 1] for one in told)
    assert loose - tight == pytest.approx(np.log(2.0), abs=0.15)


def test_kernels_end_at_max_neighbors() -> None:
    for k in (1, 3):
        model = NeighborFeatures(k=(k,), kernel_km=(1e6,), max_neighbors=2).fit(MANY, MANY_LABELS)
        wanted = (1.0 + 2.0 + MANY_LABELS.mean()) / 3.0
        assert model.transform(LINE[:1])[0, 2] == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("n", [300, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_a_linear_model_stands_the_defaults_on_sparse_labels(n: int, seed: int) -> None:
    """Rows 20 km and more apart know nothing of kernels of 1 km, but for the few that do."""
    rng = np.random.default_rng(seed)
    lonlat = rng.uniform([-120.0, 30.0], [-80.0, 45.0], (n, 2))
    field = np.sin(lonlat[:, 0] / 6.0) + np.cos(lonlat[:, 1] / 4.0) + 0.1 * rng.normal(size=n)
    model = make_pipeline(NeighborFeatures(), StandardScaler(), Ridge(1.0))
    folds = KFold(5, shuffle=True, random_state=0)
    assert cross_val_score(model, lonlat, field, cv=folds).min() > 0.9


def test_one_new_row_beside_a_label_is_no_outlier(rng: np.random.Generator) -> None:
    lonlat = uniform_on_sphere(300, rng)
    features, scaler = NeighborFeatures(), StandardScaler()
    scaler.fit(features.fit_transform(lonlat, rng.normal(size=300)))
    assert np.abs(scaler.transform(features.transform(lonlat + 1e-3))).max() < 20.0


@pytest.mark.parametrize(
    "options", [{}, {"k": (1000,), "max_neighbors": 1000, "kernel_km": (1e6,)}, {"cv": 5}]
)
def test_noise_cannot_be_learned_from_the_features(
    rng: np.random.Generator, options: dict[str, object]
) -> None:
    """Were a row's own label in its features in any form, boosting would find it."""
    lonlat, noise = uniform_on_sphere(400, rng), rng.normal(size=400)
    features = NeighborFeatures(**options).fit_transform(lonlat, noise)  # type: ignore[arg-type]
    model = HistGradientBoostingRegressor(max_iter=50, random_state=0)
    assert cross_val_score(model, features, noise, cv=KFold(5, shuffle=True, random_state=0)).mean() < 0.05


@pytest.mark.parametrize("n", [40, 100])
def test_means_of_noise_say_little_of_a_rows_own_label(n: int) -> None:
    """Means of many out of few are low where the own label is high: of half of 40 rows by -0.24."""
    told = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lonlat, noise = uniform_on_sphere(n, rng), rng.normal(size=n)
        means = NeighborFeatures(kernel_km=(3000.0,)).fit_transform(lonlat, noise)[:, ::2]
        told.append([np.corrcoef(mean, noise)[0, 1] for mean in means.T])
    half = 2.09 * np.std(told, axis=0, ddof=1) / np.sqrt(20.0)  # 95 %, Student's t of 19
    assert (np.mean(told, axis=0) + half > -0.06).all()
    assert (np.abs(np.mean(told, axis=0)) < 0.12).all()


def test_a_smooth_field_is_learned_from_neighbors(rng: np.random.Generator) -> None:
    lonlat = uniform_on_sphere(800, rng)
    field = np.sin(5.0 * unit_vectors(lonlat)[:, 0])
    model = make_pipeline(NeighborFeatures(kernel_km=(300.0, 1000.0)), StandardScaler(), Ridge())
    assert cross_val_score(model, lonlat, field, cv=5).min() > 0.95


def test_classes_become_shares(rng: np.random.Generator) -> None:
    kinds = np.array(["city", "city", "farm", "farm", "wood", "wood"])
    fitted = only_k(3, task="classification").fit(MANY, [*kinds, *["farm"] * 24])
    assert fitted.get_feature_names_out().tolist() == [
        *(f"neighbors_3_share_of_{kind}" for kind in ("city", "farm", "wood")),
        "neighbors_3_km",
    ]
    np.testing.assert_allclose(fitted.transform(LINE[:1])[0, :3], [2 / 3, 1 / 3, 0])


def test_of_two_classes_the_second_is_told() -> None:
    fitted = only_k(2, task="classification").fit(MANY, [False, True, True, True, False, False, *[True] * 24])
    assert fitted.get_feature_names_out().tolist() == ["neighbors_2_share_of_True", "neighbors_2_km"]
    np.testing.assert_allclose(fitted.transform(LINE[[0, 5]])[:, 0], [0.5, 0.0])


def test_hemispheres_are_learned_as_classes(rng: np.random.Generator) -> None:
    lonlat = uniform_on_sphere(600, rng)
    side = np.where(unit_vectors(lonlat)[:, 1] > 0, "east", "west")
    features = NeighborFeatures(task="classification", kernel_km=(500.0,))
    model = make_pipeline(features, StandardScaler(), LogisticRegression())
    assert cross_val_score(model, lonlat, side, cv=3).min() > 0.95


def test_no_more_than_a_tenth_of_the_rows_are_averaged() -> None:
    features = only_k(5).fit(MANY, MANY_LABELS).transform(LINE[:1])
    np.testing.assert_allclose(features[0], [7 / 3, 3 * DEGREE_KM])


def test_a_row_alone_has_the_mean_and_the_longest_distance() -> None:
    features = only_k(1).fit_transform(LINE[:1], LABELS[:1])
    np.testing.assert_allclose(features, [[1.0, FARTHEST_KM]])
    hidden = NeighborFeatures(k=(1,), kernel_km=(10.0,), exclude_km=20_000.0).fit_transform(LINE, LABELS)
    wanted = [LABELS.mean(), FARTHEST_KM, LABELS.mean(), np.log1p(FARTHEST_KM)]
    np.testing.assert_allclose(hidden, [wanted] * 6)


@pytest.mark.parametrize("cv", [None, 2, BlockKFold(10.0, n_splits=2)])
def test_rows_without_a_place_are_nobodys_neighbors(cv: object) -> None:
    lonlat = np.concatenate([[[np.nan, 0.0]], LINE])
    labels = np.concatenate([[1e6], LABELS])
    features = only_k(1, on_missing="nan", cv=cv).fit_transform(lonlat, labels)
    assert np.isnan(features[0]).all()
    assert np.isfinite(features[1:]).all()
    assert features[1:, 0].max() <= 32.0
    with pytest.raises(InvalidCoordinate, match=r"row 0 of 7.*count from 0"):
        only_k(1).fit(lonlat, labels)


def test_rows_without_a_place_do_not_shift_the_labels_of_folds() -> None:
    lonlat = np.concatenate([[[np.nan, 0.0]], LINE])
    features = only_k(1, on_missing="nan", cv=KFold(2)).fit_transform(lonlat, [1e6, *LABELS])
    np.testing.assert_allclose(features[:, 0], [np.nan, 8, 8, 8, 4, 4, 4])


def test_poles_and_antimeridian_are_ordinary_places() -> None:
    lonlat = np.array([[179.9, -16.8], [0.0, 90.0], [50.0, -16.8], [50.0, 0.0]])
    features = (
        only_k(1).fit(lonlat, [1.0, 2.0, 3.0, 4.0]).transform(np.array([[-179.9, -16.8], [77.0, 89.9]]))
    )
    np.testing.assert_allclose(features[:, 0], [1.0, 2.0])
    assert features[0, 1] == pytest.approx(21.29, abs=0.001)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    lonlat, labels = uniform_on_sphere(150, rng), rng.normal(size=150)
    whole = NeighborFeatures().fit_transform(lonlat, labels)
    monkeypatch.setattr("placeprint.encoders.neighbor_features.ENTRIES_AT_A_TIME", 1000)
    np.testing.assert_array_equal(NeighborFeatures().fit_transform(lonlat, labels), whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "auto"}, "expected one of 'regression', 'classification'"),
        ({"k": (0,)}, "whole numbers from 1"),
        ({"k": (), "kernel_km": ()}, "nothing is asked"),
        ({"kernel_km": (0.0,)}, "above 0"),
        ({"exclude_km": -1.0}, "exclude_km=-1.0"),
        ({"exclude_km": "5"}, "exclude_km='5': a number of kilometers"),
        ({"k": 5}, r"k=5: a row of numbers, also of one: k=\(5,\)"),
        ({"k": "5"}, "k='5'"),
        ({"k": ("5",)}, "whole numbers from 1"),
        ({"k": (np.nan,)}, "whole numbers from 1"),
        ({"kernel_km": 10.0}, r"kernel_km=\(10.0,\)"),
        ({"kernel_km": (None,)}, "above 0"),
        ({"max_neighbors": "all"}, "max_neighbors='all'"),
    ],
)
def test_parameters_without_meaning_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        NeighborFeatures(**options).fit(LINE, LABELS)  # type: ignore[arg-type]


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_missing_label_is_named(task: str) -> None:
    labels = [1.0, 2.0, np.nan, 3.0, 4.0, 5.0]
    with pytest.raises(ValueError, match=r"the label of row 2 \(counted from 0\) is nan"):
        NeighborFeatures(task=task).fit(LINE, labels)


def test_copies_pickles_and_frames(rng: np.random.Generator) -> None:
    table = table_of_places(30)
    fitted = NeighborFeatures().set_output(transform="pandas").fit(table, table.rooms)
    out = pickle.loads(pickle.dumps(fitted)).transform(table)
    pd.testing.assert_frame_equal(out, fitted.transform(table))
    assert list(out.columns)[:2] == ["neighbors_1_mean", "neighbors_1_km"]
    assert list(out.columns)[-2:] == ["kernel_100km_mean", "kernel_100km_log_spacing"]
    with pytest.raises(NotFittedError):
        clone(fitted).transform(table)
