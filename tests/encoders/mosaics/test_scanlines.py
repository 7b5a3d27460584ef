"""The rasterizer: pixel centers, holes, shared edges, windows, and GDAL as a second opinion."""

import numpy as np
import pytest
import rasterio.features
import shapely
from affine import Affine

from placeprint.encoders.mosaics.scanlines import Window, edges_of, fill, packed, paint


def drawn(window: Window, *polygons: shapely.Geometry) -> np.ndarray:
    return fill(edges_of(np.array(polygons, dtype=object)), window)


def blob(rng: np.random.Generator, x: float, y: float, size: float) -> shapely.Polygon:
    angle = np.sort(rng.uniform(0.0, 2.0 * np.pi, 17))
    radius = rng.uniform(0.3, 1.0, 17) * size
    return shapely.Polygon(np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1))


def test_a_pixel_is_filled_when_its_center_lies_inside() -> None:
    found = drawn(Window(0, 0, 5, 4), shapely.box(0.6, 1.4, 3.4, 3.6))
    expected = np.zeros((4, 5), bool)
    expected[1:3, 1:3] = True  # centers 1.5, 2.5 across and 1.5, 2.5 down; 3.5 is below 3.6
    expected[3, 1:3] = True
    assert np.array_equal(found, expected)


def test_a_hole_stays_empty_whichever_way_its_ring_runs() -> None:
    outline, hole = shapely.box(0, 0, 9, 9).exterior.coords, shapely.box(3, 3, 6, 6).exterior.coords
    for ring in (hole, list(hole)[::-1]):
        for shell in (outline, list(outline)[::-1]):
            found = drawn(Window(0, 0, 9, 9), shapely.Polygon(shell, [ring]))
            assert found.sum() == 81 - 9
            assert not found[3:6, 3:6].any()


def test_neighbors_share_an_edge_without_gap_or_overlap(rng: np.random.Generator) -> None:
    points = shapely.MultiPoint(rng.uniform(0.0, 64.0, (60, 2)))
    frame = shapely.box(0.0, 0.0, 64.0, 64.0)
    faces = [face & frame for face in shapely.get_parts(shapely.voronoi_polygons(points, extend_to=frame))]
    counts = np.sum([drawn(Window(0, 0, 64, 64), face) for face in faces], axis=0)
    assert (counts == 1).all()


def test_overlapping_shapes_are_united() -> None:
    found = drawn(Window(0, 0, 6, 3), shapely.box(0, 0, 4, 3), shapely.box(2, 0, 6, 3))
    assert found.all()


def test_windows_give_what_the_whole_gives(rng: np.random.Generator) -> None:
    polygons = [blob(rng, *rng.uniform(5_000_000.0, 5_000_300.0, 2), 40.0) for _ in range(60)]
    edges = edges_of(np.array(polygons, dtype=object))
    x0 = y0 = 5_000_000
    whole = fill(edges, Window(x0, y0, 300, 300))
    for side in (7, 64, 299):
        pieced = np.zeros_like(whole)
        for y in range(0, 300, side):
            for x in range(0, 300, side):
                width, height = min(side, 300 - x), min(side, 300 - y)
                part = fill(edges, Window(x0 + x, y0 + y, width, height))
                pieced[y : y + height, x : x + width] = part
        assert np.array_equal(pieced, whole)
    assert 0.3 < whole.mean() < 1.0


def test_gdal_fills_the_same_pixels(rng: np.random.Generator) -> None:
    polygons = [blob(rng, *rng.uniform(0.0, 400.0, 2), 60.0) for _ in range(40)]
    ours = drawn(Window(0, 0, 400, 400), *polygons)
    theirs = rasterio.features.rasterize(polygons, (400, 400), transform=Affine.identity())
    assert np.array_equal(ours, theirs.astype(bool))


def test_a_strip_one_pixel_wide_is_never_torn(rng: np.random.Generator) -> None:
    for _ in range(50):
        start, end = rng.uniform(5.0, 95.0, (2, 2))
        strip = shapely.LineString([start, end]).buffer(0.5, quad_segs=2)
        found = drawn(Window(0, 0, 100, 100), strip)
        rows, columns = np.nonzero(found)
        spans = np.floor(np.stack([start, end])).astype(int)
        along = rows if abs(end[1] - start[1]) > abs(end[0] - start[0]) else columns
        axis = 1 if along is rows else 0
        low, high = sorted(spans[:, axis])
        assert set(range(low + 1, high)) <= set(along.tolist())


def test_many_crossings_are_worked_on_in_portions(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    polygons = [blob(rng, *rng.uniform(0.0, 100.0, 2), 30.0) for _ in range(20)]
    whole = drawn(Window(0, 0, 100, 100), *polygons)
    monkeypatch.setattr("placeprint.encoders.mosaics.scanlines.CROSSINGS", 50)
    assert np.array_equal(drawn(Window(0, 0, 100, 100), *polygons), whole)


def test_nothing_to_draw_is_an_empty_window() -> None:
    assert not drawn(Window(3, 4, 5, 6)).any()
    assert drawn(Window(3, 4, 5, 6)).shape == (6, 5)
    assert not drawn(Window(0, 0, 5, 6), shapely.box(10, 10, 20, 20)).any()
    assert drawn(Window(12, 12, 3, 3), shapely.box(10, 10, 20, 20)).all()


def test_three_classes_at_once_are_what_they_are_one_by_one(rng: np.random.Generator) -> None:
    window, classes = Window(50, 40, 200, 180), (4, 9, 14)
    edges = [
        edges_of(np.array([blob(rng, *rng.uniform(0.0, 300.0, 2), 50.0) for _ in range(25)], dtype=object))
        for _ in classes
    ]
    expected = np.ones((180, 200), np.uint8)
    for one, some in zip(classes, edges, strict=True):
        expected[fill(some, window)] = one
    found = np.ones_like(expected)
    paint(found, packed(edges), classes, window)
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) == 4


def test_thousands_of_shapes_over_a_pixel_do_not_spill_into_the_next_class() -> None:
    one = edges_of(np.array([shapely.box(0, 0, 2, 2)] * 70_000, dtype=object))
    ids = np.zeros((3, 3), np.uint8)
    paint(ids, packed([one, one.rows(np.zeros(len(one), bool))]), (3, 4), Window(0, 0, 3, 3))
    assert ids[:2, :2].tolist() == [[3, 3], [3, 3]]
    assert ids.sum() == 12
