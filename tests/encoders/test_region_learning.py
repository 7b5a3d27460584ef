"""Regions learned from embeddings: who is held out, what counts how much, and what is told of it."""

import numpy as np
import pytest
from region_fakes import AREAS, PER_AREA, RUN, R, made
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score

from placeprint.encoders.errors import (
    InvalidOption,
    TooFewPairs,
)
from placeprint.encoders.region_learning.figures import (
    Resamples,
    confused_pairs,
    confusion_of,
    figures_of,
    stated_figures,
)
from placeprint.encoders.region_learning.fitting import fit_path, fit_temperature, nll
from placeprint.encoders.region_learning.folds import at_random, by_areas, near
from placeprint.encoders.region_learning.held_out import BASELINES, answer_fold, gather, shared, with_parts
from placeprint.encoders.region_learning.material import RegionPhotos, learnable
from placeprint.encoders.region_learning.settings import RegionRun
from placeprint.encoders.sphere import great_circle_km


@pytest.fixture(scope="module")
def photos() -> RegionPhotos:
    return made()


# --- material ---------------------------------------------------------------------------------


def test_regions_count_alike_and_so_do_their_sub_areas(photos: RegionPhotos) -> None:
    some = photos.take(np.r_[0:5, 8:9, 48:60, 96:144])  # uneven in every way
    weights = some.weights()
    of_region = np.bincount(some.region, weights)
    assert np.allclose(of_region, 1.0 / R)
    of_area = np.bincount(some.area, weights)
    for region in range(R):
        assert np.ptp(of_area[np.unique(some.area[some.region == region])]) < 1e-12


def test_sub_areas_of_one_name_in_two_regions_are_two(photos: RegionPhotos) -> None:
    assert len(photos.area_names) == R * AREAS and len(set(photos.area_names)) == AREAS


def test_what_is_taken_keeps_its_names_and_rows(photos: RegionPhotos) -> None:
    some = photos.take(np.array([100, 60, 61]))
    assert some.ids == ("p100", "p060", "p061") and some.names == ("region 1", "region 2")
    assert [some.names[one] for one in some.region] == ["region 2", "region 1", "region 1"]
    assert np.array_equal(some.embeddings, photos.embeddings[[100, 60, 61]])


def test_a_region_of_few_photos_and_one_of_few_areas_are_left_out() -> None:
    photos = made()
    run = RegionRun(crops=0, least_photos=10, least_areas=3)
    kept, why = learnable(photos.take(np.r_[0:48, 48:57, 96:144]), run)
    assert kept.names == ("region 0", "region 2") and "9 photos" in why["region 1"]
    kept, why = learnable(photos.take(np.r_[0:48, 48:64, 96:144]), run)
    assert kept.names == ("region 0", "region 2") and "2 sub-areas" in why["region 1"]


def test_one_region_alone_is_refused(photos: RegionPhotos) -> None:
    with pytest.raises(TooFewPairs, match="two are needed"):
        learnable(photos.take(np.arange(48)), RUN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"folds": 1},
        {"buffer_km": -1.0},
        {"buffer_km": float("nan")},
        {"crops": -1},
        {"least_area": 0.0},
        {"least_photos": 1},
        {"least_areas": 1},
        {"decays": ()},
        {"decays": (0.1, 1.0)},
        {"decays": (1.0, 0.0)},
        {"leave_out": ("night",)},
    ],
)
def test_settings_without_meaning_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(wrong))):
        RegionRun(**wrong)  # type: ignore[arg-type]


# --- what is held out -------------------------------------------------------------------------


def test_a_sub_area_is_held_out_whole_and_every_region_in_every_fold(photos: RegionPhotos) -> None:
    fold = by_areas(photos, 3, seed=0)
    assert all(len(np.unique(fold[photos.area == area])) == 1 for area in range(len(photos.area_names)))
    counts = np.zeros((R, 3), dtype=int)
    np.add.at(counts, (photos.region, fold), 1)
    assert (counts == 2 * PER_AREA).all()


