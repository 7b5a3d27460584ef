"""Intervals of scores.

Claims: the bootstrap of accuracy has the closed form's width; drawing whole groups widens it; the same
row gains nothing over itself, and paired differences are narrower than the scores; the middle is the
score; folds give Student's interval.
"""

import numpy as np
import pytest
from scipy.stats import t as student

from placeprint.encoders.probes.folds import random_folds
from placeprint.encoders.probes.intervals import groups_in_folds, over_folds, resampled
from placeprint.encoders.probes.probe import scored


def test_accuracy_has_the_closed_forms_width(rng: np.random.Generator) -> None:
    truth = np.zeros(2000, dtype=np.intp)
    guesses = (rng.random((1, 2000)) < 0.3).astype(np.intp)
    folds = random_folds(2000)
    low, high = resampled(guesses, truth, folds, np.arange(2000), is_class=True).interval(0)
    mean = 1 - guesses.mean()
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(mean * (1 - mean) / 2000), rel=0.1)
    assert low < mean < high


def test_r2_is_centered_on_the_score(rng: np.random.Generator) -> None:
    y = 1e4 + rng.normal(size=1500)
    guesses = y + 0.5 * rng.normal(size=1500)
    folds = random_folds(1500)
    found = resampled(guesses[None], y, folds, np.arange(1500), is_class=False)
    assert found.scores.mean() == pytest.approx(scored(guesses, y, folds, False).mean, abs=0.003)
    variance = np.var((guesses - y) ** 2) / 1500 + np.var((y - y.mean()) ** 2) * 0.25**2 / 1500
    low, high = found.interval(0)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.15)


def test_whole_groups_are_drawn(rng: np.random.Generator) -> None:
    group = np.repeat(np.arange(40), 50)
    hits = np.repeat(rng.random(40) < 0.5, 50)
    folds = (group % 2).astype(np.intp)
    truth = np.ones(2000, dtype=np.intp)
    guesses = hits.astype(np.intp)[None]
    alone = resampled(guesses, truth, folds, np.arange(2000), is_class=True).interval(0)
    together = resampled(guesses, truth, folds, group, is_class=True).interval(0)
    assert (together[1] - together[0]) / (alone[1] - alone[0]) == pytest.approx(np.sqrt(50), rel=0.15)


def test_differences_are_paired(rng: np.random.Generator) -> None:
    y = rng.normal(size=800)
    noise = 0.7 * rng.normal(size=800)
    guesses = np.stack([y + noise, y + 0.99 * noise])
    found = resampled(guesses, y, random_folds(800), np.arange(800), is_class=False)
    assert found.gain(0, 0) == (0.0, 0.0)
    low, high = found.gain(1, 0)
    assert 0.0 < low < high
    assert high - low < 0.2 * (found.interval(0)[1] - found.interval(0)[0])


def test_folds_give_students_interval() -> None:
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    low, high = over_folds(scores)
    assert (low + high) / 2 == pytest.approx(0.3)
    assert (high - low) / 2 == pytest.approx(student.ppf(0.975, 4) * scores.std(ddof=1) / np.sqrt(5))


def test_groups_are_counted_in_the_folds_that_hold_any() -> None:
    folds, groups = np.array([0, 0, 0, 3, 3]), np.array([7, 7, 8, 1, 1])
    assert groups_in_folds(folds, groups).tolist() == [2, 1]
