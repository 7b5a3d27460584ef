"""Points on the sphere.

Claims: coordinates are wrapped without rounding or refused with their row and the remedy; distances
agree with closed forms and with 50 digits of arithmetic from a millimeter to the antipode, and are a
metric that knows no antimeridian; vectors, means, draws, destinations and caps agree with each other.
"""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from placeprint.encoders.errors import InvalidCoordinate
from placeprint.encoders.sphere import (
    EARTH_AREA_KM2,
    EARTH_RADIUS_KM,
    as_lonlat,
    cap_area_km2,
    cap_outline,
    chord_of_km,
    destination,
    great_circle_km,
    km_of_chord,
    lonlat_of,
    looks_swapped,
    sine_integral,
    spherical_mean,
    uniform_on_sphere,
    unit_vectors,
    wrap_lon,
)

HALF_CIRCLE_KM = np.pi * EARTH_RADIUS_KM
EDGES = [(0, 0), (0, 90), (77, 90), (0, -90), (-180, 0), (180, 0), (180, 90), (-180, -90), (179.9, -16.8)]

quick = settings(deadline=None, max_examples=80)
anywhere = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
points = st.one_of(st.sampled_from(EDGES), anywhere).map(as_lonlat)


@pytest.fixture
def rng():
    return np.random.default_rng(20240818)


def antipode(lonlat):
    return np.stack([wrap_lon(lonlat[..., 0] + 180.0), -lonlat[..., 1]], axis=-1)


def exact_km(a, b):
    """50 digits: 2 atan2(|a - b|, |a + b|) of unit vectors."""

    def vector(lonlat):
        lon, lat = (mpmath.mpf(float(degrees)) * mpmath.pi / 180 for degrees in lonlat)
        return mpmath.cos(lat) * mpmath.cos(lon), mpmath.cos(lat) * mpmath.sin(lon), mpmath.sin(lat)

    with mpmath.workdps(50):
        pairs = list(zip(vector(a), vector(b), strict=True))
        apart = mpmath.sqrt(sum((x - y) ** 2 for x, y in pairs))
        together = mpmath.sqrt(sum((x + y) ** 2 for x, y in pairs))
        return mpmath.mpf("6371.0088") * 2 * mpmath.atan2(apart, together)


# --- as_lonlat


def test_longitudes_wrap_into_one_turn():
    wrapped = as_lonlat([[180, 0], [-180, 0], [190, 0], [360, 0], [-360, 0], [-190, 0]])
    assert wrapped[:, 0].tolist() == [-180, -180, -170, 0, 0, 170]


@given(st.floats(-180, 180, exclude_max=True))
@quick
def test_a_longitude_in_range_keeps_its_bits(lon):
    assert as_lonlat([lon, 0.0])[0] == lon


@given(st.floats(-360, 360))
@quick
def test_wrapped_longitudes_lie_in_the_half_open_interval(lon):
    assert -180.0 <= as_lonlat([lon, 0.0])[0] < 180.0


def test_any_shape_with_pairs_last_is_kept():
    assert as_lonlat(np.zeros((3, 4, 2), dtype=np.float32)).shape == (3, 4, 2)
    assert as_lonlat(np.zeros((0, 2))).shape == (0, 2)
    assert as_lonlat([1, 2]).dtype == np.float64


def test_the_argument_is_not_changed():
    given_lonlat = np.array([[190.0, 5.0]])
    as_lonlat(given_lonlat)
    assert given_lonlat.tolist() == [[190.0, 5.0]]


def test_the_result_is_not_a_view_of_the_argument():
    given_lonlat = np.array([[10.0, 5.0]])
    as_lonlat(given_lonlat)[:] = 0.0
    assert given_lonlat.tolist() == [[10.0, 5.0]]


@pytest.mark.parametrize("value", [5.0, [1.0], [[1.0, 2.0, 3.0]], np.zeros((2, 3)), []])
def test_rows_of_another_length_are_refused(value):
    with pytest.raises(InvalidCoordinate, match="rows of lon, lat"):
        as_lonlat(value)


@pytest.mark.parametrize("value", [["a", "b"], [[1.0, 2.0], [3.0]], {"lon": 1.0}])
def test_what_is_not_numbers_is_refused(value):
    with pytest.raises(InvalidCoordinate, match="must be numbers"):
        as_lonlat(value)


@pytest.mark.parametrize(
    "lon, lat", [(np.nan, 0), (0, np.nan), (np.inf, 0), (0, -np.inf), (360.1, 0), (0, 90.1)]
)
def test_places_not_on_earth_are_refused(lon, lat):
    with pytest.raises(InvalidCoordinate, match="not on Earth"):
        as_lonlat([lon, lat])