def test_sub_areas_that_share_a_walk_are_held_out_together(photos: RegionPhotos) -> None:
    groups = photos.groups.copy()
    groups[[0, PER_AREA, 48]] = "one walk"  # two areas of a region, and one of the next
    walked = RegionPhotos(**{**vars(photos), "groups": groups})
    for seed in range(5):
        fold = by_areas(walked, 3, seed=seed)
        assert len(np.unique(fold[np.r_[0 : 2 * PER_AREA, 48 : 48 + PER_AREA]])) == 1


def test_at_random_tears_sub_areas_apart_but_keeps_regions_even(photos: RegionPhotos) -> None:
    fold = at_random(photos, 4, seed=0)
    assert (np.bincount(fold[photos.region == 1]) == 12).all()
    assert len(np.unique(fold[photos.area == 0])) > 1


def test_other_seeds_hold_out_others(photos: RegionPhotos) -> None:
    for deal in (by_areas, at_random):
        assert not np.array_equal(deal(photos, 3, seed=0), deal(photos, 3, seed=1))
        assert np.array_equal(deal(photos, 3, seed=1), deal(photos, 3, seed=1))


def test_near_is_by_kilometers_across_the_antimeridian(photos: RegionPhotos) -> None:
    place = np.array([[179.999, 0.0], [-179.999, 0.0], [-179.98, 0.0], [0.0, 89.999], [180.0, 89.999]])
    some = RegionPhotos(**{**vars(photos.take(np.arange(5))), "lonlat": place})
    asked = np.array([True, False, False, True, False])
    km = great_circle_km(place[:, None], place[None])[:, asked].min(axis=1)
    for buffer_km in (0.1, 0.25, 1.0, 3.0):
        assert near(some, asked, buffer_km).tolist() == (asked | (km <= buffer_km)).tolist()
    assert near(some, asked, 0.0).tolist() == asked.tolist()


def test_nothing_near_a_held_out_photo_is_learned_from(photos: RegionPhotos) -> None:
    fold = by_areas(photos, 3, seed=0)
    wide = answer_fold(photos, None, fold, 0, RUN, buffer_km=40.0)  # the next areas are 33 km away
    none = answer_fold(photos, None, fold, 0, RUN, buffer_km=0.0)
    assert none.n_near == 0 and none.n_learned == len(photos) - len(none.asked)
    assert wide.n_near > 0 and wide.n_learned == none.n_learned - wide.n_near


# --- learning ---------------------------------------------------------------------------------


def test_a_fit_is_what_scikit_learn_fits_to_the_same_photos(photos: RegionPhotos) -> None:
    weights = photos.weights()
    fits = fit_path(photos.embeddings, photos.region, weights, R, (10.0, 0.1))
    center = weights @ photos.embeddings
    scale = np.sqrt(weights @ np.square(photos.embeddings - center).mean(axis=1))
    standard = (photos.embeddings - center) / scale
    peer = LogisticRegression(C=10.0, tol=1e-8, max_iter=5000)
    peer.fit(standard.astype(np.float64), photos.region, sample_weight=weights)
    wanted = peer.decision_function(standard)
    found = fits[1].logits(photos.embeddings)
    found -= found.mean(axis=1, keepdims=True)
    assert np.allclose(found, wanted - wanted.mean(axis=1, keepdims=True), atol=0.05)
    assert nll(fits[0].logits(photos.embeddings), photos.region, weights) > nll(found, photos.region, weights)


def test_a_region_that_nothing_was_learned_of_is_never_said(photos: RegionPhotos) -> None:
    rows = np.flatnonzero(photos.region != 1)
    for n, some in ((2, rows), (3, np.arange(len(photos)))):
        region = photos.region[some] if n == 2 else photos.region[some] + (photos.region[some] > 0)
        fit = fit_path(photos.embeddings[some], region, np.ones(len(some)), R + 1, (1.0,))[0]
        logits = fit.logits(photos.embeddings)
        absent = [one for one in range(R + 1) if one not in region]
        assert logits[:, absent].max() < logits.max(axis=1).min() - 5.0
        assert (logits[some].argmax(axis=1) == region).mean() > 0.9


