"""Encoders: unit vectors, whatever the batch; an identity that changes with the weights; clear refusals."""

import dataclasses
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import safetensors.torch
import timm
import torch

from placeprint.encoders import weights as weights_module
from placeprint.encoders.catalog import CARDS, DEFAULT, EncoderCard, load_encoder
from placeprint.encoders.demonstration import WEIGHTS
from placeprint.encoders.errors import (
    InvalidOption,
    NoTextTower,
    UnknownEncoder,
    UnreadableImage,
    WeightsUnavailable,
)
from placeprint.encoders.image import ImageEncoder, embed_images

TIMM = "timm:resnet18?mean=0.5&std=0.5&crop=1"
CLIP = "open_clip:ViT-S-32-alt"


@pytest.fixture(scope="module")
def weight_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained weights of one model for each backend, as local files."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    models = {
        TIMM: timm.create_model("resnet18", pretrained=False),
        CLIP: weights_module._untrained("ViT-S-32-alt", {}),
    }
    for name, model in models.items():
        safetensors.torch.save_file(model.state_dict(), folder / f"{name[:4]}.safetensors")
    return {name: folder / f"{name[:4]}.safetensors" for name in models}


@pytest.fixture(scope="module", params=[TIMM, CLIP, "demonstration"])
def any_encoder(request: pytest.FixtureRequest, weight_files: dict[str, Path]) -> ImageEncoder:
    return load_encoder(request.param, weights=weight_files.get(request.param))


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [rng.integers(0, 255, (40 + 9 * i, 64, 3), dtype=np.uint8) for i in range(5)]


def test_embeddings_are_unit_float32(any_encoder: ImageEncoder, pictures: list[np.ndarray]) -> None:
    embeddings = embed_images(any_encoder, pictures)
    assert embeddings.dtype == np.float32
    assert embeddings.shape == (5, any_encoder.fingerprint.dimension)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, atol=1e-6)


def test_the_answer_is_the_same_alone_in_a_batch_and_in_any_order(
    any_encoder: ImageEncoder, pictures: list[np.ndarray]
) -> None:
    together = embed_images(any_encoder, pictures)
    backwards = embed_images(any_encoder, pictures[::-1], batch_size=2)[::-1]
    alone = np.concatenate([embed_images(any_encoder, [picture]) for picture in pictures])
    np.testing.assert_allclose(backwards, together, atol=2e-6)
    np.testing.assert_allclose(alone, together, atol=2e-6)


def test_different_pictures_differ(any_encoder: ImageEncoder) -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    first, second = embed_images(any_encoder, [black, white])
    assert float(first @ second) < 0.999


def test_no_pictures_give_no_embeddings(any_encoder: ImageEncoder) -> None:
    assert embed_images(any_encoder, []).shape == (0, any_encoder.fingerprint.dimension)


def test_open_clip_is_embedded_as_open_clip_does(
    weight_files: dict[str, Path], pictures: list[np.ndarray]
) -> None:
    from PIL import Image

    model = weights_module.open_clip_model("ViT-S-32-alt", "", weight_files[CLIP]).eval()
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
    )
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(picture)) for picture in pictures])
        expected = torch.nn.functional.normalize(model.encode_image(batch), dim=-1).numpy()
    ours = embed_images(load_encoder(CLIP, weights=weight_files[CLIP]), pictures)
    assert (ours * expected).sum(axis=1).min() > 0.9999


