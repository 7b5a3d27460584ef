"""Galleries of places of a drawn city: its mosaic, an encoder that counts, a student."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.map_learning import encoder as encoder_module
from placeprint.encoders.map_learning.encoder import MapEncoder, MapEncoderConfig
from placeprint.encoders.map_learning.network import Features, map_network, planes
from placeprint.encoders.maps import N_CLASSES, build_mosaic, synthetic_city
from placeprint.indexer.place_grid import grid_places
from placeprint.indexer.place_list import listed
from placeprint.indexer.place_opening import open_or_make
from placeprint.indexer.places import PlacesReport, build_places
from placeprint.indexer.settings import Settings

CENTER = (9.5, 47.1)
GROUND_M = 300.0
SPACING_M = 150.0


class Counting(nn.Module):
    """Embeds how much of a crop each class takes, so that like maps are alike; nothing is learned."""

    def __init__(self, n_classes: int, dimension: int) -> None:
        super().__init__()
        assert dimension == n_classes
        self.weight = nn.Parameter(torch.ones(n_classes))

    def forward(self, ids: Tensor) -> Features:
        shares = planes(ids, len(self.weight)).mean(dim=(2, 3)) * self.weight
        return Features(shares.sqrt(), shares)


def _network(name: str, n_classes: int, dimension: int) -> nn.Module:
    return Counting(n_classes, dimension) if name == "counting" else map_network(name, n_classes, dimension)


encoder_module.map_network = _network  # files of ours can be loaded then too


def map_encoder(weight: float = 1.0) -> MapEncoder:
    config = MapEncoderConfig(
        network="counting", dimension=N_CLASSES, ground_m=GROUND_M, px=32, n_rotations=2
    )
    encoder = MapEncoder(config, name="city")
    nn.init.constant_(encoder.network.weight, weight)  # type: ignore[arg-type]
    return encoder


def student_of(encoder: MapEncoder) -> LocationEncoder:
    return LocationEncoder(
        "xyz", "feed-forward", dimension=encoder.dimension, name="city-student", seed=0,
        network_options={"hidden": 16, "layers": 1, "dropout": 0.0},
        card={"teacher": encoder.fingerprint.id, "ground_m": GROUND_M},
    )  # fmt: skip


def make_maps(folder: Path) -> Path:
    """``city.tif``, ``encoder.safetensors`` and ``student.safetensors`` in a folder."""
    city = synthetic_city(*CENTER, size_m=3000.0)
    build_mosaic([city], folder / "city.tif", zooms=[15], credit=["a drawn city"], date="2026-01-01")
    encoder = map_encoder()
    encoder.save(folder / "encoder.safetensors")
    student_of(encoder).save(folder / "student.safetensors")
    return folder


def make_place_gallery(home: Path, maps: Path, name: str = "city", **more: Path) -> PlacesReport:
    """A gallery of a grid all over the city."""
    settings = Settings(home=home, qdrant_url=None)
    gallery, embedder = open_or_make(
        name, mosaics=[maps / "city.tif"], encoder=maps / "encoder.safetensors", settings=settings, **more
    )
    with gallery:
        assert embedder.maps is not None
        return build_places(gallery, listed(grid_places(embedder.maps.boxes[0], SPACING_M), "grid"), embedder)


def histograms(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Shares of classes, (B, px, px) -> (B, classes)."""
    return np.array([np.bincount(one.ravel(), minlength=N_CLASSES) / one.size for one in crops])