def test_a_photo_and_its_parts_count_as_one() -> None:
    embeddings = np.eye(4, dtype=np.float32)
    parts = np.full((4, 2, 4), 0.5, np.float32)
    parts[2, 1] = np.nan
    parts[3] = np.nan
    rows = np.array([0, 2, 3])
    found, of = with_parts(embeddings, parts, rows)
    assert len(found) == 3 + 2 + 1 and np.isfinite(found).all()
    weights = shared(np.array([0.2, 0.3, 0.5]), rows, of)
    assert np.allclose(np.bincount(of, weights, 4), [0.2, 0.0, 0.3, 0.5])


def test_the_temperature_is_that_of_the_least_nll() -> None:
    rng = np.random.default_rng(0)
    logits = 3.0 * rng.normal(size=(4000, 4))
    p = np.exp(logits / 2.5)
    p /= p.sum(axis=1, keepdims=True)
    region = (p.cumsum(axis=1) < rng.uniform(size=(4000, 1))).sum(axis=1)
    weights = np.ones(4000)
    found = fit_temperature(logits, region, weights)
    assert found == pytest.approx(2.5, rel=0.1)
    assert nll(logits, region, weights, found) <= min(
        nll(logits, region, weights, t) for t in (1.0, 2.0, 3.0)
    )


def test_what_is_chosen_for_a_fold_does_not_depend_on_its_answers(photos: RegionPhotos) -> None:
    fold = by_areas(photos, 3, seed=0)
    answers = [answer_fold(photos, None, fold, number, RUN, buffer_km=0.0) for number in range(3)]
    before = gather(photos, fold, answers, RUN)
    spoiled = answers[0].logits[:, :, ::-1].copy()
    answers[0] = type(answers[0])(**{**vars(answers[0]), "logits": spoiled})
    after = gather(photos, fold, answers, RUN)
    assert (before.decays[0], before.temperatures[0]) == (after.decays[0], after.temperatures[0])
    assert before.temperatures[1] != after.temperatures[1] and before.temperature != after.temperature


def test_what_is_chosen_for_the_classifier_is_chosen_by_all_answers(photos: RegionPhotos) -> None:
    fold = by_areas(photos, 3, seed=0)
    answers = [answer_fold(photos, None, fold, number, RUN, buffer_km=0.0) for number in range(3)]
    found = gather(photos, fold, answers, RUN)
    logits = np.empty((len(RUN.decays), len(photos), R))
    for one in answers:
        logits[:, one.asked] = one.logits
    weights = photos.weights()
    losses = [
        nll(one, photos.region, weights, fit_temperature(one, photos.region, weights)) for one in logits
    ]
    best = int(np.argmin(losses))
    assert found.decay == RUN.decays[best]
    assert found.temperature == pytest.approx(fit_temperature(logits[best], photos.region, weights))


def test_the_gap_of_a_random_split_shows(photos: RegionPhotos) -> None:
    drawn = Resamples.of(photos)
    recall = {}
    for deal in (by_areas, at_random):
        fold = deal(photos, 3, seed=0)
        answers = [answer_fold(photos, None, fold, number, RUN, buffer_km=0.0) for number in range(3)]
        held_out = gather(photos, fold, answers, RUN)
        recall[deal] = figures_of(photos, held_out.log_p.argmax(axis=1), drawn)["macro_recall"]
        nearest = held_out.baselines[BASELINES.index("nearest photo")]
        assert (figures_of(photos, nearest, drawn)["macro_recall"] == 1.0) is (deal is at_random)
    assert recall[at_random] > 0.95 and recall[by_areas] < 0.9