def test_open_clip_embeds_texts_as_open_clip_does(weight_files: dict[str, Path]) -> None:
    texts = ["a red brick church", "a beach"]
    model = weights_module.open_clip_model("ViT-S-32-alt", "", weight_files[CLIP]).eval()
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(
            model.encode_text(open_clip.get_tokenizer("ViT-S-32-alt")(texts)), dim=-1
        ).numpy()
    ours = load_encoder(CLIP, weights=weight_files[CLIP]).embed_texts(texts)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_the_fingerprint_follows_weights_and_preprocessing(weight_files: dict[str, Path]) -> None:
    first = load_encoder(TIMM, weights=weight_files[TIMM]).fingerprint
    again = load_encoder(TIMM, weights=weight_files[TIMM]).fingerprint
    other_scale = load_encoder(
        "timm:resnet18?mean=0.4&std=0.5&crop=1", weights=weight_files[TIMM]
    ).fingerprint
    state = safetensors.torch.load_file(weight_files[TIMM])
    state["conv1.weight"][0, 0, 0, 0] += 1e-3
    altered = weight_files[TIMM].with_name("altered.safetensors")
    safetensors.torch.save_file(state, altered)
    other_weights = load_encoder(TIMM, weights=altered).fingerprint
    assert first == again
    other_layer = load_encoder(f"{TIMM}&act_layer=gelu", weights=weight_files[TIMM]).fingerprint
    assert len({first.id, other_scale.id, other_weights.id, other_layer.id}) == 4


def test_bf16_tells_nearly_the_same_and_is_another_encoder(
    weight_files: dict[str, Path], pictures: list[np.ndarray]
) -> None:
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no instructions for bf16")
    plain = load_encoder(CLIP, weights=weight_files[CLIP])
    half = load_encoder(f"{CLIP}?precision=bf16", weights=weight_files[CLIP])
    found, expected = embed_images(half, pictures), embed_images(plain, pictures)
    assert found.dtype == np.float32
    assert 0.999 < (found * expected).sum(axis=1).min() < 1.0 - 1e-7  # rounded, and no more than that
    np.testing.assert_array_equal(half.embed_texts(["a church"]), plain.embed_texts(["a church"]))
    assert half.fingerprint.id != plain.fingerprint.id
    assert load_encoder(f"{CLIP}?precision=fp32", weights=weight_files[CLIP]).fingerprint.id == (
        plain.fingerprint.id
    )


