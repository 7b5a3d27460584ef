"""Published weights in our parts.

Claims: GeoCLIP, SatCLIP in both its ways, and SINR with random weights in the published layout embed as
a plain forward pass of the published formula, written here on its own; files are read as safetensors and
as checkpoints of torch and Lightning; wrong names, shapes, kinds and anything that would run code are
refused by name.
"""

import math
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.special import lpmv

from placeprint.encoders.errors import WeightsUnavailable
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.sphere import uniform_on_sphere
from placeprint.encoders.third_party_locations import (
    load_geoclip,
    load_satclip,
    load_sinr,
    load_sinr_classes,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(4)


@pytest.fixture
def lonlat(rng):
    edges = [[0, 90], [0, -90], [-180, 0], [179.9, -16.8], [139.77, 35.68]]
    return np.concatenate([np.array(edges, dtype=float), uniform_on_sphere(30, rng)])


def linear(state, name, generator, a, b, dtype=torch.float32, bias=True):
    state[f"{name}.weight"] = torch.randn(b, a, generator=generator, dtype=dtype) / math.sqrt(a)
    if bias:
        state[f"{name}.bias"] = 0.1 * torch.randn(b, generator=generator, dtype=dtype)


def apply(state, name, x):
    return x @ state[f"{name}.weight"].double().T + state[f"{name}.bias"].double()


# --- GeoCLIP: the published layout, smaller


@pytest.fixture
def geoclip(generator):
    state = {}
    for i, sigma in enumerate((1.0, 16.0, 256.0)):
        state[f"LocEnc{i}.capsule.0.b"] = sigma * torch.randn(32, 2, generator=generator)
        linear(state, f"LocEnc{i}.capsule.1", generator, 64, 24)
        linear(state, f"LocEnc{i}.capsule.3", generator, 24, 20)
        linear(state, f"LocEnc{i}.capsule.5", generator, 20, 16)
        linear(state, f"LocEnc{i}.head.0", generator, 16, 10)
    return state


def geoclip_formula(state, latlon):
    """As published, from lat, lon; in float64."""
    lat, lon = torch.deg2rad(torch.from_numpy(latlon.copy())).unbind(1)
    theta = torch.asin(math.sqrt(3) / 2 * torch.sin(lat))
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    under = 3 * (9 * a4 * theta**8 + 7 * a3 * theta**6 + 3 * a2 * theta**2 + a1)
    x = 2 * math.sqrt(3) * lon * torch.cos(theta) / under
    y = a4 * theta**9 + a3 * theta**7 + a2 * theta**3 + a1 * theta
    projected = torch.stack([x, y], dim=1) * 66.50336 / 180
    total = 0
    for i in range(3):
        phase = 2 * math.pi * projected @ state[f"LocEnc{i}.capsule.0.b"].double().T
        h = torch.cat([phase.cos(), phase.sin()], dim=1)
        for layer in (1, 3, 5):
            h = apply(state, f"LocEnc{i}.capsule.{layer}", h).relu()
        total = total + apply(state, f"LocEnc{i}.head.0", h)
    return total.numpy()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_geoclip_embeds_as_published_with_the_axes_the_other_way_round(
    geoclip, lonlat, tmp_path, suffix, wrapped
):
    path = tmp_path / f"location_encoder_weights{suffix}"
    state = {f"location_encoder.{key}": value for key, value in geoclip.items()} if wrapped else geoclip
    (torch.save if suffix == ".pth" else safetensors.torch.save_file)(state, path)
    encoder = load_geoclip(path)
    np.testing.assert_allclose(encoder.encode(lonlat), geoclip_formula(geoclip, lonlat[:, ::-1]), atol=3e-6)
    assert (encoder.name, encoder.dimension, encoder.training) == ("geoclip", 10, False)
    assert encoder.config["positional_options"]["sigmas"] == [1.0, 16.0, 256.0]


def test_geoclip_through_the_catalog_and_saved_as_ours(geoclip, lonlat, tmp_path):
    torch.save(geoclip, tmp_path / "g.pth")
    encoder = load_location_encoder(f"geoclip:{tmp_path / 'g.pth'}")
    encoder.save(tmp_path / "ours.safetensors")
    again = load_location_encoder(str(tmp_path / "ours.safetensors"))
    np.testing.assert_array_equal(again.encode(lonlat), encoder.encode(lonlat))


# --- SatCLIP


@pytest.fixture
def satclip(generator):
    state = {}
    linear(state, "model.location.nnet.layers.0", generator, 49, 12, torch.float64)
    linear(state, "model.location.nnet.layers.1", generator, 12, 12, torch.float64)
    linear(state, "model.location.nnet.last_layer", generator, 12, 6, torch.float64)
    state["model.visual.conv1.weight"] = torch.zeros(3, 3)
    return state


def satclip_formula(state, lonlat, calculation):
    """As published: harmonics of the turned angles, then a SIREN with w0 30 and 1."""
    phi, theta = np.deg2rad(lonlat[:, 0] + 180), np.deg2rad(lonlat[:, 1] + 90)
    columns = []
    for n in range(7):
        for m in range(-n, n + 1):
            k = abs(m)
            legendre = lpmv(k, n, np.cos(theta))  # with the Condon-Shortley sign
            if calculation == "analytic":
                legendre = (-1) ** k * legendre
                inner = (2 * n + 1) / 4 * math.pi if m == 0 else (2 * n + 1) / (4 * math.pi)
            else:
                inner = (2 * n + 1) / (4 * math.pi)
            norm = math.sqrt(inner * math.factorial(n - k) / math.factorial(n + k))
            turn = 1.0 if m == 0 else math.sqrt(2) * (np.cos(m * phi) if m > 0 else np.sin(k * phi))
            columns.append(norm * legendre * turn)
    h = torch.from_numpy(np.stack(columns, axis=1))
    h = torch.sin(30.0 * apply(state, "model.location.nnet.layers.0", h))
    h = torch.sin(apply(state, "model.location.nnet.layers.1", h))
    return apply(state, "model.location.nnet.last_layer", h).numpy()


@pytest.mark.parametrize("calculation", ["analytic", "closed-form"])
def test_satclip_embeds_as_published(satclip, lonlat, tmp_path, calculation):
    settings = {
        "harmonics_calculation": calculation,
        "le_type": "sphericalharmonics",
        "pe_type": "siren",
        "legendre_polys": 7,
    }
    checkpoint = {"state_dict": satclip, "hyper_parameters": settings, "epoch": 3}
    torch.save(checkpoint, tmp_path / "satclip.ckpt")
    encoder = load_satclip(tmp_path / "satclip.ckpt")
    assert encoder.positional.dtype == torch.float64
    with torch.no_grad():
        found = encoder(torch.from_numpy(lonlat)).numpy()
    np.testing.assert_allclose(found, satclip_formula(satclip, lonlat, calculation), atol=1e-12)


def test_satclip_without_hyperparameters_is_taken_for_analytic(satclip, lonlat, tmp_path):
    safetensors.torch.save_file(satclip, tmp_path / "satclip.safetensors")
    found = load_location_encoder(f"satclip:{tmp_path / 'satclip.safetensors'}").encode(lonlat)
    np.testing.assert_allclose(found, satclip_formula(satclip, lonlat, "analytic"), atol=1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [("le_type", "grid"), ("pe_type", "fcnet"), ("harmonics_calculation", "discretized")],
)
def test_other_kinds_of_satclip_are_refused(satclip, tmp_path, key, value):
    torch.save({"state_dict": satclip, "hyper_parameters": {key: value}}, tmp_path / "s.ckpt")
    with pytest.raises(WeightsUnavailable, match=f"{key}.*{value}"):
        load_satclip(tmp_path / "s.ckpt")


def test_features_that_are_no_square_are_no_harmonics(satclip, generator, tmp_path):
    linear(satclip, "model.location.nnet.layers.0", generator, 48, 12, torch.float64)
    torch.save({"state_dict": satclip}, tmp_path / "s.ckpt")
    with pytest.raises(WeightsUnavailable, match="48 features"):
        load_satclip(tmp_path / "s.ckpt")


# --- SINR and geo_prior


@pytest.fixture
def sinr(generator):
    state = {}
    linear(state, "feats.0", generator, 4, 8)
    for j in range(2, 6):
        linear(state, f"feats.{j}.w1", generator, 8, 8)
        linear(state, f"feats.{j}.w2", generator, 8, 8)
    linear(state, "class_emb", generator, 8, 20, bias=False)
    return state


def sinr_formula(state, lonlat):
    scaled = torch.from_numpy(lonlat / [180.0, 90.0])
    h = torch.cat([torch.sin(math.pi * scaled), torch.cos(math.pi * scaled)], dim=1)
    h = apply(state, "feats.0", h).relu()
    for j in range(2, 6):
        h = h + apply(state, f"feats.{j}.w2", apply(state, f"feats.{j}.w1", h).relu()).relu()
    return h.numpy()


def test_sinr_embeds_as_published_and_so_do_its_classes(sinr, lonlat, tmp_path):
    torch.save({"state_dict": sinr, "params": {"input_enc": "sin_cos"}}, tmp_path / "model.pt")
    encoder = load_sinr(tmp_path / "model.pt")
    wanted = sinr_formula(sinr, lonlat)
    np.testing.assert_allclose(encoder.encode(lonlat), wanted, atol=1e-5)
    logits = load_sinr_classes(tmp_path / "model.pt")(torch.from_numpy(encoder.encode(lonlat)))
    np.testing.assert_allclose(
        logits.detach(), wanted @ sinr["class_emb.weight"].double().numpy().T, atol=1e-4
    )


def test_geo_priors_own_photographer_layer_is_left_out(sinr, lonlat, generator, tmp_path):
    linear(sinr, "user_emb", generator, 8, 3, bias=False)
    safetensors.torch.save_file(sinr, tmp_path / "g.safetensors")
    found = load_location_encoder(f"sinr:{tmp_path / 'g.safetensors'}").encode(lonlat)
    np.testing.assert_allclose(found, sinr_formula(sinr, lonlat), atol=1e-5)


def test_models_with_dates_or_environment_are_refused(sinr, generator, tmp_path):
    linear(sinr, "feats.0", generator, 24, 8)
    torch.save(sinr, tmp_path / "env.pt")
    with pytest.raises(WeightsUnavailable, match="24 features"):
        load_sinr(tmp_path / "env.pt")


# --- Files that will not do


def test_a_wrong_shape_is_named_as_the_file_names_it(geoclip, tmp_path):
    geoclip["LocEnc1.capsule.3.weight"] = torch.zeros(20, 25)
    torch.save(geoclip, tmp_path / "g.pth")
    message = r"LocEnc1\.capsule\.3\.weight has shape \(20, 25\), expected \(20, 24\)"
    with pytest.raises(WeightsUnavailable, match=message):
        load_geoclip(tmp_path / "g.pth")


def test_a_branch_of_other_frequencies_is_named(geoclip, tmp_path):
    geoclip["LocEnc2.capsule.0.b"] = torch.zeros(31, 2)
    torch.save(geoclip, tmp_path / "g.pth")
    with pytest.raises(WeightsUnavailable, match=r"LocEnc2\.capsule\.0\.b has shape \(31, 2\)"):
        load_geoclip(tmp_path / "g.pth")


def test_a_missing_tensor_is_named(geoclip, satclip, sinr, tmp_path):
    for load, state, name in (
        (load_geoclip, geoclip, "LocEnc2.head.0.bias"),
        (load_satclip, satclip, "nnet.last_layer.weight"),
        (load_sinr, sinr, "feats.4.w2.bias"),
    ):
        del state[name if load is not load_satclip else f"model.location.{name}"]
        torch.save(state, tmp_path / "m.pth")
        with pytest.raises(WeightsUnavailable, match=re.escape(f"no tensor {name!r}")):
            load(tmp_path / "m.pth")


@pytest.mark.parametrize("load", [load_geoclip, load_satclip, load_sinr, load_sinr_classes])
def test_weights_of_something_else_are_refused_with_what_they_hold(load, tmp_path):
    torch.save({"fc.weight": torch.zeros(3, 3)}, tmp_path / "m.pth")
    with pytest.raises(WeightsUnavailable, match=r"it holds fc\.weight"):
        load(tmp_path / "m.pth")


class Opens:
    def __reduce__(self):
        return (open, ("/nonexistent-placeprint",))


def test_a_checkpoint_that_would_run_code_is_refused_with_the_remedy(geoclip, tmp_path):
    torch.save({"state_dict": geoclip, "args": Opens()}, tmp_path / "m.pth")
    with pytest.raises(WeightsUnavailable, match=r"would run code.*convert"):
        load_geoclip(tmp_path / "m.pth")


def test_files_that_are_no_weights_are_refused(tmp_path):
    (tmp_path / "m.pth").write_bytes(b"not weights")
    with pytest.raises(WeightsUnavailable, match=r"m\.pth"):
        load_geoclip(tmp_path / "m.pth")
    with pytest.raises(WeightsUnavailable, match="no such file"):
        load_geoclip(tmp_path / "gone.pth")
    with pytest.raises(WeightsUnavailable, match="no such file"):
        load_geoclip(tmp_path / "gone.safetensors")
    torch.save([torch.zeros(2)], tmp_path / "m.pth")
    with pytest.raises(WeightsUnavailable, match="holds a list"):
        load_geoclip(tmp_path / "m.pth")
