"""The networks of location encoders.

Claims: each equals its formula written out; first weights have the published spread, and a SIREN's
pre-activations the variance they are meant to have; embeddings end linear unless legacy weights are
loaded; GeoCLIP's has as many numbers as published; options without meaning are refused.
"""

import math

import pytest
import torch
from torch import nn

from placeprint.encoders.errors import InvalidOption, UnknownEncoder
from placeprint.encoders.location import LocationEncoder
from placeprint.encoders.location_networks import (
    NETWORKS,
    BranchSum,
    ClassHead,
    FeedForward,
    ResidualNet,
    Siren,
    location_network,
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.fixture
def features():
    return torch.randn(50, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_maps_features_to_embeddings(name, features):
    net = location_network(name, 12, 12)[0].eval()
    found = net(features)
    assert found.shape == (50, 12)
    torch.testing.assert_close(net(features.reshape(5, 10, 12)).reshape(50, 12), found)


def test_unknown_names_and_options_are_refused():
    with pytest.raises(UnknownEncoder, match=r"'transformer'; there are none, linear, .*siren"):
        location_network("transformer", 3, 4)
    with pytest.raises(InvalidOption, match=r"siren: .*depth"):
        location_network("siren", 3, 4, depth=2)
    with pytest.raises(InvalidOption, match="leaky-relu"):
        FeedForward(3, 4, act="swish")
    with pytest.raises(InvalidOption, match="divide"):
        BranchSum(100, 4, branches=3)
    with pytest.raises(InvalidOption, match="at least one layer"):
        Siren(3, 4, layers=0)
    with pytest.raises(InvalidOption, match="linear"):
        location_network("linear", 3, -4)
    with pytest.raises(InvalidOption, match="stay 3"):
        location_network("none", 3, 4)


def test_all_options_are_known_after_with_defaults_filled_in():
    assert location_network("branches", 6, 4, branches=2)[1] == {"branches": 2, "hidden": [1024, 1024, 1024]}
    assert location_network("linear", 6, 4)[1] == {"bias": True}
    assert location_network("siren", 6, 4, layers=5)[1]["hidden"] == 256


# --- The network of Space2Vec and CSP


def layer_norm(x, weight, bias):
    centered = x - x.mean(-1, keepdim=True)
    return centered / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt() * weight + bias


def test_feed_forward_is_its_formula(features):
    net = FeedForward(12, 5, hidden=8, layers=2, act="leaky-relu").eval()
    for norm in net.norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)

    def leaky(x):
        return torch.where(x > 0, x, 0.2 * x)

    one = leaky(features @ net.hidden[0].weight.T + net.hidden[0].bias)  # 12 -> 8: nothing to skip
    one = layer_norm(one, net.norms[0].weight, net.norms[0].bias)
    two = leaky(one @ net.hidden[1].weight.T + net.hidden[1].bias) + one
    two = layer_norm(two, net.norms[1].weight, net.norms[1].bias)
    wanted = two @ net.output.weight.T + net.output.bias
    torch.testing.assert_close(net(features), wanted, atol=1e-5, rtol=1e-5)


def test_skips_can_be_left_out(features):
    net = FeedForward(12, 5, hidden=12, act="relu", layer_norm=False, skip=False).eval()
    hidden = (features @ net.hidden[0].weight.T + net.hidden[0].bias).relu()
    torch.testing.assert_close(net(features), hidden @ net.output.weight.T + net.output.bias)


def test_feed_forward_starts_xavier_uniform():
    net = FeedForward(400, 300, hidden=500)
    for linear, (a, b) in ((net.hidden[0], (400, 500)), (net.output, (500, 300))):
        bound = math.sqrt(6 / (a + b))
        assert 0.999 * bound < linear.weight.abs().max() <= bound
        assert linear.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
        assert not linear.bias.any()


def test_embeddings_end_linear_unless_legacy_weights_are_loaded(features):
    net = FeedForward(12, 64, act="relu", dropout=0.5).eval()
    legacy = FeedForward(12, 64, act="relu", dropout=0.5, legacy_output_act=True).eval()
    legacy.load_state_dict(net.state_dict())
    linear = net(features)
    assert (linear < 0).float().mean() > 0.3
    assert torch.equal(legacy(features), linear.relu())
    assert (legacy.train()(features) == 0).float().mean() > 0.65  # relu and dropout both


def test_dropout_acts_in_training_only_and_layer_norm_can_be_left_out(features):
    net = FeedForward(12, 6, dropout=0.5, layer_norm=False)
    assert not torch.equal(net(features), net(features))
    net.eval()
    assert torch.equal(net(features), net(features))
    assert not any("norm" in name for name, _ in net.named_parameters())


# --- SIREN


def test_siren_starts_within_its_bounds():
    net = Siren(300, 200, hidden=500, layers=3, w0=2.0, w0_first=30.0)
    later = math.sqrt(6 / 500) / 2.0
    for linear, bound in [(net.layers[0], 1 / 300), *((x, later) for x in [*net.layers[1:], net.output])]:
        assert 0.999 * bound < linear.weight.abs().max() <= bound
        assert linear.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.01)
        assert 0.9 * bound < linear.bias.abs().max() <= bound


