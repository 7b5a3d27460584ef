"""A made-up country to train map encoders on: class ids as a function of the place, no mosaic needed."""

from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from placeprint.encoders.areas import Box
from placeprint.encoders.sphere import EARTH_RADIUS_KM

CENTER = (9.5, 47.1)


class Country:
    """Towns in fields beside a lake, drawn where they are asked for. Implements `CropSource`.

    Args:
        scale_m: wavelength of towns and fields, meters.
    """

    def __init__(self, scale_m: float = 3000.0) -> None:
        self.scale_m = scale_m
        self.n_crops = 0

    def crops(
        self,
        lonlat: NDArray[np.float64],
        *,
        ground_m: float | NDArray[np.float64],
        angle_rad: float | NDArray[np.float64] = 0.0,
        px: int,
    ) -> NDArray[np.uint8]:
        self.n_crops += len(lonlat)
        x, y = meters_of(lonlat)
        at = (np.arange(px) + 0.5) / px - 0.5
        right, up = np.meshgrid(at, -at)
        width = np.broadcast_to(np.asarray(ground_m, np.float64), x.shape)[:, None, None]
        angle = np.broadcast_to(np.asarray(angle_rad, np.float64), x.shape)[:, None, None]
        east = x[:, None, None] + width * (right * np.cos(angle) - up * np.sin(angle))
        north = y[:, None, None] + width * (right * np.sin(angle) + up * np.cos(angle))
        return self.ids(east, north)

    def ids(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Class ids at meters east and north of the center."""
        town = self.town(x, y)
        ids = np.where(town > 0.2, 4, np.where(town > -0.6, 3, 6))  # residential, farmland, green
        is_dense = town > 0.8
        block = np.where(is_dense, 80.0, 160.0)
        is_built = (town > 0.2) & ((x % block) / block > 0.4) & ((y % block) / block > 0.4)
        ids = np.where(is_built, 8, ids)
        is_street = (town > 0.2) & (((x % block) < 8.0) | ((y % block) < 8.0))
        ids = np.where(is_street, 12, ids)
        ids = np.where((np.abs((y + 0.3 * x) % 4000.0) < 20.0) & (town > -0.9), 13, ids)
        return np.where(np.hypot(x - 4000.0, y) < 2500.0, 1, ids).astype(np.uint8)

    def town(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """How built-up it is there, -2..2."""
        k = 2.0 * np.pi / self.scale_m
        found: NDArray[np.float64] = np.sin(k * x) * np.cos(0.7 * k * y + 1.0) + 0.7 * np.sin(
            0.3 * k * (x - y)
        )
        return found

    def prices(self, lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
        """Land prices that follow how built-up it is: (N, 2) -> (N,)."""
        return np.exp(6.0 + 1.2 * self.town(*meters_of(lonlat)))


def meters_of(lonlat: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Meters east and north of the center: (N, 2) -> (N,), (N,)."""
    radians = np.deg2rad(lonlat - np.array(CENTER))
    scale = 1000.0 * EARTH_RADIUS_KM
    return scale * np.cos(np.deg2rad(CENTER[1])) * radians[:, 0], scale * radians[:, 1]


def places_of(n: int, seed: int = 0, *, extent_deg: float = 0.15) -> NDArray[np.float64]:
    """Places at random in the country, (n, 2) degrees."""
    rng = np.random.default_rng(seed)
    return np.array(CENTER) + rng.uniform(-extent_deg, extent_deg, (n, 2))


class CountryMosaic(Country):
    """The made-up country as a mosaic."""

    bounds = Box(9.35, 46.95, 9.65, 47.25)
    about = SimpleNamespace(sources=("country",), credit=("© nobody",))
