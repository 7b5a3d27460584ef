"""The rows of the benchmark.

Claims: a row has the name it was read from; names without meaning are refused; baselines are what has
not been trained; votes and means of labeled neighbors agree with scikit-learn.
"""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from placeprint.encoders.errors import InvalidProbe
from placeprint.encoders.probes.folds import random_folds
from placeprint.encoders.probes.rows import OURS, Row, default_rows, nearest_labels
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors


@pytest.mark.parametrize(
    "name", ["knn5", "idw10", "neighbors", "boosting", "sh-20", "sh-20+knn5", "a+b.safetensors+neighbors"]
)
def test_a_row_has_the_name_it_was_read_from(name: str) -> None:
    assert Row.named(name).name == name


def test_names_are_taken_apart_at_the_method() -> None:
    assert Row.named("runs/a+b.safetensors+boosting") == Row("boosting", "runs/a+b.safetensors")
    assert Row.named("runs/a+b.safetensors") == Row("ridge", "runs/a+b.safetensors")


@pytest.mark.parametrize("name", ["", "+neighbors", "sh-10+idw10"])
def test_names_without_meaning_are_refused(name: str) -> None:
    with pytest.raises(InvalidProbe, match="row"):
        Row.named(name)


def test_baselines_are_what_has_not_been_trained() -> None:
    rows = default_rows(["mine.safetensors"])
    assert len(set(rows)) == len(rows)
    trained = {row.encoder for row in rows if not row.is_baseline}
    assert trained == {OURS, "mine.safetensors"}


def test_trees_are_for_quantities_and_votes_in_the_embedding_for_classes() -> None:
    assert not Row.named("boosting").suits(is_class=True)
    assert not Row.named("sh-10+knn5").suits(is_class=False)
    assert Row.named("knn5").suits(is_class=False)


@pytest.mark.parametrize(("k", "is_weighted"), [(5, False), (10, True)])
def test_neighbors_answer_as_scikit_learns(rng: np.random.Generator, k: int, is_weighted: bool) -> None:
    lonlat = uniform_on_sphere(250, rng)
    xyz, folds = unit_vectors(lonlat), random_folds(250)
    y = xyz[:, 0] + 0.2 * rng.normal(size=250)
    names = np.array(["x", "y", "z"])[np.abs(xyz).argmax(axis=1)]

    def weights(distance: np.ndarray) -> np.ndarray:
        return 1.0 / (distance + 1e-6) if is_weighted else np.ones_like(distance)

    values = nearest_labels(y, lonlat, folds, k=k, is_weighted=is_weighted, is_class=False)
    votes = nearest_labels(names, lonlat, folds, k=k, is_weighted=is_weighted, is_class=True)
    for fold in range(5):
        train = folds != fold
        mean = KNeighborsRegressor(k, weights=weights).fit(xyz[train], y[train])
        np.testing.assert_allclose(values.predictions[~train], mean.predict(xyz[~train]))
        vote = KNeighborsClassifier(k, weights=weights).fit(xyz[train], names[train])
        told = np.array(["x", "y", "z"])[votes.predictions[~train]]
        np.testing.assert_array_equal(told, vote.predict(xyz[~train]))
    assert values.mean > 0.8
    assert votes.mean > 0.8
