"""Location encoders by name, and the one function that loads any of them.

A name is one of

- ``placeprint-location-v1``: ours, trained, shipped with the package;
- a file that `LocationEncoder.save` wrote;
- ``geoclip:FILE``, ``satclip:FILE`` or ``sinr:FILE``: published weights you have fetched yourself;
- a positional encoding, untrained: ``sincos``, ``xyz``, ``sh-20``, ``rff-equal-earth``, ...
"""

import re
from typing import Any

from .errors import UnknownEncoder
from .location import LocationEmbedder, LocationEncoder
from .positional import POSITIONAL
from .third_party_locations import THIRD_PARTY

DEFAULT = "placeprint-location-v1"


def load_location_encoder(name: str = DEFAULT) -> LocationEmbedder:
    """Load a location encoder by its name; see the head of this file.

    Raises:
        UnknownEncoder: no encoder of that name.
        WeightsUnavailable: a file that is missing, damaged, of another kind or of another shape.
    """
    if name == DEFAULT:
        from .world.encoder import shipped_encoder

        return shipped_encoder()
    kind, _, path = name.partition(":")
    if kind in THIRD_PARTY and path:
        return THIRD_PARTY[kind](path)
    if name.endswith(".safetensors"):
        return LocationEncoder.load(name)
    if (untrained := _untrained(name)) is not None:
        return LocationEncoder(network="none", name=name, seed=0, **untrained).eval()
    raise UnknownEncoder(
        f"no location encoder {name!r}; there are {DEFAULT}, FILE.safetensors, "
        f"{', '.join(f'{kind}:FILE' for kind in THIRD_PARTY)} and, untrained, sincos, sh-N, "
        f"{', '.join(POSITIONAL)}"
    )


def _untrained(name: str) -> dict[str, Any] | None:
    """Arguments of the encoder that is a positional encoding and nothing more."""
    if name == "sincos":  # what benchmarks call it
        return {"positional": "wrap"}
    if harmonics := re.fullmatch(r"sh-([0-9]{1,3})", name):
        return {"positional": "sh", "positional_options": {"degrees": int(harmonics[1])}}
    return {"positional": name} if name in POSITIONAL else None
