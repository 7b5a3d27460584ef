"""The camera, the canvas and the light with which drawn scenes are painted.

Conventions: space is in meters, x to the right, y up from the road, z away from the camera, whose axis
follows the road; the canvas is in pixels, y down. A color is given as RGB in 0..255, as it is by day and
near; `lit` multiplies it. Nothing is hidden by depth: what is far must be painted first.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from .scene import Scene

Point = tuple[float, float, float]


class Painter:
    """A camera in the street, a canvas, and the light of the hour."""

    def __init__(self, scene: Scene, size: tuple[int, int]) -> None:
        self.scene, self.size = scene, size
        self.rng = rng = np.random.default_rng(scene.seed)
        self.image = Image.new("RGB", size)
        self.canvas = ImageDraw.Draw(self.image, "RGBA")
        self.focal = size[1] * rng.uniform(0.85, 1.25)
        self.vanishing = (size[0] * rng.uniform(0.4, 0.6), size[1] * rng.uniform(0.5, 0.62))
        self.roll = math.radians(rng.normal(0, 1.2))
        self.eye = (rng.uniform(-2.5, 2.5), rng.uniform(1.5, 2.6))
        height, is_clear = scene.sun_height_deg, scene.weather == "sunny"
        self.is_night = height < -4
        day = float(np.clip((height + 8) / 24, 0, 1))
        low = math.exp(-(((height - 1) / 7) ** 2)) * (1.0 if is_clear else 0.35)  # the red of a low sun
        self.ambient = (0.42 + 0.58 * day) * (1.0 if is_clear else 0.86)
        gray = np.array([176, 182, 190]) * (self.ambient + 0.06)
        zenith = np.array([18, 24, 52]) * (1 - day) + np.array([70, 132, 208]) * day
        horizon = np.array([38, 46, 80]) * (1 - day) + np.array([196, 220, 238]) * day
        horizon = horizon * (1 - 0.75 * low) + np.array([250, 160, 92]) * 0.75 * low
        veil = {"sunny": 0.0, "cloudy": 0.65, "rain": 0.92}[scene.weather]
        self.zenith, self.horizon = (
            zenith * (1 - veil) + 0.82 * gray * veil,
            horizon * (1 - veil) + gray * veil,
        )
        blue = 0.2 * self.is_night
        tint = np.array([1 + 0.16 * low - blue, 1 - 0.02 * low - blue / 2, 1 - 0.2 * low + blue])
        self.tint: list[float] = (tint * self.ambient).tolist()
        self.haze: list[float] = self.horizon.tolist()
        side = math.radians(scene.sun_azimuth_deg - scene.heading_deg)
        sharp = 0.2 * is_clear * (height > 0)
        # Walls by where they face; the sun in the right lights those that face right.
        self.lit = {"right": 0.84 + sharp * math.sin(side), "left": 0.84 - sharp * math.sin(side)}
        self.lit["front"] = 0.84 - sharp * math.cos(side)
        self.sun_side = side  # radians clockwise from the way the camera looks
        self.road = {"house": 3.4, "block": 4.4, "tower": 5.6}[scene.skyline]  # half its width
        self.road -= 0.0 if scene.line_color else 0.7

    def at(self, point: Point) -> tuple[float, float]:
        """Where a point in space falls on the canvas, pixels."""
        z = max(point[2], 0.6)
        x, y = self.focal * (point[0] - self.eye[0]) / z, -self.focal * (point[1] - self.eye[1]) / z
        return self.vanishing[0] + x - self.roll * y, self.vanishing[1] + y + self.roll * x

    def color(self, rgb: Sequence[float], z: float, lit: float = 1.0) -> tuple[int, int, int]:
        """A color in this light, paler with distance."""
        haze = 1 - math.exp(-z / (70.0 if self.scene.weather == "rain" else 170.0))
        tint, far, near = self.tint, self.haze, lit * (1 - haze)
        r, g, b = (min(int(rgb[i] * tint[i] * near + far[i] * haze), 255) for i in range(3))
        return r, g, b

    def face(self, points: Sequence[Point], rgb: Sequence[float], lit: float = 1.0) -> None:
        """Fill a polygon in space."""
        self.canvas.polygon([self.at(point) for point in points], self.color(rgb, points[0][2], lit))

    def panel(
        self, x: tuple[float, float], y: tuple[float, float], z: float, rgb: Sequence[float], lit: float = 1.0
    ) -> None:
        """Fill an upright rectangle that faces the camera."""
        self.face([(x[0], y[0], z), (x[1], y[0], z), (x[1], y[1], z), (x[0], y[1], z)], rgb, lit)

    def arch(self, x: float, top: float, z: float, rgb: Sequence[float]) -> None:
        """Fill a pointed door from the ground, 1.6 m wide."""
        low = 0.7 * top
        self.face([(x - 0.8, 0, z), (x + 0.8, 0, z), (x + 0.8, low, z), (x, top, z), (x - 0.8, low, z)], rgb)

    def disc(self, center: Point, rx: float, ry: float, rgb: Sequence[float], lit: float = 1.0) -> None:
        """Fill an upright ellipse with half-axes in meters."""
        (x, y), scale = self.at(center), self.focal / max(center[2], 0.6)
        box = (x - rx * scale, y - ry * scale, x + rx * scale, y + ry * scale)
        self.canvas.ellipse(box, self.color(rgb, center[2], lit))

    def line(self, points: Sequence[Point], width_m: float, rgb: Sequence[float], lit: float = 1.0) -> None:
        """Draw a line as thick as it is in space, at least a pixel."""
        width = max(1, round(width_m * self.focal / max(points[0][2], 0.6)))
        self.canvas.line([self.at(point) for point in points], self.color(rgb, points[0][2], lit), width)

    def shadow(self, x: float, z: float, height: float, width: float) -> None:
        """Darken the ground beside a thing of that height, away from the sun."""
        if self.scene.weather != "sunny" or self.scene.sun_height_deg < 2:
            return
        length = min(height / math.tan(math.radians(self.scene.sun_height_deg)), 14.0)
        dx, dz = -length * math.sin(self.sun_side), -length * math.cos(self.sun_side)
        corners = [(x - width, z), (x + width, z), (x + width + dx, z + dz), (x - width + dx, z + dz)]
        self.canvas.polygon([self.at((a, 0.0, max(b, 1.5))) for a, b in corners], (10, 10, 30, 64))
