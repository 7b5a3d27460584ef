"""Photos around a place as features: right by hand, and free of the gallery once fitted."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import fingerprint_of, record, unit_rows
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from placeprint.encoders.errors import InvalidOption, NothingToLocateWith, UnknownGallery
from placeprint.encoders.sphere import EARTH_RADIUS_KM, uniform_on_sphere
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.gallery_features import GalleryFeatures
from placeprint.indexer.settings import Settings

DEGREE_KM = np.pi * EARTH_RADIUS_KM / 180.0
LINE = [(0.0, 0.0), (1.0, 0.0), (3.0, 0.0), (-179.0, 0.0)]


@pytest.fixture
def line(settings: Settings, rng: np.random.Generator) -> tuple[Settings, np.ndarray]:
    """Four photos on the equator and one without a place; their embeddings, (4, 8)."""
    vectors = unit_rows(rng, 5)
    with Gallery.create("line", fingerprint_of(8), settings=settings) as gallery:
        placed = [
            record(f"{i}.jpg", vectors[i], lon=lon, lat=lat, payload=f'{{"number": {i}}}')
            for i, (lon, lat) in enumerate(LINE)
        ]
        gallery.add([*placed[:2], record("nowhere.jpg", vectors[4])])
        gallery.add(placed[2:])
    return settings, vectors[:4]


def test_distances_numbers_and_looks_by_hand(line: tuple[Settings, np.ndarray]) -> None:
    settings, vectors = line
    features = GalleryFeatures(
        "line", k=(1, 2), radii_km=(0.0, 2 * DEGREE_KM, 25_000.0), components=None, settings=settings
    )
    out = features.fit_transform(np.array([[1.0, 0.0], [179.0, 0.0]]))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[:, :2], [[0.0, DEGREE_KM], [2 * DEGREE_KM, 176 * DEGREE_KM]], atol=0.01)
    np.testing.assert_array_equal(out[:, 2:5], [[1, 3, 4], [0, 1, 4]])
    np.testing.assert_allclose(out[0, 5:], (vectors[1] + vectors[0]) / 2, atol=1e-6)
    np.testing.assert_allclose(out[1, 5:], (vectors[3] + vectors[2]) / 2, atol=1e-6)
    assert features.n_photos_ == 4


def test_photos_at_the_rows_own_place_can_be_hidden(line: tuple[Settings, np.ndarray]) -> None:
    settings, vectors = line
    features = GalleryFeatures(
        "line", k=(1, 4), radii_km=(0.5, 2 * DEGREE_KM), components=None, exclude_km=0.0, settings=settings
    )
    out = features.fit_transform(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(out[0, :4], [DEGREE_KM, np.nan, 0, 2], rtol=1e-6)
    np.testing.assert_allclose(out[0, 4:], vectors[[0, 2, 3]].mean(axis=0), atol=1e-6)


def test_a_filter_chooses_the_photos(line: tuple[Settings, np.ndarray]) -> None:
    settings, _ = line
    chosen = Filter(where={"number": [2, 3]})
    features = GalleryFeatures("line", k=(1,), radii_km=(), components=0, filter=chosen, settings=settings)
    out = features.fit_transform(np.array([[1.0, 0.0]]))
    np.testing.assert_allclose(out, [[2 * DEGREE_KM]], rtol=1e-6)


def test_components_are_the_principal_ones(
    settings: Settings, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("placeprint.indexer.gallery_features.ROWS_AT_A_TIME", 7)
    vectors, lonlat = unit_rows(rng, 40), uniform_on_sphere(40, rng)
    with Gallery.create("many", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record(f"{i}", vectors[i], lon=lonlat[i, 0], lat=lonlat[i, 1]) for i in range(40)])
    features = GalleryFeatures("many", k=(1,), radii_km=(), components=3, settings=settings)
    found = features.fit_transform(lonlat)[:, 1:]
    wanted = PCA(3).fit_transform(vectors.astype(float))
    wanted *= np.sign((wanted * found).sum(axis=0))
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    again = GalleryFeatures("many", k=(1,), radii_km=(), components=3, settings=settings)
    np.testing.assert_array_equal(again.fit_transform(lonlat)[:, 1:], found)


def test_a_model_learns_what_only_the_photos_know(settings: Settings, rng: np.random.Generator) -> None:
    vectors, lonlat = unit_rows(rng, 300, 4), uniform_on_sphere(300, rng)
    with Gallery.create("looks", fingerprint_of(4), settings=settings) as gallery:
        gallery.add([record(f"{i}", vectors[i], lon=lonlat[i, 0], lat=lonlat[i, 1]) for i in range(300)])
    features = GalleryFeatures("looks", k=(1,), radii_km=(), components=4, settings=settings)
    model = make_pipeline(features, HistGradientBoostingRegressor(random_state=0))
    price = vectors[:, 0] * 100.0
    assert model.fit(lonlat[:200], price[:200]).score(lonlat[200:], price[200:]) > 0.9


def test_fitted_features_need_no_gallery(line: tuple[Settings, np.ndarray], tmp_path: Path) -> None:
    settings, _ = line
    table = pd.DataFrame({"lat": [0.0], "lon": [1.0], "price": [5.0]})
    columns = make_column_transformer((GalleryFeatures("line", settings=settings), ["lat", "lon"]))
    fitted = columns.set_output(transform="pandas").fit(table)
    again = pickle.loads(pickle.dumps(fitted))
    with Gallery.open("line", settings=settings):  # nobody else can open it now
        out = again.transform(table)
    assert list(out.columns)[:6] == [
        f"galleryfeatures__photos_{name}"
        for name in ("1_km", "5_km", "20_km", "within_1km", "within_10km", "within_100km")
    ]
    assert out.columns[-1] == "galleryfeatures__photos_look_07"
    with pytest.raises(NotFittedError):
        clone(fitted).transform(table)


def test_rows_without_a_place_become_nan(line: tuple[Settings, np.ndarray]) -> None:
    settings, _ = line
    out = GalleryFeatures("line", settings=settings, on_missing="nan").fit_transform(
        np.array([[np.nan, 0.0], [0.0, 0.0]])
    )
    assert np.isnan(out[0]).all()
    assert out[1, 0] == 0.0


def test_a_gallery_without_places_is_refused(settings: Settings, rng: np.random.Generator) -> None:
    with Gallery.create("bare", fingerprint_of(8), settings=settings) as gallery:
        gallery.add([record("a.jpg", unit_rows(rng, 1)[0])])
    with pytest.raises(NothingToLocateWith, match="'bare' has no photo of known place"):
        GalleryFeatures("bare", settings=settings).fit(np.zeros((1, 2)))
    with pytest.raises(UnknownGallery, match="no gallery 'none'"):
        GalleryFeatures("none", settings=settings).fit(np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k": ()}, "k=()"), ({"radii_km": (-1.0,)}, "radii_km"), ({"components": -1}, "components=-1")],
)
def test_parameters_without_meaning_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption, match=message.replace("(", r"\(").replace(")", r"\)")):
        GalleryFeatures("any", **options).fit(np.zeros((1, 2)))  # type: ignore[arg-type]
