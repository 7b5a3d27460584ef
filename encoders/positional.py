"""All positional encodings by name.

To add one, write its class and give it a line here.
"""

from typing import Any

from .anchors import Rbf, RbfDegrees, Tile
from .errors import InvalidOption, UnknownEncoder
from .fourier import EqualEarthFourier, PlaneFourier
from .harmonics import SphericalHarmonics
from .multiscale import Dfs, Grid, Nerf, SphereC, SphereCPlus, SphereM, SphereMPlus, Theory
from .positional_base import PositionalEncoding, Wrap, WrapAliased, Xyz

POSITIONAL: dict[str, type[PositionalEncoding]] = {
    "xyz": Xyz,
    "wrap": Wrap,
    "wrap-aliased": WrapAliased,
    "grid": Grid,
    "theory": Theory,
    "sphere-c": SphereC,
    "sphere-c+": SphereCPlus,
    "sphere-m": SphereM,
    "sphere-m+": SphereMPlus,
    "dfs": Dfs,
    "nerf": Nerf,
    "rff": PlaneFourier,
    "rff-equal-earth": EqualEarthFourier,
    "sh": SphericalHarmonics,
    "rbf": Rbf,
    "rbf-degrees": RbfDegrees,
    "tile": Tile,
}


def positional_encoding(name: str, **options: Any) -> PositionalEncoding:
    """Make a positional encoding.

    Args:
        name: a key of `POSITIONAL`.
        options: keyword arguments of its class; the rest keep their defaults.

    Raises:
        UnknownEncoder: no encoding of that name.
        InvalidOption: an option it does not know, or a value without meaning.
    """
    if name not in POSITIONAL:
        raise UnknownEncoder(f"no positional encoding {name!r}; there are {', '.join(POSITIONAL)}")
    try:
        return POSITIONAL[name](**options)
    except TypeError as error:
        raise InvalidOption(f"{name}: {error}") from None
