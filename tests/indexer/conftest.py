"""A gallery of forty photos, and one to index twenty drawn photos into."""

from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder, fingerprint_of, unit_rows
from gallery_rows import add_places
from ingest_fakes import draw

from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings


@pytest.fixture
def filled(settings: Settings, rng: np.random.Generator) -> np.ndarray:
    vectors = unit_rows(rng, 40)
    with Gallery.create("trips", fingerprint_of(8), settings=settings) as gallery:
        add_places(gallery, uniform_on_sphere(40, rng), vectors)
    return vectors


@pytest.fixture
def folder(tmp_path: Path, rng: np.random.Generator) -> Path:
    for i, color in enumerate(rng.integers(0, 255, (20, 3)).tolist()):
        draw(tmp_path / "photos" / f"{i:02d}.png", tuple(color))
    return tmp_path / "photos"


@pytest.fixture
def gallery(settings: Settings, encoder: ColorEncoder):
    with Gallery.create("trips", encoder.fingerprint, settings=settings) as opened:
        yield opened
