"""Positional encodings.

Claims, for every one of them: its features equal a second derivation in numpy, point by point; it has
the dimension its formula says, in the module's dtype, and computes its phases in float64; it changes no
input; it has a seam at the antimeridian or none, as it claims; its slopes agree with finite differences,
at poles too; its options rebuild it. Then the traps others fell into: collapsed frequencies, aliased
poles, rounded frequencies, kernels upside down, tiles of one cell. On real house prices a linear probe
scores what an independent implementation measured.
"""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from placeprint.encoders.anchors import fibonacci_lattice
from placeprint.encoders.errors import InvalidCoordinate, InvalidOption, UnknownEncoder
from placeprint.encoders.fourier import GEOCLIP_SCALE, equal_earth
from placeprint.encoders.positional import POSITIONAL, positional_encoding
from placeprint.encoders.positional_base import geometric_scales
from placeprint.encoders.probes.probe import random_folds, ridge_scores
from placeprint.encoders.sphere import great_circle_km, uniform_on_sphere

PRICES = Path(__file__).resolve().parents[3] / "shared" / "data" / "prices" / "california_housing.csv"
S = 5
RADII = {"scales": S, "r_min": 0.01, "r_max": 1.0}
OPTIONS = {
    "xyz": {},
    "wrap": {},
    "wrap-aliased": {},
    "grid": {"scales": S, "r_min": 0.5, "r_max": 360.0},
    "theory": {"scales": S, "r_min": 0.5, "r_max": 360.0},
    "sphere-c": RADII,
    "sphere-c+": RADII,
    "sphere-m": RADII,
    "sphere-m+": RADII,
    "dfs": RADII,
    "nerf": {"scales": S},
    "rff": {"features": 24, "length_scale": 0.1, "seed": 3},
    "rff-equal-earth": {"sigmas": [1.0, 8.0], "frequencies": 10, "seed": 3},
    "sh": {"degrees": 6},
    "rbf": {"anchors": [[0.0, 0.0], [179.0, -16.0], [30.0, 90.0]], "scale_km": 3000.0},
    "rbf-degrees": {"anchors": [[0.0, 0.0], [179.0, -16.0], [30.0, 80.0]], "scale_deg": 40.0},
    "tile": {"cell_deg": 7.0, "width": 3},
}
DIMENSIONS = {
    "xyz": 3,
    "wrap": 4,
    "wrap-aliased": 4,
    "grid": 4 * S,
    "theory": 6 * S,
    "sphere-c": 3 * S,
    "sphere-c+": 6 * S,
    "sphere-m": 5 * S,
    "sphere-m+": 8 * S,
    "dfs": 4 * S + 4 * S * S,
    "nerf": 6 * S,
    "rff": 24,
    "rff-equal-earth": 40,
    "sh": 36,
    "rbf": 3,
    "rbf-degrees": 3,
    "tile": 3,
}
PERIODIC = {"xyz", "wrap", "wrap-aliased", "nerf", "sh", "rbf", "tile"}
STEPS = {"tile"}
EDGES = [[0, 0], [0, 90], [77, 90], [0, -90], [-180, 0], [179.9, -16.8], [-0.1, 51.5], [179.0, -16.0]]


def make(name, **changes):
    return positional_encoding(name, **{**OPTIONS[name], **changes})


@pytest.fixture
def lonlat(rng):
    return torch.from_numpy(np.concatenate([np.array(EDGES, dtype=float), uniform_on_sphere(40, rng)]))


# --- The second derivation: numpy, one point at a time, from the formulas


def radii(scales, r_min, r_max):
    return [math.exp(math.log(r_min) + s * math.log(r_max / r_min) / (scales - 1)) for s in range(scales)]


def grid(lon, lat, module, options):
    return [f(x / r) for r in radii(**options) for f in (math.sin, math.cos) for x in (lon, lat)]


def theory(lon, lat, module, options):
    out = []
    for r in radii(**options):
        along = [lon * math.cos(t) + lat * math.sin(t) for t in np.deg2rad([0, 120, 240])]
        out += [math.sin(x / r) for x in along] + [math.cos(x / r) for x in along]
    return out


