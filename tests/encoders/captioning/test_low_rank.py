"""Adapters: nothing at first, few numbers, every linear layer, and gone once added in."""

import pytest
import torch
from torch import nn

from placeprint.encoders.captioning.low_rank import LowRank, add_adapters, merge_adapters


def block() -> nn.Module:
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True).eval()


def test_they_change_nothing_at_first() -> None:
    model, x = block(), torch.randn(3, 5, 16)
    before = model(x)
    assert add_adapters(model, rank=4, alpha=8.0) == 4  # attention in and out, two layers after it
    torch.testing.assert_close(model(x), before)


def test_the_change_is_up_times_down_scaled() -> None:
    weight = torch.zeros(6, 4)
    adapter = LowRank(weight, rank=2, alpha=6.0)
    nn.init.normal_(adapter.up)
    torch.testing.assert_close(adapter(weight), 3.0 * adapter.up @ adapter.down)
    assert torch.linalg.matrix_rank(adapter(weight)) == 2


def test_each_adapter_learns_and_the_weights_do_not() -> None:
    model = block().requires_grad_(False)
    add_adapters(model, rank=2, alpha=2.0)
    adapters = {name: one for name, one in model.named_parameters() if name.endswith((".up", ".down"))}
    for one in adapters.values():
        one.requires_grad_(True)
    model(torch.randn(3, 5, 16)).square().sum().backward()
    assert len(adapters) == 8
    assert all(
        one.grad is not None and one.grad.any() for name, one in adapters.items() if name.endswith(".up")
    )
    assert all(one.grad is None for name, one in model.named_parameters() if name.endswith(".original"))


def test_added_in_they_are_gone_and_the_answer_stays() -> None:
    model, x = block(), torch.randn(3, 5, 16)
    names = set(model.state_dict())
    add_adapters(model, rank=4, alpha=8.0)
    with torch.no_grad():
        for name, one in model.named_parameters():
            if name.endswith(".up"):
                one.normal_(0.0, 0.1)
    changed = model(x)
    merge_adapters(model)
    assert set(model.state_dict()) == names
    torch.testing.assert_close(model(x), changed)
    assert (changed - block()(x)).abs().max() > 0.01


def test_models_without_adapters_can_be_merged() -> None:
    model = block()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    merge_adapters(model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_convolution_gets_none() -> None:
    assert add_adapters(nn.Conv2d(3, 4, 3), rank=2, alpha=1.0) == 0
    with pytest.raises(ZeroDivisionError):
        LowRank(torch.zeros(2, 2), rank=0, alpha=1.0)
