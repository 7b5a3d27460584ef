"""One photo is one picture, however it arrives; damage is named and stays harmless.

Claims: all eight EXIF orientations come upright and in every format; every mode becomes RGB;
paths, bytes, PIL images and arrays agree; EXIF gives place and time, broken EXIF costs only itself;
what cannot be a picture is refused by name; of the damaged files exactly the openable ones open.
"""

import csv
import io
import zlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from placeprint.encoders.errors import UnreadableImage
from placeprint.encoders.photo import MAX_PIXELS, open_photo, parse_time

pillow_heif.register_heif_opener()  # the tests write HEIF too

UPRIGHT = Image.fromarray(
    np.kron(
        np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8),
        np.ones((32, 48, 1), np.uint8),
    )
)
TRANSPOSE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def exif_with(**tags: object) -> Image.Exif:
    exif = Image.Exif()
    details = {ExifTags.Base[name].value: value for name, value in tags.items()}
    for tag, value in details.items():
        exif[tag] = value
    return exif


def gps_exif(gps: dict[int, object]) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    return exif.tobytes()


def difference(image: Image.Image, other: Image.Image) -> float:
    assert image.size == other.size
    return float(np.abs(np.asarray(image, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_every_orientation_comes_upright(orientation: int, format: str) -> None:
    turn = TRANSPOSE[orientation]
    lying = UPRIGHT if turn is None else UPRIGHT.transpose(turn)
    content = encoded(lying, format, exif=exif_with(Orientation=orientation).tobytes())
    picture, facts = open_photo(content)
    assert difference(picture, UPRIGHT) < 6
    assert (facts.width, facts.height) == UPRIGHT.size


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    gray = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (32, 1))
    expected = Image.fromarray(gray)
    if mode == "I;16":
        image = Image.fromarray(gray.astype(np.uint16) * 257)
    elif mode in ("I", "F"):
        image = Image.fromarray(gray.astype({"I": np.int32, "F": np.float32}[mode]))
    else:
        image = expected.convert(mode)
    picture, _ = open_photo(image)
    assert picture.mode == "RGB"
    assert difference(picture, expected.convert("RGB")) < (130 if mode == "1" else 2)


def test_transparency_lies_on_white() -> None:
    picture, _ = open_photo(encoded(Image.new("RGBA", (4, 4), (255, 0, 0, 0)), "PNG"))
    assert picture.getpixel((0, 0)) == (255, 255, 255)


def test_every_way_of_handing_over_gives_the_same_pixels(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    UPRIGHT.save(path)
    array = np.asarray(UPRIGHT)
    ways = [path, str(path), path.read_bytes(), UPRIGHT, array, array / 255.0, array.astype(np.float32)]
    for way in ways:
        np.testing.assert_array_equal(np.asarray(open_photo(way)[0]), array)
    gray = array[:, :, 0]
    np.testing.assert_array_equal(np.asarray(open_photo(gray[:, :, None])[0])[:, :, 1], gray)


def test_opening_changes_neither_the_image_nor_the_array() -> None:
    image = Image.open(io.BytesIO(encoded(UPRIGHT, "JPEG", exif=exif_with(Orientation=6).tobytes())))
    array = np.random.default_rng(0).random((5, 5, 3))
    before = array.copy()
    open_photo(image)
    open_photo(array)
    assert image.getexif()[ExifTags.Base.Orientation] == 6
    np.testing.assert_array_equal(array, before)


def test_a_large_jpeg_is_decoded_small_but_its_size_is_told() -> None:
    content = encoded(UPRIGHT.resize((1920, 1280)), "JPEG")
    picture, facts = open_photo(content, at_least=200)
    assert 200 <= min(picture.size) < 400
    assert (facts.width, facts.height) == (1920, 1280)


def test_exif_tells_place_direction_and_time() -> None:
    gps = {
        ExifTags.GPS.GPSLatitudeRef: "S", ExifTags.GPS.GPSLatitude: (33.0, 52.0, 7.68),
        ExifTags.GPS.GPSLongitudeRef: "E", ExifTags.GPS.GPSLongitude: (151.0, 12.0, 33.48),
        ExifTags.GPS.GPSImgDirection: 270.5,
        ExifTags.GPS.GPSDateStamp: "2018:04:01", ExifTags.GPS.GPSTimeStamp: (2.0, 30.0, 15.0),
    }  # fmt: skip
    _, facts = open_photo(encoded(UPRIGHT, "JPEG", exif=gps_exif(gps)))
    assert (facts.lon, facts.lat) == pytest.approx((151.2093, -33.8688), abs=1e-6)
    assert facts.heading_deg == 270.5
    assert facts.captured_at == datetime(2018, 4, 1, 2, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    "lat, lon",
    [
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),  # what cameras without a fix write
        ((95.0, 0.0, 0.0), (10.0, 0.0, 0.0)),
        ((TiffImagePlugin.IFDRational(1, 0), 0.0, 0.0), (10.0, 0.0, 0.0)),
        ((), (10.0,)),
    ],
)
def test_an_impossible_place_is_no_place(lat: tuple[object, ...], lon: tuple[object, ...]) -> None:
    gps = {ExifTags.GPS.GPSLatitude: lat, ExifTags.GPS.GPSLongitude: lon}
    _, facts = open_photo(encoded(UPRIGHT, "JPEG", exif=gps_exif(gps)))
    assert facts.lon is None
    assert facts.lat is None


def test_a_stated_offset_makes_the_camera_clock_utc() -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update(
        {ExifTags.Base.DateTimeOriginal: "2018:04:01 12:00:00", ExifTags.Base.OffsetTimeOriginal: "+09:00"}
    )
    _, facts = open_photo(encoded(UPRIGHT, "JPEG", exif=exif.tobytes()))
    assert facts.captured_at == datetime(2018, 4, 1, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "0000:00:00 00:00:00", "yesterday", "2018:13:01 00:00:00", None, 5])
def test_what_is_no_time_is_none(text: object) -> None:
    assert parse_time(text) is None


@pytest.mark.parametrize(
    "source, reason",
    [
        (b"", "not a picture"),
        (b"not a picture", "not a picture"),
        (encoded(UPRIGHT, "JPEG")[:400], "damaged"),
        (encoded(UPRIGHT, "PNG")[:100], "damaged"),
        (encoded(UPRIGHT, "PPM"), "not a picture"),
        ("nowhere.jpg", "nowhere.jpg: no such file"),
        (np.zeros((3, 4, 5)), "shape"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(source: object, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        open_photo(source)  # type: ignore[arg-type]


def test_a_bomb_is_refused_from_its_header() -> None:
    header = bytearray(encoded(Image.new("1", (8, 8)), "PNG"))
    header[16:24] = (60_000).to_bytes(4) + (60_000).to_bytes(4)
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4)
    with pytest.raises(UnreadableImage, match=f"more than {MAX_PIXELS:,} pixels"):
        open_photo(bytes(header))


@pytest.mark.real
def test_exactly_the_openable_files_open_and_tell_their_place(damaged_folder: Path) -> None:
    with (damaged_folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    wrong = []
    for row in rows:
        try:
            facts = open_photo(damaged_folder / row["file"])[1]
        except UnreadableImage:
            facts = None
        is_right = (facts is not None) == (row["pillow_status"] == "ok")
        if facts is not None:
            told = [facts.lon, facts.lat]
            expected = [float(row["lon"]), float(row["lat"])] if row["lat"] else [None, None]
            is_right &= told == pytest.approx(expected, abs=2e-6)
        wrong += [] if is_right else [row["file"]]
    assert len(rows) == 161
    assert wrong == []
