"""Places in JPEG comments, as in the photos of IM2GPS.

Claims: both coordinates are found among other comments, with signs; what is no place, no JPEG, or cut off
says nothing; a query without EXIF is placed by them, and EXIF goes first.
"""

import io

import numpy as np
import pytest
from PIL import Image

from placeprint.indexer.jpeg_comments import comments_of, place_in_comments

PICTURE = io.BytesIO()
Image.new("RGB", (16, 16), "red").save(PICTURE, "JPEG")


def with_comments(*comments: str) -> bytes:
    """A JPEG file with these comment segments right after its start."""
    plain = PICTURE.getvalue()
    segments = [b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text.encode() for text in comments]
    return plain[:2] + b"".join(segments) + plain[2:]


IM2GPS = (
    "photo_title: rain",
    "date: 2007",
    "latitude: -33.861328",
    "longitude:   151.209039",
    "accuracy: 16",
)


def test_the_place_is_found_among_other_comments():
    content = with_comments(*IM2GPS)
    assert place_in_comments(content) == (151.209039, -33.861328)
    assert Image.open(io.BytesIO(content)).size == (16, 16)  # it is a picture still


def test_one_comment_may_tell_all():
    assert place_in_comments(with_comments("Latitude = 48.5\nLongitude = 2.25")) == (2.25, 48.5)


@pytest.mark.parametrize(
    "comments",
    [
        (),
        ("latitude: 5.0",),
        ("latitude: 95.0", "longitude: 5.0"),
        ("latitude: 0.0", "longitude: 0.0"),
        ("latitude: n/a", "longitude: n/a"),
        ("the latitude: 5", "of longitude: 6"),
    ],
)
def test_what_is_no_place_says_nothing(comments):
    assert place_in_comments(with_comments(*comments)) is None


def test_what_is_no_jpeg_or_cut_off_says_nothing():
    assert place_in_comments(b"") is None
    assert place_in_comments(b"latitude: 5\nlongitude: 6") is None
    whole = with_comments(*IM2GPS)
    for end in range(2, 60):
        assert place_in_comments(whole[:end]) is None
    assert list(comments_of(b"\xff\xd8\xff\xfe\x00\x00")) == []


def test_comments_in_the_picture_itself_are_not_looked_for():
    assert list(comments_of(PICTURE.getvalue() + with_comments(*IM2GPS)[2:])) == []
    assert list(comments_of(b"\xff\xd8\xff\xda\x00\x02" + with_comments(*IM2GPS)[2:])) == []


def test_a_query_without_exif_is_placed_by_its_comments(tmp_path, encoder, settings):
    from placeprint.indexer.gallery import Gallery
    from placeprint.indexer.queries import read_queries
    from placeprint.indexer.sources import list_source

    (tmp_path / "commented.jpg").write_bytes(with_comments(*IM2GPS))
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (10.0, 0.0, 0.0), 3: "E", 4: (20.0, 0.0, 0.0)}
    Image.new("RGB", (16, 16), "blue").save(
        tmp_path / "exif.jpg", exif=exif, comment="latitude: 1\nlongitude: 2"
    )
    Image.new("RGB", (16, 16), "green").save(tmp_path / "silent.jpg")
    with Gallery.create("empty", encoder.fingerprint, settings=settings) as gallery:
        queries = read_queries(list_source(tmp_path), gallery, encoder)
    assert queries.lonlat == pytest.approx(np.array([[151.209039, -33.861328], [20.0, 10.0]]))
    assert [line.rpartition("/")[2] for line in queries.skipped] == ["silent.jpg: its place is not known"]
