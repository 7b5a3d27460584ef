"""Areas of the Earth.

Claims: a circle, a box and a polygon hold what they should at the antimeridian, at the poles and on
their edges; their areas agree with closed forms and with the share of uniform points they hold;
what they draw as GeoJSON is the same area, cut at the antimeridian.
"""

import json

import antimeridian
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from placeprint.encoders.areas import Box, Circle, Polygon
from placeprint.encoders.errors import InvalidCoordinate
from placeprint.encoders.sphere import (
    EARTH_AREA_KM2,
    EARTH_RADIUS_KM,
    as_lonlat,
    destination,
    great_circle_km,
    uniform_on_sphere,
    wrap_lon,
)

quick = settings(deadline=None, max_examples=60)

FIJI = [[177, -19], [-178, -19], [-178, -16], [177, -16], [177, -19]]
CHUKOTKA = [[170, 60], [-172, 64], [-169, 66], [-175, 68], [180, 70], [165, 69], [170, 60]]
ANTARCTICA = [[-60, -64], [-120, -73], [170, -72], [110, -66], [50, -67], [0, -70], [-60, -64]]
TOKYO_AND_NIIGATA = [[139, 35], [140, 35], [140, 38], [139, 38], [139, 35]]

CIRCLES = [
    Circle(0, 0, 500),
    Circle(179, 10, 1000),
    Circle(20, 85, 1000),
    Circle(-170, -60, 3500),
    Circle(0, 90, 2000),
    Circle(180, 0, EARTH_RADIUS_KM * np.pi / 2),
    Circle(50, 30, EARTH_RADIUS_KM * np.pi / 2),
    Circle(10, 80, 10_600),
    Circle(10, 20, 14_000),
    Circle(170, -20, 19_000),
    Circle(0, 0, 30_000),
]
BOXES = [
    Box(100, -10, 120, 45),
    Box(170, -20, -170, 20),
    Box(-180, -90, 180, -60),
    Box(10, 30, 5, 90),
    Box(170, 0, 200, 10),
    Box(160, 0, 180, 10),
]


@pytest.fixture
def rng():
    return np.random.default_rng(20240818)


def polygon(*rings):
    return Polygon.from_geojson({"type": "Polygon", "coordinates": [list(ring) for ring in rings]})


def share_on_earth(area, rng, n=100_000):
    return np.mean(area.contains(uniform_on_sphere(n, rng)))


def share_tolerance(area, n=100_000):
    """Five standard deviations of the share of n uniform points."""
    share = area.area_km2 / EARTH_AREA_KM2
    return 5 * np.sqrt(share * (1 - share) / n) + 1e-9


# --- what every area answers


@pytest.mark.parametrize(
    "area", [*CIRCLES, *BOXES, polygon(FIJI), polygon(CHUKOTKA), polygon(ANTARCTICA)], ids=str
)
def test_an_area_holds_its_share_of_uniform_points(area, rng):
    assert share_on_earth(area, rng) == pytest.approx(
        area.area_km2 / EARTH_AREA_KM2, abs=share_tolerance(area)
    )


@pytest.mark.parametrize("area", [*CIRCLES, *BOXES, polygon(FIJI), polygon(ANTARCTICA)], ids=str)
def test_what_is_drawn_holds_the_same_points(area, rng):
    points = uniform_on_sphere(20_000, rng)
    drawn = Polygon.from_geojson(area.to_geojson())
    # A chord of a 180-gon lies at most 0.2 % of the radius inside the circle.
    assert np.mean(drawn.contains(points) != area.contains(points)) <= (
        2e-3 if isinstance(area, Circle) else 0.0
    )


@pytest.mark.parametrize("area", [*CIRCLES, *BOXES, polygon(FIJI)], ids=str)
def test_what_is_drawn_has_the_same_area(area):
    drawn = Polygon.from_geojson(area.to_geojson())
    assert drawn.area_km2 == pytest.approx(area.area_km2, rel=3e-4 if isinstance(area, Circle) else 1e-12)


def longest_edge_deg(drawn):
    rings = [ring for part in shapely.get_parts(drawn) for ring in (part.exterior, *part.interiors)]
    return max(np.abs(np.diff(shapely.get_coordinates(ring)[:, 0])).max() for ring in rings)


@pytest.mark.parametrize("area", [*CIRCLES, *BOXES, polygon(FIJI), polygon(ANTARCTICA)], ids=str)
def test_what_is_drawn_follows_rfc_7946(area):
    drawn = shapely.geometry.shape(json.loads(json.dumps(area.to_geojson())))
    west, south, east, north = drawn.bounds
    assert -180 <= west < east <= 180 and -90 <= south < north <= 90
    assert shapely.is_valid(drawn)
    assert all(part.exterior.is_ccw for part in shapely.get_parts(drawn))
    assert longest_edge_deg(drawn) <= 120.0


