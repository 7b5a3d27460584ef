"""Photos looked at by another encoder: all of them once, gone on with, and found by what it says."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from PIL import Image

from placeprint.encoders.errors import FingerprintMismatch, UnknownVector
from placeprint.indexer import look_again as module
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.ingest import index
from placeprint.indexer.look_again import look_again
from placeprint.indexer.named_vectors import VectorCard
from placeprint.indexer.settings import Settings
from placeprint.indexer.sources import list_source


class Negative(ColorEncoder):
    """The same colors the other way round."""

    def __init__(self) -> None:
        super().__init__("negative")

    def embed_pixels(self, pixels: np.ndarray) -> np.ndarray:
        return super().embed_pixels(255 - pixels)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(12):
        Image.new("RGB", (32, 32), (20 * i, 255 - 20 * i, 90)).save(folder / f"{i:02d}.png")
    return folder


@pytest.fixture
def gallery(photos: Path, settings: Settings) -> Gallery:
    made = Gallery.create("trips", ColorEncoder().fingerprint, encoder="color", settings=settings)
    index(list_source(photos), made, ColorEncoder(), workers=1)
    made.vectors.begin(VectorCard(name="negative", fingerprint=Negative().fingerprint, encoder="negative"))
    return made


def test_each_photo_is_looked_at_once_and_found_by_what_is_said(gallery: Gallery, photos: Path) -> None:
    with gallery:
        told = []
        found = look_again(gallery, "negative", Negative(), workers=1, progress=lambda *n: told.append(n))
        assert (found.n_embedded, found.n_there, found.missing) == (12, 0, []) and told[-1] == (12, 12)
        assert look_again(gallery, "negative", Negative(), workers=1) == (0, 12, [])
        pixels = np.full((1, 32, 32, 3), (60, 195, 90), np.uint8)
        nearest = gallery.nearest(Negative().embed_pixels(pixels)[0], 1, using="negative")
        assert Path(nearest[0].photo.image).name == "03.png" and nearest[0].similarity > 0.999
        Image.new("RGB", (32, 32), (1, 2, 3)).save(photos / "new.png")
        index(list_source(photos), gallery, ColorEncoder(), workers=1)
        assert look_again(gallery, "negative", Negative(), workers=1).n_embedded == 1


def test_photos_without_a_file_are_named_and_the_others_are_done(gallery: Gallery, photos: Path) -> None:
    with gallery:
        (photos / "04.png").unlink()
        Image.new("RGB", (8, 8)).save(photos / "05.png")  # another photo by now
        found = look_again(gallery, "negative", Negative(), workers=1)
        images = {Path(photo.image).name for photo in gallery.get(found.missing)}
        assert images == {"04.png", "05.png"} and found.n_embedded == 10


def test_an_interruption_keeps_what_was_embedded(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 4)
    with gallery:

        def stop(done: int, total: int) -> None:
            if done == 8:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            look_again(gallery, "negative", Negative(), workers=1, progress=stop)
        assert len(gallery.vectors.lacking("negative")) == 4
        assert look_again(gallery, "negative", Negative(), workers=1) == (4, 8, [])


def test_another_encoder_or_name_is_refused(gallery: Gallery, photos: Path) -> None:
    with gallery:
        with pytest.raises(FingerprintMismatch):
            look_again(gallery, "negative", ColorEncoder())
        with pytest.raises(UnknownVector):
            look_again(gallery, "positive", Negative())
    shutil.rmtree(photos)
