"""The linear probe.

Claims: it gives the figures that CoordBench published, on the rows in their order; ridge agrees with
scikit-learn for every penalty, with either intercept; a nested choice of the penalty does not see the
fold it is for; votes agree with scikit-learn; input from which nothing can be measured is refused.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from placeprint.encoders.errors import InvalidProbe
from placeprint.encoders.probes import probe, ridge
from placeprint.encoders.probes.probe import (
    block_folds,
    knn_accuracy,
    random_folds,
    ridge_scores,
    score,
    scored,
)
from placeprint.encoders.probes.ridge import ALPHAS

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def sincos(lonlat: np.ndarray) -> np.ndarray:
    lon, lat = np.deg2rad(lonlat).T
    return np.stack([np.sin(lat), np.cos(lat), np.sin(lon), np.cos(lon)], axis=1)


def table(name: str, *columns: str) -> np.ndarray:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{path} is not here")
    return pd.read_csv(path, keep_default_na=False)[list(columns)].to_numpy(dtype=float)


@pytest.fixture
def california() -> tuple[np.ndarray, np.ndarray]:
    rows = table("prices/california_housing.csv", "longitude", "latitude", "median_house_value")
    return rows[:, :2], rows[:, 2] / 1e5


@pytest.mark.real
def test_california_gives_the_published_scores(california: tuple[np.ndarray, np.ndarray]) -> None:
    lonlat, y = california
    at_random = ridge_scores(sincos(lonlat), y, random_folds(len(y)))
    assert at_random.mean == pytest.approx(0.243334, abs=1e-6)
    assert at_random.alpha == pytest.approx(0.1)
    folds = block_folds(lonlat)
    assert np.bincount(folds).tolist() == [12_441, 412, 7_787]
    blocked = ridge_scores(sincos(lonlat), y, folds)
    assert blocked.mean == pytest.approx(-1.219217, abs=2e-4)
    assert blocked.alpha == pytest.approx(1e4)
    small = ridge_scores(sincos(lonlat), y, block_folds(lonlat, 1.0))
    assert small.mean == pytest.approx(-0.0570, abs=5e-5)


@pytest.mark.real
def test_california_tells_a_free_intercept_and_shuffled_rows(
    california: tuple[np.ndarray, np.ndarray],
) -> None:
    lonlat, y = california
    free = ridge_scores(sincos(lonlat), y, block_folds(lonlat), penalized_intercept=False)
    assert free.mean == pytest.approx(-1.869246, abs=2e-6)
    order = np.random.default_rng(7).permutation(len(y))
    shuffled = ridge_scores(sincos(lonlat[order]), y[order], random_folds(len(y)))
    assert abs(shuffled.mean - 0.243334) > 2e-5
    in_dollars = ridge_scores(sincos(lonlat), 1e5 * y, random_folds(len(y)))
    assert in_dollars.mean == pytest.approx(0.243334, abs=1e-6)


@pytest.mark.real
def test_air_temperature_gives_the_published_scores() -> None:
    rows = table("labels/air_temperature_stations.csv", "lon", "lat", "meanT")
    lonlat, y = rows[:, :2], rows[:, 2]
    assert ridge_scores(sincos(lonlat), y, random_folds(len(y))).mean == pytest.approx(0.851512, abs=1e-6)
    folds = block_folds(lonlat)
    assert np.bincount(folds).tolist() == [645, 574, 813, 522, 522]
    assert ridge_scores(sincos(lonlat), y, folds).mean == pytest.approx(0.842056, abs=1e-6)


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features of very different sizes, one of them constant, with a target that they half explain."""
    X = rng.normal(size=(301, 7)) * 10.0 ** np.arange(-3, 4) + np.array([0, 5, 0, -3, 1e3, 0, 1e5])
    X = np.column_stack([X, np.full(301, 4.2)]).astype(np.float32)
    z = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-6)
    y = 3.0 + z[:, :4].sum(axis=1) + 2.0 * rng.normal(size=301)
    return X, y, random_folds(301)


def reference(
    X: np.ndarray, y: np.ndarray, folds: np.ndarray, alpha: float, fold: int, *, penalized: bool
) -> np.ndarray:
    """scikit-learn's ridge on z-scored features: predictions for one fold."""
    train = folds != fold
    wide = X.astype(np.float64)
    mean, spread = wide[train].mean(axis=0), np.maximum(wide[train].std(axis=0, ddof=1), 1e-6)
    z = (wide - mean) / spread
    if penalized:
        z = np.column_stack([z, np.ones(len(z))])
    model = Ridge(alpha=alpha, fit_intercept=not penalized, solver="cholesky").fit(z[train], y[train])
    return np.asarray(model.predict(z[~train]))


