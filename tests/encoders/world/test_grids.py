"""Grids of the whole Earth: the seam, the poles, and means over them."""

import numpy as np
import pytest

from placeprint.encoders.world.grids import bilinear, block_mean, cell_values, class_shares, smooth


def grid_of(function, height=180):
    """A grid whose cells hold a function of their middles."""
    lat = 90 - (np.arange(height) + 0.5) * 180 / height
    lon = -180 + (np.arange(2 * height) + 0.5) * 180 / height
    return function(*np.meshgrid(lon, lat)).astype(np.float32)


def test_a_cell_holds_its_point_and_row_zero_is_north():
    grid = np.arange(8, dtype=np.uint8).reshape(2, 4)
    points = np.array([[-180, 90], [179.9, 1], [-180, -90], [0, -1]], float)
    assert cell_values(grid, points).tolist() == [0, 3, 4, 6]


def test_bilinear_gives_back_a_plane():
    grid = grid_of(lambda lon, lat: 2 * lat + lon)
    points = np.array([[10.3, 20.7], [-100.1, -45.2], [0, 0]])
    assert bilinear(grid, points) == pytest.approx(2 * points[:, 1] + points[:, 0], abs=1e-3)


def test_bilinear_goes_on_across_the_antimeridian():
    grid = grid_of(lambda lon, lat: np.cos(np.radians(lon)))
    east, west = bilinear(grid, np.array([[179.99, 10.0], [-179.99, 10.0]]))
    assert east == pytest.approx(west, abs=1e-5)
    assert east == pytest.approx(-1, abs=1e-3)


def test_bilinear_at_a_pole_is_the_last_row():
    grid = grid_of(lambda lon, lat: lat)
    assert bilinear(grid, np.array([[33.0, 90.0], [-12.0, -90.0]])) == pytest.approx([89.5, -89.5])


def test_bilinear_reads_channels_alike():
    grid = grid_of(lambda lon, lat: lat)
    points = np.array([[12.3, 4.5]])
    both = bilinear(np.stack([grid, -grid], axis=-1), points)
    assert both[0] == pytest.approx([4.5, -4.5], abs=1e-4)


def test_block_mean_and_shares_agree():
    classes = np.random.default_rng(0).integers(0, 3, (6, 12)).astype(np.uint8)
    shares = class_shares(classes, 3, 3)
    assert shares.shape == (2, 4, 3)
    for number in range(3):
        assert shares[..., number] == pytest.approx(block_mean((classes == number) * 1.0, 3))


def test_smoothing_keeps_a_constant_everywhere():
    assert smooth(np.full((90, 180), 3.0, np.float32), 4.0) == pytest.approx(3.0, abs=1e-4)


def test_smoothing_is_as_wide_on_the_ground_at_60_degrees_as_at_the_equator():
    height = 360
    widths = []
    for row in (height // 2, height // 6):  # latitudes 0 and 60
        grid = np.zeros((height, 2 * height), np.float32)
        grid[row, height] = 1
        spread = smooth(grid, 4.0)[row]
        columns = np.arange(2 * height) - height
        degrees = np.sqrt((spread * columns**2).sum() / spread.sum()) * 0.5
        widths.append(degrees * np.cos(np.radians(90 - (row + 0.5) * 0.5)))
    assert widths[1] == pytest.approx(widths[0], rel=0.03)


def test_smoothing_goes_over_the_pole_and_around_the_antimeridian():
    grid = np.zeros((90, 180), np.float32)
    grid[45, 0] = 1
    assert smooth(grid, 2.0)[45, -1] == pytest.approx(smooth(grid, 2.0)[45, 1], rel=1e-4)
    grid = np.zeros((90, 180), np.float32)
    grid[0] = 1
    over = smooth(grid, 2.0)
    assert over[1].std() < 1e-5
    assert over[0].mean() > 0.3  # the other side of the pole is as near as this one
