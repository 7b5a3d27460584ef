"""What is trained: each kind chooses its part, of open_clip's own towers and of timm's."""

from pathlib import Path
from typing import Any

import pytest
import torch
from caption_fakes import CONFIG, tiny_model
from open_clip.model import CLIP

from placeprint.encoders.captioning.tuning import choose_weights
from placeprint.encoders.errors import InvalidOption

CONVNET = {"timm_model_name": "test_convnext2", "timm_pool": "", "timm_proj": "linear", "image_size": 32}


def choose(model: Any, tune: Any) -> set[str]:
    chosen = choose_weights(model, tune, rank=2, alpha=2.0)
    assert {name for name, one in model.named_parameters() if one.requires_grad} == set(chosen)
    return set(chosen)


@pytest.fixture
def vit(tmp_path: Path) -> Any:
    return tiny_model(tmp_path).network


def convnet() -> Any:
    return CLIP(32, CONVNET, CONFIG["text_cfg"])


def test_projection(vit: Any) -> None:
    assert choose(vit, "projection") == {"visual.proj", "text_projection", "logit_scale"}
    assert choose(convnet(), "projection") == {"visual.head.proj.weight", "text_projection", "logit_scale"}


def test_last_layer(vit: Any) -> None:
    chosen = choose(vit, "last-layer")
    assert {"visual.proj", "visual.ln_post.weight", "text_projection", "ln_final.bias"} <= chosen
    blocks = {name.rpartition("resblocks.")[2][0] for name in chosen if "resblocks" in name}
    assert blocks == {"1"}  # of 0 and 1
    assert any(name.startswith("visual.") and "attn" in name for name in chosen)
    assert any(name.startswith("transformer.") and "mlp" in name for name in chosen)
    assert not any("embedding" in name or "conv1" in name for name in chosen)
    stages = {name for name in choose(convnet(), "last-layer") if "stages" in name}
    assert stages and all(".stages.3." in name for name in stages)


def test_lora_adapts_both_towers_and_little(vit: Any) -> None:
    n_all = sum(one.numel() for one in vit.parameters())
    chosen = choose(vit, "lora")
    adapters = {name for name in chosen if "parametrizations" in name}
    assert all(name.endswith((".up", ".down")) for name in adapters)
    assert sum(name.startswith("visual.") for name in adapters) == 16  # 2 blocks of 4 weights of 2
    assert sum(name.startswith("transformer.") for name in adapters) == 16
    assert chosen - adapters == {"visual.proj", "text_projection", "logit_scale"}
    assert sum(one.numel() for one in vit.parameters() if one.requires_grad) < 0.02 * n_all
    assert any("stages" in name for name in choose(convnet(), "lora"))


def test_all(vit: Any) -> None:
    assert choose(vit, "all") == {name for name, _ in vit.named_parameters()}


def test_a_model_without_such_a_part_is_told(vit: Any) -> None:
    vit.visual = torch.nn.Linear(3, 3)
    with pytest.raises(InvalidOption, match="lora or all"):
        choose_weights(vit, "last-layer", rank=2, alpha=2.0)
    bare = torch.nn.Module()
    bare.visual, bare.transformer = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    bare.logit_scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(InvalidOption, match="try last-layer, lora, all"):
        choose_weights(bare, "projection", rank=2, alpha=2.0)
