"""A walk as query: frames that look like many others, told apart by those before them."""

import numpy as np
import pytest
from fakes import fingerprint_of, record
from numpy.typing import NDArray

from placeprint.encoders.errors import InvalidOption
from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.named_vectors import VectorCard
from placeprint.indexer.photos import Photo
from placeprint.indexer.recognize_walk import APART, WalkedGallery, in_order, recognize_walk
from placeprint.indexer.settings import Settings

D, N, DOORS = 16, 60, 5


def unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def frames(walk: int) -> NDArray[np.float32]:
    """A corridor of doors that are of five kinds, in an order of its own."""
    doors = np.random.default_rng(0).normal(size=(DOORS, D))
    rng = np.random.default_rng(10 + walk)
    return unit(doors[rng.integers(0, DOORS, N)] + 0.05 * rng.normal(size=(N, D)))


def seen_again(walk: int, rows: list[int]) -> NDArray[np.float32]:
    """Frames in other light, which is more than what tells equal doors apart."""
    return unit(frames(walk)[rows] + 0.06 * np.random.default_rng(99).normal(size=(len(rows), D)))


@pytest.fixture
def gallery(settings: Settings) -> Gallery:
    made = Gallery.create("walks", fingerprint_of(D), encoder="made-up", settings=settings)
    for walk in range(3):
        made.add([
            record(f"walk {walk}/frame{row}.jpg", one, lon=walk + 0.001 * row, lat=0.0, group=f"walk {walk}")
            for row, one in enumerate(frames(walk))
        ])  # fmt: skip
    return made


def places(gallery: Gallery, query: NDArray[np.float32], **options: object) -> list[str]:
    found = recognize_walk(WalkedGallery.of(gallery, **options), query)  # type: ignore[arg-type]
    return [one.photo.image for one in found.found]


def test_a_walk_is_recognized_where_single_frames_are_not(gallery: Gallery) -> None:
    with gallery:
        alone = together = 0
        for walk in range(3):
            for last in range(12, N, 6):
                query = seen_again(walk, list(range(last - 8, last + 1)))
                wanted = f"walk {walk}/frame{last}.jpg"
                alone += gallery.nearest(query[-1], 1)[0].photo.image == wanted
                together += places(gallery, query)[0] == wanted
        assert together == 24 and alone < 16


def test_it_is_recognized_backward_and_faster(gallery: Gallery) -> None:
    with gallery:
        assert places(gallery, seen_again(1, list(range(40, 30, -1))))[0] == "walk 1/frame31.jpg"
        fast = [10, 11, 12, 14, 15, 16, 18, 19, 20]  # 1.25 frames for each of the query
        assert places(gallery, seen_again(2, fast))[0] == "walk 2/frame20.jpg"


def test_answers_of_one_walk_lie_apart_and_doubt_is_of_the_second(gallery: Gallery) -> None:
    with gallery:
        query = seen_again(0, list(range(20, 30)))
        found = recognize_walk(WalkedGallery.of(gallery), query, k=12)
        rows = [int(one.photo.image[12:-4]) for one in found.found if one.photo.image.startswith("walk 0")]
        assert rows[0] == 29 and min(abs(a - b) for a in rows for b in rows if a != b) >= APART
        similarity = [one.similarity for one in found.found]
        assert similarity == sorted(similarity, reverse=True) and len(found.found) == 12
        expected = np.sqrt((1.0 - similarity[0]) / (1.0 - similarity[1]))
        assert found.doubt == pytest.approx(expected, abs=0.01) and found.doubt < 0.9
        assert not found.looked_again and all(one.score is None for one in found.found)


def test_only_photos_that_pass_the_filter_answer(gallery: Gallery) -> None:
    with gallery:
        hidden = frozenset({"walk 1"})
        assert all(
            not name.startswith("walk 1")
            for name in places(gallery, seen_again(1, [5, 6, 7]), filter=Filter(exclude_groups=hidden))
        )
        assert {photo.image[:6] for photo in gallery.find(Filter(groups=hidden))} == {"walk 1"}
        assert gallery.count(Filter(groups=frozenset())) == 0


def test_photos_without_the_vector_are_passed_over(gallery: Gallery) -> None:
    with gallery:
        gallery.vectors.begin(VectorCard(name="place", fingerprint=fingerprint_of(D, "p"), encoder="p"))
        kept = [row for row in range(N) if row != 20]
        gallery.vectors.add("place", [f"sha-walk 0/frame{row}.jpg" for row in kept], frames(0)[kept])
        found = places(gallery, seen_again(0, [30, 31, 32, 33, 34]), using="place")
        assert found[0] == "walk 0/frame34.jpg" and all(name.startswith("walk 0") for name in found)


def test_frames_come_in_the_order_of_time_or_of_their_numbers() -> None:
    from datetime import UTC, datetime, timedelta

    def photo(name: str, second: int | None) -> Photo:
        moment = None if second is None else datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
        return Photo(id=name, image=name, captured_at=moment)

    def names(*photos: Photo) -> list[str]:
        return [one.image for one in in_order(photos)]

    assert names(photo("a", 3), photo("b", 1), photo("c", 2)) == ["b", "c", "a"]
    assert names(photo("w/10", 1), photo("w/9", 1), photo("w/x", 2)) == ["w/9", "w/10", "w/x"]
    assert names(photo("w/10", None), photo("w/9", 5), photo("w/08", 4)) == ["w/08", "w/9", "w/10"]


def test_what_is_no_walk_is_refused(gallery: Gallery, settings: Settings) -> None:
    with gallery:
        for n in (0, 1, 65):
            with pytest.raises(InvalidOption, match="2 to 64"):
                recognize_walk(WalkedGallery.of(gallery), frames(0)[[0] * n])
    other = Gallery.create("single", fingerprint_of(D), encoder="made-up", settings=settings)
    with other:
        other.add([record("a", frames(0)[0], lon=1.0, lat=1.0)])
        with pytest.raises(InvalidOption, match="--group-column"):
            recognize_walk(WalkedGallery.of(other), frames(0)[:3])