@pytest.mark.parametrize("area", [CIRCLES[1], BOXES[1], polygon(FIJI)], ids=str)
def test_contains_keeps_shapes_and_its_argument(area):
    points = np.array(
        [[[179.0, -17.0], [0.0, 0.0]], [[-179.0, -17.0], [0.0, 50.0]], [[1.0, 1.0], [2.0, 2.0]]]
    )
    before = points.copy()
    assert area.contains(points).shape == (3, 2)
    assert area.contains(points[0, 1]) == area.contains(points)[0, 1]
    assert np.array_equal(points, before)


@pytest.mark.parametrize("area", [Box(-180, 0, -170, 5), Box(170, 0, 180, 5), Box(170, 0, -170, 5)], ids=str)
def test_both_names_of_the_antimeridian_are_one_place(area):
    names = np.array([[180.0, 2.0], [-180.0, 2.0]])
    assert area.contains(names).all()
    assert Polygon.from_geojson(area.to_geojson()).contains(names).all()


@pytest.mark.parametrize("area", [Circle(0, 89, 200), Box(10, 80, 20, 90)], ids=str)
def test_a_pole_is_held_under_every_longitude(area):
    pole = np.array([[0.0, 90.0], [-123.0, 90.0], [179.0, 90.0]])
    assert area.contains(pole).all() and not area.contains(-pole).any()
    drawn = Polygon.from_geojson(area.to_geojson())
    assert drawn.contains(pole).all() and not drawn.contains(-pole).any()


# --- Circle


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(1, 19_000), st.floats(0, 360))
@quick
def test_a_circle_ends_at_its_radius(lon, lat, radius_km, bearing_deg):
    circle, center = Circle(lon, lat, radius_km), as_lonlat([lon, lat])
    assert circle.contains(destination(center, bearing_deg, radius_km * 0.999999))
    assert not circle.contains(destination(center, bearing_deg, radius_km * 1.000001))


def test_a_point_exactly_on_the_circle_is_inside():
    center, point = as_lonlat([139.7, 35.7]), as_lonlat([139.8, 35.6])
    radius_km = float(great_circle_km(center, point))
    assert Circle(139.7, 35.7, radius_km).contains(point)
    assert not Circle(139.7, 35.7, np.nextafter(radius_km, 0)).contains(point)


def test_a_circle_across_the_antimeridian_is_drawn_in_two_parts():
    assert Circle(179.9, -16.8, 50).to_geojson()["type"] == "MultiPolygon"
    assert Circle(170, -16.8, 50).to_geojson()["type"] == "Polygon"


@pytest.mark.parametrize("radius_km", [0, -1, np.nan, np.inf])
def test_a_circle_without_a_radius_is_refused(radius_km):
    with pytest.raises(InvalidCoordinate, match="radius must be positive"):
        Circle(0, 0, radius_km)


def test_a_circle_with_swapped_center_is_refused():
    with pytest.raises(InvalidCoordinate, match="order must be lon, lat"):
        Circle(35.68, 139.77, 10)


def test_a_center_is_wrapped():
    assert Circle(190, 5, 10) == Circle(-170, 5, 10)


# --- Box


def test_half_of_the_earth_lies_within_30_degrees_of_the_equator():
    assert Box(-180, -30, 180, 30).area_km2 == pytest.approx(EARTH_AREA_KM2 / 2, rel=1e-15)


def test_a_small_box_has_the_area_of_its_sides():
    side_km = EARTH_RADIUS_KM * np.deg2rad(1e-7)
    area_km2 = Box(10, 60 - 5e-8, 10 + 1e-7, 60 + 5e-8).area_km2
    assert area_km2 == pytest.approx(side_km**2 * 0.5, rel=1e-6)  # 1e-7 degrees have 8 digits left


@pytest.mark.parametrize("lon, lat", [(170, 0), (-170, 0), (180, -20), (175, 20), (-170, 20)])
def test_the_edges_of_a_box_belong_to_it(lon, lat):
    inside, outside = np.array([lon, lat]), np.array([lon - np.sign(lon) * 11, lat])
    assert Box(170, -20, -170, 20).contains(inside)
    assert not Box(170, -20, -170, 20).contains(outside)


@given(st.floats(-180, 179), st.floats(0.001, 350))
@quick
def test_a_box_reaches_from_its_west_side_eastward(west, width):
    inside = wrap_lon(west + width * np.array([0.01, 0.5, 0.99]))
    outside = wrap_lon(west + width * np.array([-0.01, 1.01]))
    box = Box(west, 0, float(wrap_lon(np.array(west + width))), 10)
    assert box.contains(np.column_stack([inside, np.full(3, 5.0)])).all()
    assert not box.contains(np.column_stack([outside, np.full(2, 5.0)])).any()


