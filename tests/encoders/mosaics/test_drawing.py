"""From degrees to pixels: an edge that is straight in degrees is bent on the map, and drawn so."""

import numpy as np
import pytest
import shapely

from placeprint.encoders.mosaics.drawing import to_world_px
from placeprint.encoders.mosaics.mercator import to_lonlat, to_world
from placeprint.encoders.mosaics.scanlines import Window, edges_of, fill

OUTLINE = [(0.0, 50.0), (12.0, 62.0), (12.0, 50.0), (0.0, 50.0)]
HOLE = [(2.0, 51.9), (10.0, 59.9), (10.0, 55.0), (2.0, 51.9)]  # 0.1 degrees beside the oblique edge


def window_of(polygon: shapely.Polygon, zoom: int) -> Window:
    west, south, east, north = polygon.bounds
    corners = np.array([[west, north], [east, south]])
    (left, top), (right, bottom) = np.floor(to_world(corners, zoom)).astype(int)
    return Window(left - 2, top - 2, right - left + 5, bottom - top + 5)


@pytest.mark.parametrize("zoom", [4, 7, 9])
def test_long_edges_are_drawn_where_they_are_in_degrees(zoom: int) -> None:
    polygon = shapely.Polygon(OUTLINE, [HOLE])
    window = window_of(polygon, zoom)
    found = fill(edges_of(to_world_px(np.array([polygon], object), zoom)), window)
    y, x = np.mgrid[: window.height, : window.width]
    centers = to_lonlat(np.stack([window.x + x + 0.5, window.y + y + 0.5], axis=-1).astype(float), zoom)
    inside = shapely.contains_xy(polygon, centers[..., 0], centers[..., 1])
    wrong = found != inside
    pixel_deg = 360.0 / (256 << zoom)
    away_deg = shapely.distance(shapely.boundary(polygon), shapely.points(centers[wrong]))
    assert (away_deg < 0.12 * pixel_deg).all() and found.any()


def test_a_hole_along_a_long_edge_takes_nothing_from_another_shape() -> None:
    polygon, zoom = shapely.Polygon(OUTLINE, [HOLE]), 8
    around = shapely.box(-1.0, 49.0, 13.0, 63.0)
    window = window_of(around, zoom)
    both = fill(edges_of(to_world_px(np.array([polygon, around], object), zoom)), window)
    alone = fill(edges_of(to_world_px(np.array([around], object), zoom)), window)
    assert np.array_equal(both, alone)


def test_short_edges_get_no_vertex() -> None:
    house = shapely.box(9.52, 47.14, 9.5202, 47.1402)
    moved = to_world_px(np.array([house], object), 16)
    assert shapely.get_num_coordinates(moved[0]) == 5
