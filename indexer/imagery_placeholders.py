"""Is a download a photo: no error page, not cut short, not blank, and no card that says "no imagery"?

A card and a blank picture have one color nearly all over. Of 1,500 photos of streets, sights and travels
the one with most of a single color had 52 % of it, and the one with the least contrast a standard
deviation of 13 of 255; a gray card with two lines of text has above 90 % of one color.
"""

import numpy as np
from PIL import Image

from ..encoders.photo import open_photo
from ..encoders.upload_limits import UploadLimits

LIMITS = UploadLimits()
SUFFIX = {b"\xff\xd8": ".jpg", b"\x89P": ".png", b"RI": ".webp"}
SIDE_PX = 128
SAME_COLOR = 4  # of 255, in each channel: what JPEG makes of one color
ONE_COLOR_SHARE = 0.8
NO_CONTRAST = 4.0


def checked_picture(content: bytes) -> tuple[str, str]:
    """Decode a download as a stranger's file.

    Args:
        content: of the file.

    Returns:
        The ending for its name, and why it is no photo: "" if it is one.

    Raises:
        UnreadableImage: no picture, of a format that is not taken, damaged or too large.
    """
    picture, _ = open_photo(content, at_least=SIDE_PX, limits=LIMITS)
    return SUFFIX[content[:2]], why_no_photo(picture)


def why_no_photo(picture: Image.Image) -> str:
    """Why an RGB picture is a placeholder; "" if it seems a photo."""
    small = picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = np.asarray(small).reshape(-1, 3).astype(np.int32)
    if pixels.std(axis=0).max() < NO_CONTRAST:
        return "blank"
    bins = pixels // (2 * SAME_COLOR)
    codes = bins @ np.array([4096, 64, 1])
    most = pixels[codes == np.bincount(codes).argmax()]
    share = (np.abs(pixels - np.median(most, axis=0)).max(axis=1) <= SAME_COLOR).mean()
    return f"{share:.0%} of it is one color" if share >= ONE_COLOR_SHARE else ""
