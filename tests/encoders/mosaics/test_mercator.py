"""World pixels: known values of the slippy map, the way back, and the size of a pixel on the ground."""

import numpy as np
import pytest

from placeprint.encoders.mosaics.mercator import MAX_LAT, ground_m_per_px, to_lonlat, to_world, world_px


def test_the_corners_and_the_middle_of_the_world() -> None:
    points = np.array([[-180.0, MAX_LAT], [0.0, 0.0], [180.0, -MAX_LAT], [0.0, 90.0]])
    expected = [[0.0, 0.0], [512.0, 512.0], [1024.0, 1024.0], [512.0, 0.0]]
    assert to_world(points, 2) == pytest.approx(np.array(expected), abs=1e-9)
    assert world_px(2) == 1024


def test_tokyo_lies_in_its_tile() -> None:
    x, y = to_world(np.array([139.7671, 35.6812]), 16) // 256  # Tokyo station: tile 16/58211/25806
    lon, lat = np.deg2rad(139.7671), np.deg2rad(35.6812)
    assert x == int((np.rad2deg(lon) + 180.0) / 360.0 * 2**16)
    assert y == int((0.5 - np.log(np.tan(np.pi / 4 + lat / 2)) / (2 * np.pi)) * 2**16)


def test_the_way_back(rng: np.random.Generator) -> None:
    lonlat = np.stack([rng.uniform(-180, 180, 1000), rng.uniform(-85, 85, 1000)], axis=1)
    assert to_lonlat(to_world(lonlat, 20), 20) == pytest.approx(lonlat, abs=1e-9)


@pytest.mark.parametrize("zoom, meters", [(14, 7.76), (15, 3.88), (16, 1.94), (17, 0.97), (18, 0.49)])
def test_pixels_over_tokyo(zoom: int, meters: float) -> None:
    assert float(ground_m_per_px(35.68, zoom)) == pytest.approx(meters, abs=0.005)
