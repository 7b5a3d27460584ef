"""Location encoders whole: put together, embedding, saved, loaded, and found by name.

Claims: `encode` checks coordinates, gives float32, and the same for a place alone, in a batch and in any
block size, without touching the training mode or the caller's array; a saved encoder comes back bit for
bit, and every way a file can be wrong is named; the fingerprint follows options and weights, not the
name; presets are the published sizes; the catalog finds all kinds.
"""

import json
import os
import re

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from placeprint.encoders import location
from placeprint.encoders.errors import (
    InvalidCoordinate,
    InvalidOption,
    UnknownEncoder,
    UnwritableFile,
    WeightsUnavailable,
)
from placeprint.encoders.location import LocationEmbedder, LocationEncoder, evaluating
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.location_presets import PRESETS
from placeprint.encoders.positional import POSITIONAL
from placeprint.encoders.sphere import uniform_on_sphere

SMALL = {
    "geoclip": {
        "positional_options": {"sigmas": [1.0, 16.0, 256.0], "frequencies": 8},
        "network_options": {"branches": 3, "hidden": [16]},
    },
    "resiren": {"network_options": {"hidden": 16, "layers": 3, "residual": True, "h_siren": True}},
}


@pytest.fixture
def encoder():
    return LocationEncoder("sh", "siren", dimension=9, positional_options={"degrees": 5}, seed=1)


@pytest.fixture
def lonlat(rng):
    return uniform_on_sphere(300, rng)


# --- Encoding


def test_an_embedding_is_the_networks_of_the_encodings_features(encoder, lonlat):
    with torch.no_grad():
        wanted = encoder.network(encoder.positional(torch.from_numpy(lonlat))).numpy()
    found = encoder.encode(lonlat)
    assert (found.dtype, found.shape) == (np.float32, (300, 9))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_a_place_has_one_embedding_alone_in_a_batch_and_in_any_order(encoder, lonlat, monkeypatch):
    whole = encoder.encode(lonlat)
    np.testing.assert_allclose(encoder.encode(lonlat, batch_size=7), whole, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(lonlat[5:6]), whole[5:6], atol=1e-5)
    np.testing.assert_allclose(encoder.encode(lonlat[::-1])[::-1], whole, atol=1e-5)
    monkeypatch.setattr(location, "CACHE_ENTRIES", 1)  # the smallest blocks there are
    np.testing.assert_allclose(encoder.encode(lonlat), whole, atol=1e-5)


def test_no_more_rows_than_the_batch_size_go_through_at_once(encoder, lonlat):
    seen = []
    encoder.positional.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    encoder.encode(lonlat, batch_size=128)
    assert seen == [128, 128, 44]