@pytest.mark.parametrize("penalized", [True, False])
def test_ridge_is_scikit_learns(data: tuple[np.ndarray, np.ndarray, np.ndarray], penalized: bool) -> None:
    X, y, folds = data
    found = ridge_scores(X, y, folds, penalized_intercept=penalized)
    for row in (0, 7, 14, 20):
        for fold in range(5):
            told = reference(X, y, folds, ALPHAS[row], fold, penalized=penalized)
            truth = y[folds == fold]
            expected = 1.0 - ((told - truth) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
            assert found.by_alpha[row, fold] == pytest.approx(expected, abs=1e-9)
    best = int(found.by_alpha.mean(axis=1).argmax())
    assert found.mean == found.by_alpha.mean(axis=1).max()
    assert found.alpha == ALPHAS[best]
    for fold in range(5):
        told = reference(X, y, folds, ALPHAS[best], fold, penalized=penalized)
        np.testing.assert_allclose(found.predictions[folds == fold], told, atol=1e-8)


def test_classes_are_ridge_on_zeros_and_ones(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, folds = data
    names = np.array(["low", "mid", "top"])[np.digitize(y, np.quantile(y, [0.3, 0.6]))]
    found = ridge_scores(X, names, folds, classification=True)
    classes, codes = np.unique(names, return_inverse=True)
    one_hot = np.eye(len(classes))[codes]
    row = int(np.flatnonzero(found.alpha == ALPHAS)[0])
    for fold in range(5):
        told = reference(X, one_hot, folds, ALPHAS[row], fold, penalized=True).argmax(axis=1)
        np.testing.assert_array_equal(found.predictions[folds == fold], told)
        assert found.by_alpha[row, fold] == (told == codes[folds == fold]).mean()


def test_the_size_of_chunks_is_of_no_account(
    data: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, folds = data
    whole = ridge_scores(X, y, folds)
    monkeypatch.setattr(probe, "CHUNK", 17)
    monkeypatch.setattr(ridge, "CHUNK", 17)
    np.testing.assert_allclose(ridge_scores(X, y, folds).by_alpha, whole.by_alpha, atol=1e-10)


def test_a_nested_penalty_does_not_see_its_fold(rng: np.random.Generator) -> None:
    X, y, folds = rng.normal(size=(200, 30)), rng.normal(size=200), random_folds(200)
    before = ridge_scores(X, y, folds, selection="nested")
    other = np.where(folds == 2, y * 10.0 + X[:, 0] * 100.0, y)
    after = ridge_scores(X, other, folds, selection="nested")
    np.testing.assert_array_equal(before.predictions[folds == 2], after.predictions[folds == 2])
    assert ridge_scores(X, y, folds).mean >= before.mean


def test_a_nested_penalty_is_that_of_cross_validation(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, y, folds = data
    found = ridge_scores(X, y, folds, selection="nested", alphas=np.array([1e-2, 1e2, 1e4]))
    rest = folds != 0
    inner = ridge_scores(X[rest], y[rest], folds[rest], alphas=np.array([1e-2, 1e2, 1e4]))
    row = int(inner.by_alpha.mean(axis=1).argmax())
    told = reference(X, y, folds, (1e-2, 1e2, 1e4)[row], 0, penalized=True)
    np.testing.assert_allclose(found.predictions[folds == 0], told, atol=1e-8)


def test_rows_without_a_fold_are_left_out(data: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    X, y, folds = data
    some = np.where(np.arange(len(y)) < 250, folds, -1)
    whole = ridge_scores(X, y, some)
    assert whole.mean == pytest.approx(ridge_scores(X[:250], y[:250], folds[:250]).mean, abs=1e-9)


@pytest.mark.parametrize("width", [3, 40])
def test_votes_are_scikit_learns(rng: np.random.Generator, width: int) -> None:
    X = rng.normal(size=(300, width)).astype(np.float32)
    y = np.digitize(X[:, 0] + 0.3 * rng.normal(size=300), [-1.0, 0.0, 1.0])
    folds = random_folds(300)
    found = knn_accuracy(X, y, folds)
    for fold in range(5):
        train = folds != fold
        z = (X - X[train].mean(axis=0)) / X[train].std(axis=0, ddof=1)
        model = KNeighborsClassifier(5).fit(z[train], y[train])
        assert (model.predict(z[~train]) == found.predictions[~train]).mean() > 0.99
    assert found.mean > 0.35


def test_a_constant_fold_has_no_division_by_zero() -> None:
    assert np.isfinite(score(np.zeros((3, 1)), np.ones(3), False)).all()


def test_predictions_from_elsewhere_are_scored_the_same(
    data: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    X, y, folds = data
    found = ridge_scores(X, y, folds)
    again = scored(found.predictions, y, folds, False)
    assert again.mean == pytest.approx(found.mean, abs=1e-12)
    np.testing.assert_allclose(again.per_fold, found.per_fold)


def test_what_cannot_be_measured_is_refused(rng: np.random.Generator) -> None:
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    with pytest.raises(InvalidProbe, match="do not belong"):
        ridge_scores(X, y[:19], random_folds(20))
    with pytest.raises(InvalidProbe, match="NaN"):
        ridge_scores(np.where(X > 1, np.nan, X), y, random_folds(20))
    with pytest.raises(InvalidProbe, match="needs two"):
        ridge_scores(X, y, np.zeros(20, dtype=np.intp))
    with pytest.raises(InvalidProbe, match="one class"):
        ridge_scores(X, ["a"] * 20, random_folds(20), classification=True)
    with pytest.raises(InvalidProbe, match="three folds"):
        ridge_scores(X, y, random_folds(20, n_folds=2), selection="nested")


def test_of_few_rows_all_vote(rng: np.random.Generator) -> None:
    for width in (2, 20):
        features, y = rng.normal(size=(6, width)), np.array(["a", "a", "a", "a", "b", "b"])
        found = knn_accuracy(features, y, np.array([0, 0, 1, 1, 0, 1]), k=5)
        assert found.predictions.tolist() == [0] * 6
