"""What counts as right: meters on the sphere, frames of a walk, lists."""

import numpy as np
import pytest
from place_set_fakes import place_set

from placeprint.encoders.errors import InvalidOption, UnreadableSource, WrongPhotoSet
from placeprint.encoders.sphere import destination, great_circle_km, uniform_on_sphere
from placeprint.indexer.place_truth import (
    Listed,
    Positives,
    WithinFrames,
    WithinMeters,
    counts_within,
    read_list,
    truth_of,
)


def around(lonlat, meters, bearing=30.0):
    return destination(np.array(lonlat), bearing, meters / 1000.0)


@pytest.mark.parametrize("home", [(139.77, 35.68), (180.0, -16.8), (25.0, 90.0), (25.0, -90.0), (0.0, 0.0)])
def test_24_meters_are_right_and_26_are_not(home):
    gallery = place_set([around(home, 24.0), around(home, 26.0), around(home, 24.9, bearing=200.0)])
    found = WithinMeters(25.0).positives(place_set([home]), gallery)
    assert found.of(0).tolist() == [0, 2]


def test_the_way_over_the_antimeridian_is_short():
    found = WithinMeters(25.0).positives(place_set([[179.9999, -16.8]]), place_set([[-179.9999, -16.8]]))
    assert found.counts.tolist() == [1]


def test_a_photo_exactly_at_the_threshold_is_right():
    query, reference = np.array([10.0, 50.0]), around((10.0, 50.0), 25.0)
    meters = float(great_circle_km(query, reference)) * 1000.0
    pair = place_set([query]), place_set([reference])
    assert WithinMeters(meters).positives(*pair).counts.tolist() == [1]
    assert WithinMeters(meters - 1e-6).positives(*pair).counts.tolist() == [0]


def test_the_tree_agrees_with_all_distances(rng):
    queries = np.concatenate([uniform_on_sphere(40, rng), [[180.0, 3.0], [0.0, 90.0]]])
    gallery = np.concatenate([uniform_on_sphere(400, rng), [[-179.0, 3.0], [70.0, 89.0]]])
    right = great_circle_km(queries[:, None], gallery) * 1000.0 <= 900_000.0
    found = WithinMeters(900_000.0).positives(place_set(queries), place_set(gallery))
    assert sorted(zip(found.query.tolist(), found.reference.tolist(), strict=True)) == sorted(
        zip(*(rows.tolist() for rows in np.nonzero(right)), strict=True)
    )
    assert (counts_within(queries, gallery, 900_000.0) == right.sum(axis=1)).all()


def test_photos_without_a_place_are_named():
    with pytest.raises(WrongPhotoSet, match=r"1 of 2 photos have no place, the first 1\.jpg.*index\.csv"):
        WithinMeters().positives(place_set([[1.0, 2.0], [np.nan, np.nan]]), place_set([[1.0, 2.0]]))


def test_frames_count_on_both_sides_and_in_any_order():
    found = WithinFrames(2).positives(place_set(frames=[0, 7]), place_set(frames=[9, 2, 0, 5, 10, 3]))
    assert found.of(0).tolist() == [1, 2]
    assert found.of(1).tolist() == [0, 3]


def test_no_frame_near_is_no_positive():
    found = WithinFrames(1).positives(place_set(frames=[50]), place_set(frames=[0, 1]))
    assert found.counts.tolist() == [0]


def test_frames_of_several_walks_are_refused():
    with pytest.raises(WrongPhotoSet, match="more than once"):
        WithinFrames(1).positives(place_set(frames=[1, 1]), place_set(frames=[1]))
    with pytest.raises(WrongPhotoSet, match="no frame number"):
        WithinFrames(1).positives(place_set(frames=[-1]), place_set(frames=[1]))


def test_a_list_is_read_by_file_names(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("query,references\nq/a.jpg,x.jpg r/z.jpg\nb.jpg,\n")
    truth = read_list(path)
    found = truth.positives(place_set(names=["b.jpg", "a.jpg"]), place_set(names=["z.jpg", "y.jpg", "x.jpg"]))
    assert found.counts.tolist() == [0, 2]
    assert found.of(1).tolist() == [0, 2]
    assert "truth.csv" in truth.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("query,refs\na.jpg,b.jpg\n", "no column references"),
        ("query,references\na.jpg,b.jpg\na.jpg,c.jpg\n", "two lines for the query a.jpg"),
    ],
)
def test_a_list_of_another_form_is_refused(tmp_path, text, said):
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(WrongPhotoSet, match=said):
        read_list(path)


def test_a_list_that_does_not_fit_the_photos_is_refused():
    truth = Listed({"a.jpg": ("b.jpg",)}, "truth.csv")
    with pytest.raises(WrongPhotoSet, match=r"no line for the query c\.jpg"):
        truth.positives(place_set(names=["c.jpg"]), place_set(names=["b.jpg"]))
    with pytest.raises(WrongPhotoSet, match=r"b\.jpg, listed for the query a\.jpg, is not in"):
        truth.positives(place_set(names=["a.jpg"]), place_set(names=["d.jpg"]))
    with pytest.raises(WrongPhotoSet, match="several photos have one file name"):
        truth.positives(place_set(names=["a.jpg"]), place_set(names=["b.jpg", "b.jpg"]))


def test_neighbors_are_held_against_the_pairs():
    pairs = Positives.of_pairs([1, 0, 1, 1], [2, 1, 0, 2], 3, 4)
    assert pairs.query.tolist() == [0, 1, 1]
    assert pairs.hold(np.array([[3, 1], [2, 3], [0, -1]])).tolist() == [
        [False, True],
        [True, False],
        [False, False],
    ]
    # -1 of query 1 must not be read as the last photo for query 0.
    assert not Positives.of_pairs([0], [3], 2, 4).hold(np.array([[0], [-1]])).any()
    assert not Positives.of_pairs([], [], 1, 4).hold(np.array([[0, 1]])).any()


def test_words_name_policies():
    assert truth_of("meters:25") == WithinMeters(25.0)
    assert truth_of("frames:5") == WithinFrames(5)
    for wrong in ("meters:", "meters:-1", "meters:nan", "frames:2.5", "meters:far"):
        with pytest.raises(InvalidOption, match=wrong):
            truth_of(wrong)
    with pytest.raises(UnreadableSource, match=r"metres:25: no such file; .* meters:25"):
        truth_of("metres:25")
