"""Several looks at each training photo: the whole of it, and parts of it in another light.

Two photos of one place are rarely taken from one spot. Where a data set's are, as pictures from the air
registered to the meter, looking at parts teaches what its coordinates cannot; and more looks than photos
span more dimensions for the whitening.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from ..photo import ImageLike, open_photo
from ..preprocessing import Preprocessing

LIGHT = 0.3
"""Brightness and contrast change by this share at most."""

ASPECT = 4.0 / 3.0
"""Sides of a part are to each other as 3 to 4 at most, beyond what the photo's are."""


def look(
    file: ImageLike, preprocessing: Preprocessing, number: int, *, least_area: float, seed: int, row: int
) -> NDArray[np.uint8]:
    """One look at a photo; the same for the same arguments.

    Args:
        file: the photo, as anything that `open_photo` takes.
        preprocessing: of the encoder.
        number: of the look; 0 is the whole photo in its own light, as it is embedded in use.
        least_area: smallest share of the photo's area that a part may have.
        seed: of the run.
        row: of the photo in the run.

    Returns:
        Pixels for the encoder, (H, W, 3).

    Raises:
        UnreadableImage: it cannot be decoded.
    """
    if number == 0:
        return preprocessing.read(file)[0]
    rng = np.random.default_rng([seed, 4, row, number])
    # At least twice the side that is left of the smallest part.
    picture, _ = open_photo(file, at_least=math.ceil(2 * preprocessing.size / math.sqrt(least_area)))
    part = picture.crop(_box(picture, least_area, rng))
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast):
        part = enhance(part).enhance(float(rng.uniform(1.0 - LIGHT, 1.0 + LIGHT)))
    return preprocessing.pixels(part)


def _box(picture: Image.Image, least_area: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """A part: left, top, right, bottom."""
    area = rng.uniform(least_area, 1.0)
    stretch = math.exp(0.5 * rng.uniform(-math.log(ASPECT), math.log(ASPECT)))
    width = max(1, min(picture.width, round(picture.width * math.sqrt(area) * stretch)))
    height = max(1, min(picture.height, round(picture.height * math.sqrt(area) / stretch)))
    left = int(rng.integers(0, picture.width - width + 1))
    top = int(rng.integers(0, picture.height - height + 1))
    return left, top, left + width, top + height
