"""The map encoder as a file, and its coordinate-only student.

Claims: a saved encoder gives the same bits; crops do not depend on their batch; turning a place by a
quarter changes nothing; another legend, colors and damage are named; the student learns, its held-out
errors come by distance, and it loads like every location encoder.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from map_fakes import Country, places_of

from placeprint.encoders.errors import InvalidCoordinate, InvalidOption, TooFewPairs, WeightsUnavailable
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.map_learning.distill import DistillRun, distill, student_for
from placeprint.encoders.map_learning.encoder import MapEncoder, MapEncoderConfig
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors

CONFIG = MapEncoderConfig(dimension=16, ground_m=600.0, px=32)


@pytest.fixture
def encoder() -> MapEncoder:
    torch.manual_seed(0)
    return MapEncoder(CONFIG, name="country", card={"licence": "CC0"})


def crops_of(n: int = 6) -> np.ndarray:
    return Country().crops(places_of(n), ground_m=600.0, px=32)


def test_embeddings_are_of_unit_length_and_each_crop_stands_alone(encoder: MapEncoder) -> None:
    crops = crops_of()
    found = encoder.embed(crops)
    assert found.dtype == np.float32 and found.shape == (6, 16)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(encoder.embed(crops[::-1], batch_size=2)[::-1], found, atol=1e-5)
    assert encoder.embed(crops[:0]).shape == (0, 16)


def test_a_place_turned_by_a_quarter_is_the_same_place(encoder: MapEncoder) -> None:
    class Turned(Country):
        def crops(
            self, lonlat: np.ndarray, *, ground_m: float, angle_rad: float = 0.0, px: int
        ) -> np.ndarray:
            return super().crops(lonlat, ground_m=ground_m, angle_rad=angle_rad + np.pi / 2, px=px)

    lonlat = places_of(5)
    found = encoder.embed_places(Country(), lonlat)
    turned = encoder.embed_places(Turned(), lonlat)
    np.testing.assert_allclose((found * turned).sum(1), 1.0, atol=1e-4)
    once = encoder.embed_places(Country(), lonlat, n_rotations=1)
    assert ((once * encoder.embed_places(Turned(), lonlat, n_rotations=1)).sum(1) < 0.9999).any()
    np.testing.assert_allclose(once, encoder.embed(Country().crops(lonlat, ground_m=600.0, px=32)), atol=1e-5)


def test_a_saved_encoder_is_the_same(encoder: MapEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "map.safetensors")
    loaded = MapEncoder.load(tmp_path / "map.safetensors")
    assert loaded.fingerprint == encoder.fingerprint and loaded.card == {"licence": "CC0"}
    assert np.array_equal(loaded.embed(crops_of()), encoder.embed(crops_of()))


def test_the_fingerprint_speaks_of_weights_and_of_the_way_of_looking(encoder: MapEncoder) -> None:
    ours = encoder.fingerprint.id
    wider = MapEncoder(replace(CONFIG, ground_m=700.0), network=encoder.network)
    assert wider.fingerprint.id != ours
    assert MapEncoder(CONFIG, name="another name", network=encoder.network).fingerprint.id == ours
    with torch.no_grad():
        next(encoder.network.parameters()).mul_(1.001)
    assert encoder.fingerprint.id != ours


@pytest.mark.parametrize(
    ("crops", "match"),
    [
        (np.zeros((2, 32, 32, 3), np.uint8), "class ids"),
        (np.zeros((2, 32, 32), np.float32), "float32"),
        (np.zeros((2, 40, 40), np.uint8), "multiple of 16"),
        (np.full((2, 32, 32), 200, np.uint8), "are these colors"),
    ],
)
def test_what_is_no_crop_is_named(encoder: MapEncoder, crops: np.ndarray, match: str) -> None:
    with pytest.raises(InvalidOption, match=match):
        encoder.embed(crops)


def test_places_are_checked(encoder: MapEncoder) -> None:
    with pytest.raises(InvalidCoordinate):
        encoder.embed_places(Country(), [[9.5, 91.0]])


def test_foreign_and_damaged_files_are_named(encoder: MapEncoder, tmp_path: Path) -> None:
    path = tmp_path / "map.safetensors"
    encoder.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:200])
    with pytest.raises(WeightsUnavailable, match="damaged"):
        MapEncoder.load(path)
    with pytest.raises(WeightsUnavailable, match="no such file"):
        MapEncoder.load(tmp_path / "none.safetensors")
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}))
    with pytest.raises(WeightsUnavailable, match="not the file of a map encoder"):
        MapEncoder.load(path)
    about = {"format": "placeprint-map-encoder", "version": 1, "name": "x", "card": {}}
    for config, match in (
        ({"legend_version": 99}, "version 99 of the map legend"),
        ({"network": "huge"}, "another version"),
        ({"dimension": 8}, "do not fit"),
    ):
        text = json.dumps({**about, "config": config})
        path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}, {"placeprint": text}))
        with pytest.raises(WeightsUnavailable, match=match):
            MapEncoder.load(path)
    with pytest.raises(InvalidOption, match="JSON"):
        MapEncoder(CONFIG, card={"x": object()}).save(path)


# --- the student ----------------------------------------------------------------------------------

RUN = DistillRun(epochs=30, hidden=64, batch_size=64)


def smooth(lonlat: np.ndarray, scale_deg: float = 0.05) -> np.ndarray:
    """Embeddings that change over some kilometers, (N, 6), unit length."""
    x = (lonlat - 9.0) / scale_deg
    raw = np.stack([np.sin(x[:, 0]), np.cos(x[:, 0]), np.sin(x[:, 1]), np.cos(x[:, 1]), x[:, 0] * 0 + 0.3], 1)
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def test_the_student_learns_and_its_errors_grow_with_the_distance(tmp_path: Path) -> None:
    lonlat = places_of(1500)
    student, report = distill(lonlat, smooth(lonlat), RUN, ground_m=800.0, card={"licence": "CC0"})
    held = report["held_out"]
    assert held["places"] > 200
    assert held["student"] < 0.5 * held["mean"]
    assert report["training_loss"] < held["student"]
    rings = report["rings"]
    assert sum(ring["places"] for ring in rings) == held["places"]
    assert rings[0]["student"] < rings[-1]["student"]
    total = sum(ring["places"] * ring["nearest_place"] for ring in rings) / held["places"]
    assert total == pytest.approx(held["nearest_place"])
    student.save(tmp_path / "student.safetensors")
    loaded = load_location_encoder(str(tmp_path / "student.safetensors"))
    assert np.array_equal(loaded.encode(lonlat[:9]), student.encode(lonlat[:9]))
    assert loaded.fingerprint == student.fingerprint


def test_distillation_is_deterministic_and_leaves_the_generator_alone() -> None:
    lonlat = places_of(300)
    run = replace(RUN, epochs=2)
    torch.manual_seed(1)
    first, report = distill(lonlat, smooth(lonlat), run, ground_m=800.0)
    after = torch.rand(1)
    second, again = distill(lonlat, smooth(lonlat), run, ground_m=800.0)
    assert first.fingerprint == second.fingerprint and report == again
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)


def test_the_student_has_no_seam_at_the_antimeridian_and_one_value_at_a_pole() -> None:
    student = student_for(8, DistillRun(hidden=32), ground_m=800.0).eval()
    west, east = student.encode([[179.999999, -16.8], [-179.999999, -16.8]])  # 0.2 m apart
    far = student.encode([[179.9, -16.8]])[0]
    assert np.abs(west - east).max() < 0.02 * np.abs(west - far).max()
    poles = student.encode([[0.0, 90.0], [123.0, 90.0]])
    np.testing.assert_allclose(poles[0], poles[1], atol=1e-4)


def test_a_student_of_the_whole_world_works_too(rng: np.random.Generator) -> None:
    lonlat = uniform_on_sphere(600, rng)
    wanted = unit_vectors(lonlat).astype(np.float32)
    _, report = distill(lonlat, wanted, replace(RUN, finest=2.0), ground_m=500_000.0)
    assert report["held_out"]["student"] < 0.3 * report["held_out"]["mean"]


def test_what_cannot_be_distilled_is_named() -> None:
    lonlat = places_of(50)
    with pytest.raises(InvalidOption, match="49"):
        distill(lonlat[:49], smooth(lonlat), RUN, ground_m=800.0)
    with pytest.raises(TooFewPairs):
        distill(lonlat[:1], smooth(lonlat[:1]), RUN, ground_m=800.0)
    with pytest.raises(TooFewPairs, match="separate region"):
        distill(lonlat, smooth(lonlat), RUN, ground_m=5_000_000.0)
    with pytest.raises(InvalidOption, match="epochs"):
        DistillRun(epochs=0)
