"""Positional encodings.

Claims, for every one of them: it has the dimension its formula says, in the module's dtype, and computes
its phases in float64; it changes no input; it has a seam at the antimeridian or none, as it claims; its
slopes agree with finite differences, at poles too; its options rebuild it.
"""

import json

import pytest
import torch
from positional_fakes import DIMENSIONS, PERIODIC, STEPS, edges_and_others, make

from placeprint.encoders.errors import InvalidCoordinate, InvalidOption, UnknownEncoder
from placeprint.encoders.positional import POSITIONAL, positional_encoding
from placeprint.encoders.sphere import uniform_on_sphere


@pytest.fixture
def lonlat(rng):
    return edges_and_others(rng)


# --- What holds for all


@pytest.mark.parametrize("name", POSITIONAL)
def test_the_dimension_is_that_of_the_formula_for_any_shape_of_input(name, lonlat):
    module = make(name)
    assert module.dimension == DIMENSIONS[name]
    with torch.no_grad():
        whole = module(lonlat[:24])
        assert whole.shape == (24, DIMENSIONS[name])
        assert torch.equal(module(lonlat[0]), whole[0])
        assert torch.equal(module(lonlat[:24].reshape(4, 6, 2)), whole.reshape(4, 6, -1))
        assert module(torch.empty(0, 2)).shape == (0, DIMENSIONS[name])


@pytest.mark.parametrize("name", POSITIONAL)
def test_the_dtype_is_the_modules_whatever_the_coordinates_are(name, lonlat):
    for dtype in (torch.float32, torch.float64, torch.float16):
        module = make(name).to(dtype)
        for given in (lonlat, lonlat.float(), lonlat[1:2].long()):
            assert module(given).dtype == dtype


@pytest.mark.parametrize("name", POSITIONAL)
def test_phases_are_computed_in_float64(name, rng):
    torch.manual_seed(0)
    module = make(name)
    lonlat = torch.from_numpy(uniform_on_sphere(500, rng))
    with torch.no_grad():
        single = module(lonlat).double()
        double = module.double()(lonlat)
    assert (single - double).abs().max() < 2.5e-7  # half a unit in the last place of 1..4


@pytest.mark.parametrize("name", POSITIONAL)
def test_the_callers_coordinates_are_not_changed(name, lonlat):
    before = lonlat.clone()
    make(name)(lonlat)
    assert torch.equal(lonlat, before)


@pytest.mark.parametrize("name", POSITIONAL)
def test_a_full_turn_changes_nothing_exactly_where_this_is_claimed(name, lonlat):
    module = make(name).double()
    assert module.is_periodic == (name in PERIODIC)
    with torch.no_grad():
        change = (module(lonlat + torch.tensor([360.0, 0.0])) - module(lonlat)).abs().max()
    if module.is_periodic:
        assert change < 1e-11
    else:
        assert change > 0.1


@pytest.mark.parametrize("name", sorted(PERIODIC - STEPS))
def test_the_antimeridian_is_no_edge(name):
    module = make(name).double()
    west, east = module(torch.tensor([[179.9999, -16.8], [-179.9999, -16.8]], dtype=torch.float64))
    assert (west - east).abs().max() < 2e-4


def test_whole_frequencies_make_sphere2vec_periodic():
    assert make("sphere-c+", scales=3, r_min=0.25, r_max=1.0).is_periodic
    assert not make("sphere-c+", scales=3, r_min=0.3, r_max=1.0).is_periodic


@pytest.mark.parametrize("name", POSITIONAL)
def test_the_poles_differ_except_where_published_otherwise(name):
    module = make(name).double()
    with torch.no_grad():
        north, south = module(torch.tensor([[10.0, 90.0], [10.0, -90.0]], dtype=torch.float64))
    is_aliased = bool((north - south).abs().max() < 1e-9)
    assert is_aliased == (name in {"wrap-aliased", "nerf"})


