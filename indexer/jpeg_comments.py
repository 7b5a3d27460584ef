"""The place that a JPEG file tells in its comments, as the photos of IM2GPS do.

Those were saved with one comment segment (COM) for each thing that Flickr told of the photo, among them
``latitude: 48.8583`` and ``longitude: 2.2945``, and have no EXIF.
"""

import re
from collections.abc import Iterator

from ..encoders.errors import InvalidCoordinate
from ..encoders.sphere import as_lonlat

_SCAN, _END, _COMMENT, _FILL = 0xDA, 0xD9, 0xFE, 0xFF
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))  # TEM, RST0 to RST7, SOI
_NUMBER = r"\s*[:=]?\s*([-+]?\d+(?:\.\d+)?)\b"


def place_in_comments(content: bytes) -> tuple[float, float] | None:
    """Longitude and latitude, degrees, from the comments of a JPEG file.

    Args:
        content: the file's bytes, of any format.

    Returns:
        (lon, lat); None where the comments do not say both, or say what is no place on Earth, or 0, 0,
        which stands for an unknown place.
    """
    text = "\n".join(comment.decode("latin-1") for comment in comments_of(content))
    lon, lat = (re.search(rf"(?im)^\W*{name}{_NUMBER}", text) for name in ("longitude", "latitude"))
    if lon is None or lat is None:
        return None
    try:
        place = as_lonlat([float(lon[1]), float(lat[1])])
    except InvalidCoordinate:
        return None
    return (float(place[0]), float(place[1])) if place.any() else None


def comments_of(content: bytes) -> Iterator[bytes]:
    """The comment segments before the picture itself, in order; none of what is no JPEG file."""
    position = 2
    while content[:2] == b"\xff\xd8" and position + 4 <= len(content) and content[position] == _FILL:
        marker = content[position + 1]
        if marker in (_SCAN, _END):
            return
        if marker == _FILL or marker in _WITHOUT_LENGTH:
            position += 1 if marker == _FILL else 2
            continue
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        if length < 2:
            return
        if marker == _COMMENT:
            yield content[position + 4 : position + 2 + length]
        position += 2 + length