@pytest.mark.parametrize("east", [360.0, 180.0])
def test_a_box_of_the_full_width_holds_every_longitude(east):
    box = Box(east - 360, -10, east, 10)
    assert box.contains(np.column_stack([np.linspace(-180, 180, 73), np.zeros(73)])).all()


@pytest.mark.parametrize("sides", [(0, 10, 5, 10), (0, 10, 5, 9), (5, 0, 5, 10), (180, 0, -180, 10)])
def test_a_box_without_an_area_is_refused(sides):
    with pytest.raises(InvalidCoordinate, match=r"south < north|no width"):
        Box(*sides)


def test_an_east_side_on_the_antimeridian_has_one_name():
    assert Box(100, 0, -180, 10).east == Box(100, 0, 180, 10).east == 180.0


def test_a_box_with_a_side_off_the_earth_is_refused():
    with pytest.raises(InvalidCoordinate, match=r"lat 91"):
        Box(0, 0, 10, 91)


# --- Polygon: what it holds


def in_shifted_plane(ring, points):
    """The same question in longitudes 0..360, where nothing is cut."""
    return shapely.intersects_xy(in_plane(ring), points[:, 0] % 360, points[:, 1])


def in_plane(ring):
    return shapely.Polygon([(lon % 360, lat) for lon, lat in ring])


@pytest.mark.parametrize("ring", [FIJI, CHUKOTKA, TOKYO_AND_NIIGATA])
@pytest.mark.parametrize("winding", [1, -1])
def test_a_polygon_holds_what_it_holds_where_nothing_is_cut(ring, winding, rng):
    west, south, east, north = in_plane(ring).bounds
    lon, lat = rng.uniform(west - 1, east + 1, 20_000), rng.uniform(south - 1, north + 1, 20_000)
    points = np.column_stack([wrap_lon(lon), lat])
    inside = polygon(ring[::winding]).contains(points)
    assert 1000 < inside.sum() < 19_000
    assert np.array_equal(inside, in_shifted_plane(ring, points))


@pytest.mark.parametrize("winding", [1, -1])
@pytest.mark.parametrize("mirror", [1, -1])
def test_a_ring_around_a_pole_holds_the_cap_and_the_pole(winding, mirror, rng):
    ring = (np.array(ANTARCTICA) * [1, mirror])[::winding]
    points = uniform_on_sphere(20_000, rng)
    edge = np.interp(points[:, 0], *ring_by_longitude(ANTARCTICA))
    assert np.array_equal(polygon(ring.tolist()).contains(points), points[:, 1] * mirror <= edge)
    assert polygon(ring.tolist()).contains(np.array([45.0, -90.0 * mirror]))


def ring_by_longitude(ring):
    """The edge's latitude as a function of longitude, repeated to both sides of the cut."""
    lon, lat = np.array(ring[:-1], dtype=float).T
    order = np.argsort(lon)
    turns = np.concatenate([lon[order] - 360, lon[order], lon[order] + 360])
    return turns, np.tile(lat[order], 3)


def test_antarctica_closed_along_the_pole_is_the_same_area():
    lon, lat = ring_by_longitude(ANTARCTICA)
    at_cut = np.interp(180, lon, lat)
    inner = np.abs(lon) < 180
    edge = [[-180, at_cut], *np.column_stack([lon, lat])[inner].tolist(), [180, at_cut]]
    closed = polygon([*edge, [180, -90], [-180, -90], edge[0]])
    assert closed.area_km2 == pytest.approx(polygon(ANTARCTICA).area_km2, rel=1e-12)


def test_an_edge_along_the_pole_may_have_vertices():
    ring = [[-180, 60], [0, 60], [180, 60], [180, 90], [130, 90], [-180, 90], [-180, 60]]
    assert polygon(ring).area_km2 == pytest.approx(Box(-180, 60, 180, 90).area_km2)


@pytest.mark.parametrize("n_vertices", range(5, 45))
def test_cutting_agrees_with_the_antimeridian_package(n_vertices, rng):
    # Stars without a vertex on the antimeridian, where that package is reliable.
    angle, radius = np.arange(n_vertices) * (2 * np.pi / n_vertices) + 0.1, rng.uniform(5, 20, n_vertices)
    lon = wrap_lon(180 + rng.uniform(-2, 2) + radius * np.cos(angle))
    star = np.column_stack([lon, rng.uniform(-60, 60) + radius * np.sin(angle)])
    theirs = antimeridian.fix_polygon(shapely.Polygon(star), fix_winding=True, great_circle=False)
    ours = shapely.MultiPolygon(polygon(star.tolist()).pieces)
    assert ours.symmetric_difference(theirs).area < 1e-6 * theirs.area  # it rounds to 7 digits


