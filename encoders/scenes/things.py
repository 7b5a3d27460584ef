"""What stands and drives in a drawn street: where each thing is, and how plants, poles, signs, cars look.

Conventions are those of `camera`: meters, x to the right, y up from the road, z away from the
camera. A side is -1 for the left of the road and 1 for its right. Things are listed in any order, each
with the depth of its far end, and paint themselves when called; buildings are in `buildings`.
"""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from .buildings import LANDMARKS, paint_building
from .camera import Painter
from .scene import YELLOW_TRIANGLE

Thing = tuple[float, Callable[[], None]]  # depth of its far end, and how to paint it


def street_sides(painter: Painter) -> list[Thing]:
    """Houses, the landmark, trees, poles and the sign on both sides of the road."""
    things: list[Thing] = []
    scene, rng = painter.scene, painter.rng
    landmark_side = rng.choice((-1, 1)) if scene.landmark else 0
    for side in (-1, 1):
        z, is_due = rng.uniform(4, 9), side == landmark_side
        while z < 110:
            length = rng.uniform(*{"house": (7, 12), "block": (11, 18), "tower": (13, 22)}[scene.skyline])
            if is_due and z > 15:
                things.append((z + 12, partial(LANDMARKS[str(scene.landmark)], painter, side, z)))
                length, is_due = 14.0, False
            else:
                things.append((z + length, partial(paint_building, painter, side, z, length)))
            z += length + rng.uniform(*{"house": (4, 14), "block": (0, 3), "tower": (0, 4)}[scene.skyline])
        if scene.vegetation != "treeless":
            for z in np.cumsum(rng.uniform(7, 16, 5)) + 4:
                place = (side * (painter.road + rng.uniform(1.0, 2.6)), float(z))
                things.append((float(z), partial(_paint_plant, painter, *place, rng.uniform(0.75, 1.25))))
    keep = -1 if scene.drives_left else 1
    if scene.has_poles:
        things += [
            (z, partial(_paint_pole, painter, -keep * (painter.road + 0.8), z))
            for z in (9.0, 27.0, 45.0, 63.0)
        ]
    if scene.sign:
        z = rng.uniform(9.5, 14)
        things.append((z, partial(_paint_sign, painter, keep * (painter.road + 0.6), z)))
    return things


def _paint_plant(painter: Painter, x: float, z: float, size: float) -> None:
    kind = painter.scene.vegetation
    painter.shadow(x, z, 1.5 if kind == "shrub" else 5.5 * size, 0.3 * size)
    PLANTS.get(kind, _paint_leafy)(painter, x, z, size)


def _paint_palm(painter: Painter, x: float, z: float, size: float) -> None:
    lean, top = painter.rng.normal(0, 0.5), 6.2 * size
    painter.line([(x, 0, z), (x + 0.35 * lean, top / 2, z), (x + lean, top, z)], 0.32, (132, 104, 76))
    for angle in np.linspace(-0.5, math.pi + 0.5, 8) + painter.rng.normal(0, 0.12, 8):
        c, s, reach = math.cos(angle), math.sin(angle), 2.5 * size
        tip = (x + lean + reach * c, top + reach * 0.5 * s - 0.9, z)
        arch = (x + lean + 0.55 * reach * c, top + 0.65 * reach * s + 0.35, z)
        low = (x + lean + 0.5 * reach * c, top + 0.6 * reach * s - 0.3, z)
        painter.face([(x + lean, top, z), arch, tip, low], (58, 128, 58), 0.8 + 0.3 * s)


def _paint_conifer(painter: Painter, x: float, z: float, size: float) -> None:
    painter.panel((x - 0.18, x + 0.18), (0, 1.4), z, (92, 66, 48))
    is_white = painter.scene.ground == "snow"
    for layer in range(4):
        half, y = (1.75 - 0.38 * layer) * size, (1.0 + 1.45 * layer) * size
        tip = (x, y + 2.6 * size, z)
        painter.face([(x - half, y, z), (x + half, y, z), tip], (38, 88, 62), 0.85 + 0.07 * layer)
        if is_white:
            painter.face(
                [(x - 0.55 * half, y + 1.17 * size, z), (x + 0.2 * half, y + 1.5 * size, z), tip],
                (232, 240, 246),
            )


