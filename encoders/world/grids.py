"""Grids of the whole Earth: read them at points, average them, smooth them on the sphere.

A grid is an array (H, W) or (H, W, channels) of equal steps in degrees: row 0 lies at the north pole,
column 0 at longitude -180, and a value stands for the middle of its cell. Rows end at the poles,
columns go round.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

_Floats = NDArray[np.float64]
_Grid = NDArray[np.float32]
_Number = TypeVar("_Number", bound=np.generic)


def cell_values(grid: NDArray[_Number], lonlat: _Floats) -> NDArray[_Number]:
    """Value of the cell that holds each point: degrees (n, 2) -> (n,) or (n, channels)."""
    height, width = grid.shape[:2]
    row = np.clip(((90.0 - lonlat[:, 1]) * height / 180.0).astype(np.int64), 0, height - 1)
    column = ((lonlat[:, 0] + 180.0) * width / 360.0).astype(np.int64) % width
    values: NDArray[_Number] = grid[row, column]
    return values


def bilinear(grid: NDArray[np.float32], lonlat: _Floats) -> NDArray[np.float32]:
    """Value between the four nearest cell middles: degrees (n, 2) -> (n,) or (n, channels).

    Across the antimeridian the neighbor is the first column; between the last row and its pole stands
    the mean of that row, the value at the pole.
    """
    height, width = grid.shape[:2]
    row = np.clip((90.0 - lonlat[:, 1]) * height / 180.0 - 0.5, 0, height - 1)
    column = (lonlat[:, 0] + 180.0) * width / 360.0 - 0.5
    north = np.minimum(row.astype(np.int64), height - 2)
    west = np.floor(column).astype(np.int64)
    to_south = (row - north).astype(np.float32)
    to_east = (column - west).astype(np.float32)
    if grid.ndim == 3:
        to_south, to_east = to_south[:, None], to_east[:, None]
    east, west = (west + 1) % width, west % width
    upper = grid[north, west] * (1 - to_east) + grid[north, east] * to_east
    lower = grid[north + 1, west] * (1 - to_east) + grid[north + 1, east] * to_east
    between: _Grid = upper * (1 - to_south) + lower * to_south
    past = np.abs(lonlat[:, 1]) * height / 90.0 - (height - 1)  # from the middle of the last row, 0 to 1
    polar = np.flatnonzero(past > 0)
    if polar.size:
        to_pole = past[polar].astype(np.float32)
        to_pole = to_pole[:, None] if grid.ndim == 3 else to_pole
        last = np.where(lonlat[polar, 1] > 0, 0, height - 1)
        between[polar] += to_pole * (grid.mean(axis=1, dtype=np.float32)[last] - between[polar])
    return between


def block_mean(grid: NDArray[np.generic], factor: int) -> NDArray[np.float32]:
    """Mean of each block of factor × factor cells: (H, W, ...) -> (H / factor, W / factor, ...)."""
    height, width = grid.shape[0] // factor, grid.shape[1] // factor
    blocks = grid.reshape(height, factor, width, factor, *grid.shape[2:])
    means: _Grid = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means


def class_shares(grid: NDArray[np.uint8], factor: int, n_classes: int) -> NDArray[np.float32]:
    """Share of each class in each block of cells: (H, W) -> (H / factor, W / factor, n_classes)."""
    height, width = grid.shape[0] // factor, grid.shape[1] // factor
    column = np.repeat(np.arange(width, dtype=np.int32), factor)
    shares = np.empty((height, width, n_classes), np.float32)
    for row in range(height):
        classes = grid[row * factor : (row + 1) * factor]
        counts = np.bincount((column * n_classes + classes).ravel(), minlength=width * n_classes)
        shares[row] = counts.reshape(width, n_classes) / factor**2
    return shares


def smooth(grid: NDArray[np.float32], sigma_cells: float) -> NDArray[np.float32]:
    """Gaussian mean over a disk of the sphere, `sigma_cells` rows wide.

    Along a parallel the width grows as 1 / cos(latitude), so that it is the same on the ground, up
    to a sixth of the parallel. Over a pole the grid goes on, half a turn away.
    """
    height, width = grid.shape[:2]
    lat = 90.0 - (np.arange(height) + 0.5) * 180.0 / height
    sigma = np.minimum(sigma_cells / np.maximum(np.cos(np.radians(lat)), 0.02), width / 6)
    along = np.empty_like(grid)
    for row in range(height):
        along[row] = gaussian_filter1d(grid[row], sigma[row], axis=0, mode="wrap", truncate=3.0)
    margin = min(int(4 * sigma_cells) + 1, height)
    turned = np.roll(along, width // 2, axis=1)
    over_poles = np.concatenate([turned[:margin][::-1], along, turned[-margin:][::-1]])
    smoothed: _Grid = gaussian_filter1d(over_poles, sigma_cells, axis=0, truncate=3.0)
    return smoothed[margin:-margin]
