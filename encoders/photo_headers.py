"""Look over the structure of a JPEG, PNG or WebP file before a decoder is let near it.

What is refused here would cost the decoder time or memory out of all proportion to the file: a
canvas that is allocated as soon as it is announced, a JPEG of thousands of scans, each of which
goes over the whole picture, a file of a million empty blocks.

Sources: ITU-T T.81 annex B (JPEG markers), the PNG specification section 5 (chunks), RFC 9649
(WebP).
"""

import re
import struct

from .errors import UnreadableImage
from .upload_limits import UploadLimits

MAX_BLOCKS = 65_536  # chunks of a PNG; photos have some thousands at most
MAX_SEGMENTS = 2_048  # before the pixels of a JPEG; 10 MB of EXIF or ICC are 160
MAX_SCANS = 64  # of a JPEG; encoders write about 10

_START_OF_SCAN, _END = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
# In the midst of compressed pixels FF is followed by 00, by a restart marker or by fill bytes.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def check_structure(content: bytes, limits: UploadLimits) -> None:
    """Refuse a file that would cost too much; anything not understood here is left to the decoder.

    Raises:
        TooManyPixels: a header that announces more than the limits.
        UnreadableImage: too many segments, scans or chunks.
    """
    if content.startswith(b"\xff\xd8"):
        _check_jpeg(content, limits)
    elif content.startswith(b"\x89PNG\r\n\x1a\n"):
        if len(content) >= 24:
            limits.check_size(*struct.unpack_from(">II", content, 16))
        _check_png(content)
    elif content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        size = webp_size(content)
        if size is not None:
            limits.check_size(*size)


def webp_size(content: bytes) -> tuple[int, int] | None:
    r"""Width and height of the canvas of a WebP file, None where its header is none.

    >>> webp_size(b"RIFF....WEBPVP8X" + bytes(8) + b"\xff\0\0" + b"\x7f\0\0")
    (256, 128)
    """
    kind, header = content[12:16], content[20:30]
    if kind == b"VP8X" and len(header) == 10:
        return int.from_bytes(header[4:7], "little") + 1, int.from_bytes(header[7:10], "little") + 1
    if kind == b"VP8L" and len(header) >= 5 and header[0] == 0x2F:
        bits = int.from_bytes(header[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(header) == 10 and header[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", header, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _check_png(content: bytes) -> None:
    place, end = 8, len(content) - 12
    for _ in range(MAX_BLOCKS):
        if place > end:
            return
        place += 12 + int.from_bytes(content[place : place + 4])
    raise UnreadableImage(f"more than {MAX_BLOCKS:,} chunks: damaged or malicious")


def _check_jpeg(content: bytes, limits: UploadLimits) -> None:
    place, is_progressive, n_components = 2, False, 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(content, place)
        if found is None:
            return
        place, kind = found.end(), content[found.end() - 1]
        if kind == _END:
            return
        if kind in _WITHOUT_LENGTH:
            continue
        if kind == _START_OF_SCAN:
            # A scan of all components in a picture that is not progressive is the only one read.
            if is_progressive or content[place + 2 : place + 3] != bytes([n_components]):
                _count_scans(content, place)
            return
        if kind in _FRAMES and len(content) > place + 7:
            height, width, n_components = struct.unpack_from(">HHB", content, place + 3)
            limits.check_size(width, height)
            is_progressive = is_progressive or kind in _PROGRESSIVE
        place += int.from_bytes(content[place : place + 2])
    raise UnreadableImage(f"more than {MAX_SEGMENTS:,} segments before its pixels: damaged or malicious")


def _count_scans(content: bytes, place: int) -> None:
    n_scans, kind = 1, _START_OF_SCAN
    for _ in range(2 * MAX_SEGMENTS):  # every scan brings a table or two
        if kind not in _WITHOUT_LENGTH:
            place += int.from_bytes(content[place : place + 2])
        found = _MARKER.search(content, place)
        if found is None:
            return
        place, kind = found.end(), content[found.end() - 1]
        if kind == _END:
            return
        n_scans += kind == _START_OF_SCAN
        if n_scans > MAX_SCANS:
            break
    raise UnreadableImage(f"more than {MAX_SCANS} scans: damaged or malicious")
