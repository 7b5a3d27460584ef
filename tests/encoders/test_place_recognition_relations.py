"""Positives, negatives and neither, by distance, time, walk and heading, also at the map's edges; recall."""

import numpy as np
import pytest
from numpy.typing import NDArray
from place_recognition_fakes import walk

from placeprint.encoders.errors import InvalidCoordinate, InvalidOption, TooFewPairs
from placeprint.encoders.place_recognition.photos import PlacePhotos
from placeprint.encoders.place_recognition.recall import HeldOutTruth
from placeprint.encoders.place_recognition.relations import Relations
from placeprint.encoders.place_recognition.settings import Nearness, PlaceRun
from placeprint.encoders.place_recognition.splitting import PlaceSplit
from placeprint.encoders.sphere import destination, great_circle_km, uniform_on_sphere


def photos_at(lonlat: NDArray[np.float64], **known: object) -> PlacePhotos:
    return PlacePhotos.of([f"{row}.jpg" for row in range(len(lonlat))], lonlat, **known)  # type: ignore[arg-type]


def beside(start: tuple[float, float], *ways_m: float, bearing_deg: float = 90.0) -> NDArray[np.float64]:
    at = np.broadcast_to(np.array(start), (len(ways_m), 2))
    return destination(at, bearing_deg, np.array(ways_m) / 1000.0)


@pytest.mark.parametrize(
    "start", [(9.5, 47.1), (179.99995, -16.8), (0.0, 90.0), (12.0, -89.99999), (0.0, 0.0)]
)
def test_positives_lie_from_one_to_ten_meters_and_negatives_beyond_twenty_five(
    start: tuple[float, float],
) -> None:
    ways = (0.0, 0.9, 1.1, 9.9, 10.1, 24.9, 25.1, 500.0)
    relations = Relations(photos_at(beside(start, *ways)), Nearness())
    assert relations.positives[0].tolist() == [2, 3]
    assert relations.near[0].tolist() == [0, 1, 2, 3, 4, 5]
    is_positive, is_negative = relations.masks(np.array([0, 1, 3, 4, 7]))
    assert is_positive[0].tolist() == [False, False, True, False, False]
    assert is_negative[0].tolist() == [False, False, False, False, True]
    assert (is_positive == is_positive.T).all() and not (is_positive & is_negative).any()


def test_it_is_every_pair_within_the_distance(rng: np.random.Generator) -> None:
    lonlat = np.concatenate([uniform_on_sphere(30, rng), beside((0.0, 0.0), *rng.uniform(0, 60, 30))])
    relations = Relations(photos_at(lonlat), Nearness(positive_to_m=15.0))
    distance_m = 1000.0 * great_circle_km(lonlat[:, None], lonlat)
    for row in range(60):
        assert relations.near[row].tolist() == np.flatnonzero(distance_m[row] <= 25.0).tolist()
        wanted = (distance_m[row] > 1.0) & (distance_m[row] <= 15.0)
        assert relations.positives[row].tolist() == np.flatnonzero(wanted).tolist()
    assert relations.queries.tolist() == [row for row in range(60) if len(relations.positives[row])]


def test_the_very_same_spot_counts_from_zero_meters_on_but_never_the_photo_itself() -> None:
    photos = photos_at(beside((9.5, 47.1), 0.0, 0.0, 5.0))
    assert Relations(photos, Nearness()).positives[0].tolist() == [2]
    assert Relations(photos, Nearness(positive_from_m=0.0)).positives[0].tolist() == [1, 2]


def test_another_time_and_another_walk_can_be_asked_for() -> None:
    lonlat = beside((9.5, 47.1), 0.0, 2.0, 4.0, 6.0)
    photos = photos_at(lonlat, sequences=["a", "a", "b", ""], captured_at=["2019", "2021", "2019", "2021"])
    assert Relations(photos, Nearness(other_time=True)).positives[0].tolist() == [1, 3]
    assert Relations(photos, Nearness(other_sequence=True)).positives[0].tolist() == [2]  # "" is not known
    both = Nearness(other_time=True, other_sequence=True)
    assert Relations(photos, both).positives[0].tolist() == []
    assert 1 in Relations(photos, both).near[0]  # and no negative for that