@pytest.mark.parametrize("options", [{}, {"w0": 2.0}, {"residual": True}, {"h_siren": True}])
def test_siren_answers_the_same_where_it_may_work_in_place(options):
    net = Siren(5, 4, hidden=16, layers=3, **options).eval()
    features = torch.randn(20, 5)
    before = features.clone()
    with torch.inference_mode():
        found = net(features)
    torch.testing.assert_close(found, net(features).detach(), rtol=0.0, atol=1e-6)
    assert torch.equal(features, before)


def test_sirens_pre_activations_have_unit_variance():
    """The reason for √6: a wide sine has variance 1/2, times width, times (6 / width) / 3 is 1."""
    net = Siren(3, 10, hidden=1024, layers=4, w0_first=300.0)
    seen = []
    for layer in net.layers[1:]:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    points = torch.nn.functional.normalize(torch.randn(2000, 3), dim=-1)
    with torch.no_grad():
        net(points)
    for inner in seen:
        assert inner.std().item() == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("h_siren", [False, True])
def test_siren_is_its_formula(features, residual, h_siren):
    net = Siren(12, 5, hidden=8, layers=3, w0=1.5, w0_first=20.0, residual=residual, h_siren=h_siren).double()
    z, before = features.double(), None
    for j, layer in enumerate(net.layers):
        h = z @ layer.weight.T + layer.bias
        if residual and before is not None:
            h = (h + before) / 2
        before = h
        if j == 0:
            z = torch.sin(20.0 * ((torch.exp(2 * h) - torch.exp(-2 * h)) / 2 if h_siren else h))
        else:
            z = torch.sin(1.5 * h)
    wanted = z @ net.output.weight.T + net.output.bias
    torch.testing.assert_close(net(features.double()), wanted, atol=1e-12, rtol=0)


def test_sirens_drop_nothing_by_default(features):
    net = Siren(12, 5).train()
    assert torch.equal(net(features), net(features))
    net = Siren(12, 5, dropout=0.5).train()
    assert not torch.equal(net(features), net(features))


# --- The others


def test_the_residual_net_is_its_formula(features):
    net = ResidualNet(12, 7, blocks=2).eval()
    wanted = (features @ net.input.weight.T + net.input.bias).clamp(min=0)
    for a, b in zip(net.first, net.second, strict=True):
        inner = (wanted @ a.weight.T + a.bias).clamp(min=0)
        wanted = wanted + (inner @ b.weight.T + b.bias).clamp(min=0)
    torch.testing.assert_close(net(features), wanted)
    assert not torch.equal(net.train()(features), net(features))  # dropout 0.5


def test_branches_are_summed_each_over_its_own_columns(features):
    net = BranchSum(12, 5, branches=3, hidden=[8, 6])
    wanted = 0
    for i, branch in enumerate(net.branches):
        x = features[:, 4 * i : 4 * i + 4]
        linears = [layer for layer in branch if isinstance(layer, nn.Linear)]
        for linear in linears[:-1]:
            x = (x @ linear.weight.T + linear.bias).clamp(min=0)
        wanted = wanted + x @ linears[-1].weight.T + linears[-1].bias
    torch.testing.assert_close(net(features), wanted)


def test_geoclip_has_as_many_numbers_as_published():
    encoder = LocationEncoder.preset("geoclip")
    assert sum(tensor.numel() for tensor in encoder.state_dict().values()) == 9_449_472
    assert "positional.frequencies" not in dict(encoder.named_parameters())  # stored, not trained


def test_the_class_head_has_no_bias(features):
    head = ClassHead(12, 30)
    assert [name for name, _ in head.named_parameters()] == ["output.weight"]
    torch.testing.assert_close(head(features), features @ head.output.weight.T)