def test_the_first_offending_row_is_named_with_its_value():
    with pytest.raises(InvalidCoordinate, match=r"row 1 of 3: lon 12\.0, lat 95\.5"):
        as_lonlat([[1, 1], [12.0, 95.5], [0, -99]])


def test_latitude_first_is_refused_with_the_remedy():
    with pytest.raises(ValueError, match="the order must be lon, lat"):
        as_lonlat([35.68, 139.77])  # Tokyo, the wrong way round


def test_the_order_is_not_blamed_where_swapping_would_not_help():
    with pytest.raises(InvalidCoordinate) as caught:
        as_lonlat([120.0, 139.77])
    assert "order" not in str(caught.value)


# --- looks_swapped


def test_the_share_of_swapped_rows_counts_only_rows_valid_when_swapped():
    tokyo, london, nowhere, fine = [35.68, 139.77], [51.5, -0.1], [np.nan, 95.0], [139.77, 35.68]
    assert looks_swapped([tokyo, london, nowhere, fine]) == 0.25


def test_no_rows_are_not_swapped():
    assert looks_swapped(np.zeros((0, 2))) == 0.0


# --- great_circle_km


def test_half_a_degree_both_ways_from_the_origin():
    assert great_circle_km(as_lonlat([0, 0]), as_lonlat([0.5, 0.5])) == pytest.approx(78.626296, abs=5e-7)


def test_the_short_way_crosses_the_antimeridian():
    west, east = as_lonlat([179.9, -16.8]), as_lonlat([-179.9, -16.8])  # Fiji
    assert great_circle_km(west, east) == pytest.approx(21.290, abs=5e-4)


@pytest.mark.parametrize("a, b", [((0, 90), (77, 90)), ((180, 5), (-180, 5)), ((5, -90), (-100, -90))])
def test_two_names_of_one_place_are_no_distance_apart(a, b):
    assert great_circle_km(np.array(a, dtype=float), np.array(b, dtype=float)) < 1e-9


def test_a_degree_of_meridian_is_the_same_everywhere():
    lats = np.arange(-90.0, 90.0)
    south, north = (np.stack([np.full(180, 30.0), lats + step], axis=-1) for step in (0.0, 1.0))
    assert great_circle_km(south, north) == pytest.approx(
        np.full(180, EARTH_RADIUS_KM * np.pi / 180), rel=1e-13
    )


@pytest.mark.parametrize("offset_deg", [1e-8, 1e-5, 1e-2, 1.0, 60.0])
@pytest.mark.parametrize("from_antipode", [False, True])
def test_distances_agree_with_50_digits_near_and_at_the_antipode(rng, offset_deg, from_antipode):
    a = uniform_on_sphere(25, rng) * [1.0, 0.3]
    b = (antipode(a) if from_antipode else a) + rng.normal(size=a.shape) * offset_deg * 0.2
    exact = [float(exact_km(*pair)) for pair in zip(a, b, strict=True)]
    assert great_circle_km(a, b) == pytest.approx(exact, rel=2e-15, abs=0.0)


def test_a_millimeter_across_the_antimeridian_is_measured_in_full_precision():
    west, east = np.array([179.99999999, 60.0]), np.array([-179.99999999, 60.0])
    assert great_circle_km(west, east) == pytest.approx(float(exact_km(west, east)), rel=2e-15, abs=0.0)


def test_exact_antipodes_are_half_the_circumference_apart(rng):
    a = uniform_on_sphere(100_000, rng)
    assert np.abs(great_circle_km(a, antipode(a)) - HALF_CIRCLE_KM).max() < 1e-11


@given(points, points)
@quick
def test_distance_is_symmetric_to_the_bit(a, b):
    assert great_circle_km(a, b) == great_circle_km(b, a)


@given(points)
@quick
def test_a_point_is_at_distance_zero_from_itself(a):
    assert great_circle_km(a, a) == 0.0


@given(points, points, points)
@quick
def test_no_detour_is_shorter(a, b, c):
    assert great_circle_km(a, c) <= great_circle_km(a, b) + great_circle_km(b, c) + 1e-9


@given(points, points)
@quick
def test_a_point_and_its_antipode_share_out_half_the_circumference(a, b):
    total = great_circle_km(a, b) + great_circle_km(a, antipode(b))
    assert total == pytest.approx(HALF_CIRCLE_KM, rel=1e-14)


@given(points, points)
@quick
def test_a_whole_turn_of_longitude_changes_nothing(a, b):
    turned = a + np.array([360.0, 0.0])
    assert great_circle_km(turned, b) == pytest.approx(great_circle_km(a, b), abs=1e-8)


