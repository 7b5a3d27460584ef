"""R26 and R27: the Earth has no edge at 180 degrees and none at the poles, and no distance is no number."""

import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served import TRIPS, make_gallery, serving
from torture_rows import Record
from torture_runs import run_tests
from torture_scale import scaled

from placeprint.encoders import sphere
from placeprint.encoders.areas import Box, Circle, Polygon
from placeprint.encoders.errors import InvalidCoordinate, PlaceprintError
from placeprint.encoders.location_catalog import load_location_encoder
from placeprint.encoders.sphere import (
    EARTH_RADIUS_KM,
    as_lonlat,
    great_circle_km,
    looks_swapped,
    uniform_on_sphere,
    wrap_lon,
)

pytestmark = pytest.mark.slow

HALF_KM = np.pi * EARTH_RADIUS_KM
anywhere = st.tuples(st.floats(-180, 180), st.floats(-90, 90))
edges = st.sampled_from(
    [(0.0, 90.0), (50.0, -90.0), (180.0, 0.0), (-180.0, 0.0), (179.999999, -16.0), (0.0, 0.0)]
)
places = st.one_of(edges, anywhere)
Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def km(distance: Distance, a: tuple[float, float], b: tuple[float, float]) -> float:
    return float(distance(as_lonlat(a), as_lonlat(b)))


def oracle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The angle between unit vectors by the arc tangent, which is exact at both ends."""
    one, other = (sphere.unit_vectors(np.array(place)) for place in (a, b))
    angle = 2 * math.atan2(float(np.linalg.norm(one - other)), float(np.linalg.norm(one + other)))
    return angle * EARTH_RADIUS_KM


def agrees(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    ours, true = km(distance, a, b), oracle_km(a, b)
    return abs(ours - true) <= max(1e-9 * true, 2e-8)


def wraps(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    turned = (a[0] + 360.0 if a[0] < 0 else a[0] - 360.0, a[1])
    return abs(km(distance, turned, b) - km(distance, a, b)) <= 1e-7


def seams(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    return km(distance, (180.0, a[1]), b) == km(distance, (-180.0, a[1]), b)


def poles(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    return abs(km(distance, (a[0], 90.0), b) - km(distance, (c[0], 90.0), b)) <= 1e-7


def is_symmetric(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    return km(distance, a, b) == km(distance, b, a)


def no_detour(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    return km(distance, a, c) <= km(distance, a, b) + km(distance, b, c) + 1e-6


def in_range(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    antipode = (a[0] - 180.0, -a[1])
    return km(distance, a, a) == 0.0 and abs(km(distance, a, antipode) - HALF_KM) <= 1e-6


def in_circle(distance: Distance, a: Any, b: Any, c: Any) -> bool:
    """A point is in a circle exactly if it is near enough; the whole Earth is in one of half its girth."""
    apart, radius = oracle_km(a, b), 1.0 + abs(c[0]) * 100.0
    if abs(apart - radius) < 1e-6:
        return True
    is_in = bool(Circle(*a, min(radius, 20_000.0)).contains(np.array([b]))[0])
    return is_in == (apart <= min(radius, 20_000.0))


PROPERTIES: tuple[Callable[..., bool], ...] = (
    agrees, wraps, seams, poles, is_symmetric, no_detour, in_range, in_circle
)  # fmt: skip


def deviations(distance: Distance, n: int) -> dict[str, str]:
    """For each property that does not hold, an example. n are tried of each."""
    found = {}
    for holds in PROPERTIES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # of what is planted
                checked(holds, distance, n)()
        except AssertionError as error:
            found[holds.__name__] = str(error).splitlines()[0]
    return found


def checked(holds: Callable[..., bool], distance: Distance, n: int) -> Callable[[], None]:
    """Tries a property on n examples."""

    @settings(max_examples=n, deadline=None, database=None, derandomize=True)
    @given(places, places, places)
    def check(a: Any, b: Any, c: Any) -> None:
        assert holds(distance, a, b, c), (a, b, c)

    return check


def planar_km(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The fault: degrees as if the Earth were flat."""
    return np.asarray(np.hypot(*(a - b).T) * 111.195)


def unclamped_km(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The fault: the arc cosine of a product that may lie above 1."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.arccos((sphere.unit_vectors(a) * sphere.unit_vectors(b)).sum(-1)) * EARTH_RADIUS_KM
        )


NO_PLACES: list[Any] = [
    float("nan"), float("inf"), None, "12", "x", [], {}, True, 1e308, -90.0001, 90.0001, 10**400,
]  # fmt: skip
NO_AREAS: list[Any] = [
    {"type": "Polygon", "coordinates": []}, {"type": "Polygon", "coordinates": [[]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]},
    {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]},
    {"type": "Polygon"}, {"type": "Point", "coordinates": [0, 0]}, {"type": "Nothing"}, {}, [], 5, "x", None,
    {"type": "Polygon", "coordinates": [[[0, 95], [1, 95], [1, 96], [0, 95]]]},
    {"type": "Polygon", "coordinates": [[[0, "a"], [1, 0], [1, 1], [0, 0]]]},
    {"type": "FeatureCollection", "features": []},
]  # fmt: skip