def test_large_batches_are_cut_to_fit_the_cache():
    encoder = LocationEncoder("sh", "none", positional_options={"degrees": 20})
    seen = []
    encoder.positional.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    encoder.encode(np.zeros((6000, 2)))
    assert seen == [location.CACHE_ENTRIES // 400] * 2 + [6000 - 2 * (location.CACHE_ENTRIES // 400)]


@pytest.mark.parametrize(("dimension", "rows"), [(8, location.NETWORK_ROWS), (400, 400)])
def test_a_network_gets_as_many_rows_at_a_time_as_its_widest_layer_has(dimension, rows):
    encoder = LocationEncoder("sh", "linear", dimension=dimension)
    seen = []
    encoder.network.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    encoder.encode(np.zeros((2 * rows + 5, 2)))
    assert seen == [rows, rows, 5]


def test_no_places_give_no_embeddings(encoder):
    assert encoder.encode(np.empty((0, 2))).shape == (0, 9)


def test_lists_and_0_to_360_are_understood_and_the_caller_keeps_his_array(encoder):
    given = np.array([[190.0, 10.0], [-170.0, 10.0]])
    before = given.copy()
    found = encoder.encode(given)
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(encoder.encode([[190, 10], [-170, 10]]), found)


@pytest.mark.parametrize("places", [[[35.68, 139.77]], [[0.0, float("nan")]], [1.0, 2.0, 3.0], "Tokyo"])
def test_places_that_are_none_are_refused(encoder, places):
    with pytest.raises(InvalidCoordinate):
        encoder.encode(places)


def test_a_batch_size_of_nothing_is_refused(encoder):
    with pytest.raises(InvalidOption, match="batch_size=0"):
        encoder.encode([[0.0, 0.0]], batch_size=0)


def test_encoding_happens_in_evaluation_mode_and_restores_every_part(lonlat):
    encoder = LocationEncoder.preset("csp-grid", seed=0).train()
    encoder.network.norms.eval()  # a part someone froze
    modes = [part.training for part in encoder.modules()]
    first = encoder.encode(lonlat)
    np.testing.assert_array_equal(encoder.encode(lonlat), first)  # dropout would differ
    assert [part.training for part in encoder.modules()] == modes


def test_the_mode_comes_back_after_an_error(encoder):
    encoder.train()
    with pytest.raises(RuntimeError), evaluating(encoder):
        assert not encoder.training
        raise RuntimeError
    assert encoder.training


def test_gradients_reach_the_weights_and_the_coordinates(encoder):
    lonlat = torch.tensor([[139.7, 35.6], [0.0, 90.0]], requires_grad=True)
    encoder(lonlat).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())
    assert lonlat.grad.isfinite().all() and lonlat.grad.abs().sum() > 0


def test_it_can_learn(rng):
    lonlat = torch.from_numpy(uniform_on_sphere(400, rng))
    wanted = torch.sin(torch.deg2rad(lonlat[:, :1] * 3)).float()
    encoder = LocationEncoder("sh", "siren", dimension=1, positional_options={"degrees": 6}, seed=0)
    for _ in range(60):
        loss = (encoder(lonlat) - wanted).square().mean()
        slopes = torch.autograd.grad(loss, list(encoder.parameters()))
        with torch.no_grad():
            for parameter, slope in zip(encoder.parameters(), slopes, strict=True):
                parameter -= 0.01 * slope
    assert loss < 0.1 * wanted.var()


def test_double_encoders_answer_in_float32(encoder, lonlat):
    single = encoder.encode(lonlat)
    double = encoder.double().encode(lonlat)
    assert double.dtype == np.float32
    np.testing.assert_allclose(single, double, atol=1e-5)


@pytest.mark.gpu
def test_a_gpu_gives_the_same(encoder, lonlat):
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    here = encoder.encode(lonlat)
    np.testing.assert_allclose(encoder.cuda().encode(lonlat), here, atol=1e-5)


# --- Making


def test_a_seed_makes_first_weights_reproducible_and_leaves_torchs_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    a = LocationEncoder("xyz", "siren", seed=7)
    assert torch.equal(torch.rand(2), expected)
    assert a.fingerprint == LocationEncoder("xyz", "siren", seed=7).fingerprint
    assert a.fingerprint != LocationEncoder("xyz", "siren", seed=8).fingerprint


def test_the_network_none_gives_the_features_themselves():
    encoder = LocationEncoder("xyz", "none", dimension=77)
    assert encoder.dimension == 3
    np.testing.assert_allclose(encoder.encode([[90.0, 0.0]]), [[0, 1, 0]], atol=1e-7)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_embeds_saves_and_loads(preset, lonlat, tmp_path):
    encoder = LocationEncoder.preset(preset, seed=0, **SMALL.get(preset, {}))
    encoder.save(tmp_path / "encoder.safetensors")
    again = LocationEncoder.load(tmp_path / "encoder.safetensors")
    assert encoder.dimension == PRESETS[preset]["dimension"]
    np.testing.assert_array_equal(again.encode(lonlat[:20]), encoder.encode(lonlat[:20]))