def test_a_processor_without_bf16_refuses_it(
    weight_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    with pytest.raises(InvalidOption, match="no instructions for bf16"):
        load_encoder(f"{CLIP}?precision=bf16", weights=weight_files[CLIP])


@pytest.mark.gpu
@pytest.mark.parametrize("name", [CLIP, TIMM, f"{CLIP}?precision=bf16"])
def test_a_gpu_gives_the_same(name: str, weight_files: dict[str, Path], pictures: list[np.ndarray]) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    weights = weight_files[name.partition("?precision")[0]]
    here: ImageEncoder = load_encoder(name, weights=weights)
    there = load_encoder(name, weights=weights, device="cuda")
    assert there.fingerprint == here.fingerprint
    found, expected = embed_images(there, pictures), embed_images(here, pictures)
    assert (found * expected).sum(axis=1).min() > (0.999 if "bf16" in name else 0.9999)
    if name == CLIP:
        np.testing.assert_allclose(there.embed_texts(["a church"]), here.embed_texts(["a church"]), atol=1e-4)


def test_the_fingerprint_does_not_follow_the_name() -> None:
    fingerprint = load_encoder("demonstration").fingerprint
    assert dataclasses.replace(fingerprint, name="another").id == fingerprint.id


def test_a_timm_model_has_no_text_tower(weight_files: dict[str, Path]) -> None:
    with pytest.raises(NoTextTower, match="open_clip"):
        load_encoder(TIMM, weights=weight_files[TIMM]).embed_texts(["a church"])


@pytest.mark.parametrize(
    "name, error, says",
    [
        ("nothing", UnknownEncoder, "demonstration"),
        ("open_clip:NoModel/x", UnknownEncoder, "no model 'NoModel'"),
        ("open_clip:RN50/nowhere", UnknownEncoder, "weights openai"),
        ("open_clip:RN50/openai?precision=int8", InvalidOption, "int8 is not fp32 or bf16"),
        ("demonstration?precision=bf16", UnknownEncoder, "no encoder 'demonstration"),
        ("timm:no_model", UnknownEncoder, "no model 'no_model'"),
        ("timm:resnet18", WeightsUnavailable, "--weights"),
        ("timm:resnet18?checkpoint_path=x.pth", InvalidOption, "checkpoint_path is not taken"),
        ("timm:resnet18?pretrained_cfg_overlay=x", InvalidOption, "is not taken; there are act_layer"),
        ("timm:resnet18?pretrained=true", InvalidOption, "is not taken"),
        ("timm:resnet18?act_layer=nonsense", InvalidOption, "is refused"),
        ("timm:resnet18?crop=all", InvalidOption, "crop=all is no number"),
        ("timm:resnet18?std=0", InvalidOption, "divides"),
    ],
)
def test_what_cannot_be_loaded_says_what_can(name: str, error: type[Exception], says: str) -> None:
    weights = WEIGHTS if "?" in name else None  # the options are looked at before the weights
    with pytest.raises(error, match=says):
        load_encoder(name, weights=weights)


def test_without_a_network_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network() -> object:
        raise OSError("no network")

    monkeypatch.setattr(weights_module, "_cached", lambda config: None)
    monkeypatch.setattr(weights_module.huggingface_hub, "get_session", no_network)
    with pytest.raises(WeightsUnavailable, match=r"--weights FILE.*demonstration"):
        load_encoder(DEFAULT)


def test_only_safetensors_are_taken_from_the_hub_and_its_cache(
    weight_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, asked, missing = weights_module.huggingface_hub, [], {"open_clip_model.safetensors"}

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if name in missing:
            raise hub.errors.EntryNotFoundError("not there")
        return str(weight_files[CLIP])

    def cached(repository: str, name: str) -> str | None:  # where only a pickle was ever left
        return None if name.endswith(".safetensors") else str(weight_files[CLIP])

    def config(model: str, tag: str) -> dict[str, str]:
        return {"hf_hub": "someone/their-model/epoch_7.pt"}

    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.setattr(hub, "try_to_load_from_cache", cached)
    monkeypatch.setattr(weights_module, "_require_network", lambda *args: None)
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda model: ["theirs"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", config)
    weights_module.open_clip_model("ViT-S-32-alt", "theirs", None)
    assert asked == [
        ("someone/their-model", "open_clip_model.safetensors"),
        ("someone/their-model", "epoch_7.safetensors"),
    ]
    missing.add("epoch_7.safetensors")
    with pytest.raises(WeightsUnavailable, match="not published as safetensors"):
        weights_module.open_clip_model("ViT-S-32-alt", "theirs", None)


def test_weights_that_do_not_fit_are_refused(weight_files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="does not fit the model"):
        load_encoder("timm:resnet34", weights=weight_files[TIMM])
    pickled = tmp_path / "weights.pt"
    torch.save({}, pickled)
    with pytest.raises(WeightsUnavailable, match="carry code"):
        load_encoder(TIMM, weights=pickled)
    with pytest.raises(WeightsUnavailable, match="no such file"):
        load_encoder(TIMM, weights=tmp_path / "nowhere.safetensors")


def test_an_unreadable_photo_is_named(any_encoder: ImageEncoder, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"nowhere\.jpg"):
        embed_images(any_encoder, [tmp_path / "nowhere.jpg"])


@pytest.mark.parametrize("card", CARDS.values(), ids=lambda card: card.name)
def test_every_card_is_complete_and_true_of_its_model(card: EncoderCard) -> None:
    assert all(str(getattr(card, field.name)).strip() for field in dataclasses.fields(card))
    if card.backend == "open_clip":
        assert card.pretrained in open_clip.list_pretrained_tags_by_model(card.model)
        config = open_clip.get_model_config(card.model)
        assert (card.dimension, card.input_size) == (config["embed_dim"], config["vision_cfg"]["image_size"])
    else:
        assert card.sha256 == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
        encoder = load_encoder(card.name)
        assert card.dimension == encoder.fingerprint.dimension
        assert card.input_size == encoder.preprocessing.size


def test_who_uses_no_model_of_theirs_waits_for_neither_open_clip_nor_timm():
    code = "import sys, placeprint.encoders.image; sys.exit(bool({'open_clip', 'timm'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
