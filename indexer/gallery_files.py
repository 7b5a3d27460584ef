"""Where galleries live, what they may be called, and what each says of itself in ``gallery.json``."""

import json
import re
from pathlib import Path
from typing import Any

from ..encoders.errors import DamagedGallery, InvalidGalleryName, PlaceprintError
from ..encoders.fingerprint import Fingerprint
from .settings import Settings

FORMAT = 1
COUNTS = "counts.json"
CALIBRATION, EVIDENCE = "calibration.json", "evidence.safetensors"
FITTED = (CALIBRATION, EVIDENCE)
"""Files of what was learned from a gallery's photos."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def gallery_names(settings: Settings | None = None) -> list[str]:
    """Names of all galleries."""
    home = (settings or Settings()).home / "galleries"
    names = (path.parent.name for path in home.glob("*/gallery.json"))
    return sorted(name for name in names if NAME.fullmatch(name))  # others are on their way out


def gallery_config(name: str, settings: Settings | None = None) -> dict[str, Any] | None:
    """What ``gallery.json`` says of a gallery, without opening it; None when there is none."""
    path = gallery_folder(name, settings or Settings()) / "gallery.json"
    return read_config(path) if path.exists() else None


def read_config(path: Path) -> dict[str, Any]:
    """What ``gallery.json`` says, whole.

    Raises:
        DamagedGallery: it says less, or is no JSON.
        PlaceprintError: it is of a later format.
    """
    try:
        config = json.loads(path.read_text())
        if int(config["format"]) > FORMAT:
            raise PlaceprintError(
                f"{path}: made by a newer Placeprint (format {config['format']}, known here {FORMAT}); "
                "update Placeprint"
            )
        missing = {"format", "fingerprint", "encoder", "weights", "qdrant_url", "collection"} - config.keys()
        Fingerprint(**config["fingerprint"])
        if missing:
            raise ValueError(f"without {', '.join(sorted(missing))}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedGallery(
            f"{path}: damaged ({error}). It says which encoder made the gallery; bring it back from a "
            "backup, or index the photos into a gallery of another name"
        ) from None
    return dict(config)


def read_counts(folder: Path) -> dict[str, Any] | None:
    """The numbers of photos that a gallery left, and the version of its ledger then; None if it left none."""
    try:
        counts = json.loads((folder / COUNTS).read_text())
        return {"ledger": str(counts["ledger"]), **{key: int(counts[key]) for key in ("photos", "placed")}}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def gallery_folder(name: str, settings: Settings) -> Path:
    """Where a gallery lives, whether it is there or not.

    Raises:
        InvalidGalleryName: no gallery can have that name.
    """
    if not NAME.fullmatch(name):
        raise InvalidGalleryName(
            f"{name!r} cannot name a gallery: 1 to 63 lower-case letters, digits, - and _, "
            "beginning with a letter or digit"
        )
    return settings.home / "galleries" / name