@given(points, points)
@quick
def test_distance_is_the_angle_between_unit_vectors(a, b):
    angle = np.arctan2(
        np.linalg.norm(np.cross(unit_vectors(a), unit_vectors(b))), unit_vectors(a) @ unit_vectors(b)
    )
    assert great_circle_km(a, b) == pytest.approx(EARTH_RADIUS_KM * angle, abs=1e-8)


def test_distances_broadcast(rng):
    a, b = uniform_on_sphere(3, rng), uniform_on_sphere(4, rng)
    table = great_circle_km(a[:, None], b[None])
    assert table.shape == (3, 4)
    assert table[2, 1] == great_circle_km(a[2], b[1])


@pytest.mark.parametrize(
    "shape_a, shape_b",
    [((2,), (40_000, 2)), ((40_000, 2), (2,)), ((40_000, 1, 2), (2, 2)), ((200, 1, 2), (1, 201, 2)),
     ((1, 30_000, 2), (3, 1, 2)), ((3, 30_000, 2), (30_000, 2))],
)  # fmt: skip
def test_many_distances_are_those_of_single_pairs(
    shape_a: tuple[int, ...], shape_b: tuple[int, ...], rng: np.random.Generator
) -> None:
    a = uniform_on_sphere(int(np.prod(shape_a[:-1])), rng).reshape(shape_a)
    b = uniform_on_sphere(int(np.prod(shape_b[:-1])), rng).reshape(shape_b)
    found = great_circle_km(a, b)
    assert found.shape == np.broadcast_shapes(shape_a, shape_b)[:-1]
    all_a, all_b = (np.broadcast_to(c, (*found.shape, 2)).reshape(-1, 2) for c in (a, b))
    for row in rng.integers(0, found.size, 200):
        assert found.reshape(-1)[row] == great_circle_km(all_a[row], all_b[row])


# --- unit vectors


def test_unit_vectors_of_the_axes():
    vectors = unit_vectors(as_lonlat([[0, 0], [90, 0], [33, 90], [0, -90]]))
    assert vectors == pytest.approx(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]]), abs=1e-15)


@given(points)
@quick
def test_points_survive_the_way_to_vectors_and_back(lonlat):
    assert great_circle_km(lonlat_of(3.0 * unit_vectors(lonlat)), lonlat) < 1e-8


def test_at_a_pole_the_longitude_is_zero():
    assert lonlat_of(unit_vectors(as_lonlat([[77, 90], [-120, -90]]))).tolist() == [[0, 90], [0, -90]]


def test_the_antimeridian_comes_back_as_minus_180():
    assert lonlat_of(np.array([-1.0, 0.0, 0.0])).tolist() == [-180.0, 0.0]


@pytest.mark.parametrize("vector", [[0, 0, 0], [np.nan, 0, 1], [np.inf, 0, 0]])
def test_a_vector_that_points_nowhere_is_refused(vector):
    with pytest.raises(InvalidCoordinate, match="no place"):
        lonlat_of(np.array([[1.0, 0.0, 0.0], vector]))


# --- spherical_mean


def test_the_mean_across_the_antimeridian_lies_there():
    mean = spherical_mean(as_lonlat([[179, 10], [-179, 10]]))
    assert abs(mean[0]) == pytest.approx(180.0)
    assert mean[1] == pytest.approx(10.0, abs=0.01)


def test_the_mean_of_a_parallel_is_the_pole():
    assert spherical_mean(as_lonlat([[0, 80], [90, 80], [180, 80], [-90, 80]]))[1] == pytest.approx(90.0)


def test_weights_count_as_repetitions(rng):
    lonlat = uniform_on_sphere(2, rng)
    weighted = spherical_mean(lonlat, np.array([3.0, 1.0]))
    assert great_circle_km(weighted, spherical_mean(lonlat[[0, 0, 0, 1]])) < 1e-9


@pytest.mark.parametrize("lonlat", [[[10, 20], [-170, -20]], [[0, 90], [0, -90]], np.zeros((0, 2))])
def test_points_that_balance_have_no_mean(lonlat):
    with pytest.raises(InvalidCoordinate, match="balance"):
        spherical_mean(as_lonlat(lonlat))


# --- uniform_on_sphere


def test_half_of_the_sphere_lies_within_30_degrees_of_the_equator(rng):
    share = np.mean(np.abs(uniform_on_sphere(100_000, rng)[:, 1]) <= 30.0)
    assert share == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(100_000))


def test_every_direction_is_drawn_equally_often(rng):
    vectors = unit_vectors(uniform_on_sphere(100_000, rng))
    assert vectors.mean(axis=0) == pytest.approx(np.zeros(3), abs=5 / np.sqrt(3 * 100_000))