@pytest.mark.parametrize("name", sorted(set(POSITIONAL) - STEPS))
def test_slopes_agree_with_finite_differences_also_at_poles_and_antimeridian(name):
    places = [[0, 90], [12, -90], [-180, 20], [179.9, -16.8], [139.7, 35.6], [0, 0]]
    lonlat = torch.tensor(places, dtype=torch.float64, requires_grad=True)
    # Its features go with the square of the scales, and so does the time.
    module = make(name, scales=3) if name == "dfs" else make(name)
    assert torch.autograd.gradcheck(module.double(), (lonlat,), eps=1e-5, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("place", [[0.0, 0.0], [179.0, -16.0], [180.0, 0.0], [-150.0, -90.0]])
def test_slopes_at_anchors_and_their_antipodes_are_zero_and_not_nan(place):
    """In these the haversine is exactly 0 or 1, where a root has no slope."""
    lonlat = torch.tensor([place], dtype=torch.float64, requires_grad=True)
    features = make("rbf").double()(lonlat)[0]
    extreme = features.argmax() if features.max() > 0.99 else features.argmin()
    features[extreme].backward()
    assert lonlat.grad.abs().max() < 1e-9


@pytest.mark.parametrize("name", POSITIONAL)
def test_the_graph_costs_no_precision(name, lonlat):
    module = make(name)
    asked = lonlat.clone().requires_grad_()
    with torch.no_grad():
        plain = module(asked)
    assert (plain - module(asked).detach()).abs().max() <= 3e-7


@pytest.mark.parametrize("name", POSITIONAL)
def test_options_survive_json_and_rebuild_the_encoding(name, lonlat):
    torch.manual_seed(5)
    module = make(name)
    torch.manual_seed(5)
    again = positional_encoding(name, **json.loads(json.dumps(module.options)))
    assert torch.equal(module(lonlat), again(lonlat))
    assert again.options == module.options
    assert f"dimension={module.dimension}" in repr(module)


@pytest.mark.parametrize("needs_graph", [False, True])
@pytest.mark.parametrize("name", POSITIONAL)
def test_all_tensors_follow_the_module_to_another_device(name, needs_graph):
    """The device without memory refuses to be mixed with another, so that no GPU is needed here."""
    module = make(name).to("meta")
    found = module(torch.zeros(4, 2, requires_grad=needs_graph))
    assert (found.device.type, found.shape) == ("meta", (4, module.dimension))


@pytest.mark.gpu
@pytest.mark.parametrize("name", POSITIONAL)
def test_a_gpu_gives_the_same(name, lonlat):
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    module = make(name).eval()
    with torch.no_grad():
        here = module(lonlat)
        there = module.cuda()(lonlat)
    assert there.is_cuda
    assert (there.cpu() - here).abs().max() < 1e-6
    asked = lonlat.cuda().requires_grad_()
    assert module(asked).is_cuda


# --- Bad requests


def test_unknown_names_and_options_are_refused_by_name():
    with pytest.raises(UnknownEncoder, match=r"'sphere-x'; there are xyz, .*tile"):
        positional_encoding("sphere-x")
    with pytest.raises(InvalidOption, match=r"grid: .*frequencies"):
        positional_encoding("grid", frequencies=3)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("grid", {"scales": 0}),
        ("grid", {"r_min": 0.0}),
        ("sphere-c", {"r_min": 2.0, "r_max": 1.0}),
        ("nerf", {"scales": 17}),
        ("nerf", {"scales": 0}),
        ("rff", {"length_scale": 0.0}),
        ("rff-equal-earth", {"sigmas": []}),
        ("rff-equal-earth", {"sigmas": [1.0, -1.0]}),
        ("sh", {"degrees": 0}),
        ("sh", {"degrees": 1001}),
        ("rbf", {"scale_km": 0.0}),
        ("rbf", {"count": 0}),
        ("rbf", {"anchors": []}),
        ("tile", {"cell_deg": 0.0}),
        ("tile", {"cell_deg": 1e-4}),
    ],
)
def test_options_without_meaning_are_refused(name, options):
    with pytest.raises((InvalidOption, InvalidCoordinate)):
        positional_encoding(name, **options)


def test_latitude_first_anchors_are_refused():
    with pytest.raises(InvalidCoordinate, match="lon, lat"):
        positional_encoding("rbf", anchors=[[35.68, 139.77]])


def test_a_wrong_last_axis_is_refused():
    with pytest.raises(InvalidOption, match=r"\(4, 3\)"):
        positional_encoding("xyz")(torch.zeros(4, 3))
