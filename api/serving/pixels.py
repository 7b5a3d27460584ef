"""How many pixels a caller may have decoded: in one request, and in a minute.

A photo of a hundred kilobytes may hold fifty million pixels, and pixels, not bytes, are what decoding
takes time for. They are counted by what the header states, before anything is decoded. A file of the
web's three formats whose header states nothing counts as the largest that is taken, and so does one of
another format that the operator takes; any other is not going to be decoded.
"""

import re
import struct
import time
from contextvars import ContextVar
from dataclasses import dataclass

from ...encoders.photo_headers import MAX_SEGMENTS, webp_size
from . import metrics
from .refusals import BodyTooLarge, TooManyRequests

PHOTOS_A_REQUEST = 4
"""So many photos of the largest size may come in one request; of smaller ones accordingly more."""

_MOST_CALLERS = 10_000
_STARTS = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF")
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff[^\x00\xff]")
_FILLED = 65_536  # bytes between the segments of a JPEG's header that are looked at, together


class PixelBudget:
    """Megapixels that each caller has left, which come back evenly over a minute.

    Args:
        megapixels_per_minute: of each caller; 0 for no limit.
    """

    def __init__(self, megapixels_per_minute: float) -> None:
        self._most = megapixels_per_minute
        self._left: dict[str, tuple[float, float]] = {}  # megapixels, and when there were so many

    def take(self, caller: str, megapixels: float) -> None:
        """Take from what a caller has left. Who has all of it left may take more at once.

        Raises:
            TooManyRequests: there is less; it says when there will be enough.
        """
        if not self._most:
            return
        now = time.monotonic()
        left, since = self._left.get(caller, (self._most, now))
        left = min(self._most, left + (now - since) * self._most / 60.0)
        missing = min(megapixels, self._most) - left
        if missing > 0.0:
            metrics.REFUSED.labels("pixels").inc()
            seconds = max(1, round(60.0 * missing / self._most + 0.5))
            raise TooManyRequests(
                f"more than {self._most:g} megapixels a minute (PLACEPRINT_MEGAPIXELS_PER_MINUTE); come "
                f"again in {seconds} s, or send photos smaller: models look at some hundred pixels a side",
                seconds,
            )
        self._left.pop(caller, None)
        self._left[caller] = left - megapixels, now
        while len(self._left) > _MOST_CALLERS:  # who came longest ago has most of it back
            self._left.pop(next(iter(self._left)))


@dataclass
class Bill:
    """What one request has had counted so far."""

    caller: str
    budget: PixelBudget
    largest: int  # pixels of one photo
    takes_others: bool = False  # formats beside JPEG, PNG and WebP
    n_pixels: int = 0


BILL: ContextVar[Bill | None] = ContextVar("bill", default=None)
"""Of the request that is being answered; set where its caller is let in."""


def charge(*contents: bytes) -> None:
    """Count photos to the request that sent them, before they are decoded.

    Raises:
        BodyTooLarge: the request has more pixels than one may have.
        TooManyRequests: its caller has had as many decoded in this minute as the operator allows.
    """
    bill = BILL.get()
    if bill is None:
        return
    n_pixels = sum(_counted(content, bill) for content in contents)
    bill.n_pixels += n_pixels
    if bill.n_pixels > PHOTOS_A_REQUEST * bill.largest:
        metrics.REFUSED.labels("pixels").inc()
        raise BodyTooLarge(
            f"the photos of this request have {bill.n_pixels / 1e6:.0f} megapixels together, and at most "
            f"{PHOTOS_A_REQUEST * bill.largest / 1e6:.0f} are taken; send them in several requests"
        )
    bill.budget.take(bill.caller, n_pixels / 1e6)


def _counted(content: bytes, bill: Bill) -> int:
    if not content.startswith(_STARTS):
        return bill.largest if bill.takes_others else 0
    # What states more is refused by the decoder, from its header.
    return min(stated_pixels(content) or bill.largest, bill.largest)


def stated_pixels(content: bytes) -> int | None:
    """Width times height as the header of a JPEG, PNG or WebP file states them; None where it does not.

    Of several statements the largest counts: which of them a decoder believes is not known here.
    A header of more than `MAX_SEGMENTS` parts states nothing: it may have a million, and it is the
    event loop that goes over them.
    """
    if content.startswith(b"\xff\xd8"):
        return _stated_by_jpeg(content)
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return _stated_by_png(content)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and (size := webp_size(content)) is not None:
        return size[0] * size[1]
    return None


def _stated_by_jpeg(content: bytes) -> int | None:
    place, filled, largest = 2, 0, 0
    for _ in range(MAX_SEGMENTS):
        found = _MARKER.search(content, place, place + _FILLED - filled)
        if found is None:
            return largest or None
        filled += found.start() - place
        marker, place = content[found.end() - 1], found.end()
        if marker in (0xDA, 0xD9):  # the pixels begin, or the file ends
            return largest or None
        if marker in _FRAMES and place + 7 <= len(content):
            height, width = struct.unpack_from(">HH", content, place + 3)
            largest = max(largest, height * width)
        if not 0xD0 <= marker <= 0xD7 and marker != 0x01:
            place += max(2, int.from_bytes(content[place : place + 2]))
    return None


def _stated_by_png(content: bytes) -> int | None:
    place, largest = 8, 0
    for _ in range(MAX_SEGMENTS):
        length, kind = int.from_bytes(content[place : place + 4]), content[place + 4 : place + 8]
        if place + 16 > len(content) or kind == b"IDAT":
            return largest or None
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", content, place + 8)
            largest = max(largest, width * height)
        place += 12 + length
    return None
