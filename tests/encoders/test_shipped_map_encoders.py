"""The map encoders that ship: small, credited, made of open maps, and each for maps of its scale."""

import numpy as np
import pytest

from placeprint.encoders import map_catalog
from placeprint.encoders.map_catalog import (
    REGIONS,
    STREETS,
    STUDENT,
    ground_m_of,
    load_map_encoder,
    load_map_student,
)
from placeprint.encoders.maps import Mosaic, build_mosaic
from placeprint.encoders.mosaics.synthetic_city import synthetic_city

MAX_BYTES = 10_000_000


@pytest.mark.parametrize("name", [STREETS, REGIONS, STUDENT])
def test_each_is_small(name: str) -> None:
    assert (map_catalog._HERE / f"{name}.safetensors").stat().st_size < MAX_BYTES


@pytest.mark.parametrize(("name", "credit"), [(STREETS, "OpenStreetMap"), (REGIONS, "Natural Earth")])
def test_each_names_its_sources_and_whom_to_credit(name: str, credit: str) -> None:
    encoder = load_map_encoder(name)
    assert encoder.name == name and encoder.dimension == 128
    assert credit in encoder.card["attribution"] and encoder.card["sources"]
    assert not any("price" in source for source in encoder.card["sources"])
    assert encoder.card["labels"]["price"]["labeled"] == 0  # prices are what it is probed with
    assert "train_map_encoders" in encoder.card["command"]


def test_the_student_belongs_to_the_regions() -> None:
    student, teacher = load_map_student(), load_map_encoder(REGIONS)
    assert student.card["teacher"] == teacher.fingerprint.id
    assert ground_m_of(student) == teacher.config.ground_m
    held_out = student.card["held_out"]
    assert held_out["student"] < held_out["nearest_place"] < held_out["mean"]


def test_the_streets_know_a_turned_place_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Of a town that nobody drew before, and which looks much the same everywhere."""
    path = tmp_path_factory.mktemp("city") / "city.tif"
    build_mosaic([synthetic_city(9.5, 47.1)], path, zooms=[14, 15, 16])
    city, encoder = Mosaic.open(path), load_map_encoder(STREETS)
    lonlat = np.random.default_rng(0).uniform([9.49, 47.093], [9.51, 47.107], (40, 2))

    def turned(start_rad: float) -> np.ndarray:
        """The mean over four quarter turns, as places are embedded."""
        crops = [
            city.crops(
                lonlat,
                ground_m=encoder.config.ground_m,
                px=encoder.config.px,
                angle_rad=start_rad + k * np.pi / 2.0,
            )
            for k in range(4)
        ]
        mean = np.mean([encoder.embed(one) for one in crops], axis=0)
        return np.asarray(mean / np.linalg.norm(mean, axis=1, keepdims=True))

    similarity = turned(0.0) @ turned(0.8).T
    assert np.diag(similarity).mean() > 0.98
    assert (similarity.argmax(axis=1) == np.arange(40)).mean() > 0.4  # by chance 0.025
