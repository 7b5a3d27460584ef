"""A model that can be trained: which there are, what it embeds, what it writes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from caption_fakes import NAME, colored, tiny_model, tiny_weights, towns

from placeprint.encoders.captioning.model import CaptionModel
from placeprint.encoders.captioning.tuning import choose_weights
from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import InvalidOption, NoTextTower, UnknownEncoder, WeightsUnavailable


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [("demonstration", InvalidOption, "can learn no other"), ("timm:resnet18", NoTextTower, "pictures only"),
     ("nothing", UnknownEncoder, "clip-b32-256"), ("open_clip:", UnknownEncoder, "no model"),
     ("open_clip:ViT-Z", UnknownEncoder, "no model 'ViT-Z'")],
)  # fmt: skip
def test_models_that_cannot_be_trained_are_named(name: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        CaptionModel(name)


def test_an_accelerator_that_is_not_there_is_named(tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path)
    for device in ("no such thing", "cuda:99"):
        with pytest.raises(InvalidOption, match="try cpu"):
            CaptionModel(NAME, weights, device=device)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path)
    with pytest.raises(WeightsUnavailable, match="does not fit"):
        CaptionModel("open_clip:ViT-S-32-alt", weights)


def test_it_embeds_as_the_catalog_does(tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path)
    model, encoder = CaptionModel(NAME, weights), load_encoder(NAME, weights=weights)
    pixels, texts = colored(towns(150)), ["Picture in Fiji.", "A street in the Netherlands."]
    np.testing.assert_allclose(model.embed_all_pixels(pixels), encoder.embed_pixels(pixels), atol=2e-6)
    np.testing.assert_allclose(model.embed_texts(texts), encoder.embed_texts(texts), atol=2e-6)
    assert model.base == encoder.fingerprint.id


@pytest.mark.parametrize("tune", ["all", "lora"])
def test_what_it_writes_is_an_encoder_of_the_catalog(tmp_path: Path, tune: str) -> None:
    model = tiny_model(tmp_path)
    weights = choose_weights(model.network, tune, rank=2, alpha=4.0)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in weights.values():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    pixels = colored(towns(5))
    expected, texts = model.embed_all_pixels(pixels), model.embed_texts(["Picture in Peru."])
    model.save(tmp_path / "encoder.safetensors", {"made": "up"})
    loaded = load_encoder(NAME, weights=tmp_path / "encoder.safetensors")
    np.testing.assert_allclose(loaded.embed_pixels(pixels), expected, atol=1e-5)
    np.testing.assert_allclose(loaded.embed_texts(["Picture in Peru."]), texts, atol=1e-5)
    assert loaded.fingerprint.id != model.base
