"""Buildings of drawn streets: houses, blocks and towers with windows and roofs, and the landmarks.

Conventions are those of `camera`: meters, x to the right, y up from the road, z away from the
camera. A side is -1 for the left of the road and 1 for its right; `front` is the distance of the wall to
the road from the middle of the road, and a pair z holds the near and the far end.
"""

import zlib
from collections.abc import Sequence

from .camera import Painter
from .scene import GROUND, RGB, STYLES


def paint_building(painter: Painter, side: int, z: float, length: float) -> None:
    """A box with windows, and a roof in the style of the region."""
    scene, rng = painter.scene, painter.rng
    height = rng.uniform(*{"house": (3.0, 6.2), "block": (9, 17), "tower": (17, 62)}[scene.skyline])
    front = painter.road + {"house": rng.uniform(3, 5.5), "block": 3.2, "tower": 3.2}[scene.skyline]
    is_usual = rng.random() < 0.7
    wall = scene.palette[0 if is_usual else 1]
    if scene.skyline == "tower" and rng.random() < 0.4:
        wall = (128, 152, 178)  # glass is the same everywhere
    _box(painter, (side * front, side * (front + 9)), (0, height), (z, z + length), wall)
    _paint_windows(painter, side, front, (z, z + length), height)
    if scene.skyline == "house":
        _paint_roof(painter, side, front, (z, z + length), height)
    elif scene.skyline == "block" and z < 40:
        _box(
            painter,
            (side * (front - 0.3), side * (front + 9)),
            (height, height + 0.7),
            (z, z + length),
            scene.palette[3],
        )


def _box(
    painter: Painter,
    x: tuple[float, float],
    y: tuple[float, float],
    z: tuple[float, float],
    rgb: Sequence[float],
) -> None:
    """A block; the walls seen are those at the first x, which faces the road, and at the first z."""
    facing = painter.lit["left" if x[0] > 0 else "right"]
    painter.face(
        [(x[0], y[0], z[0]), (x[1], y[0], z[0]), (x[1], y[1], z[0]), (x[0], y[1], z[0])],
        rgb,
        painter.lit["front"],
    )
    _side_panel(painter, x[0], y, z, rgb, facing)


def _paint_windows(painter: Painter, side: int, front: float, z: tuple[float, float], height: float) -> None:
    """Windows on the wall to the road, and on the near wall; far away one band a floor."""
    floors, is_far = max(min(int(height / 2.8), 14), 1), z[0] > 38
    bays = 1 if is_far else max(int((z[1] - z[0]) / 2.9), 1)
    rise, bay, x = height / floors, (z[1] - z[0]) / bays, side * (front - 0.03)
    lit = (painter.rng.random((floors, bays + 2)) < 0.55).tolist()
    for floor in range(floors):
        y = (floor * rise + 0.34 * rise, floor * rise + 0.8 * rise)
        for column in range(bays):
            a, b = z[0] + (column + 0.26) * bay, z[0] + (column + 0.74) * bay
            if z[0] < 25 and floors < 7:
                _side_panel(
                    painter,
                    x,
                    (y[0] - 0.14, y[1] + 0.14),
                    (a - 0.17, b + 0.17),
                    painter.scene.palette[3],
                    0.9,
                )
            _side_panel(painter, x, y, (a, b), *_glass(painter, lit[floor][column]))
        for column in range(2) if not is_far else ():
            c = side * (front + 1.6 + 3.6 * column)
            painter.panel((c, c + side * 1.6), y, z[0], *_glass(painter, lit[floor][bays + column]))


def _side_panel(
    painter: Painter,
    x: float,
    y: tuple[float, float],
    z: tuple[float, float],
    rgb: Sequence[float],
    lit: float,
) -> None:
    painter.face([(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])], rgb, lit)


def _glass(painter: Painter, is_lit: bool) -> tuple[RGB, float]:
    return ((255, 206, 120), 3.2) if painter.is_night and is_lit else ((70, 86, 104), 0.85)


def _paint_roof(painter: Painter, side: int, front: float, z: tuple[float, float], height: float) -> None:
    """Gable, hip, curved eaves or flat, white under snow."""
    scene = painter.scene
    shape = STYLES[scene.region][2]
    rgb = GROUND["snow"] if scene.ground == "snow" else scene.palette[2]
    if shape == "flat":
        return _box(
            painter, (side * (front - 0.2), side * (front + 9)), (height, height + 0.5), z, scene.palette[3]
        )
    over = {"gable": 0.5, "hip": 0.6, "eaves": 1.2}[shape]
    inset = {"gable": 0.0, "hip": 3.0, "eaves": 1.6}[shape]
    edge, far, ridge = side * (front - over), side * (front + 9 + over), side * (front + 4.5)
    top = height + {"gable": 3.4, "hip": 2.2, "eaves": 3.0}[shape]
    near, back = z[0] - over, z[1] + over
    gable = [
        (edge, height, near),
        (far, height, near),
        (ridge, top, near + inset + (0.5 if shape == "gable" else 0)),
    ]
    painter.face(gable, scene.palette[0] if shape == "gable" else rgb, painter.lit["front"] * 0.95)
    lift = 0.5 if shape == "eaves" else 0.0
    slope = [
        (edge, height + lift, near),
        (edge, height, (near + back) / 2),
        (edge, height + lift, back),
        (ridge, top, back - inset),
        (ridge, top, near + inset),
    ]
    painter.face(slope, rgb, painter.lit["left" if side > 0 else "right"] * 1.05)