def _paint_leafy(painter: Painter, x: float, z: float, size: float) -> None:
    rgb = (206, 124, 48) if painter.scene.vegetation == "autumn" else (78, 134, 60)
    painter.line([(x, 0, z), (x, 3 * size, z)], 0.36, (98, 76, 58))
    for dx, dy in painter.rng.normal(0, 0.6, (6, 2)).tolist():
        shade = 0.85 + 0.12 * dy
        painter.disc((x + dx * size, (4.1 + dy) * size, z), 1.35 * size, 1.2 * size, rgb, shade)


def _paint_bare(painter: Painter, x: float, z: float, size: float) -> None:
    rgb = (92, 78, 68)
    painter.line([(x, 0, z), (x, 2.6 * size, z)], 0.34, rgb)
    for angle in np.linspace(0.45, math.pi - 0.45, 6) + painter.rng.normal(0, 0.12, 6):
        c, s = math.cos(angle), math.sin(angle)
        fork = (x + 1.3 * c * size, (2.3 + 1.5 * s) * size, z)
        painter.line([(x, 2.2 * size, z), fork], 0.14, rgb)
        for turn in (-0.45, 0.0, 0.45):
            twig = (
                fork[0] + 1.3 * math.cos(angle + turn) * size,
                fork[1] + 1.3 * math.sin(angle + turn) * size,
                z,
            )
            painter.line([fork, twig], 0.06, rgb)


def _paint_cactus(painter: Painter, x: float, z: float, size: float) -> None:
    rgb, top = (74, 130, 76), 3.6 * size
    painter.line([(x, 0, z), (x, top, z)], 0.62 * size, rgb)
    painter.disc((x, top, z), 0.31 * size, 0.31 * size, rgb)
    for arm, y in ((-1.0, 1.3 * size), (1.0, 1.8 * size)):
        elbow = (x + arm * size, y, z)
        painter.line([(x, y, z), elbow, (elbow[0], y + 1.3 * size, z)], 0.42 * size, rgb, 0.92)
        painter.disc((elbow[0], y + 1.3 * size, z), 0.21 * size, 0.21 * size, rgb, 0.92)


def _paint_shrub(painter: Painter, x: float, z: float, size: float) -> None:
    for dx, dy in painter.rng.normal(0, 0.5, (4, 2)).tolist():
        painter.disc(
            (x + dx, 0.45 * size, z), 0.7 * size, (0.6 + 0.1 * dy) * size, (134, 138, 84), 0.9 + 0.1 * dx
        )


PLANTS = {  # any other is a tree with leaves
    "palm": _paint_palm,
    "conifer": _paint_conifer,
    "bare": _paint_bare,
    "cactus": _paint_cactus,
    "shrub": _paint_shrub,
}


def _paint_pole(painter: Painter, x: float, z: float) -> None:
    """A pole with two arms, and its wires to the next pole behind."""
    rgb = (110, 88, 70) if "america" in painter.scene.region else (146, 144, 140)
    painter.shadow(x, z, 8, 0.12)
    painter.line([(x, 0, z), (x, 8.2, z)], 0.26, rgb)
    for y in (7.7, 6.9):
        painter.line([(x - 1.0, y, z), (x + 1.0, y, z)], 0.14, rgb)
        for dx in (-0.95, 0.95):
            wire = [
                (x + dx, y + 0.1 - 0.5 * (1 - (2 * t - 1) ** 2), z + 18 * t) for t in (0, 0.25, 0.5, 0.75, 1)
            ]
            painter.canvas.line(
                [painter.at(point) for point in wire], (*painter.color((40, 40, 46), z), 190), 1
            )


