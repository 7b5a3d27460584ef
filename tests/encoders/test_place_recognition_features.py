"""Local features: what the layer gives, at any input size, of any backbone, which stays as it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from place_recognition_fakes import CLIP, CONV, VIT, load_backbone, look, write_weights

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.image import OpenClipEncoder, TimmEncoder
from placeprint.encoders.place_recognition.local_features import LocalFeatures, resampled_positions

Encoder = TimmEncoder | OpenClipEncoder


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Encoder]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: load_backbone(name, write_weights(name, folder)) for name in (CONV, VIT, CLIP)}


PIXELS = np.stack([look(place, 0, px=64) for place in range(3)])


@pytest.mark.parametrize(("name", "size", "channels", "grid"), [
    (CONV, 64, None, (2, 2)), (CONV, 96, None, (3, 3)), (VIT, 64, 64, (4, 4)), (VIT, 96, 64, (6, 6)),
    (CLIP, 64, 384, (2, 2)), (CLIP, 96, 384, (3, 3)),
])  # fmt: skip
def test_every_backbone_gives_a_grid_at_any_size(
    backbones: dict[str, Encoder], name: str, size: int, channels: int | None, grid: tuple[int, int]
) -> None:
    features = LocalFeatures(backbones[name], size=size)
    found = features.of_pixels(np.stack([look(place, 0, px=size) for place in range(2)]))
    assert found.dtype == np.float32
    assert found.shape == (2, features.channels, *features.grid)
    assert features.grid == grid and features.channels == (channels or features.channels)
    assert not np.allclose(found[0], found[1])


def test_a_layer_of_a_convolutional_network_is_that_stage(backbones: dict[str, Encoder]) -> None:
    model = backbones[CONV].backbone.module
    with torch.inference_mode():
        images = backbones[CONV].backbone.standardize(PIXELS)
        stem = model.maxpool(model.act1(model.bn1(model.conv1(images))))  # type: ignore[operator]
        expected = model.layer2(model.layer1(stem))  # type: ignore[operator]
    found = LocalFeatures(backbones[CONV], layer=2, size=64)
    np.testing.assert_allclose(found.of_pixels(PIXELS), expected, atol=1e-5)
    from_the_end = LocalFeatures(backbones[CONV], layer=2 - found.n_layers, size=64)
    assert from_the_end.layer == 2
    np.testing.assert_array_equal(from_the_end.of_pixels(PIXELS), found.of_pixels(PIXELS))


def test_the_last_layer_of_a_transformer_is_what_its_head_sees(backbones: dict[str, Encoder]) -> None:
    size = backbones[VIT].preprocessing.size
    pixels = np.stack([look(place, 0, px=size) for place in range(2)])
    model = backbones[VIT].backbone.module
    with torch.inference_mode():
        tokens = model.forward_features(backbones[VIT].backbone.standardize(pixels))[:, -100:]  # type: ignore[operator]
    found = LocalFeatures(backbones[VIT]).of_pixels(pixels)
    np.testing.assert_allclose(found.reshape(2, found.shape[1], -1), tokens.transpose(1, 2), atol=1e-5)
    raw = LocalFeatures(backbones[VIT], layer=0).of_pixels(pixels)
    assert np.abs(raw).max() != pytest.approx(np.abs(found).max(), rel=1e-3)


def test_patches_of_open_clip_stand_where_they_are_in_the_photo(backbones: dict[str, Encoder]) -> None:
    features = LocalFeatures(backbones[CLIP], layer=0, size=96)
    black, lit = np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, 96, 96, 3), np.uint8)
    lit[:, 32:64, 64:96] = 255  # the patch in row 1, column 2
    change = np.abs(features.of_pixels(lit) - features.of_pixels(black)).sum(axis=1)[0]
    assert np.unravel_index(change.argmax(), change.shape) == (1, 2)


def test_a_batch_reads_as_its_photos_do(backbones: dict[str, Encoder]) -> None:
    for encoder in backbones.values():
        features = LocalFeatures(encoder, size=64)
        alone = np.concatenate([features.of_pixels(one[None]) for one in PIXELS])
        np.testing.assert_allclose(features.of_pixels(PIXELS), alone, atol=1e-5)


def test_the_encoder_stays_as_it_was(backbones: dict[str, Encoder]) -> None:
    for encoder in backbones.values():
        size = encoder.preprocessing.size
        pixels = look(0, 0, px=size)[None]
        before = encoder.embed_pixels(pixels)
        features = LocalFeatures(encoder, size=96)
        with torch.no_grad():
            next(features.network.parameters()).zero_()
        np.testing.assert_array_equal(encoder.embed_pixels(pixels), before)


def test_pictures_keep_their_proportions_in_a_convolutional_network(backbones: dict[str, Encoder]) -> None:
    wide = np.zeros((1, 64, 128, 3), np.uint8)
    assert LocalFeatures(backbones[CONV], layer=-1, size=64).of_pixels(wide).shape[2:] == (2, 4)


@pytest.mark.parametrize("name", [VIT, CLIP])
def test_a_transformer_takes_the_size_it_was_set_to(backbones: dict[str, Encoder], name: str) -> None:
    with pytest.raises(InvalidOption, match=r"pictures of 128 × 64 pixels: .* was set to 64 × 64"):
        LocalFeatures(backbones[name], size=64).of_pixels(np.zeros((1, 64, 128, 3), np.uint8))


def test_training_leaves_running_statistics_alone(backbones: dict[str, Encoder]) -> None:
    features = LocalFeatures(backbones[CONV], size=64).train()
    before = features.of_pixels(PIXELS)
    features(torch.randn(4, 3, 64, 64))
    np.testing.assert_array_equal(features.of_pixels(PIXELS), before)


def test_blocks_are_named_in_order_up_to_the_layer(backbones: dict[str, Encoder]) -> None:
    assert LocalFeatures(backbones[CONV], layer=2, size=64).block_names() == ["layer1.", "layer2."]
    blocks = LocalFeatures(backbones[VIT], layer=1, size=64).block_names()
    assert blocks == ["blocks.0.", "blocks.1."]
    clip = LocalFeatures(backbones[CLIP], layer=2, size=64).block_names()
    assert clip == [f"transformer.resblocks.{number}." for number in range(3)]


def test_positions_move_to_another_grid_and_tokens_stay() -> None:
    east = torch.arange(8.0).repeat(8, 1).reshape(-1, 1)  # a ramp along the rows
    positions = torch.cat([torch.full((1, 1), 77.0), east])
    assert resampled_positions(positions, (8, 8), (8, 8)) is positions
    found = resampled_positions(positions, (8, 8), (4, 16))
    assert found.shape == (65, 1) and found[0] == 77.0
    rows = found[1:].reshape(4, 16)
    np.testing.assert_allclose(rows, rows[:1].expand(4, -1), atol=1e-5)
    np.testing.assert_allclose(rows[0, 4:12], (np.arange(4, 12) + 0.5) / 2 - 0.5, atol=0.05)


@pytest.mark.parametrize(("name", "options", "says"), [
    (CONV, {"layer": 9}, "has 5 layers, 0 to 4"), (CONV, {"layer": -6}, "-5 to -1"),
    (CLIP, {"size": 100}, "patches of 32 × 32 pixels; take a multiple, such as 96"),
    (VIT, {"size": 100}, "size=100"),
])  # fmt: skip
def test_what_a_backbone_cannot_do_is_said(
    backbones: dict[str, Encoder], name: str, options: dict[str, int], says: str
) -> None:
    with pytest.raises(InvalidOption, match=says):
        LocalFeatures(backbones[name], **options)  # type: ignore[arg-type]


def test_an_encoder_without_layers_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="demonstration: its layers cannot be read"):
        LocalFeatures(load_encoder("demonstration"))  # type: ignore[arg-type]
