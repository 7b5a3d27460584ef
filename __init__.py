"""Placeprint: an embedding for every photo and every place on Earth.

    from placeprint import Gallery, Locator, embed_images, load_encoder

The names below load their modules on first use, so that ``import placeprint`` stays quick.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Area": "encoders.areas",
    "BlockKFold": "encoders.block_kfold",
    "Box": "encoders.areas",
    "Circle": "encoders.areas",
    "Client": "api.client",
    "Filter": "indexer.filters",
    "Gallery": "indexer.gallery",
    "LocationEncoder": "encoders.location",
    "LocationFeatures": "encoders.location_features",
    "Locator": "indexer.locator",
    "NeighborFeatures": "encoders.neighbor_features",
    "PlaceprintError": "encoders.errors",
    "Polygon": "encoders.areas",
    "ServiceProblem": "api.client",
    "embed_images": "encoders.image",
    "index": "indexer.ingest",
    "list_source": "indexer.sources",
    "load_area": "encoders.areas",
    "load_encoder": "encoders.catalog",
    "load_location_encoder": "encoders.location_catalog",
}

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives (PEP 562)."""
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names."""
    return list(__all__)
