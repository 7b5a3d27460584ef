"""The linter: each thing that is wrong with a data set is found, counted and said; good ones are quiet."""

from pathlib import Path

import numpy as np
import pytest
from place_recognition_fakes import walk

from placeprint.encoders.place_recognition.linter import Finding, lint
from placeprint.encoders.place_recognition.photos import PlacePhotos
from placeprint.encoders.place_recognition.settings import Nearness
from placeprint.encoders.sphere import destination

NEARNESS = Nearness()


def good(folder: Path, n_places: int = 6) -> PlacePhotos:
    """Places seen twice, 5 m apart."""
    files = [folder / f"{row}.jpg" for row in range(2 * n_places)]
    for row, file in enumerate(files):
        file.write_bytes(f"photo {row:03}".encode())
    lonlat = np.concatenate([walk(n_places), destination(walk(n_places), 0.0, np.full(n_places, 0.005))])
    return PlacePhotos.of(files, lonlat)


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


def changed(photos: PlacePhotos, row: int, **change: object) -> PlacePhotos:
    files, lonlat = list(photos.files), photos.lonlat.copy()
    files[row] = change.get("file", files[row])  # type: ignore[call-overload]
    lonlat[row] = change.get("lonlat", lonlat[row])
    return PlacePhotos.of(files, lonlat)


def test_good_photos_are_quiet(tmp_path: Path) -> None:
    photos = good(tmp_path)
    assert lint(photos, NEARNESS) == []
    assert lint(photos, NEARNESS, is_query=np.arange(12) < 6) == []


def test_a_path_that_stands_twice_is_a_duplicate(tmp_path: Path) -> None:
    found = only(lint(changed(good(tmp_path), 4, file=tmp_path / "3.jpg"), NEARNESS))
    assert (found.kind, found.count, found.is_fatal) == ("duplicate paths", 1, False)
    assert str(tmp_path / "3.jpg") in found.message


def test_equal_bytes_under_two_names_are_a_duplicate(tmp_path: Path) -> None:
    photos = good(tmp_path)
    for row in (4, 5):
        photos.files[row].write_bytes(photos.files[3].read_bytes())
    found = only(lint(photos, NEARNESS))
    assert (found.kind, found.count) == ("duplicate files", 2)
    assert lint(photos, NEARNESS, reads_files=False) == []


@pytest.mark.parametrize("is_copied", [True, False])
def test_a_query_in_the_gallery_is_named(tmp_path: Path, is_copied: bool) -> None:
    photos, is_query = good(tmp_path), np.arange(12) < 6
    if is_copied:
        photos.files[8].write_bytes(photos.files[2].read_bytes())
    else:
        photos = changed(photos, 8, file=photos.files[2])
    findings = {one.kind: one for one in lint(photos, NEARNESS, is_query=is_query)}
    leak = findings["query in gallery"]
    assert leak.count == 1 and leak.is_fatal and "1 queries are in the gallery" in leak.message


def test_two_queries_that_are_the_same_are_no_leak(tmp_path: Path) -> None:
    photos = changed(good(tmp_path), 3, file=tmp_path / "2.jpg")
    kinds = [one.kind for one in lint(photos, NEARNESS, is_query=np.arange(12) < 6)]
    assert kinds == ["duplicate paths"]


def test_exchanged_coordinates_are_found_where_a_range_check_finds_nothing(tmp_path: Path) -> None:
    photos = good(tmp_path)
    found = {one.kind: one for one in lint(changed(photos, 3, lonlat=photos.lonlat[3, ::-1]), NEARNESS)}
    assert found["exchanged coordinates"].count == 1
    assert (
        "first" in found["exchanged coordinates"].message
        and "3.jpg" in found["exchanged coordinates"].message
    )
    far = {one.kind for one in lint(changed(photos, 3, lonlat=(-70.0, -33.0)), NEARNESS)}
    assert "exchanged coordinates" not in far  # only far away


def test_photos_across_the_antimeridian_are_not_far_apart(tmp_path: Path) -> None:
    photos = good(tmp_path)
    start = np.broadcast_to(np.array([179.999, -16.8]), (6, 2))
    lonlat = destination(start, 90.0, np.arange(6) * 0.06)
    both = np.concatenate([lonlat, destination(lonlat, 0.0, np.full(6, 0.005))])
    assert lint(PlacePhotos.of(photos.files, both), NEARNESS) == []


def test_queries_without_positives_are_counted(tmp_path: Path) -> None:
    photos = changed(good(tmp_path), 3, lonlat=(9.6, 47.2))
    found = only(lint(photos, NEARNESS))
    assert (found.kind, found.count, found.is_fatal) == ("queries without positives", 2, False)
    assert "2 of 12 queries" in found.message and "between 1 and 10 m" in found.message
    asked = only(lint(photos, NEARNESS, is_query=np.arange(12) < 6))
    assert asked.count == 1 and "nothing can answer them" in asked.message


def test_where_no_query_has_a_positive_nothing_can_be_done(tmp_path: Path) -> None:
    photos = good(tmp_path)
    found = only(lint(PlacePhotos.of(photos.files, walk(12)), NEARNESS))
    assert found.count == 12 and found.is_fatal


def test_a_default_coordinate_makes_everything_near(tmp_path: Path) -> None:
    photos = good(tmp_path)
    spread = destination(np.broadcast_to(np.array([0.0, 0.0]), (12, 2)), 90.0, np.arange(12) / 1000.0)
    for is_query in (None, np.arange(12) < 6):
        findings = {
            one.kind: one for one in lint(PlacePhotos.of(photos.files, spread), NEARNESS, is_query=is_query)
        }
        near = findings["everything is near"]
        assert near.is_fatal and "recall would be 1 whatever is done" in near.message


def test_missing_files_are_counted(tmp_path: Path) -> None:
    found = only(lint(changed(good(tmp_path), 3, file=tmp_path / "gone.jpg"), NEARNESS))
    assert (found.kind, found.count, found.is_fatal) == ("missing files", 1, True)
    assert "1 of 12 files are not there" in found.message
