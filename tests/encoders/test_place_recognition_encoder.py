"""Place encoders: an `ImageEncoder` like any other, in one file, with the backbone it was made with."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from place_recognition_fakes import CLIP, CONV, load_backbone, look, write_weights

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import (
    FingerprintMismatch,
    InvalidOption,
    NoTextTower,
    UninitializedVocabulary,
    WeightsUnavailable,
)
from placeprint.encoders.image import ImageEncoder, embed_images
from placeprint.encoders.netvlad import NetVLAD, sample_descriptors
from placeprint.encoders.place_recognition.encoder import PlaceConfig, PlaceEncoder
from placeprint.encoders.place_recognition.whitening import Whitening

CONFIG = PlaceConfig(layer=2, size=64, options={"n_centers": 4, "form": "v2"})
PIXELS = np.stack([look(place, 0) for place in range(12)])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(CONV, tmp_path_factory.mktemp("weights"))


def made(weights: Path, config: PlaceConfig = CONFIG, *, dimension: int | None = 8) -> PlaceEncoder:
    encoder = PlaceEncoder(config, load_backbone(CONV, weights), name="town", card={"licence": "none"})
    if isinstance(encoder.aggregator, NetVLAD):
        encoder.aggregator.fit(sample_descriptors(encoder.local_features(PIXELS), seed=0))
    if dimension is not None:
        encoder.whitening = Whitening.fit(encoder.embed_pixels(PIXELS), dimension=dimension)
    return encoder


@pytest.fixture(scope="module")
def encoder(weights: Path) -> PlaceEncoder:
    return made(weights)


def test_it_is_an_image_encoder(encoder: PlaceEncoder) -> None:
    as_any: ImageEncoder = encoder
    found = embed_images(as_any, list(PIXELS[:3]))
    assert found.shape == (3, 8) == (3, encoder.fingerprint.dimension) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    with pytest.raises(NoTextTower, match="open_clip"):
        as_any.embed_texts(["a church"])


def test_a_batch_embeds_as_its_photos_do(encoder: PlaceEncoder) -> None:
    alone = np.concatenate([encoder.embed_pixels(one[None]) for one in PIXELS])
    np.testing.assert_allclose(encoder.embed_pixels(PIXELS), alone, atol=1e-5)


def test_embedding_is_local_features_aggregated_and_whitened(encoder: PlaceEncoder) -> None:
    features = torch.from_numpy(encoder.local_features(PIXELS))
    assert features.shape[:2] == (12, encoder.features.channels)
    assert encoder.whitening is not None
    with torch.no_grad():
        expected = encoder.whitening(encoder.aggregator(features))
    np.testing.assert_allclose(encoder.embed_pixels(PIXELS), expected, atol=1e-6)
    np.testing.assert_array_equal(encoder.aggregate(features), encoder.embed_pixels(PIXELS))


def test_all_of_a_photo_is_seen_or_its_middle(weights: Path) -> None:
    wide = np.zeros((64, 256, 3), np.uint8)
    wide[:, :60] = 255  # only at the rim
    squash, _ = made(weights, dimension=None).preprocessing.read(wide)
    middle, _ = made(weights, replace(CONFIG, resize="shortest"), dimension=None).preprocessing.read(wide)
    assert squash.shape == middle.shape == (64, 64, 3)
    assert squash.max() > 250 and middle.max() == 0


def test_a_file_gives_the_same_encoder(encoder: PlaceEncoder, weights: Path, tmp_path: Path) -> None:
    encoder.save(tmp_path / "town.safetensors")
    name = f"place:{tmp_path / 'town.safetensors'}"
    again = load_encoder(name, weights=weights)
    np.testing.assert_array_equal(again.embed_pixels(PIXELS), encoder.embed_pixels(PIXELS))
    assert again.fingerprint == replace(encoder.fingerprint, name=name)
    assert again.preprocessing == encoder.preprocessing
    assert isinstance(again, PlaceEncoder) and again.card == {"licence": "none"}


def test_the_fingerprint_follows_all_that_makes_an_embedding(weights: Path, tmp_path: Path) -> None:
    backbone = write_weights(CONV, tmp_path, seed=2)
    encoders = [
        made(weights), made(weights, replace(CONFIG, layer=1)), made(weights, replace(CONFIG, size=96)),
        made(weights, replace(CONFIG, resize="shortest")), made(weights, dimension=7), made(backbone),
        made(weights, replace(CONFIG, options={"n_centers": 3, "form": "v2"})),
        made(weights, PlaceConfig(layer=2, size=64, aggregation="gem", options={"p": 2.0})),
        made(weights, PlaceConfig(layer=2, size=64, aggregation="gem", options={"p": 3.0})),
    ]  # fmt: skip
    assert len({encoder.fingerprint.id for encoder in encoders}) == len(encoders)
    assert made(weights).fingerprint == encoders[0].fingerprint
    counted_from_the_end = made(weights, replace(CONFIG, layer=2 - encoders[0].features.n_layers))
    assert counted_from_the_end.fingerprint == encoders[0].fingerprint


def test_other_weights_of_the_backbone_are_refused(encoder: PlaceEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "town.safetensors")
    other = write_weights(CONV, tmp_path, seed=2)
    with pytest.raises(FingerprintMismatch, match=r"would give other embeddings\. Pass the file of then"):
        PlaceEncoder.load(tmp_path / "town.safetensors", weights=other)
    with pytest.raises(WeightsUnavailable, match="--weights"):
        load_encoder(f"place:{tmp_path / 'town.safetensors'}")


def test_trained_blocks_of_the_backbone_are_in_the_file_and_others_are_not(
    weights: Path, tmp_path: Path
) -> None:
    encoder = made(weights)
    untouched = encoder.fingerprint.id
    encoder.tuned = ("layer2.",)
    with torch.no_grad():
        for name, one in encoder.features.network.named_parameters():
            if name.startswith("layer2."):
                one.mul_(1.1)
    encoder.save(tmp_path / "town.safetensors")
    held = safetensors.torch.load_file(tmp_path / "town.safetensors")
    assert {name.split(".")[1] for name in held if name.startswith("backbone.")} == {"layer2"}
    again = PlaceEncoder.load(tmp_path / "town.safetensors", weights=weights)
    np.testing.assert_array_equal(again.embed_pixels(PIXELS), encoder.embed_pixels(PIXELS))
    assert again.fingerprint == encoder.fingerprint and again.fingerprint.id != untouched


def test_the_file_holds_no_weights_of_an_untrained_backbone(encoder: PlaceEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "town.safetensors")
    assert not any(
        name.startswith("backbone") for name in safetensors.torch.load_file(tmp_path / "town.safetensors")
    )


def test_open_clip_is_a_backbone_too(tmp_path: Path) -> None:
    weights = write_weights(CLIP, tmp_path)
    encoder = PlaceEncoder(PlaceConfig(size=64, aggregation="mean"), load_backbone(CLIP, weights))
    encoder.save(tmp_path / "clip.safetensors")
    again = PlaceEncoder.load(tmp_path / "clip.safetensors", weights=weights)
    np.testing.assert_array_equal(again.embed_pixels(PIXELS), encoder.embed_pixels(PIXELS))


def test_an_unfitted_vocabulary_embeds_nothing(weights: Path) -> None:
    encoder = PlaceEncoder(CONFIG, load_backbone(CONV, weights))
    with pytest.raises(UninitializedVocabulary):
        encoder.embed_pixels(PIXELS)


def test_a_card_must_be_json(encoder: PlaceEncoder, weights: Path, tmp_path: Path) -> None:
    odd = made(weights)
    odd.card = {"figure": float("nan")}
    with pytest.raises(InvalidOption, match="must be JSON"):
        odd.save(tmp_path / "town.safetensors")


def edited(path: Path, change: dict[str, object], drop: str = "") -> None:
    with safetensors.safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["placeprint"]) | change
        tensors = {name: file.get_tensor(name) for name in file.keys() if name != drop}
    safetensors.torch.save_file(tensors, path, {"placeprint": json.dumps(about)})


@pytest.mark.parametrize(("change", "drop", "says"), [
    ({"format": "other"}, "", "holds 'other'"), ({"version": 2}, "", "version 2"),
    ({"whitening": "0" * 64}, "", "checksum"), ({}, "aggregator.centers", "do not fit"),
    ({"config": {"depth": 3}}, "", "do not fit"), ({"config": {"layer": 99}}, "", "do not fit.*has 5 layers"),
])  # fmt: skip
def test_a_damaged_file_is_named(
    encoder: PlaceEncoder, weights: Path, tmp_path: Path, change: dict[str, object], drop: str, says: str
) -> None:
    path = tmp_path / "town.safetensors"
    encoder.save(path)
    edited(path, change, drop)
    with pytest.raises(WeightsUnavailable, match=says):
        PlaceEncoder.load(path, weights=weights)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="no such file"):
        load_encoder(f"place:{tmp_path / 'none.safetensors'}")
