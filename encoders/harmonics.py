"""Real spherical harmonics, orthonormal on the unit sphere: the Fourier series of the Earth.

Degrees l = 0..L-1, orders m = -l..l; Y_lm stands in column l² + l + m, L² columns in all. With P̄_lm
the normalized associated Legendre functions, without the Condon-Shortley sign:

    Y_lm = √2 P̄_lm(sin φ) cos mλ,  m > 0;    P̄_l0(sin φ);    √2 P̄_l|m|(sin φ) sin |m|λ,  m < 0

For a fixed order m the functions of all degrees follow one recurrence in l, and a factor cos mλ or
sin mλ passes through it. So the harmonics themselves are computed by it, degree after degree, all
orders at once, each from slices of the two degrees before:

    Y_lm = a (sin φ Y_{l-1,m} - b Y_{l-2,m})                                  |m| <= l - 2
    Y_l±(l-1) = √(2l+1) sin φ Y_{l-1,±(l-1)}
    Y_ll + i Y_l,-l = √((2l+1) / 2l) cos φ e^{iλ} (Y_{l-1,l-1} + i Y_{l-1,-(l-1)})

with a² = (4l²-1) / (l²-m²), b² = ((l-1)²-m²) / (4(l-1)²-1). There is no factorial, and nothing but
products and sums of sin φ, cos φ, sin λ, cos λ: every feature is smooth at the poles. This forward
recurrence in normalized form is accurate to degrees of about 1900, where cos^m φ underflows (Holmes
and Featherstone 2002, J. Geodesy 76).

Features of n places are computed as (L², n), where each step runs over contiguous rows, and handed
out transposed; a linear layer after it takes them so without a copy. Where the coordinates need no
gradient the steps write into one piece of memory, which torch.func's forward mode and vmap refuse:
let the coordinates require a gradient there.
"""

import math

import torch
from torch import Tensor

from .errors import InvalidOption
from .positional_base import PositionalEncoding

MAX_DEGREES = 1000
Y_00 = math.sqrt(0.25 / math.pi)


class SphericalHarmonics(PositionalEncoding):
    """All real spherical harmonics below degree L. Dimension L². Periodic; the poles differ.

    Args:
        degrees: L; 10 sees continents, 40 features of about 500 km (half a wave of degree L - 1 is
            20,000 km / (L - 1)).
    """

    _a: Tensor
    _minus_ab: Tensor

    def __init__(self, *, degrees: int = 10) -> None:
        if not 1 <= degrees <= MAX_DEGREES:
            raise InvalidOption(f"degrees={degrees}: must lie in 1..{MAX_DEGREES}")
        super().__init__(degrees**2, {"degrees": degrees})
        self.degrees = degrees
        factors, minus_products = _coefficients(degrees)
        self.register_constant("_a", factors)
        self.register_constant("_minus_ab", minus_products)

    def features(self, lonlat: Tensor) -> Tensor:
        """Degrees (..., 2), float64 -> (..., L²); without a graph already in the module's dtype."""
        lon, lat = torch.deg2rad(lonlat.reshape(-1, 2)).unbind(-1)
        sin_lat, east, north = lat.sin(), lat.cos() * lon.cos(), lat.cos() * lon.sin()
        needs_graph = torch.is_grad_enabled() and lonlat.requires_grad
        y = (self._with_graph if needs_graph else self._in_place)(sin_lat, east, north)
        return y.T.reshape(*lonlat.shape[:-1], self.dimension)

    def _with_graph(self, sin_lat: Tensor, east: Tensor, north: Tensor) -> Tensor:
        """The recurrence in steps that autograd can follow: three of (n,) -> (L², n)."""
        degree = torch.full_like(sin_lat, Y_00)[None]  # (1, n)
        before, found = degree, [degree]
        cosine, sine = degree[0] * math.sqrt(2.0), torch.zeros_like(sin_lat)
        for n in range(1, self.degrees):
            k = math.sqrt((2 * n + 1) / (2 * n))
            cosine, sine = k * (cosine * east - sine * north), k * (sine * east + cosine * north)
            inner = math.sqrt(2 * n + 1) * sin_lat * degree  # right for m = ±(n-1)
            if n > 1:
                rows = slice(n * n + 2, (n + 1) ** 2 - 2)
                middle = self._a[rows] * sin_lat * degree[1:-1] + self._minus_ab[rows] * before
                inner = torch.cat([inner[:1], middle, inner[-1:]])
            before, degree = degree, torch.cat([sine[None], inner, cosine[None]])
            found.append(degree)
        return torch.cat(found)

    def _in_place(self, sin_lat: Tensor, east: Tensor, north: Tensor) -> Tensor:
        """The same without a graph, three of (n,) -> (L², n) in the module's dtype.

        Only three degrees are held in float64 at a time, so that they stay in the CPU's cache.
        """
        y = sin_lat.new_empty(self.dimension, len(sin_lat), dtype=self.dtype)
        y[0] = Y_00
        held = sin_lat.new_empty(3, 2 * self.degrees - 1, len(sin_lat))
        held[0, 0] = Y_00
        for n in range(1, self.degrees):
            degree, low, lower = held[n % 3], held[(n - 1) % 3], held[(n - 2) % 3]
            if n == 1:
                torch.mul(north, math.sqrt(3.0) * Y_00, out=degree[0])
                torch.mul(east, math.sqrt(3.0) * Y_00, out=degree[2])
            else:
                k, last = math.sqrt((2 * n + 1) / (2 * n)), low[2 * n - 2]
                torch.mul(low[0], east, out=degree[0]).addcmul_(last, north).mul_(k)
                torch.mul(last, east, out=degree[2 * n]).addcmul_(low[0], north, value=-1.0).mul_(k)
            edge = math.sqrt(2 * n + 1) * sin_lat
            torch.mul(low[0], edge, out=degree[1])
            torch.mul(low[2 * n - 2], edge, out=degree[2 * n - 1])
            if n > 1:
                rows = slice(n * n + 2, (n + 1) ** 2 - 2)
                inner = torch.mul(low[1 : 2 * n - 2], sin_lat, out=degree[2 : 2 * n - 1])
                inner.mul_(self._a[rows]).addcmul_(lower[: 2 * n - 3], self._minus_ab[rows])
            y[n * n : (n + 1) ** 2] = degree[: 2 * n + 1]
        return y


def _coefficients(degrees: int) -> tuple[Tensor, Tensor]:
    """Factors a and -a b for every column: two of (L², 1); NaN where |m| > l - 2 and the step is another."""
    column = torch.arange(degrees**2)
    degree = column.double().sqrt().floor()  # exact: squares below 2^53 have exact roots
    order = column - degree * (degree + 1.0)
    a = torch.sqrt((4.0 * degree**2 - 1.0) / (degree**2 - order**2))
    b = torch.sqrt(((degree - 1.0) ** 2 - order**2) / (4.0 * (degree - 1.0) ** 2 - 1.0))
    is_inner = order.abs() <= degree - 2.0
    nan = torch.full_like(a, torch.nan)
    return torch.where(is_inner, a, nan)[:, None], torch.where(is_inner, -a * b, nan)[:, None]
