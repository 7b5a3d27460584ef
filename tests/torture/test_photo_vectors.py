"""R9 and R10: every vector is that of its own file, whatever lies beside it and however it is turned."""

from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from damaged_photos import _drawn, encoded
from PIL import Image, ImageOps
from torture_rows import Record
from torture_scale import scaled

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.image import ImageEncoder
from placeprint.indexer import ingest
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.record import photo_id_of
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

pytestmark = pytest.mark.slow

WEIGHTS = Path(__file__).resolve().parents[3] / "shared" / "weights" / "mobilenetv2_100.imagenet.safetensors"
BACKBONE = "timm:mobilenetv2_100?pad_type=same&mean=0.5&std=0.5&crop=1"


@pytest.fixture(scope="module")
def network() -> Any:
    """A network with pretrained weights where they are, else the one of the demonstration."""
    return load_encoder(BACKBONE, weights=WEIGHTS) if WEIGHTS.exists() else load_encoder("demonstration")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.dot(one, other) / np.linalg.norm(one) / np.linalg.norm(other))


class Shifted:
    """The fault: an encoder whose vectors move up by one, as if a bad file had been left out of the batch."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder
        self.preprocessing, self.fingerprint = encoder.preprocessing, encoder.fingerprint

    def embed_pixels(self, pixels: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.roll(self._encoder.embed_pixels(pixels), -1, axis=0)
        return found


def misplaced(
    folder: Path, encoder: Any, alone: dict[bytes, np.ndarray], n_bad: int, seed: int
) -> tuple[int, float]:
    """Index good and bad files in any order: vectors that are not their file's, and the lowest cosine."""
    rng, photos = np.random.default_rng([n_bad, seed]), folder / f"{n_bad}-{seed}"
    photos.mkdir(parents=True)
    good = list(alone)[: len(alone) - n_bad]
    bad = [content[: len(content) // 3] for content in list(alone)[len(alone) - n_bad :]]
    files = [*good, *bad]
    for place, i in enumerate(rng.permutation(len(files))):
        (photos / f"{place:02d}.jpg").write_bytes(files[i])
    settings = Settings(home=folder / f"home-{n_bad}-{seed}", qdrant_url=None)
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as gallery:
        report = ingest.index(list_source(photos), gallery, encoder, workers=1)
        assert report.n_failed == n_bad
        found = {photo.id for photo in gallery.find()}
        wrong = len(found ^ {photo_id_of(content) for content in good})
        lowest = 1.0
        for content in good:
            vector = gallery.embeddings([photo_id_of(content)])[0]
            lowest = min(lowest, cosine(vector, alone[content]))
            nearest = max(alone, key=lambda one: cosine(vector, alone[one]))
            wrong += nearest != content
    return wrong, lowest


def test_r09_vectors_stay_with_their_files(record: Record, network: ImageEncoder, tmp_path: Path) -> None:
    n = scaled(4, 10, 16)
    rng = np.random.default_rng(1)
    files = [encoded(_drawn(rng, (160, 120)), "JPEG", quality=90) for _ in range(n)]
    alone = {
        content: network.embed_pixels(network.preprocessing.read(content)[0][None])[0] for content in files
    }
    total, lowest, n_trials = 0, 1.0, 0
    for n_bad in range(1, n):
        for seed in range(scaled(1, 1, 5)):
            wrong, low = misplaced(tmp_path, network, alone, n_bad, seed)
            total, lowest, n_trials = total + wrong, min(lowest, low), n_trials + 1
    record.figure("batches", n_trials)
    record.figure("vectors that are not their file's", total)
    record.figure("lowest cosine to the file alone", lowest)
    record.note(f"network: {network.fingerprint.name}")
    planted = [
        misplaced(tmp_path / "planted", Shifted(network), alone, n_bad, 0)[0] > 0
        for n_bad in range(1, min(n - 1, 4))
    ]
    record.caught("vectors move up into the place of a bad file", sum(planted), len(planted))
    assert total == 0 and lowest >= 0.9999


TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


LEAST_LOSS: dict[str, dict[str, Any]] = {
    "PNG": {}, "WEBP": {"lossless": True}, "HEIF": {"quality": 98},
    "JPEG": {"quality": 100, "subsampling": 0},
}  # fmt: skip
"""What a format loses depends on how the picture lies in the file, and a trained network sees it."""


def variants(upright: Image.Image, format: str) -> dict[int, bytes]:
    """A picture stored turned, with the orientation that turns it back, in a format."""
    found = {}
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        turned = upright.transpose(TURNED[orientation]) if orientation > 1 else upright
        found[orientation] = encoded(turned, format, exif=exif.tobytes(), **LEAST_LOSS[format])
    return found


def lowest_cosines(network: ImageEncoder, n_pictures: int) -> dict[str, float]:
    """By format, the lowest cosine of a turned file to the upright one; what a format loses is no matter."""
    pillow_heif.register_heif_opener()
    rng, lowest = np.random.default_rng(3), dict[str, float]()
    for _ in range(n_pictures):
        # Light above, dark below, and a corner in red: no two of the eight look alike.
        picture = np.asarray(_drawn(rng, (240, 160)), float)
        picture = 0.4 * picture + 140 * np.linspace(1, 0, 160)[:, None, None]
        picture[:40, :60] = (250, 20, 20)
        upright = Image.fromarray(picture.clip(0, 255).astype(np.uint8))
        for format in ("JPEG", "PNG", "WEBP", "HEIF"):
            files = variants(upright, format)
            expected = vector(network, files.pop(1))
            for content in files.values():
                found = cosine(vector(network, content), expected)
                lowest[format] = min(lowest.get(format, 1.0), found)
    return lowest


def vector(network: ImageEncoder, content: bytes) -> np.ndarray:
    found: np.ndarray = network.embed_pixels(network.preprocessing.read(content)[0][None])[0]
    return found


def test_r10_turned_photos_come_upright(
    record: Record, network: ImageEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_pictures = scaled(1, 5, 50)
    lowest = lowest_cosines(network, n_pictures)
    record.figure("files", 28 * n_pictures)
    for format, value in lowest.items():
        record.figure(f"lowest cosine, {format}", value)
    record.note("on the CPU; a photo is its bytes, so that turned copies are photos of their own")
    monkeypatch.setattr(ImageOps, "exif_transpose", lambda image, in_place=False: None if in_place else image)
    planted = lowest_cosines(network, 1)
    formats = ("JPEG", "PNG", "WEBP")  # the library of HEIF turns by itself
    record.caught(
        "the orientation is not looked at", sum(planted[format] < 0.999 for format in formats), len(formats)
    )
    assert min(lowest.values()) >= 0.999
