"""Paint a scene: sky and ground, then all that stands in the street, the far before the near.

The picture is painted at twice its size and reduced, which smooths its edges. Conventions are those of
`camera`: meters, x to the right, y up from the road, z away from the camera; sun, clouds and
mountains are placed in pixels of the canvas. All chance comes from the painter's one generator, so the
order of the calls belongs to the picture.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from .camera import Painter
from .scene import GROUND, Scene
from .things import cars, street_sides


def draw(scene: Scene, *, size: tuple[int, int] = (256, 192)) -> Image.Image:
    """Paint a scene: an RGB picture of `size` (width, height), the same for equal scenes."""
    painter = Painter(scene, (2 * size[0], 2 * size[1]))
    _paint_sky(painter)
    _paint_ground(painter)
    things = [*street_sides(painter), *cars(painter)]
    for _, paint in sorted(things, key=lambda thing: -thing[0]):
        paint()
    if scene.weather == "rain":
        _paint_rain(painter)
    pixels = np.asarray(painter.image.reduce(2), np.float32)
    grain = painter.rng.standard_normal(pixels.shape[:2], np.float32)[..., None]
    exposed = (pixels + 3.5 * grain) * painter.rng.uniform(0.9, 1.1)
    return Image.fromarray(np.clip(exposed, 0, 255).astype(np.uint8))


def _paint_sky(painter: Painter) -> None:
    """Gradient, sun, clouds, mountains and, behind towns, the outline of roofs."""
    (width, height), rng, scene = painter.size, painter.rng, painter.scene
    share = np.clip(np.linspace(0, height / painter.vanishing[1], height), 0, 1)[:, None] ** 1.4
    sky = painter.zenith * (1 - share) + painter.horizon * share
    column = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8)[:, None])
    painter.image.paste(column.resize((width, height)))
    up, side = math.radians(scene.sun_height_deg), painter.sun_side
    if scene.weather == "sunny" and scene.sun_height_deg > -1 and math.cos(side) > 0.5:
        x = painter.vanishing[0] + painter.focal * math.tan(side)
        y = painter.vanishing[1] - painter.focal * math.tan(up) / math.cos(side)
        for radius, alpha in ((70, 26), (46, 44), (28, 80), (15, 255)):
            painter.canvas.ellipse((x - radius, y - radius, x + radius, y + radius), (255, 244, 206, alpha))
    if painter.is_night:
        for x, y in rng.uniform(0, 1, (40, 2)) * (width, painter.vanishing[1]):
            painter.canvas.point((x, y), (255, 255, 255, 150))
    white = tuple(int(min(255, 0.5 * c + 128 * painter.ambient)) for c in painter.horizon)
    for _ in range({"sunny": int(rng.integers(0, 4)), "cloudy": 9, "rain": 3}[scene.weather]):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.8 * painter.vanishing[1])
        for dx, dy, radius in (rng.normal(0, 1, (9, 3)) * (30, 4, 3) + (0, 0, 15)).tolist():
            box = (
                x + dx - 1.6 * abs(radius),
                y + dy - abs(radius),
                x + dx + 1.6 * abs(radius),
                y + dy + abs(radius),
            )
            painter.canvas.ellipse(box, (*white, 56))
    if scene.has_mountains:
        _paint_ridge(painter)


def _paint_ridge(painter: Painter) -> None:
    """Mountains on the horizon, white on top."""
    base, n = painter.vanishing[1] + 10, 9
    step = painter.size[0] / (n - 2)
    rock, snow = painter.color((104, 112, 138), 60), painter.color((250, 250, 255), 30)
    for k, (jitter, height) in enumerate(
        zip(painter.rng.uniform(-20, 20, n), painter.rng.uniform(50, 120, n), strict=True)
    ):
        x, y, half = (k - 0.5) * step + jitter, base - height, step * 0.95
        painter.canvas.polygon([(x, y), (x - half, base), (x + half, base)], rock)
        cap = [
            (x, y),
            (x - 0.3 * half, y + 0.3 * height),
            (x - 0.1 * half, y + 0.22 * height),
            (x + 0.08 * half, y + 0.34 * height),
        ]
        painter.canvas.polygon([*cap, (x + 0.3 * half, y + 0.3 * height)], snow)


def _paint_ground(painter: Painter) -> None:
    """Soil, pavements, road and its lines, in bands that pale with distance."""
    scene, road = painter.scene, painter.road
    soil = GROUND[scene.ground]
    is_snowy = scene.ground == "snow"
    asphalt = (
        (104, 104, 110)
        if scene.line_color
        else tuple(0.86 * c for c in ((200, 168, 128) if scene.ground == "grass" else soil))
    )
    asphalt = tuple(0.55 * a + 0.45 * s for a, s in zip(asphalt, soil, strict=True)) if is_snowy else asphalt
    layers = [(700.0, soil), (road, asphalt)]
    if scene.skyline != "house" and scene.line_color:
        layers.insert(1, (road + 3, (212, 214, 220) if is_snowy else (172, 168, 162)))
    depths = [0.6, 3, 6, 11, 20, 36, 70, 150, 900]
    for half, rgb in layers:
        for near, far in zip(depths[-2::-1], depths[:0:-1], strict=True):
            _strip(painter, (-half, half), (near, far), rgb)
    paint = (232, 178, 50) if scene.line_color == "yellow" else (238, 238, 234)
    for start in np.arange(painter.rng.uniform(0.8, 5), 80, 6.0) if scene.line_color else ():
        _strip(painter, (-0.13, 0.13), (start, start + 3.2), paint)
    if scene.line_color and scene.skyline != "house":
        for x in (-road + 0.3, road - 0.42):
            _strip(painter, (x, x + 0.12), (0.7, 90), (225, 225, 220))


def _strip(painter: Painter, x: tuple[float, float], z: tuple[float, float], rgb: Sequence[float]) -> None:
    painter.face([(x[0], 0, z[0]), (x[1], 0, z[0]), (x[1], 0, z[1]), (x[0], 0, z[1])], rgb)


def _paint_rain(painter: Painter) -> None:
    drops = painter.rng.uniform(0, 1, (90, 2)) * painter.size
    for x, y in drops.tolist():
        painter.canvas.line((x, y, x - 3, y + 15), (225, 232, 240, 90))
