"""Figures of a hold-out: ranks by hand, chance, ties, and intervals over regions."""

import numpy as np
import pytest

from placeprint.encoders.captioning.facts import Facts
from placeprint.encoders.captioning.figures import (
    climate_scores,
    country_scores,
    full_caption,
    means,
    prior_scores,
    retrieval_scores,
)


def test_a_perfect_model_finds_everything() -> None:
    eye = np.eye(6, dtype=np.float32)
    own = np.arange(6)
    scores = retrieval_scores(eye, eye, own)
    assert scores.pop("rank_share").max() == 0.0
    assert all(score.min() == 1.0 for score in scores.values())


def test_ranks_by_hand() -> None:
    texts = np.eye(3, dtype=np.float32)
    images = np.array([[0.9, 0.1, 0.2], [0.8, 0.5, 0.1], [0.1, 0.3, 0.2]], np.float32)
    scores = retrieval_scores(images, texts, np.array([0, 1, 2]))
    np.testing.assert_allclose(scores["rank_share"], [0.0, 0.5, 0.5])
    assert scores["photo_to_caption_at_1"].tolist() == [1, 0, 0]
    assert scores["caption_to_photo_at_1"].tolist() == [1, 1, 0]  # the third ties with the first


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    same = np.ones((20, 4), np.float32) / 2
    scores = retrieval_scores(same, same, np.arange(20))
    np.testing.assert_allclose(scores.pop("rank_share"), 0.5)
    assert all(score.max() == 0.0 for score in scores.values())


def test_photos_of_one_caption_are_no_rivals() -> None:
    images = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
    scores = retrieval_scores(images, np.eye(2, dtype=np.float32), np.array([0, 0, 1]))
    assert scores["caption_to_photo_at_1"].tolist() == [1, 1, 1]


def test_countries_and_climates_leave_out_what_has_none() -> None:
    codes = np.array(["DE", "FR", "NL"], dtype=object)
    similarity = np.array([[0.1, 0.9, 0.2], [0.5, 0.1, 0.2], [0.0, 0.0, 1.0]])
    scores = country_scores(similarity, codes, np.array(["FR", "NL", ""], dtype=object))
    np.testing.assert_array_equal(scores["country_at_1"], [1, 0, np.nan])
    np.testing.assert_array_equal(scores["country_at_5"], [1, 1, np.nan])
    climate = climate_scores(np.eye(5)[[1, 2, 0]], np.array(["BWh", "Af", ""]))
    np.testing.assert_array_equal(climate["climate_at_1"], [1, 0, np.nan])


def test_the_prior_answers_what_is_most_common() -> None:
    train = Facts.of([(2.35, 48.85), (5.4, 43.3), (13.4, 52.5)])  # two of France, one of Germany
    test = Facts.of([(4.8, 45.8), (13.0, 52.4), (0.0, -90.0)])
    scores = prior_scores(train, test)
    np.testing.assert_array_equal(scores["country_at_1"], [1, 0, np.nan])
    np.testing.assert_array_equal(scores["climate_at_1"], [1, 1, 0])


def test_full_captions_are_the_same_for_all_photos_of_a_place() -> None:
    known = Facts.of([(174.78, -41.29), (0.0, 90.0)])
    assert full_caption(known[0], "photo") == (
        "Picture near Wellington Central, Wellington Region, New Zealand. "
        "The climate here is temperate without a dry season, warm in summer."
    )
    assert full_caption(known[1], "street") == "Street-level picture of a remote place, out at sea."


def test_intervals_are_over_regions() -> None:
    rng = np.random.default_rng(0)
    region = np.repeat(np.arange(30), 20)
    apart = rng.random(600) < 0.3
    together = np.repeat(rng.random(30) < 0.3, 20)
    figures = means({"apart": apart.astype(float), "together": together.astype(float)}, region)
    widths = {name: one.high - one.low for name, one in figures.items()}
    assert widths["together"] > 2.5 * widths["apart"]
    for name, score in (("apart", apart), ("together", together)):
        assert figures[name].value == pytest.approx(score.mean())
        assert figures[name].low <= figures[name].value <= figures[name].high


def test_what_is_unknown_is_left_out_of_means() -> None:
    score = np.array([1.0, np.nan, 0.0, np.nan])
    figures = means({"some": score, "none": np.full(4, np.nan)}, np.array([0, 0, 1, 1]))
    assert figures["some"].value == 0.5 and "none" not in figures