def sphere2vec(variant):
    def reference(lon, lat, module, options):
        (l, p), out = np.deg2rad([lon, lat]), []  # noqa: E741
        for r in radii(**options):
            if variant[0] == "c":
                vector = [
                    math.sin(p / r),
                    math.cos(p / r) * math.cos(l / r),
                    math.cos(p / r) * math.sin(l / r),
                ]
            else:
                vector = [math.sin(p / r), math.cos(p / r) * math.cos(l), math.cos(p) * math.cos(l / r)]
                vector += [math.cos(p / r) * math.sin(l), math.cos(p) * math.sin(l / r)]
            plus = [math.cos(p / r), math.sin(l / r), math.cos(l / r)]
            out += vector + (plus if variant.endswith("+") else [])
        return out

    return reference


def dfs(lon, lat, module, options):
    (l, p), r = np.deg2rad([lon, lat]), radii(**options)  # noqa: E741
    a = [math.sin(p / x) for x in r] + [math.cos(p / x) for x in r]
    b = [math.sin(l / x) for x in r] + [math.cos(l / x) for x in r]
    return a + b + [x * y for x in a for y in b]


def xyz(lon, lat):
    l, p = np.deg2rad([lon, lat])  # noqa: E741
    return [math.cos(p) * math.cos(l), math.cos(p) * math.sin(l), math.sin(p)]


def nerf(lon, lat, module, options):
    octaves = [2.0**k * math.pi for k in range(options["scales"])]
    return [f(o * v) for o in octaves for f in (math.sin, math.cos) for v in xyz(lon, lat)]


def rff(lon, lat, module, options):
    rows = zip(module.frequencies.tolist(), module.phases.tolist(), strict=True)
    scale = math.sqrt(2 / options["features"])
    return [scale * math.cos(w[0] * lon / 180 + w[1] * lat / 90 + b) for w, b in rows]


def rff_equal_earth(lon, lat, module, options):
    l, p = np.deg2rad([lon, lat])  # noqa: E741
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    t = math.asin(math.sqrt(3) / 2 * math.sin(p))
    x = 2 * math.sqrt(3) * l * math.cos(t) / (3 * (9 * a4 * t**8 + 7 * a3 * t**6 + 3 * a2 * t**2 + a1))
    y = a4 * t**9 + a3 * t**7 + a2 * t**3 + a1 * t
    v = np.array([x, y]) * 66.50336 / 180
    out = []
    for block in module.frequencies.double().numpy().reshape(len(options["sigmas"]), -1, 2):
        phase = 2 * np.pi * block @ v
        out += [*np.cos(phase), *np.sin(phase)]
    return out


def harmonics(lon, lat, module, options):
    from scipy.special import lpmv

    (l, p), out = np.deg2rad([lon, lat]), []  # noqa: E741
    for n in range(options["degrees"]):
        for m in range(-n, n + 1):
            k = abs(m)
            norm = math.sqrt((2 * n + 1) / (4 * math.pi) * math.factorial(n - k) / math.factorial(n + k))
            legendre = (-1) ** k * norm * lpmv(k, n, math.sin(p))  # scipy has the Condon-Shortley sign
            turn = 1.0 if m == 0 else math.sqrt(2) * (math.cos(m * l) if m > 0 else math.sin(k * l))
            out.append(legendre * turn)
    return out


def rbf(lon, lat, module, options):
    km = great_circle_km(np.array([lon, lat]), np.array(options["anchors"]))
    return np.exp(-(km**2) / (2 * options["scale_km"] ** 2))


def rbf_degrees(lon, lat, module, options):
    offset = np.array(options["anchors"]) - [lon, lat]
    return np.exp(-(offset**2).sum(-1) / (2 * options["scale_deg"] ** 2))