def test_baselines_are_what_they_are_called() -> None:
    photos = made()
    uneven = photos.take(np.r_[0:2, 8:19, 24:29, 48:96, 96:112])
    fold = by_areas(uneven, 2, seed=0)
    one = answer_fold(uneven, None, fold, 0, RUN, buffer_km=0.0)
    known = np.flatnonzero(fold != 0)
    similarity = uneven.embeddings[one.asked] @ uneven.embeddings[known].T
    said = dict(zip(BASELINES, one.baselines, strict=True))
    assert (said["most photographed region"] == 1).all()
    assert np.array_equal(said["nearest photo"], uneven.region[known][similarity.argmax(axis=1)])
    ten = np.argsort(-similarity, axis=1)[:, :10]
    votes = [
        np.bincount(uneven.region[known][row], similarity[at][row].clip(0.0), R).argmax()
        for at, row in enumerate(ten)
    ]
    assert said["10 nearest photos"].tolist() == votes
    learned = uneven.take(known)
    means = np.stack([
        learned.weights()[learned.region == row] @ learned.embeddings[learned.region == row]
        for row in range(R)
    ])  # fmt: skip
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    nearest = (uneven.embeddings[one.asked] @ means.T).argmax(axis=1)
    assert np.array_equal(said["nearest mean"], nearest)
    plain = np.stack([learned.embeddings[learned.region == row].mean(axis=0) for row in range(R)])
    assert not np.allclose(means, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-3)


# --- figures ----------------------------------------------------------------------------------


def test_mean_recall_is_scikit_learns(photos: RegionPhotos) -> None:
    uneven = photos.take(np.r_[0:10, 48:96, 96:130])
    said = np.random.default_rng(1).integers(0, R, len(uneven))
    found = figures_of(uneven, said, Resamples.of(uneven))
    assert found["macro_recall"] == pytest.approx(recall_score(uneven.region, said, average="macro"))
    assert found["recall"] == pytest.approx(recall_score(uneven.region, said, average=None).tolist())
    low, high = found["macro_recall_interval"]
    assert low < found["macro_recall"] < high


def test_intervals_are_of_sub_areas_not_of_photos(photos: RegionPhotos) -> None:
    """Where photos of one sub-area are all right or all wrong, there are few things that can vary."""
    by_area = (photos.area % 2 == 0).astype(np.intp)
    said = np.where(by_area == 1, photos.region, (photos.region + 1) % R)
    wide = figures_of(photos, said, Resamples.of(photos))["accuracy_interval"]
    torn = np.where(np.arange(len(photos)) % 2 == 0, photos.region, (photos.region + 1) % R)
    narrow = figures_of(photos, torn, Resamples.of(photos))["accuracy_interval"]
    assert wide[1] - wide[0] > 0.3 and narrow[1] - narrow[0] < 0.01


def test_stated_figures_of_known_probabilities(photos: RegionPhotos) -> None:
    n = len(photos)
    p = np.full((n, R), 0.1)
    p[np.arange(n), photos.region] = 0.8
    p[:48] = [0.3, 0.5, 0.2]  # region 0, second
    found = stated_figures(photos, np.log(p), Resamples.of(photos))
    assert found["accuracy"] == pytest.approx(2 / 3) and found["top_2"] == 1.0
    assert found["nll"] == pytest.approx(-(np.log(0.3) + 2 * np.log(0.8)) / 3)
    assert found["ece"] == pytest.approx((0.5 + 2 * 0.2) / 3)
    assert found["of_surest"][5] == 1.0 and found["of_surest"][-1] == pytest.approx(2 / 3)
    assert found["even_nll"] == pytest.approx(np.log(3))


def test_regions_count_alike_in_what_probabilities_cost(photos: RegionPhotos) -> None:
    uneven = photos.take(np.r_[0:8, 48:96, 96:144])
    p = np.full((len(uneven), R), 1e-6)
    p[np.arange(len(uneven)), uneven.region] = 1.0
    p[:8] = [0.2, 0.7, 0.1]
    p /= p.sum(axis=1, keepdims=True)
    found = stated_figures(uneven, np.log(p), Resamples.of(uneven))
    assert found["nll"] == pytest.approx(-np.log(0.2) / 3, abs=1e-4)
    assert found["ece"] == pytest.approx(0.7 / 3, abs=1e-4)


def test_confusions_and_the_pairs_mixed_up_most(photos: RegionPhotos) -> None:
    said = photos.region.copy()
    said[:12], said[48:50], said[96:99] = 1, 2, 0
    confusion = confusion_of(photos, said)
    assert confusion.tolist() == [[36, 12, 0], [0, 46, 2], [3, 0, 45]]
    assert confused_pairs(confusion) == [(0, 1, 12), (0, 2, 3), (1, 2, 2)]
    assert confused_pairs(confusion, most=1) == [(0, 1, 12)]
