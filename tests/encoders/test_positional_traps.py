"""The traps that positional encodings fell into elsewhere, and what they are worth on real places.

Claims: no collapsed frequencies, aliased poles, rounded frequencies, kernels upside down, or tiles of one
cell. On real house prices a linear probe scores what an independent implementation measured.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from positional_fakes import make

from placeprint.encoders.anchors import fibonacci_lattice
from placeprint.encoders.fourier import GEOCLIP_SCALE, equal_earth
from placeprint.encoders.positional import positional_encoding
from placeprint.encoders.positional_base import geometric_scales
from placeprint.encoders.probes.probe import random_folds, ridge_scores
from placeprint.encoders.sphere import uniform_on_sphere

PRICES = Path(__file__).resolve().parents[3] / "shared" / "data" / "prices" / "california_housing.csv"


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