def tile(lon, lat, module, options):
    cell = options["cell_deg"]
    row = min(int((lat + 90) // cell), math.ceil(180 / cell) - 1)
    return module.table.weight[row * math.ceil(360 / cell) + int((lon + 180) // cell)].tolist()


REFERENCES = {
    "xyz": lambda lon, lat, module, options: xyz(lon, lat),
    "wrap": lambda lon, lat, module, options: [
        f(x) for x in np.deg2rad([lon, lat]) for f in (math.sin, math.cos)
    ],
    "wrap-aliased": lambda lon, lat, module, options: [
        f(math.pi * x) for f in (math.sin, math.cos) for x in (lon / 180, lat / 90)
    ],
    "grid": grid,
    "theory": theory,
    "sphere-c": sphere2vec("c"),
    "sphere-c+": sphere2vec("c+"),
    "sphere-m": sphere2vec("m"),
    "sphere-m+": sphere2vec("m+"),
    "dfs": dfs,
    "nerf": nerf,
    "rff": rff,
    "rff-equal-earth": rff_equal_earth,
    "sh": harmonics,
    "rbf": rbf,
    "rbf-degrees": rbf_degrees,
    "tile": tile,
}


def test_every_encoding_is_tested():
    assert set(POSITIONAL) == set(OPTIONS) == set(REFERENCES) == set(DIMENSIONS)


@pytest.mark.parametrize("name", POSITIONAL)
def test_features_equal_a_second_derivation(name, lonlat):
    module = make(name).double()
    with torch.no_grad():
        found = module(lonlat).numpy()
    wanted = np.array([REFERENCES[name](lon, lat, module, OPTIONS[name]) for lon, lat in lonlat.tolist()])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-12)


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
    assert torch.autograd.gradcheck(make(name).double(), (lonlat,), eps=1e-5, atol=1e-5, rtol=1e-4)


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


# --- Traps


def test_scales_are_geometric_and_hold_both_ends():
    found = geometric_scales(4, 0.001, 1.0).numpy()
    np.testing.assert_allclose(found, [0.001, 0.01, 0.1, 1.0], rtol=1e-14)
    assert geometric_scales(1, 0.5, 360.0).tolist() == [0.5]


@pytest.mark.parametrize(("name", "at_least"), [("sphere-m+", 425), ("sphere-c+", 300), ("dfs", 200)])
def test_frequencies_do_not_collapse(name, at_least, rng):
    """With one frequency for all scales, as TorchSpatial's sphereM+ and dfs have, the rank is 6 or 8."""
    options = {"scales": 64 if name != "dfs" else 8, "r_min": 1e-3, "r_max": 1.0}
    lonlat = torch.from_numpy(uniform_on_sphere(2000, rng))
    features = positional_encoding(name, **options).double()(lonlat)
    assert torch.linalg.matrix_rank(features) >= at_least
    flat = positional_encoding(name, **{**options, "r_min": 1.0}).double()(lonlat)
    assert torch.linalg.matrix_rank(flat) <= 9


def test_space2vec_counts_in_degrees_and_sphere2vec_in_radians():
    quarter_turn = torch.tensor([[90.0, 0.0]], dtype=torch.float64)
    grid = positional_encoding("grid", scales=1, r_min=360.0, r_max=360.0).double()(quarter_turn)
    assert grid[0, 0].item() == pytest.approx(math.sin(90.0 / 360.0))
    sphere = positional_encoding("sphere-c", scales=1, r_min=1.0, r_max=1.0).double()(quarter_turn)
    np.testing.assert_allclose(sphere[0].numpy(), [0, 0, 1], atol=1e-15)


def test_random_frequencies_have_the_spread_asked_for_and_follow_the_seed():
    module = positional_encoding("rff-equal-earth", sigmas=[1.0, 16.0, 256.0], frequencies=4000, seed=1)
    for block, sigma in zip(module.frequencies.reshape(3, -1), (1.0, 16.0, 256.0), strict=True):
        assert block.std().item() == pytest.approx(sigma, rel=0.03)
        assert abs(block.mean().item()) < 0.05 * sigma
    other = positional_encoding("rff-equal-earth", sigmas=[1.0, 16.0, 256.0], frequencies=4000, seed=2)
    assert not torch.equal(module.frequencies, other.frequencies)


def test_a_cast_does_not_round_constants(rng):
    """Half a precision of a frequency of 256 would move features by all they can move."""
    lonlat = torch.from_numpy(uniform_on_sphere(50, rng))
    for name in ("rff-equal-earth", "grid", "sh"):
        module = positional_encoding(name).half()
        there_and_back = module.float()(lonlat)
        assert torch.equal(there_and_back, positional_encoding(name)(lonlat))
    assert module.half()(lonlat).isfinite().all()


def test_plane_features_approach_the_gaussian_kernel():
    """A longer length scale is a wider kernel; TorchSpatial's option narrows it."""
    lonlat = torch.tensor([[10.0, 20.0], [28.0, 29.0]], dtype=torch.float64)
    distance2 = (18 / 180) ** 2 + (9 / 90) ** 2
    for length_scale in (0.1, 0.3):
        module = positional_encoding("rff", features=200_000, length_scale=length_scale).double()
        a, b = module(lonlat)
        assert (a @ b).item() == pytest.approx(math.exp(-distance2 / (2 * length_scale**2)), abs=0.01)


def test_equal_earth_keeps_areas(rng):
    """The determinant of its slopes is the area of the sphere: R² cos φ."""
    for lon, lat in uniform_on_sphere(20, rng):
        place = torch.tensor([lon, lat], dtype=torch.float64)
        slopes = torch.autograd.functional.jacobian(equal_earth, place)
        area = torch.linalg.det(slopes).item() * (180 / math.pi) ** 2
        assert area == pytest.approx(GEOCLIP_SCALE**2 * math.cos(math.radians(lat)), rel=1e-5)


def test_anchors_spread_evenly():
    lattice = fibonacci_lattice(500)
    x = make("xyz").double()(torch.from_numpy(lattice))
    assert x.mean(0).abs().max() < 2e-3
    np.testing.assert_allclose((x.T @ x / 500).numpy(), np.eye(3) / 3, atol=2e-3)


def test_an_anchor_across_the_antimeridian_is_near():
    fiji = torch.tensor([[-179.0, -16.0]], dtype=torch.float64)
    options = {"anchors": [[179.0, -16.0]]}
    assert positional_encoding("rbf", scale_km=1000.0, **options)(fiji).item() > 0.95
    assert positional_encoding("rbf-degrees", scale_deg=10.0, **options)(fiji).item() < 1e-6


def test_tiles_are_many_wrap_around_and_reach_the_pole():
    module = positional_encoding("tile", cell_deg=1.0, width=2)
    corners = [[-180.0, -90.0], [179.999, 90.0], [180.0, -90.0], [-180.001, 90.0]]
    found = module(torch.tensor(corners, dtype=torch.float64))
    assert module.table.num_embeddings == 360 * 180
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[1], found[3])
    assert torch.equal(found[1], module.table.weight[-1])


def test_tiles_learn():
    module = positional_encoding("tile", cell_deg=10.0, width=2)
    module(torch.tensor([[5.0, 5.0], [6.0, 6.0]])).sum().backward()
    touched = module.table.weight.grad.abs().sum(1).nonzero().flatten()
    assert touched.tolist() == [9 * 36 + 18]


# --- Real places


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "options", "r2"),
    [
        ("wrap", {}, 0.243),
        ("xyz", {}, 0.244),
        ("grid", {"scales": 64, "r_min": 0.1, "r_max": 360.0}, 0.403),
        ("theory", {"scales": 64, "r_min": 0.1, "r_max": 360.0}, 0.471),
        ("sphere-c", {"scales": 64, "r_min": 0.001, "r_max": 1.0}, 0.476),
        ("sphere-c+", {"scales": 64, "r_min": 0.001, "r_max": 1.0}, 0.521),
        ("sphere-m", {"scales": 64, "r_min": 0.001, "r_max": 1.0}, 0.481),
        ("sphere-m+", {"scales": 64, "r_min": 0.001, "r_max": 1.0}, 0.506),
        ("nerf", {"scales": 10}, 0.425),
        ("sh", {"degrees": 10}, 0.347),
        ("sh", {"degrees": 20}, 0.370),
    ],
)
def test_a_ridge_on_house_prices_scores_as_measured_elsewhere(name, options, r2):
    """R² over five random folds of 20,640 districts of California; measured with numpy and scipy."""
    if not PRICES.is_file():
        pytest.skip("the house prices are not here")
    lon, lat, price = np.loadtxt(PRICES, delimiter=",", skiprows=1, usecols=(0, 1, 8), unpack=True)
    with torch.no_grad():
        features = positional_encoding(name, **options)(torch.from_numpy(np.stack([lon, lat], axis=-1)))
    score = ridge_scores(features.numpy(), price / 1e5, random_folds(len(price)))
    assert score.mean == pytest.approx(r2, abs=6e-4)
