"""One transform from a file to an encoder's pixels, whoever asks (trap 12).

A photo that has everything in which two readers could differ (transparency, an EXIF rotation, sides of
301 and 457 pixels) reaches the encoder as the very same bytes from indexing, whose embeddings the heads for
cells and places are trained on, from the training with captions, from evaluation, from the service, and
from a call in Python.
"""

import ast
import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from PIL import Image

from placeprint.api.serving.locate_process import tell_here
from placeprint.api.serving.service import Service
from placeprint.api.serving.service_settings import PHOTO_FORMATS, ServiceSettings
from placeprint.encoders.captioning.photos import read_photos
from placeprint.encoders.image import embed_images
from placeprint.encoders.preprocessing import Preprocessing
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.pairs import pairs_of, photos_of_pairs
from placeprint.indexer.queries import read_queries
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source

ROOT = Path(__file__).resolve().parents[1]
PLACE = (139.77, 35.68)


class Listener(ColorEncoder):
    """Keeps the pixels it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocessing = Preprocessing(size=24, crop_share=0.875)
        self.heard: list[np.ndarray] = []

    def embed_pixels(self, pixels):
        self.heard.append(np.array(pixels))
        return super().embed_pixels(pixels)


def odd_photo(photo: Image.Image) -> bytes:
    """The photo, transparent on one side, lying on its side, 301 x 457."""
    layer = photo.convert("RGBA").resize((301, 457))
    alpha = np.full((457, 301), 255, np.uint8)
    alpha[:, :100] = np.linspace(0, 255, 100).astype(np.uint8)
    layer.putalpha(Image.fromarray(alpha))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter to the right
    file = io.BytesIO()
    layer.save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.fixture(params=["drawn", pytest.param("real", marks=pytest.mark.real)])
def photo(request, rng) -> bytes:
    if request.param == "real":
        folder = request.getfixturevalue("photos_folder")
        return odd_photo(Image.open(sorted((folder / "travel" / "images").iterdir())[3]))
    return odd_photo(Image.fromarray(rng.integers(0, 256, (60, 40, 3), dtype=np.uint8)))


@pytest.fixture
def table(photo, tmp_path) -> Path:
    (tmp_path / "odd.png").write_bytes(photo)
    (tmp_path / "table.csv").write_text(f"image,lon,lat\nodd.png,{PLACE[0]},{PLACE[1]}\n")
    return tmp_path / "table.csv"


@pytest.fixture
def expected(photo) -> np.ndarray:
    """Written down once more, from Pillow alone: upright, over white, shorter side 27, the middle 24."""
    lying = Image.open(io.BytesIO(photo))
    upright = lying.transpose(Image.Transpose.ROTATE_270)
    on_white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB")
    assert on_white.size == (457, 301)
    small = on_white.resize((int(27 * 457 / 301), 27), Image.Resampling.BICUBIC)
    left, top = round((small.width - 24) / 2), round((small.height - 24) / 2)
    return np.asarray(small.crop((left, top, left + 24, top + 24)))


def test_indexing_and_what_is_trained_on_a_gallery_see_the_photo_so(table, settings, expected):
    encoder = Listener()
    with Gallery.create("odd", encoder.fingerprint, settings=settings) as gallery:
        index(list_source(table), gallery, encoder, workers=1)
        assert np.array_equal(encoder.heard[-1][0], expected)
        pairs, _ = pairs_of(gallery)
        assert np.array_equal(pairs.images, ColorEncoder.embed_pixels(encoder, expected[None]))
        (again,) = photos_of_pairs(gallery)
        assert np.array_equal(encoder.preprocessing.read(again.read())[0], expected)


def test_training_with_captions_sees_the_photo_so(table, expected):
    photos = read_photos(list_source(table), Listener().preprocessing)
    assert np.array_equal(photos.pixels[np.array([0])][0], expected)


def test_evaluation_sees_the_photo_so(table, settings, expected):
    encoder = Listener()
    with Gallery.create("empty", encoder.fingerprint, settings=settings) as gallery:
        queries = read_queries(list_source(table), gallery, encoder)
    assert np.array_equal(encoder.heard[-1][0], expected)
    assert np.array_equal(queries.embeddings, ColorEncoder.embed_pixels(encoder, expected[None]))


def test_the_service_sees_the_photo_so(photo, tmp_path, expected):
    encoder, home = Listener(), tmp_path / "home"
    with Gallery.create("odd", encoder.fingerprint, settings=Settings(home=home, qdrant_url=None)):
        pass
    settings = ServiceSettings(home=home, qdrant_url=None, formats=list(PHOTO_FORMATS))
    service = Service(settings, {encoder.fingerprint.name: encoder}, tell_here)
    try:
        pixels, _ = asyncio.run(service.decoders.decode(photo, service.gallery("odd").model.preprocessing))
        assert np.array_equal(pixels, expected)
    finally:
        service.close()


def test_a_call_in_python_sees_the_photo_so(photo, expected):
    encoder = Listener()
    embed_images(encoder, [photo])
    assert np.array_equal(encoder.heard[-1][0], expected)


def test_nothing_else_makes_pixels_for_an_encoder():
    """The libraries' own transforms are named nowhere, and `Preprocessing` is applied by its method alone."""
    foreign = {"create_transform", "image_transform", "create_model_and_transforms"}
    for file in sorted(
        path for layer in ("encoders", "indexer", "api") for path in (ROOT / layer).rglob("*.py")
    ):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                module = f"{node.module or ''}." if isinstance(node, ast.ImportFrom) else ""
                named = [f"{module}{alias.name}" for alias in node.names]
                assert not any("torchvision.transforms" in name for name in named), file
            called = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            assert called not in foreign, file
