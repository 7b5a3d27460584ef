"""Geometries made fit to draw: parts, repairs, the antimeridian, bounds on the globe."""

import numpy as np
import pytest
import shapely

from placeprint.encoders.errors import InvalidCoordinate
from placeprint.encoders.mosaics.geometry import bounds_of, parts_of


def many(*geometry: object) -> np.ndarray:
    found = np.empty(len(geometry), dtype=object)
    found[:] = geometry
    return found


def test_collections_are_taken_apart_and_know_their_row() -> None:
    inner = shapely.MultiPolygon([shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)])
    everything = shapely.GeometryCollection(
        [shapely.Point(5, 5), inner, shapely.LineString([[0, 0], [1, 1]])]
    )
    parts, rows = parts_of(many(None, everything, shapely.Point(), shapely.Point(1, 2, 3)))
    assert sorted(shapely.get_type_id(parts).tolist()) == [0, 0, 1, 3, 3]
    assert rows.tolist() == [1, 1, 1, 1, 3]
    assert not shapely.has_z(parts).any()


def test_a_bow_tie_is_repaired_to_its_lobes() -> None:
    bow_tie = shapely.Polygon([[0, 0], [2, 2], [2, 0], [0, 2]])
    parts, rows = parts_of(many(bow_tie))
    assert shapely.is_valid(parts).all()
    assert shapely.area(parts).sum() == pytest.approx(2.0)
    assert rows.tolist() == [0, 0]


def test_what_a_repair_leaves_without_area_is_dropped() -> None:
    spike = shapely.Polygon([[0, 0], [1, 0], [1, 1], [1, 3], [1, 1], [0, 1]])
    parts, _ = parts_of(many(spike, shapely.Polygon([[0, 0], [1, 1], [2, 2]])))
    assert set(shapely.get_type_id(parts).tolist()) == {3}
    assert shapely.area(parts).sum() == pytest.approx(1.0)


def test_a_line_across_the_antimeridian_goes_the_short_way() -> None:
    parts, _ = parts_of(many(shapely.LineString([[179.0, -16.0], [-179.0, -17.0]])))
    assert shapely.get_coordinates(parts).tolist() == [[179.0, -16.0], [181.0, -17.0]]


def test_a_polygon_across_the_antimeridian_is_cut_there() -> None:
    fiji = shapely.Polygon([[179.0, -18.0], [-179.0, -18.0], [-179.0, -16.0], [179.0, -16.0]])
    parts, _ = parts_of(many(fiji))
    assert shapely.area(parts).sum() == pytest.approx(4.0)
    assert bounds_of(parts) == pytest.approx((179.0, -18.0, 181.0, -16.0))


def test_vertices_at_180_stay_there() -> None:
    parts, _ = parts_of(many(shapely.box(170.0, -10.0, 180.0, 10.0)))
    assert shapely.bounds(parts[0]).tolist() == [170.0, -10.0, 180.0, 10.0]


def test_a_vertex_off_the_earth_is_refused() -> None:
    with pytest.raises(InvalidCoordinate, match="lon, lat"):
        parts_of(many(shapely.Point(35.68, 139.77)))


def test_bounds_leave_out_the_widest_gap() -> None:
    boxes = many(shapely.box(178, -19, 180, -16), shapely.box(-180, -18, -178, -15))
    assert bounds_of(boxes) == (178.0, -19.0, 182.0, -15.0)
    assert bounds_of(many(shapely.box(-10, 1, 20, 2), shapely.box(15, 0, 30, 1))) == (-10.0, 0.0, 30.0, 2.0)
    assert bounds_of(many(shapely.box(-180, -90, 180, 90))) == (-180.0, -90.0, 180.0, 90.0)
    assert bounds_of(many(shapely.Point(7.0, 8.0))) == (7.0, 8.0, 7.0, 8.0)
    with pytest.raises(InvalidCoordinate, match="nothing to draw"):
        bounds_of(many())
