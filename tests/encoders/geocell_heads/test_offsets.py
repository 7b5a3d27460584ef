"""Claims: offsets and places are inverse, also at the poles and across ±180°; the bound is a circle."""

import numpy as np
import pytest
import torch

from placeprint.encoders.geocell_heads.offsets import moved, offsets_km, within
from placeprint.encoders.sphere import EARTH_RADIUS_KM, great_circle_km, uniform_on_sphere

DEGREE_KM = np.pi * EARTH_RADIUS_KM / 180.0


def test_one_degree_north_and_east_of_the_equator() -> None:
    center = np.zeros((2, 2))
    got = offsets_km(center, np.array([[0.0, 1.0], [1.0, 0.0]]))
    np.testing.assert_allclose(got, [[0.0, DEGREE_KM], [DEGREE_KM, 0.0]], atol=1e-9)


def test_across_the_antimeridian_east_is_east() -> None:
    east, north = offsets_km(np.array([179.9, 0.0]), np.array([-179.9, 0.0]))
    assert east == pytest.approx(0.2 * DEGREE_KM) and north == pytest.approx(0.0, abs=1e-9)


def test_places_come_back(rng: np.random.Generator) -> None:
    center = np.vstack([uniform_on_sphere(50, rng), [[33.0, 90.0], [-120.0, -90.0], [180.0, 0.0]]])
    place = uniform_on_sphere(len(center), rng)
    back = moved(center, offsets_km(center, place))
    np.testing.assert_allclose(great_circle_km(back, place), 0.0, atol=1e-6)


def test_offsets_come_back(rng: np.random.Generator) -> None:
    center = np.vstack([uniform_on_sphere(50, rng), [[33.0, 90.0], [-120.0, -90.0]]])
    offset = rng.normal(scale=300.0, size=center.shape)
    np.testing.assert_allclose(offsets_km(center, moved(center, offset)), offset, atol=1e-6)


def test_the_center_itself_has_no_offset() -> None:
    center = np.array([[12.0, 34.0], [0.0, 90.0]])
    np.testing.assert_array_equal(offsets_km(center, center), 0.0)
    np.testing.assert_allclose(great_circle_km(moved(center, np.zeros((2, 2))), center), 0.0, atol=1e-9)


def test_the_bound_is_a_circle_and_small_vectors_pass() -> None:
    raw = torch.tensor(
        [[30.0, 40.0], [-1e3, 1e3], [3e-5, 4e-5], [0.0, 0.0]], dtype=torch.float64, requires_grad=True
    )
    radius = torch.tensor([10.0, 20.0, 10.0, 10.0], dtype=torch.float64)
    got = within(raw, radius)
    np.testing.assert_allclose(got[0].detach(), [6.0, 8.0], rtol=1e-9)
    assert got[1].norm().item() == pytest.approx(20.0)
    np.testing.assert_allclose(got[2].detach(), [3e-4, 4e-4], rtol=1e-6)
    got.sum().backward()
    assert torch.isfinite(raw.grad).all() and raw.grad[3].tolist() == pytest.approx([10.0, 10.0])


def test_a_cell_of_one_point_has_no_room() -> None:
    assert within(torch.tensor([[5.0, 5.0]]), torch.tensor([0.0])).tolist() == [[0.0, 0.0]]
