"""Embeddings in scikit-learn: any table in, the right rows out, in every tool of scikit-learn."""

import pickle
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
from place_fakes import GlobeEncoder, table_of_places
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from placeprint.encoders.errors import FingerprintMismatch, InvalidCoordinate, InvalidOption, UnknownEncoder
from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.location_features import LocationFeatures, load_embedder
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors

NOT_ON_EARTH = "its rows are numbers around 100, and a latitude of 100 is rightly refused"
EXPECTED_FAILURES = {
    "check_fit_idempotent": NOT_ON_EARTH,
    "check_fit_check_is_fitted": NOT_ON_EARTH,
    "check_n_features_in": NOT_ON_EARTH,
}


def expected_failures(estimator: LocationFeatures) -> dict[str, str]:
    return EXPECTED_FAILURES if estimator.on_missing != "nan" else {}


@pytest.mark.filterwarnings("ignore:.*SCIPY_ARRAY_API:sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks(
    [LocationFeatures("sincos", lon=0, lat=1, on_missing=choice) for choice in ("error", "nan")],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn_finds_nothing_amiss(estimator: LocationFeatures, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def test_rows_become_the_embeddings_of_their_places(rng: np.random.Generator) -> None:
    lonlat = uniform_on_sphere(50, rng)
    features = LocationFeatures(GlobeEncoder()).fit_transform(lonlat)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, unit_vectors(lonlat), atol=1e-7)


def test_array_frame_and_geometry_agree() -> None:
    table = table_of_places(20)
    from_frame = LocationFeatures(GlobeEncoder()).fit_transform(table)
    from_array = LocationFeatures(GlobeEncoder()).fit_transform(table[["lon", "lat"]].to_numpy())
    points = geopandas.GeoDataFrame(
        table[["rooms"]], geometry=geopandas.points_from_xy(table.lon, table.lat), crs=4326
    )
    from_geometry = LocationFeatures(GlobeEncoder()).fit_transform(points.to_crs(8857))
    from_series = LocationFeatures(GlobeEncoder()).fit_transform(points.geometry)
    np.testing.assert_array_equal(from_frame, from_array)
    np.testing.assert_allclose(from_geometry, from_array, atol=1e-6)
    np.testing.assert_array_equal(from_series, from_array)


def test_the_table_is_not_changed() -> None:
    table = table_of_places(5)
    table.loc[0, "lon"] = 282.9572
    before = table.copy()
    LocationFeatures(GlobeEncoder()).fit_transform(table)
    pd.testing.assert_frame_equal(table, before)


def test_poles_and_antimeridian_are_ordinary_places() -> None:
    lonlat = np.array([[0.0, 90.0], [170.0, 90.0], [180.0, -16.8], [-180.0, -16.8]])
    features = LocationFeatures(GlobeEncoder()).fit_transform(lonlat)
    np.testing.assert_allclose(features[0], features[1], atol=1e-7)
    np.testing.assert_array_equal(features[2], features[3])


def test_batches_are_no_longer_than_asked_and_change_nothing(rng: np.random.Generator) -> None:
    lonlat, encoder = uniform_on_sphere(25, rng), GlobeEncoder()
    in_batches = LocationFeatures(encoder, batch_size=7).fit_transform(lonlat)
    assert (encoder.n_rows, encoder.longest_call) == (25, 7)
    np.testing.assert_array_equal(in_batches, LocationFeatures(GlobeEncoder()).fit_transform(lonlat))


def test_a_row_without_a_place_is_named() -> None:
    lonlat = np.array([[0.0, 0.0], [np.nan, 1.0], [0.0, 95.0]])
    with pytest.raises(InvalidCoordinate, match=r"row 1 of 3: lon is missing.*2 such rows.*on_missing='nan'"):
        LocationFeatures(GlobeEncoder()).fit(lonlat)


def test_rows_without_a_place_become_nan() -> None:
    lonlat = np.array([[0.0, 0.0], [np.nan, 1.0], [100.0, 95.0], [90.0, 0.0]])
    features = LocationFeatures(GlobeEncoder(), on_missing="nan").fit_transform(lonlat)
    assert np.isnan(features).all(axis=1).tolist() == [False, True, True, False]
    np.testing.assert_allclose(features[[0, 3]], [[1, 0, 0], [0, 1, 0]], atol=1e-7)


def test_rows_without_a_place_become_the_mean_of_those_fitted() -> None:
    fitted = LocationFeatures(GlobeEncoder(), on_missing="mean", batch_size=1)
    fitted.fit(np.array([[0.0, 0.0], [90.0, 0.0], [np.nan, np.nan]]))
    features = fitted.transform(np.array([[np.nan, 0.0], [0.0, 90.0]]))
    np.testing.assert_allclose(features, [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]], atol=1e-7)