@pytest.mark.parametrize("name", [180, -180])
def test_a_vertex_on_the_antimeridian_does_no_harm(name):
    ring = [[179, -2], [-177, -1], [177, -4], [178, 1], [name, 2], [179, -2]]
    area = sum(piece.area for piece in polygon(ring).pieces)
    assert area == pytest.approx(in_plane(ring).area)


def test_an_edge_along_the_antimeridian_may_change_its_name():
    mixed = [[170, -10], [180, -10], [-180, -10], [180, 0], [-180, 10], [170, 10], [170, -10]]
    assert polygon(mixed).area_km2 == pytest.approx(Box(170, -10, 180, 10).area_km2)


def test_the_edge_that_closes_an_open_ring_may_cross_the_antimeridian():
    open_ring = [[-178, -19], [-178, -16], [177, -16], [177, -19]]
    assert polygon(open_ring).area_km2 == pytest.approx(polygon(FIJI).area_km2)


def test_an_edge_of_360_degrees_is_the_full_width():
    band = [[-180, -30], [180, -30], [180, 30], [-180, 30], [-180, -30]]
    assert polygon(band).area_km2 == pytest.approx(EARTH_AREA_KM2 / 2)


def test_a_cap_around_a_pole_is_one_piece():
    assert len(polygon(ANTARCTICA).pieces) == 1


def test_longitudes_past_180_are_understood():
    past = [[170, -10], [190, -10], [190, 10], [170, 10], [170, -10]]
    assert polygon(past).area_km2 == pytest.approx(Box(170, -10, -170, 10).area_km2, rel=1e-12)


@pytest.mark.parametrize("center_lon", [0, 180])
def test_a_hole_is_left_out(center_lon):
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]], dtype=float)
    shell, hole = (as_lonlat(square * size + [center_lon, 0]).tolist() for size in (10, 5))
    ring = polygon(shell, hole)
    assert ring.contains(as_lonlat([[center_lon + 7, 0], [center_lon - 7, 0]])).all()
    assert not ring.contains(as_lonlat([[center_lon, 0], [center_lon + 4, 4]])).any()
    assert ring.area_km2 == pytest.approx(polygon(shell).area_km2 - polygon(hole).area_km2)


def test_a_band_around_a_pole_leaves_the_pole_out():
    outer, inner = ([[lon, lat] for lon in (-120, 0, 120, -120)] for lat in (-60, -80))
    band = polygon(outer, inner)
    assert not band.contains(np.array([0.0, -90.0]))
    assert band.area_km2 == pytest.approx(Box(-180, -80, 180, -60).area_km2)


def test_vertices_and_edges_belong_to_a_polygon():
    assert polygon(TOKYO_AND_NIIGATA).contains(np.array([*TOKYO_AND_NIIGATA, [139, 36.5], [139.1, 35]])).all()


def test_a_polygon_in_one_piece_keeps_its_coordinates():
    ring = [[0.1, 0.2], [0.3, 0.2], [0.3, 0.7], [0.1, 0.2]]
    (piece,) = polygon(ring).pieces
    assert sorted(piece.exterior.coords) == sorted(map(tuple, ring))


def test_pieces_stay_within_one_turn():
    bounds = [piece.bounds for piece in polygon(FIJI).pieces]
    assert sorted((west, east) for west, _, east, _ in bounds) == [(-180, -178), (177, 180)]


# --- Polygon: areas


def test_a_triangle_has_its_closed_form_area():
    # Below lat = lon, from 0 to 90: ∫ sin(lon) dlon = 1.
    assert polygon([[0, 0], [90, 0], [90, 90], [0, 0]]).area_km2 == pytest.approx(
        EARTH_RADIUS_KM**2, rel=1e-12
    )


def test_overlapping_polygons_are_counted_once():
    boxes = [Box(0, 0, 10, 10), Box(5, 0, 15, 10)]
    both = {"type": "GeometryCollection", "geometries": [box.to_geojson() for box in boxes]}
    assert Polygon.from_geojson(both).area_km2 == pytest.approx(Box(0, 0, 15, 10).area_km2)


@pytest.mark.parametrize("lon", [0, 180])
def test_a_bow_tie_becomes_its_two_lobes(lon):
    west, east = wrap_lon(np.array([lon - 1.0, lon + 1.0]))
    bow_tie = polygon([[west, -1], [east, 1], [east, -1], [west, 1], [west, -1]])
    lobe = polygon([[west, -1], [lon, 0], [west, 1], [west, -1]])
    assert bow_tie.area_km2 == pytest.approx(2 * lobe.area_km2)
