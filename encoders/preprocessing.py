"""From an upright RGB picture to the square of bytes that an encoder sees.

Resizing is done here with Pillow, without torch, so that the processes that decode photos stay
small. Scaling to the encoder's mean and deviation happens in the encoder, on whole batches.
"""

import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .photo import ImageLike, PhotoFacts, open_photo
from .upload_limits import UploadLimits

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How pixels reach an encoder. Part of its fingerprint."""

    size: int  # pixels, both sides
    resize: Literal["shortest", "squash"] = "shortest"  # shortest side and center crop, or distort
    crop_share: float = 1.0  # with "shortest": the resized short side is size / crop_share
    interpolation: Literal["bicubic", "bilinear"] = "bicubic"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of values in [0, 1]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @property
    def canonical(self) -> str:
        """One line of JSON, equal for equal preprocessing."""
        return json.dumps(asdict(self), sort_keys=True)

    def pixels(self, image: Image.Image) -> NDArray[np.uint8]:
        """The encoder's input, shape (size, size, 3), from an upright RGB picture of any size."""
        resample = FILTERS[self.interpolation]
        if self.resize == "squash":
            return np.asarray(image.resize((self.size, self.size), resample))
        # A strip of 20,000 by 10 pixels would grow by far more than its middle is worth.
        image = image.crop(_middle(image.size, 4.0)) if max(image.size) > 4 * min(image.size) else image
        side = round(self.size / self.crop_share)
        # Truncated, as torchvision does it: the reference transforms of the models must agree.
        width, height = (
            (side, int(side * image.height / image.width))
            if image.width <= image.height
            else (int(side * image.width / image.height), side)
        )
        left, top = round((width - self.size) / 2.0), round((height - self.size) / 2.0)
        resized = image if image.size == (width, height) else image.resize((width, height), resample)
        return np.asarray(resized.crop((left, top, left + self.size, top + self.size)))

    def read(
        self, source: ImageLike, *, limits: UploadLimits | None = None
    ) -> tuple[NDArray[np.uint8], PhotoFacts]:
        """Decode a photo no larger than needed and make the encoder's input of it.

        Raises:
            UnreadableImage: see `open_photo`.
        """
        # Twice the size, so that what the JPEG decoder averages away would be lost in resizing too.
        at_least = 2 * round(self.size / self.crop_share)
        image, facts = open_photo(source, at_least=at_least, limits=limits)
        return self.pixels(image), facts


def _middle(size: tuple[int, int], ratio: float) -> tuple[int, int, int, int]:
    """The box in the middle of a long strip whose sides are at most 1 : ratio."""
    width, height = size
    keep_width, keep_height = min(width, int(height * ratio) or 1), min(height, int(width * ratio) or 1)
    left, top = (width - keep_width) // 2, (height - keep_height) // 2
    return left, top, left + keep_width, top + keep_height
