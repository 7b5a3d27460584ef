"""Fixtures: a seeded generator, galleries on every store, the real data where it is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fakes import ColorEncoder
from gallery_rows import STORES, gallery_on

from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """README's demonstration takes longest: begun first, no other process waits for it at the end."""
    items.sort(key=lambda item: item.path.name != "test_readme.py")


@pytest.fixture(scope="session", autouse=True)
def one_decoder() -> Iterator[None]:
    """Tests have few photos, and half a second goes by until a process is ready to decode one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("placeprint.encoders.decoding.all_cores", lambda: 1)
        yield


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def photos_folder() -> Path:
    """The real photo collections; they are not part of the repository."""
    if not (SHARED / "data" / "photos").is_dir():
        pytest.skip("the photo collections are not here")
    return SHARED / "data" / "photos"


@pytest.fixture
def damaged_folder() -> Path:
    """Image files of every kind, a third of them damaged."""
    if not (SHARED / "data" / "fixtures" / "exif").is_dir():
        pytest.skip("the damaged image files are not here")
    return SHARED / "data" / "fixtures" / "exif"


@pytest.fixture
def encoder() -> ColorEncoder:
    return ColorEncoder()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", qdrant_url=None, lock_timeout_s=0.2)


@pytest.fixture(params=STORES)
def any_gallery(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gallery]:
    """An empty gallery of 8-d embeddings, once on each store."""
    with gallery_on(request.param, tmp_path / "home") as gallery:
        yield gallery
