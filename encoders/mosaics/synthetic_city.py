"""A drawn city, for tests, for CI and for trying out: no download, no licence, the same for a seed.

A river winds through it from north to south, a bay lies in the south-west behind a coastline, a motorway
and a railway pass, streets make a turned grid with a main road every fourth one; blocks are built up,
industrial, park or field, the more so the farther from the center. It is no picture of any city, but each
class of the legend stands where a city would have it.
"""

from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from ..sphere import as_lonlat
from .geometry import Geometries
from .layers import Layer, layer_of
from .legend import IDS

M_PER_DEGREE = 111_195.08
"""Of latitude, on the sphere of radius 6371.0088 km."""

_Floats = NDArray[np.float64]


def synthetic_city(lon: float, lat: float, *, size_m: float = 4000.0, seed: int = 0) -> Layer:
    """A city around a point, as one layer.

    Args:
        lon: of its center, degrees.
        lat: of its center, degrees, within ±80.
        size_m: side of the square it fills, meters.
        seed: of everything random.

    Raises:
        InvalidCoordinate: a center that lies nowhere on Earth.
    """
    center = as_lonlat([lon, lat])
    rng = np.random.default_rng(seed)
    half = size_m / 2.0
    turn = rng.uniform(0.1, 0.6)
    block_m = 120.0
    n = int(np.ceil(half * 1.5 / block_m))
    lines = np.arange(-n, n + 1) * block_m + rng.uniform(-15.0, 15.0, 2 * n + 1)
    shapes: list[tuple[str, shapely.Geometry]] = []
    for number, at in enumerate(lines):
        kind = "road" if number % 4 == 0 else "street"
        ends = np.array([[at, lines[0]], [at, lines[-1]]])
        shapes += [(kind, shapely.LineString(_turned(ends, turn)))]
        shapes += [(kind, shapely.LineString(_turned(ends[:, ::-1], turn)))]
    shapes += _blocks(lines, turn, half, rng)
    shapes += _through(half, rng)
    frame = shapely.box(-half, -half, half, half)
    kept = [(name, shape & frame) for name, shape in shapes if shape.intersects(frame)]
    # The bay: its coast has land on its left, so it runs from the south edge up to the west one.
    bay = np.array([[-0.1, -0.5], [-0.15, -0.38], [-0.28, -0.3], [-0.33, -0.14], [-0.5, -0.1]]) * size_m
    sea = shapely.Polygon([*bay.tolist(), [-half, -half]])
    river, lake = (shape for name, shape in kept if name == "water")
    wet = {name: sea | river | lake for name in ("building", "path", "place")}
    wet |= {name: sea | lake for name in ("street", "road")}  # they bridge the river
    kept = [(name, shape - wet.get(name, sea)) for name, shape in kept]
    kept = [("sea", shapely.LineString(bay[::-1])), *((name, one) for name, one in kept if not one.is_empty)]
    geometry = _on_earth(np.array([shape for _, shape in kept], dtype=object), center)
    layer = layer_of(geometry, np.array([IDS[name] for name, _ in kept], np.uint8), title="synthetic city")
    west, south, east, north = shapely.bounds(_on_earth(np.array([frame], dtype=object), center)[0])
    coverage = (float(west), float(south), float(east), float(north))
    return Layer(**{**vars(layer), "coverage": coverage})


def _blocks(
    lines: _Floats, turn: float, half: float, rng: np.random.Generator
) -> list[tuple[str, shapely.Geometry]]:
    """What stands between the streets: (class, shape) in meters from the center."""
    found: list[tuple[str, shapely.Geometry]] = []
    for left, right in pairwise(lines.tolist()):
        for bottom, top in pairwise(lines.tolist()):
            middle = np.array([left + right, bottom + top]) / 2.0
            town = np.exp(-((np.hypot(*middle) / half) ** 2))  # 1 in the center
            drawn = rng.random()
            corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
            if drawn < 0.1 or drawn > 0.4 + town:
                kind = ("green", "green", "farmland", "land")[rng.integers(4)]
                if kind != "land":  # the ground is land where nothing is drawn
                    found.append((kind, _area(corners, turn)))
                continue
            is_industry = middle[0] > 0.5 * half
            found.append(("industrial" if is_industry else "residential", _area(corners, turn)))
            found += _houses(left, bottom, right, top, turn, rng)
            if rng.random() < 0.3:
                path = np.array([[left, middle[1]], [right, middle[1]]])
                found.append(("path", shapely.LineString(_turned(path, turn))))
            if rng.random() < 0.2:
                found.append(("place", shapely.Point(_turned(corners[:1] + 20.0, turn)[0])))
    return found


def _houses(
    left: float, bottom: float, right: float, top: float, turn: float, rng: np.random.Generator
) -> list[tuple[str, shapely.Geometry]]:
    """Three by three lots of a block, most of them built on."""
    x, y = np.linspace(left + 10.0, right - 10.0, 4), np.linspace(bottom + 10.0, top - 10.0, 4)
    found: list[tuple[str, shapely.Geometry]] = []
    for i in range(3):
        for j in range(3):
            if rng.random() < 0.8:
                w, h = rng.uniform(0.4, 0.9) * (x[1] - x[0]), rng.uniform(0.4, 0.9) * (y[1] - y[0])
                lot = np.array([[x[i] + a, y[j] + b] for a, b in ((0, 0), (w, 0), (w, h), (0, h))])
                found.append(("building", _area(lot, turn)))
    return found


def _through(half: float, rng: np.random.Generator) -> list[tuple[str, shapely.Geometry]]:
    """What passes through: river, lake, motorway, railway, and the city's boundary."""
    y = np.linspace(half, -half, 60)
    x = 0.15 * half * np.sin(y / half * 4.0 + rng.uniform(0.0, 6.0)) + 0.2 * half
    river = shapely.LineString(np.stack([x, y], axis=1)).buffer(30.0)
    lake = shapely.Point(-0.3 * half, 0.6 * half).buffer(0.12 * half)
    motorway = np.stack([np.linspace(-half, half, 40), 0.75 * half + 0.05 * half * np.sin(y[:40] / 300.0)], 1)
    rail = np.array([[-half, 0.3 * half], [0.0, 0.35 * half], [half, 0.1 * half]])
    return [
        ("water", river),
        ("water", lake),
        ("motorway", shapely.LineString(motorway)),
        ("rail", shapely.LineString(rail)),
        ("boundary", shapely.Point(0.0, 0.0).buffer(0.85 * half).exterior),
    ]


def _turned(points: _Floats, turn: float) -> _Floats:
    cos, sin = np.cos(turn), np.sin(turn)
    turned: _Floats = points @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _area(corners: _Floats, turn: float) -> shapely.Polygon:
    return shapely.Polygon(_turned(corners, turn))


def _on_earth(shapes: Geometries, center: _Floats) -> Geometries:
    """Meters east and north of a center as degrees; flat, which errs by nothing that a test could see."""
    per_degree = np.array([M_PER_DEGREE * np.cos(np.deg2rad(center[1])), M_PER_DEGREE])
    placed: Geometries = np.asarray(shapely.transform(shapes, lambda xy: center + xy / per_degree))
    return placed