def test_presets_are_the_published_sizes():
    features = {name: LocationEncoder.preset(name).positional.dimension for name in PRESETS}
    assert features == {
        "csp-grid": 128,
        "satclip-l10": 100,
        "satclip-l40": 1600,
        "geoclip": 1536,
        "sinr": 4,
        "sphere2vec-c": 96,
        "resiren": 3,
    }


def test_unknown_parts_are_refused():
    with pytest.raises(UnknownEncoder, match="'csp'; there are csp-grid"):
        LocationEncoder.preset("csp")
    with pytest.raises(UnknownEncoder, match="no positional encoding 'grids'"):
        LocationEncoder("grids")
    with pytest.raises(UnknownEncoder, match="no network 'ffn'"):
        LocationEncoder("grid", "ffn")


# --- Files


@pytest.mark.parametrize("name", POSITIONAL)
def test_a_saved_encoder_comes_back_bit_for_bit(name, tmp_path, lonlat):
    encoder = LocationEncoder(name, "linear", dimension=4, name="mine", card={"licence": "CC0"}, seed=2)
    encoder.save(tmp_path / "e.safetensors")
    again = LocationEncoder.load(tmp_path / "e.safetensors")
    assert (again.name, again.card, again.config) == ("mine", {"licence": "CC0"}, encoder.config)
    assert again.fingerprint == encoder.fingerprint
    assert not again.training
    np.testing.assert_array_equal(again.encode(lonlat), encoder.encode(lonlat))


def test_float64_stays_float64(encoder, tmp_path):
    encoder.double().save(tmp_path / "e.safetensors")
    assert LocationEncoder.load(tmp_path / "e.safetensors").positional.dtype == torch.float64


def test_the_description_in_the_file_can_be_read_by_anyone(encoder, tmp_path):
    encoder.card["training_data"] = "none"
    encoder.save(tmp_path / "e.safetensors")
    with safetensors.safe_open(tmp_path / "e.safetensors", framework="np") as file:
        description = json.loads(file.metadata()["placeprint"])
    assert description["axis_order"] == "lonlat"
    assert description["units"] == "degrees"
    assert description["dimension"] == 9
    assert description["config"]["positional_options"] == {"degrees": 5}
    assert description["card"] == {"training_data": "none"}


def test_random_frequencies_come_from_the_file_and_not_from_a_generator(tmp_path, lonlat):
    encoder = LocationEncoder("rff-equal-earth", "none")
    encoder.positional.frequencies.mul_(0.5)  # as if another numpy had drawn others
    encoder.save(tmp_path / "e.safetensors")
    again = LocationEncoder.load(tmp_path / "e.safetensors")
    np.testing.assert_array_equal(again.encode(lonlat), encoder.encode(lonlat))


def test_saving_replaces_whole_files_or_nothing(encoder, tmp_path, monkeypatch):
    path = tmp_path / "e.safetensors"
    encoder.save(path)
    before = path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnwritableFile, match="No space left"):
        LocationEncoder("xyz", "siren").save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_in_the_middle_of_a_file_keeps_the_old_one(encoder, tmp_path):
    path = tmp_path / "e.safetensors"
    encoder.save(path)
    before = path.read_bytes()
    with path.open("rb") as reader:
        LocationEncoder("xyz", "siren").save(path)
        assert reader.read() == before
    assert path.read_bytes() != before


def test_a_missing_folder_is_named(encoder, tmp_path):
    with pytest.raises(UnwritableFile, match=re.escape(str(tmp_path / "no" / "e.safetensors"))):
        encoder.save(tmp_path / "no" / "e.safetensors")


def test_a_card_that_is_no_json_is_refused_and_writes_nothing(encoder, tmp_path):
    encoder.card["when"] = object()
    with pytest.raises(InvalidOption, match="must be JSON"):
        encoder.save(tmp_path / "e.safetensors")
    assert not list(tmp_path.iterdir())


def describe(path, **changes):
    """The file again, its description changed."""
    with safetensors.safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["placeprint"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}
    description.update(changes)
    safetensors.torch.save_file(tensors, path, {"placeprint": json.dumps(description)})


