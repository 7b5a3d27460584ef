"""Map encoders by name, and their students, which need no map.

- ``placeprint-map-v1``: ours, shipped with the package; its student is ``placeprint-map-location-v1``;
- a file that `MapEncoder.save` wrote, or for a student `LocationEncoder.save`.
"""

from pathlib import Path
from typing import Any

from .errors import UnknownEncoder, WeightsUnavailable
from .fingerprint import Fingerprint
from .location import LocationEncoder
from .map_learning.encoder import MapEncoder

DEFAULT = "placeprint-map-v1"
STUDENT = "placeprint-map-location-v1"
DEFAULT_GROUND_M = 800.0

_HERE = Path(__file__).parent


def load_map_encoder(name: str | Path = DEFAULT) -> MapEncoder:
    """Load a map encoder by its name or file; see the head of this file.

    Raises:
        UnknownEncoder: neither a name that is known nor a .safetensors file.
        WeightsUnavailable: no such file, a damaged one, or one of another kind.
    """
    return MapEncoder.load(_file_of(name, DEFAULT, "map encoder", "placeprint train maps"))


def load_map_student(name: str | Path = STUDENT) -> LocationEncoder:
    """Load a student of a map encoder, which embeds coordinates alone.

    Raises:
        UnknownEncoder: neither a name that is known nor a .safetensors file.
        WeightsUnavailable: no such file, a damaged one, or one of another kind.
    """
    return LocationEncoder.load(
        _file_of(name, STUDENT, "student of a map encoder", "encoders.map_learning.distill")
    )


def shipped_student() -> Path | None:
    """The file of the student of `DEFAULT`; None where the package came without it."""
    path = _HERE / f"{STUDENT}.safetensors"
    return path if path.is_file() else None


def student_fingerprint(student: LocationEncoder) -> Fingerprint:
    """What made a student's embeddings, once they are scaled to unit length, as a gallery keeps them."""
    return Fingerprint(
        name=student.name,
        weights_sha256=student.fingerprint,
        preprocessing="coordinates alone, lonlat degrees WGS84",
        dimension=student.dimension,
        architecture="student of a map encoder",
    )


def ground_m_of(student: LocationEncoder) -> float:
    """Width of the crops that a student's teacher looked at, meters, from its card."""
    card: dict[str, Any] = student.card
    if isinstance(card.get("ground_m"), int | float):
        return float(card["ground_m"])
    try:  # its held-out blocks were so many widths of a crop
        return 1000.0 * float(card["block_km"]) / float(card["settings"]["block"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return DEFAULT_GROUND_M


def _file_of(name: str | Path, shipped: str, what: str, remedy: str) -> Path:
    if str(name) == shipped:
        path = _HERE / f"{shipped}.safetensors"
        if not path.is_file():
            raise WeightsUnavailable(
                f"{shipped}: this package came without its weights; name a file of your own, made by {remedy}"
            )
        return path
    if str(name).endswith(".safetensors"):
        return Path(name)
    raise UnknownEncoder(f"no {what} {str(name)!r}; there are {shipped} and FILE.safetensors")
