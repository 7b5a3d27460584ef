"""The stack of an embedding and labeled neighbors.

Claims: labels of test rows are not read; labels of pure noise stay noise, however wide the embedding;
in a smooth field the stack is about as good as its parts or better, at random and in blocks; where neighbors
are far it keeps to the embedding; classes are told about as well as by votes; too few blocks are refused.
"""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidProbe
from placeprint.encoders.probes.folds import Split
from placeprint.encoders.probes.level1 import Fold, Labeled, neighbor_predictions
from placeprint.encoders.probes.probe import ridge_scores
from placeprint.encoders.probes.residuals import with_embedding
from placeprint.encoders.probes.rows import nearest_labels
from placeprint.encoders.probes.stack import stacked_scores
from placeprint.encoders.sphere import unit_vectors

RANDOM, BLOCKS, N = Split(), Split(2.0), 300


@pytest.fixture
def lonlat(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform([-6.0, 40.0], [6.0, 50.0], (N, 2))


@pytest.fixture
def field(lonlat: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A field with waves of some hundred kilometers, and a little noise."""
    waves = rng.normal(0.0, 60.0, (3, 40))
    phases = rng.uniform(0, 2 * np.pi, 40)
    return np.cos(unit_vectors(lonlat) @ waves + phases).sum(axis=1) + 0.5 * rng.normal(size=len(lonlat))


def stack(features: np.ndarray | None, y: np.ndarray, lonlat: np.ndarray, split: Split) -> float:
    return stacked_scores({"e": features}, y, lonlat, split)["e", False].mean


@pytest.mark.parametrize("split", [RANDOM, BLOCKS], ids=lambda split: split.name)
def test_labels_of_test_rows_are_not_read(
    lonlat: np.ndarray, field: np.ndarray, rng: np.random.Generator, split: Split
) -> None:
    features = rng.normal(size=(N, 12)).astype(np.float32)
    folds = split.folds(lonlat)
    other = np.where(folds == 0, -100.0 * field, field)
    found = [stacked_scores({"e": features}, y, lonlat, split)["e", False] for y in (field, other)]
    before, after = (one.predictions[folds == 0] for one in found)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("split", [RANDOM, BLOCKS], ids=lambda split: split.name)
def test_noise_stays_noise_however_wide_the_embedding(
    lonlat: np.ndarray, rng: np.random.Generator, split: Split
) -> None:
    features = rng.normal(size=(N, 150)).astype(np.float32)
    assert stack(features, rng.normal(size=N), lonlat, split) < 0.03


def test_no_held_out_prediction_depends_on_its_own_label(
    lonlat: np.ndarray, field: np.ndarray, rng: np.random.Generator
) -> None:
    features = rng.normal(size=(N, 60)).astype(np.float32)
    folds, row = RANDOM.folds(lonlat), 7
    told = []
    for y in (field, np.where(np.arange(N) == row, field + 1.0, field)):
        fold = Fold.of(Labeled.of(lonlat, y, False), folds, 0 if folds[row] else 1, RANDOM)
        held_out, _ = with_embedding(fold, features, *neighbor_predictions(fold))
        place = np.flatnonzero(fold.train == row)
        told.append(held_out.plain(place, np.zeros((1, 1), dtype=np.intp)).ravel())
    np.testing.assert_allclose(told[0], told[1], atol=1e-4)


@pytest.mark.parametrize("split", [RANDOM, BLOCKS], ids=lambda split: split.name)
def test_in_a_smooth_field_the_stack_is_about_as_good_as_its_parts(
    lonlat: np.ndarray, field: np.ndarray, rng: np.random.Generator, split: Split
) -> None:
    waves = rng.normal(0.0, 30.0, (3, 30))
    features = np.cos(unit_vectors(lonlat) @ waves).astype(np.float32)
    folds = split.folds(lonlat)
    votes = nearest_labels(field, lonlat, folds, k=10, is_weighted=True, is_class=False).mean
    probe = ridge_scores(features, field, folds).mean
    assert stack(features, field, lonlat, split) > max(votes, probe) - 0.05


def test_where_neighbors_say_nothing_it_keeps_to_the_embedding(
    lonlat: np.ndarray, rng: np.random.Generator
) -> None:
    features = rng.normal(size=(N, 5)).astype(np.float32)
    y = features @ np.arange(1.0, 6.0) + rng.normal(size=N)
    probe = ridge_scores(features, y, BLOCKS.folds(lonlat)).mean
    assert stack(features, y, lonlat, BLOCKS) == pytest.approx(probe, abs=0.01)
    assert stack(None, y, lonlat, BLOCKS) < 0.03


def test_classes_are_told_about_as_well_as_by_votes(lonlat: np.ndarray, field: np.ndarray) -> None:
    names = np.array(["a", "b", "c", "d"])[np.digitize(field, np.quantile(field, [0.2, 0.5, 0.8]))]
    folds = RANDOM.folds(lonlat)
    votes = nearest_labels(names, lonlat, folds, k=5, is_weighted=False, is_class=True)
    features = unit_vectors(lonlat).astype(np.float32)
    found = stacked_scores({None: None, "e": features}, names, lonlat, RANDOM, classification=True)
    assert found[None, False].mean > votes.mean - 0.02
    assert found["e", False].mean > votes.mean - 0.02
    assert set(np.unique(found["e", False].predictions)) <= set(range(4))


def test_more_classes_than_candidates_keep_their_codes(lonlat: np.ndarray) -> None:
    names = np.floor(lonlat[:, 0]).astype(int) * 100 + np.floor(lonlat[:, 1] / 5).astype(int)
    found = stacked_scores({None: None}, names, lonlat, RANDOM, classification=True)[None, False]
    assert found.mean > 0.7
    assert found.predictions.max() > 10


def test_too_few_blocks_are_refused(lonlat: np.ndarray, field: np.ndarray) -> None:
    with pytest.raises(InvalidProbe, match="smaller blocks"):
        stack(None, field, lonlat, Split(10.0))