def test_headings_are_compared_around_north_and_unknown_ones_refuse_nothing() -> None:
    photos = photos_at(beside((9.5, 47.1), 0.0, 2.0, 4.0, 6.0), heading_deg=[350.0, 20.0, 60.0, np.nan])
    assert Relations(photos, Nearness(heading_to_deg=40.0)).positives[0].tolist() == [1, 3]


@pytest.mark.parametrize("wrong", [
    {"positive_from_m": -1.0}, {"positive_from_m": 10.0}, {"positive_to_m": 26.0},
    {"negative_from_m": float("nan")}, {"heading_to_deg": 0.0}, {"heading_to_deg": 200.0},
])  # fmt: skip
def test_distances_that_do_not_rise_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidOption):
        Nearness(**wrong)  # type: ignore[arg-type]


def test_columns_are_checked_once() -> None:
    with pytest.raises(InvalidCoordinate, match="lon, lat"):
        photos_at(np.array([[35.68, 139.77]]))
    with pytest.raises(TooFewPairs, match=r"2 photos, but .'sequences': 1"):
        photos_at(walk(2), sequences=["a"])


def test_recall_counts_the_first_k_and_leaves_unanswerable_queries_out() -> None:
    # Places 0 and 1 twice, place 2 once.
    lonlat = np.concatenate([walk(3), destination(walk(2), 0.0, 0.005)])
    truth = HeldOutTruth.of(photos_at(lonlat), Nearness())
    assert truth.queries.tolist() == [0, 1, 3, 4]
    assert truth.chance == pytest.approx(1 / 4)  # one answer among the four others
    embeddings = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 2]]  # the second look of place 1 looks like place 2
    assert truth.recall(embeddings, (1, 2, 4)) == {"recall_at_1": 0.5, "recall_at_2": 0.5, "recall_at_4": 1.0}


def test_ties_are_no_hits() -> None:
    lonlat = np.concatenate([walk(3), destination(walk(3), 0.0, 0.005)])
    truth = HeldOutTruth.of(photos_at(lonlat), Nearness())
    assert truth.recall(np.ones((6, 1), np.float32), (1, 5)) == {"recall_at_1": 0.0, "recall_at_5": 1.0}


def test_what_the_conditions_rule_out_nearby_is_not_seen() -> None:
    # Two frames of one walk, and another walk past the same place that looks a little different.
    lonlat = np.concatenate([beside((9.5, 47.1), 0.0, 2.0, 5.0), walk(2)])
    photos = photos_at(lonlat, sequences=["a", "a", "b", "c", "c"])
    truth = HeldOutTruth.of(photos, Nearness(other_sequence=True))
    assert truth.queries.tolist() == [0, 1, 2]
    assert [rows.tolist() for rows in truth.hidden] == [[0, 1], [0, 1], [2]]
    embeddings = np.array([[1, 0], [1, 0], [0.8, 0.6], [0, 1], [0, -1]], np.float32)
    assert truth.recall(embeddings, (1,)) == {"recall_at_1": 1.0}


def test_without_answers_there_are_no_figures() -> None:
    truth = HeldOutTruth.of(photos_at(walk(4)), Nearness())
    assert truth.recall(np.eye(4, dtype=np.float32)) == {} and truth.chance == 0.0


def test_held_out_photos_are_not_within_sight_of_training_photos() -> None:
    lonlat = walk(400, apart_m=20.0)
    split = PlaceSplit.of(photos_at(lonlat), PlaceRun(held_out_share=0.2))
    km = great_circle_km(lonlat[split.train][:, None], lonlat[split.held_out])
    assert km.min() > 0.025 and not set(split.train) & set(split.held_out)
    assert 40 < len(split.held_out) < 100 and split.block_deg == 0.005
    whole = PlaceSplit.of(photos_at(lonlat), PlaceRun(held_out_share=0.0))
    assert len(whole.train) == 400 and not len(whole.held_out)


def test_photos_of_one_spot_cannot_be_held_out() -> None:
    with pytest.raises(TooFewPairs, match="--held-out-share 0"):
        PlaceSplit.of(photos_at(beside((9.50041, 47.10041), 0.0, 2.0, 4.0)), PlaceRun())
    with pytest.raises(TooFewPairs, match="1 photo"):
        PlaceSplit.of(photos_at(walk(1)), PlaceRun())