def test_r26_geometry(record: Record, tmp_path: Path, rng: np.random.Generator) -> None:
    n, n_pairs = scaled(100, 2_000, 10_000), scaled(20_000, 1_000_000, 1_000_000)
    found = deviations(great_circle_km, n)
    record.figure("properties", len(PROPERTIES))
    record.figure("examples of each", n)
    record.figure("deviations", len(found))

    a, b = uniform_on_sphere(n_pairs, rng), uniform_on_sphere(n_pairs, rng)
    antipodes = np.stack([wrap_lon(a[:, 0] + 180.0), -a[:, 1]], axis=-1)
    same, opposite = great_circle_km(a, a), great_circle_km(a, antipodes)
    no_numbers = int(np.isnan(same).sum() + np.isnan(opposite).sum())
    record.figure("pairs of antipodes and of one place", 2 * n_pairs)
    record.figure("distances that are no number", no_numbers)
    _, _, geodesic_m = pyproj.Geod(ellps="WGS84").inv(*a.T, *b.T)
    off = np.abs(great_circle_km(a, b) / (geodesic_m / 1000.0) - 1.0)
    record.figure("furthest from the WGS84 geodesic", round(float(off.max()), 6))

    answers = 0
    with serving() as start:
        client = start(make_gallery(tmp_path / "home"), precision="exact")
        bodies = [{"queries": [{"location": {"lon": 0, "lat": bad}}]} for bad in NO_PLACES]
        bodies += [{"queries": [{"location": {"lon": bad, "lat": 0}}]} for bad in NO_PLACES[:7]]
        bodies += [{"queries": [{"text": "red"}], "filter": {"within": area}} for area in NO_AREAS[:-4]]
        for body in bodies:
            content = json.dumps(body)
            status = client.post(
                f"{TRIPS}/search", content=content, headers={"content-type": "application/json"}
            ).status_code
            answers += status in (400, 422)
    record.figure("places and areas that are none, over HTTP", len(bodies))
    record.figure("of these refused", answers)

    refused = 0
    wrong: list[Callable[[], object]] = [
        lambda: Circle(0, 0, 0), lambda: Circle(0, 0, float("nan")), lambda: Box(0, 5, 0, 5),
        lambda: Box(0, 9, 5, 5),
        *(lambda area=area: Polygon.from_geojson(area) for area in NO_AREAS),  # type: ignore[misc]
    ]  # fmt: skip
    for make_area in wrong:
        try:
            make_area()
        except PlaceprintError:
            refused += 1
    record.figure("areas that are none refused", refused)
    existing = run_tests(
        "tests/encoders/test_sphere.py",
        "tests/encoders/test_areas.py",
        "tests/encoders/test_areas_reading.py",
    )
    existing.require_passed()
    record.figure("tests of spheres and areas", existing.passed)
    record.caught("a distance in the plane", len(deviations(planar_km, 50)), len(PROPERTIES), at_least=3)
    with np.errstate(invalid="ignore"):
        n_nan = int(np.isnan(unclamped_km(a, antipodes)).sum())
    record.caught("an arc cosine that is not clamped", n_nan, n_pairs)
    assert found == {} and no_numbers == 0 and float(off.max()) <= 0.006
    assert answers == len(bodies), "places that are none must be refused with 422"
    assert refused == len(wrong)


# --- R27 ---------------------------------------------------------------------------------------------


def gap(embed: Callable[[np.ndarray], np.ndarray], n: int, *, with_poles: bool = True) -> float:
    """The largest relative step of embeddings across the antimeridian and around the poles."""
    lats = np.linspace(-89.0, 89.0, n)
    lons = np.linspace(-180.0, 179.0, n)
    pairs = [
        (np.stack([np.full(n, 180.0), lats], 1), np.stack([np.full(n, -180.0), lats], 1)),
        (np.stack([np.full(n, 180.0 - 1e-9), lats], 1), np.stack([np.full(n, -180.0 + 1e-9), lats], 1)),
        (np.stack([lons, np.full(n, 90.0)], 1), np.stack([np.roll(lons, 7), np.full(n, 90.0)], 1)),
        (np.stack([lons, np.full(n, -90.0)], 1), np.stack([np.roll(lons, 7), np.full(n, -90.0)], 1)),
    ]  # fmt: skip
    steps = []
    for one, other in pairs if with_poles else pairs[:2]:
        a, b = embed(one), embed(other)
        steps.append(float((np.linalg.norm(a - b, axis=1) / np.linalg.norm(a, axis=1).clip(1e-12)).max()))
    return max(steps)


WHOLE = ("placeprint-location-v1", "sh-20", "sh-40", "xyz", "nerf")
SEAMLESS = ("sincos",)  # tells longitudes at a pole apart, as it was published


def test_r27_embeddings_of_locations_have_no_seam(record: Record) -> None:
    n, gaps = scaled(20, 200, 2000), dict[str, float]()
    for name in WHOLE:
        gaps[name] = gap(load_location_encoder(name).encode, n)
    for name in SEAMLESS:
        gaps[name] = gap(load_location_encoder(name).encode, n, with_poles=False)
    for name, step in gaps.items():
        record.figure(f"largest step, {name}", step)
    record.note("encodings of a map's two coordinates have a seam by their definition and are left out")
    refused, swapped = 0, [(35.7, 139.7), (-22.9, -143.2), (0.0, 91.0)]
    for row in swapped:
        for refuses in (as_lonlat, load_location_encoder("xyz").encode):
            try:
                refuses([row])
            except InvalidCoordinate:
                refused += 1
    record.figure("rows with latitude first", 2 * len(swapped))
    record.figure("of these refused", refused)
    assert looks_swapped(np.array([(35.7, 139.7), (2.3, 48.9)])) == 0.5
    planes = [gap(load_location_encoder(name).encode, n) for name in ("grid", "theory")]
    record.caught("an encoder of the plane", sum(step > 1e-5 for step in planes), len(planes))
    assert max(gaps.values()) <= 1e-5
    assert refused == 2 * len(swapped)