def test_without_any_place_there_is_no_mean() -> None:
    with pytest.raises(ValueError, match="no row has a place"):
        LocationFeatures(GlobeEncoder(), on_missing="mean").fit(np.full((3, 2), np.nan))


def test_all_rows_without_a_place_ask_nothing_of_the_encoder() -> None:
    encoder = GlobeEncoder()
    features = LocationFeatures(encoder, on_missing="nan").fit_transform(np.full((3, 2), np.nan))
    assert features.shape == (3, 3)
    assert encoder.n_rows == 0


def test_lat_before_lon_is_refused() -> None:
    with pytest.raises(InvalidCoordinate, match="exchange the columns"):
        LocationFeatures(GlobeEncoder(), on_missing="nan").fit(np.array([[35.68, 139.77], [43.1, 141.3]]))


def test_a_new_row_the_wrong_way_round_is_missing_alone_as_among_others() -> None:
    fitted = LocationFeatures(GlobeEncoder(), on_missing="nan").fit(table_of_places(3))
    rows = pd.concat([table_of_places(9)[:5].assign(lon=35.68, lat=139.77), table_of_places(9)[5:]])
    with pytest.warns(UserWarning, match="5 of 9"):
        together = fitted.transform(rows)
    with pytest.warns(UserWarning, match="1 of 1"):
        np.testing.assert_array_equal(fitted.transform(rows[:1]), together[:1])


def test_a_few_rows_the_wrong_way_round_are_told() -> None:
    lonlat = np.array([[35.68, 139.77], [139.77, 35.68], [141.3, 43.1]])
    with pytest.warns(UserWarning, match="1 of 3 rows lie on Earth only with lon and lat exchanged"):
        LocationFeatures(GlobeEncoder(), on_missing="nan").fit(lonlat)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_missing": "zero"}, "on_missing='zero': expected one of 'error', 'nan', 'mean'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"encoder": 7}, "encoder=7: expected a name or an encoder"),
    ],
)
def test_parameters_without_meaning_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        LocationFeatures(**options).fit(np.zeros((1, 2)))  # type: ignore[arg-type]


def test_an_unknown_encoder_is_named() -> None:
    with pytest.raises(UnknownEncoder, match="atlantis"):
        LocationFeatures("atlantis").fit(np.zeros((1, 2)))


def test_other_columns_than_at_fit_are_refused() -> None:
    fitted = LocationFeatures(GlobeEncoder()).fit(table_of_places(3))
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(table_of_places(3).rename(columns={"lon": "longitude"}))
    with pytest.raises(NotFittedError):
        LocationFeatures(GlobeEncoder()).get_feature_names_out()


def test_no_rows_are_no_rows() -> None:
    fitted = LocationFeatures(GlobeEncoder()).fit(table_of_places(3))
    assert fitted.transform(table_of_places(3).iloc[:0]).shape == (0, 3)
    assert LocationFeatures(GlobeEncoder()).fit(np.zeros((1, 2))).transform(np.empty((0, 2))).shape == (0, 3)
    with pytest.raises(ValueError, match="0 sample"):
        fitted.fit(table_of_places(3).iloc[:0])


def test_pandas_output_keeps_index_and_names() -> None:
    table = table_of_places(4).set_index("id")
    out = LocationFeatures(GlobeEncoder()).set_output(transform="pandas").fit_transform(table)
    assert isinstance(out, pd.DataFrame)
    assert out.index.equals(table.index)
    assert list(out.columns) == ["location_000", "location_001", "location_002"]


def test_a_column_transformer_takes_lon_and_lat_in_any_order_and_leaves_the_rest() -> None:
    table = table_of_places(6)
    columns = make_column_transformer(
        (LocationFeatures(GlobeEncoder()), ["lat", "lon"]), ("passthrough", ["rooms"])
    ).set_output(transform="pandas")
    out = columns.fit_transform(table)
    assert list(out.columns) == [
        *(f"locationfeatures__location_00{i}" for i in range(3)),
        "passthrough__rooms",
    ]
    wanted = unit_vectors(table[["lon", "lat"]].to_numpy())
    np.testing.assert_allclose(out.iloc[:, :3], wanted, atol=1e-7)


