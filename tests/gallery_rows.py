"""A gallery of 8-d embeddings on any store, rows for it, and what is found of them."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from fakes import fingerprint_of, record

from placeprint.indexer.filters import Filter
from placeprint.indexer.gallery import Gallery
from placeprint.indexer.settings import Settings

STORES = ["edge", "memory", pytest.param("server", marks=pytest.mark.server)]
E1 = np.eye(8, dtype=np.float32)[0]


@contextmanager
def gallery_on(store: str, home: Path) -> Iterator[Gallery]:
    """An empty gallery on one of `STORES`."""
    url = {"edge": None, "memory": ":memory:", "server": os.environ.get("QDRANT_URL")}[store]
    if store == "server" and not url:
        pytest.skip("QDRANT_URL is not set")
    settings = Settings(home=home, qdrant_url=url, lock_timeout_s=0.2)
    name = f"test-{uuid.uuid4().hex[:8]}"
    with Gallery.create(name, fingerprint_of(8), settings=settings) as gallery:
        yield gallery
    if store == "server":
        Gallery.remove(name, settings=settings)


def add_places(gallery: Gallery, lonlat: np.ndarray, embeddings: np.ndarray) -> None:
    gallery.add(
        [
            record(f"photo-{i}", embeddings[i], lon=lon, lat=lat)
            for i, (lon, lat) in enumerate(lonlat.tolist())
        ]
    )


def images(gallery: Gallery, filter: Filter) -> set[str]:
    return {photo.image for photo in gallery.find(filter)}