def spoil_nothing_there(path):
    path.unlink()


def spoil_text(path):
    path.write_text("lon,lat\n1,2\n")


def spoil_cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def spoil_empty(path):
    path.write_bytes(b"")


def spoil_foreign(path):
    safetensors.torch.save_file({"fc.weight": torch.zeros(3, 3)}, path)


def spoil_json(path):
    safetensors.torch.save_file({}, path, {"placeprint": "{"})


def spoil_shape(path):
    describe(path, config={"positional": "xyz", "network": "siren", "dimension": 9})


def spoil_incomplete(path):
    describe(path, config=None)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_nothing_there, "no such file"),
        (spoil_text, "not a safetensors file"),
        (spoil_cut, "not a safetensors file, or damaged"),
        (spoil_empty, "not a safetensors file, or damaged"),
        (spoil_foreign, "not the file of a location encoder"),
        (spoil_json, "description is damaged"),
        (spoil_shape, "do not fit its description"),
        (spoil_incomplete, "incomplete"),
        (lambda path: describe(path, version=2), "version 2"),
        (lambda path: describe(path, dtype="int8"), "incomplete"),
        (lambda path: describe(path, config={"positional": "mercator"}), "no positional encoding 'mercator'"),
        (lambda path: describe(path, config={"os": "system"}), "another version"),
    ],
)
def test_every_way_a_file_can_be_wrong_is_named(encoder, tmp_path, spoil, message):
    path = tmp_path / "e.safetensors"
    encoder.save(path)
    spoil(path)
    with pytest.raises(WeightsUnavailable, match=re.escape(str(path))) as caught:
        LocationEncoder.load(path)
    assert message in str(caught.value)


# --- Fingerprints


def test_the_fingerprint_follows_options_and_weights_but_not_the_name(encoder):
    before = encoder.fingerprint
    encoder.name = "renamed"
    assert encoder.fingerprint == before
    with torch.no_grad():
        encoder.network.output.bias[3] += 1e-6
    assert encoder.fingerprint != before
    a, b = (LocationEncoder("grid", "none", positional_options={"r_min": r}) for r in (0.1, 0.2))
    assert a.fingerprint != b.fingerprint


def test_defaults_spelled_out_are_the_same_encoder():
    a = LocationEncoder("nerf", "siren", seed=0)
    options = {"positional_options": {"scales": 10}, "network_options": {"hidden": 256, "w0": 1.0}}
    b = LocationEncoder("nerf", "siren", seed=0, **options)
    assert a.fingerprint == b.fingerprint


# --- The catalog


@pytest.mark.parametrize(
    ("name", "dimension"),
    [("sincos", 4), ("xyz", 3), ("sh-10", 100), ("sh-20", 400), ("rff-equal-earth", 1536), ("tile", 16)],
)
def test_untrained_encodings_have_names(name, dimension, lonlat):
    encoder: LocationEmbedder = load_location_encoder(name)
    assert (encoder.name, encoder.dimension) == (name, dimension)
    assert encoder.encode(lonlat).shape == (300, dimension)
    assert encoder.fingerprint == load_location_encoder(name).fingerprint


def test_a_file_is_a_name(encoder, tmp_path):
    encoder.save(tmp_path / "mine.safetensors")
    assert load_location_encoder(str(tmp_path / "mine.safetensors")).fingerprint == encoder.fingerprint


@pytest.mark.parametrize("name", ["no-such", "sh-", "sh-x", "geoclip:", "", "mine.pth", "tokyo:x.pth"])
def test_unknown_names_are_refused_with_those_there_are(name):
    with pytest.raises(UnknownEncoder, match=r"placeprint-location-v1.*geoclip:FILE.*sh-N.*xyz"):
        load_location_encoder(name)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(WeightsUnavailable, match=r"gone\.safetensors: no such file"):
        load_location_encoder("gone.safetensors")
