"""Map encoders by name, and their students, which need no map.

Shipped with the package:

- ``placeprint-streets-v1``: looks at 500 m of a street map (OpenStreetMap);
- ``placeprint-regions-v1``: looks at 40 km of a regional map (Natural Earth, places, boundaries);
- ``placeprint-regions-location-v1``: its student, for any place on Earth.

Beside them any file that `MapEncoder.save` wrote, or for a student `LocationEncoder.save`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UnknownEncoder, WeightsUnavailable
from .fingerprint import Fingerprint
from .location import LocationEncoder

if TYPE_CHECKING:  # it loads timm, which takes seconds, and a service without maps does without
    from .map_learning.encoder import MapEncoder

STREETS, REGIONS = "placeprint-streets-v1", "placeprint-regions-v1"
STUDENT = "placeprint-regions-location-v1"
STREET_ZOOM = 13
"""From this zoom on, 19 m a pixel at the equator, a map shows streets."""

DEFAULT_GROUND_M = 800.0

_HERE = Path(__file__).parent


def encoder_for(finest_zoom: int) -> str:
    """Name of the shipped encoder that looks at maps with such a finest level."""
    return STREETS if finest_zoom >= STREET_ZOOM else REGIONS


def load_map_encoder(name: str | Path) -> "MapEncoder":
    """Load a map encoder by its name or file; see the head of this file.

    Raises:
        UnknownEncoder: neither a name that is known nor a .safetensors file.
        WeightsUnavailable: no such file, a damaged one, or one of another kind.
    """
    from .map_learning.encoder import MapEncoder

    return MapEncoder.load(_file_of(name, (STREETS, REGIONS), "map encoder", "placeprint train maps"))


def load_map_student(name: str | Path = STUDENT) -> LocationEncoder:
    """Load a student of a map encoder, which embeds coordinates alone.

    Raises:
        UnknownEncoder: neither a name that is known nor a .safetensors file.
        WeightsUnavailable: no such file, a damaged one, or one of another kind.
    """
    return LocationEncoder.load(
        _file_of(name, (STUDENT,), "student of a map encoder", "placeprint train map-student")
    )


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


def _file_of(name: str | Path, shipped: tuple[str, ...], what: str, remedy: str) -> Path:
    if str(name) in shipped:
        path = _HERE / f"{name}.safetensors"
        if not path.is_file():
            raise WeightsUnavailable(
                f"{name}: this package came without its weights; make your own with `{remedy}`, and name its "
                "file in the place of this one (--encoder or --student FILE.safetensors)"
            )
        return path
    if str(name).endswith(".safetensors"):
        return Path(name)
    raise UnknownEncoder(f"no {what} {str(name)!r}; there are {', '.join(shipped)} and FILE.safetensors")
