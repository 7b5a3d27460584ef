"""Claims: trunk and tail give what the whole gives; only the tail learns; statistics of norms stay."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from fakes import ColorEncoder
from torch import nn
from tuning_fakes import encoder_in

from placeprint.encoders.catalog import load_encoder
from placeprint.encoders.errors import InvalidOption
from placeprint.encoders.geocell_heads.splitting import SplitEncoder, blocks_of
from placeprint.encoders.image import ImageEncoder

# A ResNet, a MobileNet's relative, a ConvNeXt and a transformer, each very small.
TIMM = ("test_resnet", "test_efficientnet", "test_convnext", "test_vit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


def encoder_named(name: str, folder: Path) -> ImageEncoder:
    if name == "open_clip":
        return encoder_in(folder)
    if name == "demonstration":
        return load_encoder(name)
    path = folder / f"{name}.safetensors"
    if not path.exists():
        torch.manual_seed(3)
        model = timm.create_model(name)
        for module in model.modules():  # statistics as of some training
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
        safetensors.torch.save_file(model.state_dict(), path)
    return load_encoder(f"timm:{name}", weights=path)


def noise(encoder: ImageEncoder, n: int) -> np.ndarray:
    size = encoder.preprocessing.size
    return np.random.default_rng(5).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", [*TIMM, "open_clip", "demonstration"])
def test_trunk_and_tail_give_what_the_whole_gives(name: str, folder: Path) -> None:
    encoder = encoder_named(name, folder)
    pixels = noise(encoder, 4)
    before = encoder.embed_pixels(pixels)
    split = SplitEncoder(encoder, 1)
    inputs = split.trunk(pixels)
    assert inputs.shape[0] == 4 and inputs.dtype == np.float32
    np.testing.assert_allclose(split.tail(inputs).detach().numpy(), before, atol=1e-5)
    # A photo's answer is its own, whatever is beside it.
    np.testing.assert_allclose(split.tail(inputs[2:3]).detach().numpy(), before[2:3], atol=1e-5)
    # Half precision, as on disk.
    half = split.tail(inputs.astype(np.float16)).detach().numpy()
    assert (half * before).sum(axis=1).min() > 0.99999
    np.testing.assert_array_equal(encoder.embed_pixels(pixels), before)  # nothing is left behind


@pytest.mark.parametrize(
    ("name", "of_tail", "of_trunk", "n_blocks"),
    [
        ("test_resnet", {"layer4.0.conv1.weight", "layer4.0.bn1.bias"}, "layer3.0.conv1.weight", 4),
        (
            "test_efficientnet",
            {"blocks.4.0.conv_pw.weight", "conv_head.weight", "bn2.weight"},
            "blocks.3.",
            5,
        ),
        ("test_convnext", {"head.norm.weight"}, "stages.2.", 4),
        ("test_vit", {"blocks.5.attn.qkv.weight", "norm.weight"}, "blocks.4.", 6),
        ("open_clip", {"visual.proj", "visual.ln_post.bias"}, "visual.transformer.resblocks.0.", 2),
        ("demonstration", {"image_tower.8.weight"}, "image_tower.5.", 6),
    ],
)
def test_the_tail_is_the_last_block_and_what_follows(
    name: str, of_tail: set[str], of_trunk: str, n_blocks: int, folder: Path
) -> None:
    split = SplitEncoder(encoder_named(name, folder), 1)
    assert of_tail <= set(split.weights) and split.n_all_blocks == n_blocks
    assert not any(
        one.startswith((of_trunk, "text", "token", "word", "transformer")) for one in split.weights
    )
    learning = {key for key, one in split.model.named_parameters() if one.requires_grad}
    assert learning == set(split.weights)
    more = SplitEncoder(split.encoder, 2)
    assert set(split.weights) < set(more.weights) and any(one.startswith(of_trunk) for one in more.weights)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_a_step_moves_the_tail_alone_and_no_statistics(name: str, folder: Path) -> None:
    encoder = encoder_named(name, folder)
    split = SplitEncoder(encoder, 1)
    before = {key: value.clone() for key, value in split.model.state_dict().items()}
    pixels = noise(encoder, 4)
    inputs = split.trunk(pixels)
    optimizer = torch.optim.SGD(split.weights.values(), lr=0.5)
    (split.tail(inputs) * torch.randn(4, encoder.fingerprint.dimension)).sum().backward()
    optimizer.step()
    moved = {key for key, value in split.model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and moved <= set(split.weights)
    np.testing.assert_array_equal(split.trunk(pixels), inputs)
    np.testing.assert_allclose(split.tail(inputs).detach().numpy(), split.whole(pixels), atol=1e-5)


def test_nested_lists_are_told_apart_by_weight_and_depth() -> None:
    tower = nn.Module()
    tower.stem = nn.Sequential(nn.Linear(2, 2))
    tower.stages = nn.Sequential(nn.Sequential(), nn.Linear(9, 9))
    tower.stages[0].blocks = nn.ModuleList([nn.Linear(50, 50)])  # type: ignore[union-attr]
    tower.neck = nn.Module()
    tower.neck.layers = nn.ModuleList([nn.Linear(3, 3)])
    assert blocks_of(tower) == list(tower.stages.children())
    assert blocks_of(nn.Linear(3, 3)) == []


def test_what_cannot_be_split_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_in(folder)
    with pytest.raises(InvalidOption, match="has 2 blocks; 1 to 2"):
        SplitEncoder(encoder, 3)
    with pytest.raises(InvalidOption, match="--tune 0"):
        SplitEncoder(encoder, 0)
    with pytest.raises(InvalidOption, match="color has no weights"):
        SplitEncoder(ColorEncoder(), 1)
    with monkeypatch.context() as patch, pytest.raises(InvalidOption, match="no list of blocks"):
        patch.setattr("placeprint.encoders.geocell_heads.splitting._STACKS", ())
        SplitEncoder(encoder, 1)


class Skipping(nn.Module):
    """Reads its input again after the blocks, as no tail on its own can."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        seen = images.mean(dim=(2, 3))
        answer: torch.Tensor = self.blocks(seen) + seen
        return answer


def test_a_model_whose_end_needs_its_beginning_is_refused(folder: Path) -> None:
    encoder = encoder_named("test_vit", folder)
    encoder._model = Skipping()  # type: ignore[attr-defined]
    with pytest.raises(InvalidOption, match="do not run apart"):
        SplitEncoder(encoder, 1)
