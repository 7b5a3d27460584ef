"""Photos to be captioned: told and read facts, files that fail, and a memory that changes nothing."""

import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from PIL import Image

from placeprint.encoders.captioning.photos import CaptionPhotos, PhotoReader, read_photos
from placeprint.encoders.errors import InvalidCoordinate, PlaceprintError, TooFewPairs, UnreadableImage
from placeprint.encoders.preprocessing import Preprocessing

SMALL = Preprocessing(size=8)


@dataclass
class Source:
    key: str
    content: bytes | Exception
    lon: float | None = None
    lat: float | None = None
    captured_at: datetime | None = None
    group: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    n_read: int = 0

    def read(self) -> bytes:
        self.n_read += 1
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


def jpeg(color: str, **exif: Any) -> bytes:
    picture, file = Image.new("RGB", (32, 24), color), io.BytesIO()
    tags = Image.Exif()
    if exif:
        tags.get_ifd(0x8825).update(exif["gps"])
    picture.save(file, "JPEG", exif=tags)
    return file.getvalue()


GPS = {1: "S", 2: (33.0, 52.0, 12.0), 3: "E", 4: (151.0, 12.0, 0.0), 16: "T", 17: 270.0}


def sources() -> list[Source]:
    moment = datetime(2024, 7, 1, tzinfo=UTC)
    return [
        Source(
            "a", jpeg("red"), lon=5.0, lat=52.0, captured_at=moment, group="walk", payload={"heading": "90"}
        ),
        Source("b", b"no picture", lon=5.0, lat=52.0),
        Source("c", jpeg("green")),
        Source("d", FileNotFoundError(2, "No such file"), lon=5.0, lat=52.0),
        Source("e", jpeg("blue", gps=GPS)),
        Source("f", jpeg("white"), lon=1.0, lat=2.0, problem="coordinates lon 900"),
        Source("g", jpeg("black"), lon=179.9, lat=-16.8, payload={"heading_deg": "north"}),
    ]


def test_facts_are_told_or_read_and_failures_are_named() -> None:
    photos = read_photos(sources(), SMALL)
    assert list(photos.ids) == ["a", "e", "g"]
    np.testing.assert_allclose(photos.lonlat, [[5.0, 52.0], [151.2, -33.87], [179.9, -16.8]])
    assert photos.heading_deg == [90.0, 270.0, None]
    assert photos.taken_at == [datetime(2024, 7, 1, tzinfo=UTC), None, None]
    assert photos.groups.tolist() == ["walk", "e", "g"]
    assert set(photos.left_out) == {"b", "c", "d", "f"}
    assert "no place" in photos.left_out["c"] and "No such file" in photos.left_out["d"]
    assert photos.left_out["f"] == "coordinates lon 900"
    colors = photos.pixels[np.arange(3)].mean(axis=(1, 2))
    assert colors[0].argmax() == 0 and colors[1].argmax() == 2 and colors[2].max() < 5


@pytest.mark.parametrize(("n_kept", "n_read"), [(10, 1), (0, 3)])
def test_memory_changes_nothing_but_the_reading(n_kept: int, n_read: int) -> None:
    listed = sources()
    photos = read_photos(listed, SMALL, cache_bytes=n_kept * 3 * 64)
    first = photos.pixels[np.array([2, 0])]
    assert (photos.pixels[np.array([0, 2])] == first[::-1]).all()
    assert listed[0].n_read == n_read


def test_a_photo_that_goes_away_is_named() -> None:
    listed = sources()[:1]
    reader = PhotoReader(listed, SMALL, cache_bytes=0)
    listed[0].content = FileNotFoundError(2, "No such file or directory")
    with pytest.raises(UnreadableImage, match="a: cannot be read"):
        reader[np.array([0])]


def test_no_photo_of_known_place_says_so() -> None:
    with pytest.raises(TooFewPairs, match=r"none of 2 photos.*no place.*EXIF"):
        read_photos([Source("c", jpeg("red")), Source("d", jpeg("red"))], SMALL)


def test_the_digest_follows_all_that_training_sees() -> None:
    def photos(**changes: Any) -> CaptionPhotos:
        columns = {"ids": ["a", "b"], "pixels": np.zeros((2, 4, 4, 3), np.uint8),
                   "lonlat": np.array([[0.0, 1.0], [2.0, 3.0]])} | changes  # fmt: skip
        return CaptionPhotos.of(**columns)

    changes: list[dict[str, Any]] = [
        {"ids": ["a", "c"]}, {"pixels": np.ones((2, 4, 4, 3), np.uint8)}, {"groups": ["x", "x"]},
        {"lonlat": np.array([[0.0, 1.0], [2.0, 3.5]])}, {"heading_deg": [1.0, None]},
        {"taken_at": [datetime(2024, 7, 1, tzinfo=UTC), None]},
    ]  # fmt: skip
    digests = [photos(**one).digest for one in [{}, *changes]]
    assert photos().digest == digests[0] and len(set(digests)) == 7


def test_columns_must_fit_and_places_be_on_earth() -> None:
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(PlaceprintError, match="one id each"):
        CaptionPhotos.of(["a"], pixels, np.zeros((2, 2)))
    with pytest.raises(PlaceprintError, match="all different"):
        CaptionPhotos.of(["a", "a"], pixels, np.zeros((2, 2)))
    with pytest.raises(InvalidCoordinate):
        CaptionPhotos.of(["a", "b"], pixels, np.array([[0.0, 0.0], [0.0, np.nan]]))
