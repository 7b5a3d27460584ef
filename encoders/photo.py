"""From a file, bytes, a PIL image or an array to an upright RGB picture and what its EXIF says.

Every path to an encoder passes `open_photo`, so that one photo gives one embedding however it
arrives. Pillow decodes; only the formats in `FORMATS` are ever tried, because the rarer parsers
are where image libraries have had their holes, and of a stranger's file only those in its limits.

Conventions: sizes are (width, height) of the upright picture; times are UTC.
"""

import io
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import TooManyPixels, UnreadableImage, UnsupportedFormat
from .photo_formats import FORMATS, has_signature, load_parsers
from .photo_headers import check_structure
from .upload_limits import UploadLimits

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff",
    ".heic", ".heif", ".hif", ".avif",
)  # fmt: skip
MAX_PIXELS = 2 * 89_478_485  # where Pillow itself calls a picture a decompression bomb
MAX_BYTES = 1 << 30

BAND_PIXELS = 1 << 22  # converted at a time where all at once would take several times the picture

ImageLike = str | Path | bytes | Image.Image | NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class PhotoFacts:
    """What a file says of itself. Anything absent or broken in the file is None."""

    width: int
    height: int
    orientation: int = 1  # EXIF 1..8, as found; the picture is already upright
    lon: float | None = None
    lat: float | None = None
    heading_deg: float | None = None
    captured_at: datetime | None = None