def _paint_sign(painter: Painter, x: float, z: float) -> None:
    painter.line([(x, 0, z), (x, 2.6, z)], 0.1, (150, 152, 156))
    if painter.scene.sign == "diamond":
        layers = ((0.74, (40, 38, 34)), (0.66, (250, 196, 32)))
        corners = [(0.0, -1.0), (1.0, 0.0), (0.0, 1.0), (-1.0, 0.0)]
    else:
        is_yellow = painter.scene.country_code in YELLOW_TRIANGLE
        layers = ((0.8, (206, 32, 40)), (0.46, (250, 206, 50) if is_yellow else (250, 250, 246)))
        corners = [(-1.0, -0.6), (1.0, -0.6), (0.0, 1.14)]
    for size, rgb in layers:
        painter.face([(x + size * a, 2.6 + size * b, z) for a, b in corners], rgb, 1.1)
    painter.line([(x, 2.4, z), (x, 2.85, z)], 0.12, (30, 30, 30))


def cars(painter: Painter) -> list[Thing]:
    """Cars in both lanes, each on the side this country keeps to."""
    keep = -1 if painter.scene.drives_left else 1
    depths = 7 + np.cumsum(painter.rng.uniform(1, 14, painter.scene.n_cars))
    directions = painter.rng.choice((1, -1), painter.scene.n_cars)
    return [
        (z, partial(_paint_car, painter, keep * way * painter.road * 0.5, z, way > 0))
        for z, way in zip(depths.tolist(), directions.tolist(), strict=True)
    ]


def _paint_car(painter: Painter, x: float, z: float, is_rear: bool) -> None:
    """A car seen from behind or, oncoming, from the front, with its driver."""
    gray, hue = painter.rng.uniform(50, 240), painter.rng.uniform(-60, 60, 3) * (painter.rng.random() < 0.6)
    color: list[float] = np.clip(gray + hue, 30, 245).tolist()
    shade = [(x - 1, 0.0, z - 0.2), (x + 1, 0.0, z - 0.2), (x + 1, 0.0, z + 4), (x - 1, 0.0, z + 4)]
    painter.canvas.polygon([painter.at(point) for point in shade], (10, 10, 20, 110))
    inner = x + math.copysign(0.9, painter.eye[0] - x)
    painter.face([(inner, 0.3, z), (inner, 0.3, z + 4), (inner, 0.95, z + 4), (inner, 0.95, z)], color, 0.7)
    for dx in (-0.72, 0.72):
        painter.panel((x + dx - 0.17, x + dx + 0.17), (0, 0.4), z, (26, 26, 30))
    painter.panel((x - 0.9, x + 0.9), (0.3, 0.95), z, color)
    painter.face(
        [(x - 0.85, 0.95, z), (x + 0.85, 0.95, z), (x + 0.62, 1.5, z), (x - 0.62, 1.5, z)], color, 0.9
    )
    painter.face(
        [(x - 0.72, 0.98, z), (x + 0.72, 0.98, z), (x + 0.54, 1.42, z), (x - 0.54, 1.42, z)], (60, 74, 90)
    )
    # Where traffic keeps left the driver sits at the right: our right from behind, our left from the front.
    seat = 0.33 if painter.scene.drives_left == is_rear else -0.33
    painter.disc((x + seat, 1.13, z), 0.13, 0.16, (206, 160, 130) if not is_rear else (50, 40, 36))
    lamp, lit = ((214, 30, 30), 1.2) if is_rear else ((255, 248, 214), 1.5 if not painter.is_night else 3.5)
    for dx in (-0.7, 0.7):
        painter.panel((x + dx - 0.16, x + dx + 0.16), (0.62, 0.82), z, lamp, lit)
    painter.panel((x - 0.26, x + 0.26), (0.4, 0.54), z, (240, 240, 232))