def test_a_column_transformer_takes_a_geometry() -> None:
    table = table_of_places(6)
    points = geopandas.GeoDataFrame(
        table[["rooms"]], geometry=geopandas.points_from_xy(table.lon, table.lat), crs=4326
    ).to_crs(3857)
    columns = make_column_transformer(
        (LocationFeatures(GlobeEncoder()), ["geometry"]), remainder="passthrough"
    )
    wanted = unit_vectors(table[["lon", "lat"]].to_numpy())
    np.testing.assert_allclose(columns.fit_transform(points)[:, :3], wanted, atol=1e-6)


def test_a_model_learns_the_place_that_raw_coordinates_hide() -> None:
    """Distance from the pole along the sphere is linear in z, not in lon and lat."""
    table = table_of_places(300)
    height = unit_vectors(table[["lon", "lat"]].to_numpy())[:, 2]
    model = make_pipeline(LocationFeatures(GlobeEncoder()), Ridge(1e-6))
    assert cross_val_score(model, table, height).min() > 0.999


@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_over_encoders_also_in_two_processes(n_jobs: int) -> None:
    table = table_of_places(200)
    target = unit_vectors(table[["lon", "lat"]].to_numpy())[:, 0]
    pipeline = make_pipeline(LocationFeatures("sincos"), Ridge(1e-6))
    search = GridSearchCV(pipeline, {"locationfeatures__encoder": ["sincos", "xyz"]}, n_jobs=n_jobs, cv=3)
    search.fit(table, target)
    assert search.best_params_ == {"locationfeatures__encoder": "xyz"}
    assert search.best_score_ > 0.999


def test_a_copy_is_not_fitted_and_equal() -> None:
    fitted = LocationFeatures("xyz", on_missing="nan").fit(np.zeros((1, 2)))
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "fingerprint_")
    own = clone(LocationFeatures(GlobeEncoder(2.0)))
    np.testing.assert_allclose(own.fit_transform([[0.0, 0.0]]), [[2.0, 0.0, 0.0]])


def test_a_pickle_holds_the_name_and_not_the_weights() -> None:
    lonlat = np.array([[139.77, 35.68]])
    fitted = LocationFeatures("xyz").fit(lonlat)
    pickled = pickle.dumps(fitted)
    assert b"torch" not in pickled
    np.testing.assert_array_equal(pickle.loads(pickled).transform(lonlat), fitted.transform(lonlat))


def test_a_pickle_carries_an_encoder_given_as_object() -> None:
    lonlat = np.array([[139.77, 35.68]])
    fitted = LocationFeatures(LocationEncoder("xyz", dimension=8, seed=3)).fit(lonlat)
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(lonlat), fitted.transform(lonlat))


def test_a_pickle_refuses_another_encoder_under_the_same_name(tmp_path: Path) -> None:
    path, lonlat = tmp_path / "mine.safetensors", np.array([[139.77, 35.68]])
    LocationEncoder("xyz", dimension=8, seed=1).save(path)
    fitted = LocationFeatures(str(path)).fit(lonlat)
    pickled, wanted = pickle.dumps(fitted), fitted.transform(lonlat)
    np.testing.assert_array_equal(pickle.loads(pickled).transform(lonlat), wanted)
    path.unlink()
    LocationEncoder("xyz", dimension=8, seed=2).save(path)
    with pytest.raises(FingerprintMismatch, match=rf"{fitted.fingerprint_}.*restore that encoder"):
        pickle.loads(pickled).transform(lonlat)
    np.testing.assert_array_equal(fitted.transform(lonlat), wanted)


def test_the_fingerprint_is_the_encoders_own() -> None:
    fitted = LocationFeatures("sincos").fit(np.zeros((1, 2)))
    encoder = load_location_encoder("sincos")
    assert (fitted.encoder_name_, fitted.fingerprint_) == ("sincos", encoder.fingerprint)
    assert fitted.dimension_ == 4


def test_an_encoder_is_loaded_once_and_anew_when_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    LocationEncoder("xyz", dimension=8, seed=1).save(path)
    first = load_embedder(path)
    assert load_embedder(str(path)) is first
    LocationEncoder("xyz", dimension=9, seed=1).save(path)
    assert load_embedder(path).dimension == 9


def test_the_default_encoder_is_ours() -> None:
    fitted = LocationFeatures(on_missing="nan").fit(np.array([[139.77, 35.68]]))
    assert fitted.encoder_name_ == "placeprint-location-v1"
    features = pickle.loads(pickle.dumps(fitted)).transform(np.array([[139.77, 35.68], [-77.04, -12.05]]))
    assert features.shape == (2, fitted.dimension_)
    assert np.isfinite(features).all()
    assert np.abs(features[0] - features[1]).max() > 0.01
    assert len(pickle.dumps(fitted)) < 10_000
