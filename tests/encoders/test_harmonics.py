"""Real spherical harmonics.

Claims: they are orthonormal under exact quadrature; they equal scipy's to degree 120; they obey
Unsöld's theorem to degree 1000 and beside the poles, and the addition theorem; they are eigenfunctions
of the Laplacian; at a pole only order 0 is left and slopes are those of the smooth function; the way
with a graph and the way in place agree.
"""

import numpy as np
import pytest
import torch
from scipy.special import eval_legendre, sph_harm_y

from placeprint.encoders.harmonics import SphericalHarmonics
from placeprint.encoders.sphere import uniform_on_sphere, unit_vectors

NEAR_POLES = np.array([[0.0, 90.0], [50.0, -90.0], [-180.0, 89.999999], [20.0, -89.9], [170.0, 85.0]])


def harmonics(degrees, lonlat):
    """Features in float64, (n, L²)."""
    return SphericalHarmonics(degrees=degrees).double()(torch.as_tensor(lonlat)).numpy()


def degree_of(column):
    return np.floor(np.sqrt(column)).astype(int)


def test_they_are_orthonormal():
    """Gauss-Legendre in sin φ and equal steps in λ integrate products of degree < 2 L exactly."""
    degrees = 21
    x, weight = np.polynomial.legendre.leggauss(degrees)
    lon = np.arange(2 * degrees) * 180.0 / degrees
    lonlat = np.stack(np.meshgrid(lon, np.rad2deg(np.arcsin(x))), axis=-1).reshape(-1, 2)
    y = harmonics(degrees, lonlat)
    gram = y.T @ (y * np.repeat(weight * np.pi / degrees, 2 * degrees)[:, None])
    np.testing.assert_allclose(gram, np.eye(degrees**2), atol=2e-13)


def test_the_first_one_is_constant():
    assert harmonics(1, [[12.0, 34.0]]) == pytest.approx(0.28209479177387814, rel=1e-15)


@pytest.mark.parametrize("degrees", [2, 3, 40, 120])
def test_they_equal_scipys(degrees, rng):
    lonlat = np.concatenate([NEAR_POLES, uniform_on_sphere(12, rng)])
    lon, colatitude = np.deg2rad(lonlat[:, :1]), np.deg2rad(90.0 - lonlat[:, 1:])
    column = np.arange(degrees**2)
    degree = degree_of(column)
    order = column - degree * (degree + 1)
    complex_y = sph_harm_y(degree, np.abs(order), colatitude, lon)  # with the Condon-Shortley sign
    sign = np.where(order % 2 == 0, 1.0, -1.0)
    part = np.where(order >= 0, complex_y.real, complex_y.imag)
    wanted = np.where(order == 0, 1.0, np.sqrt(2.0)) * sign * part
    np.testing.assert_allclose(harmonics(degrees, lonlat), wanted, rtol=0, atol=2e-12)


@pytest.mark.parametrize(("degrees", "atol"), [(120, 1e-11), (1000, 1e-8)])
def test_squares_of_a_degree_sum_to_the_same_everywhere(degrees, atol, rng):
    """Unsöld's theorem: Σ_m Y_lm² = (2l + 1) / 4π at any place."""
    lonlat = np.concatenate([NEAR_POLES, uniform_on_sphere(3, rng)])
    squares = harmonics(degrees, lonlat) ** 2
    degree = np.arange(degrees)
    sums = np.add.reduceat(squares, degree**2, axis=1)
    np.testing.assert_allclose(4 * np.pi * sums / (2 * degree + 1), 1.0, atol=atol)


def test_products_sum_to_a_legendre_polynomial_of_the_distance(rng):
    a, b = uniform_on_sphere(30, rng), uniform_on_sphere(30, rng)
    degree = np.arange(40)
    found = np.add.reduceat(harmonics(40, a) * harmonics(40, b), degree**2, axis=1)
    cosine = (unit_vectors(a) * unit_vectors(b)).sum(-1, keepdims=True)
    wanted = (2 * degree + 1) / (4 * np.pi) * eval_legendre(degree, cosine)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_at_a_pole_only_order_0_is_left():
    found = harmonics(30, [[33.0, 90.0], [-120.0, -90.0]])
    column = np.arange(900)
    degree = degree_of(column)
    zonal = column == degree * (degree + 1)
    assert np.abs(found[:, ~zonal]).max() < 1e-14
    wanted = np.sqrt((2 * degree + 1) / (4 * np.pi))[zonal]
    np.testing.assert_allclose(found[:, zonal], [wanted, wanted * (-1.0) ** np.arange(30)], rtol=1e-13)


def test_they_are_eigenfunctions_of_the_laplacian():
    """∂²/∂φ² - tan φ ∂/∂φ + ∂²/∂λ² / cos² φ gives -l (l + 1): second derivatives go through."""
    module = SphericalHarmonics(degrees=5).double()
    for lon, lat in [[20.0, 40.0], [-100.0, -70.0]]:
        place = torch.tensor([lon, lat], dtype=torch.float64, requires_grad=True)
        y = module(place)
        for column in range(25):
            (slope,) = torch.autograd.grad(y[column], place, create_graph=True)
            curvature = [torch.autograd.grad(slope[i], place, retain_graph=True)[0][i] for i in range(2)]
            in_rad, phi = 180.0 / np.pi, np.deg2rad(lat)
            laplacian = in_rad**2 * (curvature[1] + curvature[0] / np.cos(phi) ** 2)
            laplacian = laplacian - in_rad * np.tan(phi) * slope[1]
            degree = degree_of(column)
            assert laplacian.item() == pytest.approx(-degree * (degree + 1) * y[column].item(), abs=1e-9)


def test_slopes_at_the_poles_are_finite_and_right():
    """Past the pole the formula goes on smoothly, so finite differences hold there."""
    module = SphericalHarmonics(degrees=40).double()
    for lat in (90.0, -90.0):
        place = torch.tensor([[25.0, lat]], dtype=torch.float64, requires_grad=True)
        direction = torch.randn(1600, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        (slope,) = torch.autograd.grad(module(place)[0] @ direction, place)
        step = torch.tensor([0.0, 1e-5], dtype=torch.float64)
        with torch.no_grad():
            difference = (module(place + step) - module(place - step))[0] @ direction / 2e-5
        assert slope[0, 1].item() == pytest.approx(difference.item(), rel=1e-5)
        assert slope[0, 0].item() == pytest.approx(0.0, abs=1e-12)  # a pole has no longitude


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 17])
def test_both_ways_of_computing_agree(degrees, rng):
    lonlat = torch.from_numpy(np.concatenate([NEAR_POLES, uniform_on_sphere(20, rng)]))
    module = SphericalHarmonics(degrees=degrees).double()
    with_graph = module(lonlat.clone().requires_grad_())
    in_place = module(lonlat)
    assert not in_place.requires_grad
    np.testing.assert_allclose(with_graph.detach().numpy(), in_place.numpy(), rtol=0, atol=1e-13)


def test_half_turns_agree_with_parity(rng):
    """The antipode changes the sign of odd degrees."""
    lonlat = uniform_on_sphere(20, rng)
    antipodes = np.stack([lonlat[:, 0] + 180.0, -lonlat[:, 1]], axis=-1)
    sign = (-1.0) ** degree_of(np.arange(400))
    np.testing.assert_allclose(harmonics(20, antipodes), sign * harmonics(20, lonlat), atol=1e-12)