def _paint_church(painter: Painter, side: int, z: float) -> None:
    """A nave with a gable, and a tower with a spire toward the road."""
    scene, front = painter.scene, painter.road + 3
    wall, roof = scene.palette[0], scene.palette[2]
    _box(painter, (side * (front + 1), side * (front + 9)), (0, 6), (z + 3, z + 13), wall)
    a, b, mid = side * (front + 0.6), side * (front + 9.4), side * (front + 5)
    painter.face([(a, 6, z + 3), (b, 6, z + 3), (mid, 10.5, z + 3)], wall, painter.lit["front"])
    painter.face([(a, 6, z + 3), (a, 6, z + 13), (mid, 10.5, z + 13), (mid, 10.5, z + 3)], roof)
    x0, x1 = side * front, side * (front + 3.6)
    _box(painter, (x0, x1), (0, 12), (z, z + 3.6), wall)
    tip = ((x0 + x1) / 2, 19.5, z + 1.8)
    painter.face([(x0, 12, z), (x1, 12, z), tip], roof, 0.8)
    painter.face([(x0, 12, z), (x0, 12, z + 3.6), tip], roof, 1.0)
    painter.line([(tip[0], 19, z), (tip[0], 21.3, z)], 0.16, (60, 50, 40))
    painter.line([(tip[0] - 0.6, 20.6, z), (tip[0] + 0.6, 20.6, z)], 0.16, (60, 50, 40))
    middle = (x0 + x1) / 2
    painter.disc((middle, 9.3, z - 0.02), 0.8, 0.8, (250, 246, 226))
    painter.arch(middle, 3.4, z, (84, 56, 40))


def _paint_mosque(painter: Painter, side: int, z: float) -> None:
    """A cube with a dome, and two minarets."""
    scene, front = painter.scene, painter.road + 3.5
    dome = (84, 158, 170) if zlib.crc32(scene.country_code.encode()) % 2 else (214, 186, 110)
    wall = tuple(0.5 * c + 120 for c in scene.palette[0])
    center = side * (front + 5)
    painter.disc((center, 7.2, z + 5), 4.3, 4.8, dome)
    painter.line([(center, 11.5, z + 5), (center, 13.4, z + 5)], 0.2, (230, 200, 90))
    _box(painter, (side * front, side * (front + 10)), (0, 7.2), (z + 1, z + 11), wall)
    for a in range(3):
        painter.arch(side * (front + 1.8 + 3.2 * a), 5, z + 1, (74, 92, 104))
    for x in (side * front, side * (front + 10)):
        painter.face([(x - 0.7, 0, z), (x + 0.7, 0, z), (x + 0.5, 16, z), (x - 0.5, 16, z)], wall, 1.05)
        painter.panel((x - 1, x + 1), (12.4, 13.2), z, dome)
        painter.face([(x - 0.6, 16, z), (x + 0.6, 16, z), (x, 19, z)], dome)


def _paint_pagoda(painter: Painter, side: int, z: float) -> None:
    """Five stories, each with its own curved roof."""
    x = side * (painter.road + 6.5)
    for story in range(5):
        half, y = 3.4 - 0.45 * story, 3.4 * story
        painter.panel((x - half, x + half), (y, y + 2.6), z, (188, 64, 46))
        for a in (-0.5, 0.5):
            painter.panel((x + half * (a - 0.2), x + half * (a + 0.2)), (y + 0.4, y + 2), z, (244, 226, 180))
        wide = half + 1.7
        roof = [
            (x - wide, y + 3.1, z),
            (x - half, y + 2.4, z),
            (x + half, y + 2.4, z),
            (x + wide, y + 3.1, z),
            (x + 0.7 * half, y + 3.9, z),
            (x - 0.7 * half, y + 3.9, z),
        ]
        painter.face(
            roof, painter.scene.palette[2] if painter.scene.ground != "snow" else GROUND["snow"], 0.9
        )
    painter.line([(x, 17, z), (x, 21, z)], 0.25, (214, 178, 80))


def _paint_temple(painter: Painter, side: int, z: float) -> None:
    """A stepped tower in South Asia, a golden bell in Southeast Asia."""
    x = side * (painter.road + 7.0)
    is_bell = painter.scene.region == "southeast asia"
    rgb = (232, 184, 62) if is_bell else (226, 176, 130)
    for step in range(3 if is_bell else 8):
        half, y = 5.0 - (0.8 if is_bell else 0.52) * step, (1.3 if is_bell else 1.75) * step
        top = y + (1.3 if is_bell else 1.75)
        corners = [(x - half, y, z), (x + half, y, z), (x + half - 0.35, top, z), (x - half + 0.35, top, z)]
        painter.face(corners, rgb, 1.06 - 0.14 * (step % 2))
    if is_bell:
        painter.disc((x, 4.6, z), 2.9, 3.6, rgb)
        painter.face([(x - 1.3, 7.2, z), (x + 1.3, 7.2, z), (x, 18, z)], rgb, 0.94)
    else:
        painter.disc((x, 14.4, z), 1.2, 0.8, (200, 90, 60))
        painter.line([(x, 15, z), (x, 17.4, z)], 0.2, (230, 190, 80))
    painter.arch(x, 3.2, z, (110, 60, 44))


LANDMARKS = {
    "church": _paint_church,
    "mosque": _paint_mosque,
    "pagoda": _paint_pagoda,
    "temple": _paint_temple,
}
