"""Lines through the matrix of differences: planted walks at any speed, either way, and their ends."""

import numpy as np
import pytest

from placeprint.encoders.errors import InvalidOption
from placeprint.indexer.sequences import local_contrast, sequence_differences


def by_loops(difference, offsets, speeds):
    """The definition, written out."""
    n_queries, n_references = difference.shape
    best = np.full(difference.shape, np.inf)
    for i, j, speed in np.ndindex(n_queries, n_references, len(speeds)):
        window = [i + o for o in offsets if 0 <= i + o < n_queries]
        cells = [
            (i + o, j + int(np.floor(speeds[speed] * o + 0.5))) for o in offsets if 0 <= i + o < n_queries
        ]
        inside = [difference[a, b] for a, b in cells if 0 <= b < n_references]
        if inside and 2 * len(inside) >= len(window):
            best[i, j] = min(best[i, j], np.mean(inside))
    return best


@pytest.mark.parametrize("length", [1, 2, 5, 8, 40])
@pytest.mark.parametrize("window", ["centered", "past"])
def test_lines_are_those_of_the_definition(rng, length, window):
    difference = rng.uniform(size=(9, 12))
    first = -(length // 2) if window == "centered" else 1 - length
    expected = by_loops(difference, range(first, first + length), (0.5, 1.0, 1.7, -0.5, -1.0, -1.7))
    found = sequence_differences(
        difference, length, speeds=(0.5, 1.0, 1.7), both_ways=True, window=window
    )  # fmt: skip
    assert np.isfinite(found).any(axis=1).all()
    np.testing.assert_allclose(found, expected)


def test_a_window_of_one_changes_nothing(rng):
    difference = rng.uniform(size=(4, 6))
    assert (sequence_differences(difference, 1) == difference).all()


def planted(rng, path, n_references=60):
    """Noise in which single queries are lost, and a walk that is a little better than the rest.

    References beside the right one look like it, as frames of a walk do.
    """
    difference = rng.uniform(0.0, 1.0, (len(path), n_references))
    for beside in (-1, 0, 1):
        difference[np.arange(len(path)), np.clip(path + beside, 0, n_references - 1)] *= 0.3
    return difference


@pytest.mark.parametrize(
    ("speed", "start", "both_ways"),
    [(1.0, 5, False), (1.25, 3, False), (0.8, 10, False), (-1.0, 55, True), (-0.8, 50, True)],
)
def test_a_planted_walk_is_found_where_single_pictures_are_not(rng, speed, start, both_ways):
    path = (start + np.floor(speed * np.arange(40) + 0.5)).astype(int)
    difference = planted(rng, path)
    alone = (np.abs(difference.argmin(axis=1) - path) <= 1).mean()
    found = sequence_differences(difference, 15, both_ways=both_ways).argmin(axis=1)
    assert alone < 0.6
    assert (np.abs(found - path) <= 2)[7:-7].mean() == 1.0


def test_a_walk_backwards_is_not_found_by_looking_forwards(rng):
    path = 50 - np.arange(40)
    found = sequence_differences(planted(rng, path), 15).argmin(axis=1)
    assert (np.abs(found - path) <= 1).mean() < 0.5


def test_lines_do_not_leave_their_walk():
    difference = np.ones((6, 6))
    difference[np.arange(6), np.arange(6)] = 0.0
    query_walk, reference_walk = np.array(list("aaabbb")), np.array(list("xxyyyy"))
    found = sequence_differences(
        difference, 3, speeds=(1.0,), query_walk=query_walk, reference_walk=reference_walk
    )
    assert found[1, 1] == 0.0  # (2, 2) belongs to another walk of the references and does not count
    expected = np.full((6, 6), np.inf)
    for rows in (slice(0, 3), slice(3, 6)):
        for columns in (slice(0, 2), slice(2, 6)):
            expected[rows, columns] = by_loops(difference[rows, columns], (-1, 0, 1), (1.0,))
    np.testing.assert_allclose(found, expected)


def test_mixed_walks_and_senseless_windows_are_refused():
    with pytest.raises(InvalidOption, match="2 walks are mixed"):
        sequence_differences(np.ones((3, 2)), 3, query_walk=np.array(["a", "b", "a"]))
    for wrong in ({"length": 0}, {"length": 3, "speeds": ()}, {"length": 3, "speeds": (0.0,)}):
        with pytest.raises(InvalidOption, match="length"):
            sequence_differences(np.ones((3, 3)), **wrong)


def test_contrast_is_the_deviation_from_the_window(rng):
    difference = 5.0 + rng.uniform(size=(3, 30))
    found = local_contrast(difference, window=6)
    for column in (0, 2, 15, 29):
        part = difference[:, max(0, column - 3) : column + 4]
        expected = (difference[:, column] - part.mean(axis=1)) / part.std(axis=1)
        assert found[:, column] == pytest.approx(expected)


def test_contrast_takes_away_what_is_alike_to_all():
    difference = np.ones((1, 41))
    difference[0, :20] = 0.1  # a dim stretch
    difference[0, 30] = 0.5
    assert difference.argmin() < 20
    assert local_contrast(difference, window=8).argmin() == 30
    assert (local_contrast(np.full((2, 9), 7.0), window=4) == 0.0).all()
    with pytest.raises(InvalidOption, match="no contrast"):
        local_contrast(difference, window=1)
