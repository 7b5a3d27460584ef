"""Map encoders and students by name or file, and what is said where they are not."""

from pathlib import Path

import numpy as np
import pytest
from map_gallery_fakes import CENTER, GROUND_M, make_maps, map_encoder, student_of

from placeprint.encoders import map_catalog
from placeprint.encoders.errors import InvalidOption, UnknownEncoder, UnreadableSource, WeightsUnavailable
from placeprint.encoders.map_catalog import (
    REGIONS,
    STREETS,
    encoder_for,
    ground_m_of,
    load_map_encoder,
    load_map_student,
    student_fingerprint,
)
from placeprint.encoders.map_files import MapFiles


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_maps(tmp_path_factory.mktemp("maps"))


def test_files_are_loaded(folder: Path) -> None:
    encoder = load_map_encoder(folder / "encoder.safetensors")
    assert encoder.fingerprint == map_encoder().fingerprint
    student = load_map_student(str(folder / "student.safetensors"))
    assert ground_m_of(student) == GROUND_M
    assert student_fingerprint(student).id == student_fingerprint(student_of(encoder)).id
    with pytest.raises(WeightsUnavailable):
        load_map_encoder(folder / "student.safetensors")
    with pytest.raises(UnknownEncoder, match="placeprint-streets-v1"):
        load_map_encoder("mine")


def test_the_width_of_crops_is_told_by_a_students_card() -> None:
    student = student_of(map_encoder())
    student.card = {"block_km": 2.4, "settings": {"block": 3.0}}
    assert ground_m_of(student) == 800.0
    student.card = {}
    assert ground_m_of(student) == map_catalog.DEFAULT_GROUND_M


def test_shipped_ones_are_named_where_they_are_missing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_catalog, "_HERE", tmp_path)
    with pytest.raises(WeightsUnavailable, match="placeprint-streets-v1: this package came without"):
        load_map_encoder(STREETS)
    with pytest.raises(WeightsUnavailable, match="placeprint-regions-location-v1: this package came without"):
        load_map_student()
    (tmp_path / f"{REGIONS}.safetensors").write_bytes((folder / "encoder.safetensors").read_bytes())
    assert load_map_encoder(REGIONS).name == "city"


def test_a_map_is_looked_at_by_what_knows_its_scale() -> None:
    assert [encoder_for(zoom) for zoom in (8, 12, 13, 17)] == [REGIONS, REGIONS, STREETS, STREETS]


def test_maps_know_where_they_have_data(folder: Path) -> None:
    maps = MapFiles.open([folder / "city.tif"])
    rim = maps.boxes[0].west
    asked = np.array([CENTER, (rim, CENTER[1]), (rim - 0.0015, CENTER[1]), (100.0, 0.0)])
    assert maps.knows(asked, ground_m=GROUND_M).tolist()[::3] == [True, False]
    assert maps.knows(asked, ground_m=GROUND_M, least_known=0.9).tolist() == [True, False, False, False]
    assert maps.credit == ("a drawn city",) and maps.facts[0]["date"] == "2026-01-01"
    with pytest.raises(InvalidOption, match="--mosaic FILE"):
        MapFiles.open([])
    with pytest.raises(UnreadableSource):
        MapFiles.open([folder / "encoder.safetensors"])
