"""A small picture of a photo, made of its pixels and nothing else that was in the file."""

import io

import numpy as np
from PIL import Image

from .errors import InvalidOption
from .photo import ImageLike, open_photo
from .upload_limits import UploadLimits

THUMBNAIL_FORMATS = ("JPEG", "PNG", "WEBP")
MAX_SIDE_PX = 2_048
QUALITY = 85


def check_thumbnail(side_px: int, format: str) -> None:
    """Refuse a size or a format that thumbnails do not come in.

    Raises:
        InvalidOption: not 1 to `MAX_SIDE_PX` pixels, or not one of `THUMBNAIL_FORMATS`.
    """
    if not 1 <= side_px <= MAX_SIDE_PX:
        raise InvalidOption(f"a thumbnail of {side_px} pixels; choose 1 to {MAX_SIDE_PX:,}")
    if format not in THUMBNAIL_FORMATS:
        raise InvalidOption(f"a thumbnail as {format}; choose from {', '.join(THUMBNAIL_FORMATS)}")


def make_thumbnail(
    source: ImageLike, side_px: int, *, format: str = "JPEG", limits: UploadLimits | None = None
) -> bytes:
    """Encode a photo anew: upright, RGB, its longer edge at most `side_px`, never enlarged.

    No EXIF, color profile, comment or other text of the file is in it. Colors outside sRGB look a
    little duller, since the profile that explained them is gone too.

    Raises:
        InvalidOption: see `check_thumbnail`.
        UnreadableImage: see `open_photo`.
    """
    check_thumbnail(side_px, format)
    picture, _ = open_photo(source, at_least=side_px, limits=limits)
    picture.thumbnail((side_px, side_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    # Pillow writes some of what it read from a file into the next one: not if there was no file.
    clean = Image.fromarray(np.asarray(picture))
    encoded = io.BytesIO()
    clean.save(encoded, format, quality=QUALITY)
    return encoded.getvalue()
