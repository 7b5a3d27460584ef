"""Photos whose looks ask for more than a linear head, a very small encoder to tune, files that go away."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from caption_fakes import NAME as NAME
from caption_fakes import tiny_weights
from geocell_fakes import Floats, NearestCells, cells_at
from numpy.typing import NDArray
from PIL import Image

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.csp_sampling import Pairs
from placeprint.encoders.image import ImageEncoder

CONTRAST, NOISE = 8, 2.0
CENTERS = np.array([[-60.0, -10.0], [100.0, 30.0]])


@dataclass
class Photo:
    """A photo in memory, or one that is gone."""

    key: str
    content: bytes | None
    problem: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    lon: float | None = None
    lat: float | None = None
    captured_at: None = None
    group: str | None = None

    def read(self) -> bytes:
        if self.content is None:
            raise FileNotFoundError(2, "No such file or directory")
        return self.content


def encoder_in(folder: Path) -> ImageEncoder:
    """A transformer of two blocks, 32 pixels, untrained."""
    return load_encoder(NAME, weights=tiny_weights(folder))


def two_places(n: int, *, seed: int = 0) -> tuple[Floats, NDArray[np.intp], NearestCells]:
    """Places around two centers, (n, 2), which of the two, (n,), and the cells."""
    which = np.arange(n) % 2
    lonlat = CENTERS[which] + np.random.default_rng(seed).normal(0.0, 0.5, (n, 2))
    return lonlat, which, cells_at(CENTERS, radius_km=500.0)


def pictures(which: NDArray[np.intp], *, is_told: bool, seed: int = 1) -> NDArray[np.uint8]:
    """Bright and dark halves, (n, 32, 32, 3): equal ones at one place, unequal ones at the other.

    Each half alone says nothing of the place, nor does any sum of the two. Not `is_told`: both say nothing.
    """
    rng = np.random.default_rng(seed)
    left = rng.integers(0, 2, len(which))
    right = left ^ which if is_told else rng.integers(0, 2, len(which))
    halves = np.stack([left, right], axis=1)[:, None, :, None] * CONTRAST + 127 - CONTRAST // 2
    clean = np.broadcast_to(np.repeat(halves, 16, axis=2), (len(which), 32, 32, 3))
    return np.clip(clean + rng.normal(0.0, NOISE, clean.shape), 0, 255).astype(np.uint8)


def photo_of(picture: NDArray[np.uint8], key: str) -> Photo:
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return Photo(key, content.getvalue())


def pairs_of_pictures(
    encoder: ImageEncoder, shown: NDArray[np.uint8], lonlat: Floats, *, group_size: int = 2
) -> Pairs:
    """The encoder's embeddings; neighbors in the row are a group."""
    groups = np.array([f"g{row // group_size}" for row in range(len(shown))])
    return Pairs(encoder.embed_pixels(shown), lonlat, groups, encoder.fingerprint.id)