def test_the_same_seed_draws_the_same_points():
    first, second = (uniform_on_sphere(5, np.random.default_rng(7)) for _ in range(2))
    assert first.tolist() == second.tolist()


# --- destination


@given(points, st.floats(-360, 360), st.floats(0, 20_015))
@quick
def test_the_way_to_a_destination_has_its_length(start, bearing_deg, distance_km):
    arrival = destination(start, bearing_deg, distance_km)
    assert great_circle_km(start, arrival) == pytest.approx(distance_km, abs=1e-8)


@pytest.mark.parametrize(
    "bearing_deg, expected", [(0, (0, 90)), (90, (90, 0)), (180, (0, -90)), (270, (-90, 0))]
)
def test_bearings_run_clockwise_from_north(bearing_deg, expected):
    quarter_km = HALF_CIRCLE_KM / 2
    arrival = destination(as_lonlat([0, 0]), bearing_deg, quarter_km)
    assert great_circle_km(arrival, as_lonlat(expected)) < 1e-9


def test_from_the_north_pole_a_bearing_is_counted_from_the_opposite_meridian():
    assert destination(as_lonlat([30, 90]), 0.0, 100.0)[0] == pytest.approx(-150.0)


# --- caps and chords


def test_caps_have_their_closed_form_areas():
    quarter_km = HALF_CIRCLE_KM / 2
    areas = cap_area_km2([0.0, 1e-3, quarter_km, HALF_CIRCLE_KM, 1e6])
    expected = [0.0, np.pi * 1e-6, EARTH_AREA_KM2 / 2, EARTH_AREA_KM2, EARTH_AREA_KM2]
    assert areas == pytest.approx(expected, rel=1e-12)


def test_a_cap_holds_its_share_of_uniform_points(rng):
    distances = great_circle_km(as_lonlat([170, 60]), uniform_on_sphere(100_000, rng))
    share = cap_area_km2(4000.0) / EARTH_AREA_KM2
    assert np.mean(distances <= 4000.0) == pytest.approx(share, abs=5 * np.sqrt(share / 100_000))


@given(st.floats(0, 20_015))
@quick
def test_chords_survive_the_way_back(distance_km):
    # At the antipode a chord is flat in the distance: its last bit stands for 0.1 m.
    assert km_of_chord(chord_of_km(distance_km)) == pytest.approx(distance_km, rel=1e-12, abs=2e-4)


@given(points, points)
@quick
def test_chords_are_the_distances_between_unit_vectors(a, b):
    straight = np.linalg.norm(unit_vectors(a) - unit_vectors(b))
    assert chord_of_km(great_circle_km(a, b)) == pytest.approx(straight, abs=1e-14)


@pytest.mark.parametrize("center", [(0, 0), (179, -40), (20, 85), (-170, -60), (33, 90)])
def test_an_outline_runs_along_the_circle_and_along_the_pole(center):
    ring = cap_outline(np.array(center, dtype=float), 3500.0)
    on_circle = ring[np.abs(ring[:, 1]) < 90.0]
    distances = great_circle_km(np.array(center, dtype=float), on_circle)
    assert distances == pytest.approx(np.full(len(on_circle), 3500.0), rel=1e-9)
    assert len(ring) - len(on_circle) == (2 if abs(center[1]) >= 60 else 0)


def test_an_outline_that_touches_a_pole_stays_beside_it():
    lat = 25.769973994798963  # here rounding carries the northernmost point past the pole
    radius_km = np.deg2rad(90.0 - lat) * EARTH_RADIUS_KM
    assert np.abs(cap_outline(np.array([0.0, lat]), radius_km)[:, 0]).max() < 90.0


@pytest.mark.parametrize("center", [(0, 0), (179, -40), (20, 85), (-170, -60), (33, 90)])
def test_an_outline_encloses_the_area_of_its_cap(center):
    ring = cap_outline(np.array(center, dtype=float), 3500.0, n_vertices=2000)
    area_km2 = EARTH_RADIUS_KM**2 * abs(sine_integral(np.vstack([ring, ring[:1]])))
    assert area_km2 == pytest.approx(cap_area_km2(3500.0), rel=1e-5)


def test_the_sine_integral_of_a_triangle_is_exact():
    # Between the equator, the meridian of 90 degrees and lat = lon: ∫ sin(lon) dlon = 1.
    triangle = np.array([[0.0, 0.0], [90.0, 0.0], [90.0, 90.0], [0.0, 0.0]])
    assert sine_integral(triangle) == pytest.approx(-1.0, rel=1e-14)