def open_photo(
    source: ImageLike, *, at_least: int | None = None, limits: UploadLimits | None = None
) -> tuple[Image.Image, PhotoFacts]:
    """Decode a photo completely, turn it upright, make it RGB.

    Args:
        source: a path, the bytes of a file, a PIL image, or an array (H, W), (H, W, 1), (H, W, 3)
            or (H, W, 4) of uint8 or of floats in [0, 1].
        at_least: a hint in pixels: the shorter side may come smaller than in the file, but not
            below this. JPEG decoding is then several times faster.
        limits: of a file that a stranger sent. Messages then quote nothing of what is in it.

    Returns:
        The picture, mode RGB, and its facts (sizes are those of the whole file).

    Raises:
        UnreadableImage: not a picture, damaged, truncated, or larger than `MAX_PIXELS`. With limits
            also its kinds `UnsupportedFormat` and `TooManyPixels`.
    """
    if isinstance(source, np.ndarray):
        picture = _from_array(source)
        return picture, PhotoFacts(width=picture.width, height=picture.height)
    name = str(source) if isinstance(source, str | Path) else "image"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            warnings.simplefilter("ignore", UserWarning)  # damaged EXIF; the facts come out as None
            if isinstance(source, Image.Image):
                return _decode(source, at_least, limits)
            return _decode(_identify(source, limits), at_least, limits, is_ours=True)
    except UnreadableImage as error:
        raise type(error)(f"{name}: {error}") from None
    except FileNotFoundError:
        raise UnreadableImage(f"{name}: no such file") from None
    except UnidentifiedImageError:
        raise UnreadableImage(f"{name}: not a picture in any of the formats {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise TooManyPixels(f"{name}: more than {MAX_PIXELS:,} pixels, a decompression bomb") from None
    except IsADirectoryError:
        raise UnreadableImage(f"{name}: a folder, not a photo") from None
    except PermissionError:
        raise UnreadableImage(f"{name}: may not be read") from None
    except MemoryError:
        raise UnreadableImage(f"{name}: does not fit into memory") from None
    except Exception as error:  # Pillow's plugins raise whatever their parser trips over
        detail = type(error).__name__ if limits else f"{type(error).__name__}: {error}"
        raise UnreadableImage(f"{name}: damaged ({detail})") from None


def _identify(source: str | Path | bytes, limits: UploadLimits | None) -> Image.Image:
    if not isinstance(source, bytes):
        if Path(source).stat().st_size > MAX_BYTES:
            raise UnreadableImage(f"larger than {MAX_BYTES:,} bytes")
        source = Path(source).read_bytes()
    formats = limits.formats if limits else FORMATS
    load_parsers(formats)
    if limits is None:
        return Image.open(io.BytesIO(source), formats=formats)
    if not has_signature(source, formats):
        raise UnsupportedFormat(f"not a picture in any of the formats {', '.join(formats)}")
    check_structure(source, limits)
    try:
        return Image.open(io.BytesIO(source), formats=formats)
    except UnidentifiedImageError:
        raise UnreadableImage("damaged: its header cannot be read") from None


def _decode(
    image: Image.Image, at_least: int | None, limits: UploadLimits | None, *, is_ours: bool = False
) -> tuple[Image.Image, PhotoFacts]:
    if limits is not None:
        limits.check_size(*image.size)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if min(image.size) < 1:
        raise UnreadableImage("has no pixels")
    size, exif = image.size, _exif(image)
    if at_least is not None and image.format in ("JPEG", "MPO"):
        image.draft(None, (at_least, at_least))
    shrunk = max(1, size[0] // image.width)
    image.load()
    # Some formats have turned it in loading; then this does nothing.
    if is_ours:
        ImageOps.exif_transpose(image, in_place=True)
        upright = image = image._new(image.im)  # without its decoder, which may hold two more canvases
    else:
        upright = ImageOps.exif_transpose(image)
    whole = upright.size if shrunk == 1 else size if _orientation(exif) < 5 else size[::-1]
    try:
        facts = _facts(whole, exif)
    except Exception:  # EXIF is the freest of texts, and costs only itself
        facts = PhotoFacts(width=whole[0], height=whole[1], orientation=_orientation(exif))
    return _to_rgb(upright), facts


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over white, 16 bits and floats scaled and not clipped."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return _from_array(np.asarray(image))
    if image.has_transparency_data:
        canvas = Image.new("RGB", image.size)
        for top, bottom in _bands(image.height, image.width):
            layer = image.crop((0, top, image.width, bottom)).convert("RGBA")
            opaque = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            canvas.paste(opaque.convert("RGB"), (0, top))
        return canvas
    return image.convert("RGB")


def _bands(n_rows: int, width: int) -> Iterator[tuple[int, int]]:
    """First row and row after the last of bands of at most `BAND_PIXELS`."""
    step = max(1, BAND_PIXELS // width)
    return ((top, min(n_rows, top + step)) for top in range(0, n_rows, step))


def _from_array(array: NDArray[Any]) -> Image.Image:
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)) or array.size == 0:
        raise UnreadableImage(
            f"array of shape {array.shape}: expected (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8:
        array = _to_bytes(array)
    return _to_rgb(Image.fromarray(array))


def _to_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    bands = list(_bands(len(array), array[0].size))
    if not all(np.isfinite(array[top:bottom]).all() for top, bottom in bands):
        raise UnreadableImage("array with NaN or infinite values")
    # A picture of integers above 255 has 16 bits; floats are in [0, 1] unless they say otherwise.
    if np.issubdtype(array.dtype, np.floating):
        scale = 255.0 if array.max() <= 1.0 else 1.0
    else:
        scale = 255.0 / 65535.0 if array.max() > 255 else 1.0
    pixels = np.empty(array.shape, np.uint8)
    for top, bottom in bands:
        values = array[top:bottom].astype(np.float64) * scale
        pixels[top:bottom] = np.clip(np.rint(values, out=values), 0, 255, out=values)
    return pixels


def _exif(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except Exception:  # a broken EXIF block must not cost us the picture
        return Image.Exif()


def _directory(exif: Image.Exif, tag: int) -> dict[int, Any]:
    try:
        return dict(exif.get_ifd(tag))
    except Exception:
        return {}


def _facts(upright_size: tuple[int, int], exif: Image.Exif) -> PhotoFacts:
    details, gps = _directory(exif, ExifTags.IFD.Exif), _directory(exif, ExifTags.IFD.GPSInfo)
    width, height = upright_size
    lat = _degrees(gps.get(ExifTags.GPS.GPSLatitude), gps.get(ExifTags.GPS.GPSLatitudeRef), "S", 90.0)
    lon = _degrees(gps.get(ExifTags.GPS.GPSLongitude), gps.get(ExifTags.GPS.GPSLongitudeRef), "W", 180.0)
    # Cameras without a fix write 0, 0: more often no place at all than a ship in the Gulf of Guinea.
    is_placed = lat is not None and lon is not None and (lat, lon) != (0.0, 0.0)
    return PhotoFacts(
        width=width,
        height=height,
        orientation=_orientation(exif),
        lon=lon if is_placed else None,
        lat=lat if is_placed else None,
        heading_deg=_number(gps.get(ExifTags.GPS.GPSImgDirection), 0.0, 360.0),
        captured_at=_captured_at(exif, details, gps),
    )


def _orientation(exif: Image.Exif) -> int:
    try:
        value = exif.get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _number(value: Any, low: float, high: float) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and low <= number <= high else None


def _degrees(value: Any, reference: Any, negative: str, limit: float) -> float | None:
    if not isinstance(value, tuple | list) or not 1 <= len(value) <= 3:
        return None
    parts = [_number(part, 0.0, limit) for part in value]
    if any(part is None for part in parts):
        return None
    degrees = sum(part / 60.0**power for power, part in enumerate(parts) if part is not None)
    if isinstance(reference, bytes):
        reference = reference.decode("ascii", "replace")
    sign = -1.0 if str(reference).strip("\0 ").upper() == negative else 1.0
    return sign * degrees if degrees <= limit else None


def _captured_at(exif: Image.Exif, details: dict[int, Any], gps: dict[int, Any]) -> datetime | None:
    """The moment of exposure: by satellite if there, else the camera's clock and its stated offset.

    A camera clock without an offset is taken as UTC, which is wrong by up to 14 hours.
    """
    satellite = [_number(part, 0.0, 61.0) for part in gps.get(ExifTags.GPS.GPSTimeStamp, ()) or ()]
    day = parse_time(gps.get(ExifTags.GPS.GPSDateStamp))
    if day is not None and len(satellite) == 3 and None not in satellite:
        hours, minutes, seconds = (part or 0.0 for part in satellite)
        return day + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    clock = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    offset = details.get(ExifTags.Base.OffsetTimeOriginal)
    return parse_time(f"{clock}{offset}" if isinstance(offset, str) else clock) or parse_time(clock)


def parse_time(value: Any) -> datetime | None:
    """Read an EXIF or ISO 8601 time as UTC; None for anything else. Without an offset it is UTC.

    >>> parse_time("2018:04:01 12:30:00").isoformat()
    '2018-04-01T12:30:00+00:00'
    """
    if isinstance(value, datetime):
        parsed = value
    elif isinstance(value, str):
        text = value.strip("\0 ")
        if len(text) >= 10 and text[4] == text[7] == ":":
            text = text[:4] + "-" + text[5:7] + "-" + text[8:]
        try:
            parsed = datetime.fromisoformat(text)
        except ValueError:
            return None
    else:
        return None
    parsed = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    try:
        return parsed.astimezone(UTC)
    except OverflowError:
        return None
