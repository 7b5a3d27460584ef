"""Where galleries live, what they may be called, and what each says of itself in ``gallery.json``."""

import json
import os
import re
import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..encoders.errors import DamagedGallery, InvalidGalleryName, PlaceprintError, UnknownGallery
from ..encoders.fingerprint import Fingerprint
from .durable import write_atomically
from .settings import Settings
from .storage import Storage, storage_of

FORMAT = 1
CONFIG = "gallery.json"
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
    path = gallery_folder(name, settings or Settings()) / CONFIG
    return read_config(path) if path.exists() else None


def existing_folder(name: str, settings: Settings) -> Path:
    """Where a gallery lives.

    Raises:
        InvalidGalleryName: no gallery can have that name.
        UnknownGallery: there is none of that name.
    """
    folder = gallery_folder(name, settings)
    if not (folder / CONFIG).exists():
        known = ", ".join(gallery_names(settings)) or "none yet"
        raise UnknownGallery(
            f"no gallery {name!r} in {folder.parent} (there: {known}); "
            f"make it with: placeprint index FOLDER --gallery {name}"
        )
    return folder


def new_config(
    name: str, fingerprint: Fingerprint, *, encoder: str | None, weights: str | Path | None, url: str | None
) -> dict[str, Any]:
    """What ``gallery.json`` says of a new gallery.

    Args:
        name: of the gallery.
        fingerprint: of its encoder.
        encoder: what loads it again; the fingerprint's name by default.
        weights: local file of its weights, if it came from one.
        url: of the Qdrant server; None for a store in the gallery's folder.
    """
    return {
        "format": FORMAT,
        "fingerprint": asdict(fingerprint),
        "encoder": encoder or fingerprint.name,
        "weights": None if weights is None else str(Path(weights).resolve()),
        "qdrant_url": url,
        # Of its own: two people may both call a gallery trips on one server.
        "collection": f"{name}-{uuid.uuid4().hex[:8]}",
    }


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
        storage_of(config)
        if missing:
            raise ValueError(f"without {', '.join(sorted(missing))}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedGallery(
            f"{path}: damaged ({error}). It says which encoder made the gallery; bring it back from a "
            "backup, or index the photos into a gallery of another name"
        ) from None
    return dict(config)


def write_config(path: Path, config: dict[str, Any]) -> None:
    """Write ``gallery.json``, whole or not at all."""
    write_atomically(path, json.dumps(config, indent=1))


def keep_storage(folder: Path, storage: Storage) -> None:
    """Note in ``gallery.json`` how a gallery's vectors are to be kept."""
    write_config(folder / CONFIG, read_config(folder / CONFIG) | {"storage": asdict(storage)})


def read_counts(folder: Path) -> dict[str, Any] | None:
    """The numbers of photos that a gallery left, and the version of its ledger then; None if it left none."""
    try:
        counts = json.loads((folder / COUNTS).read_text())
        return {"ledger": str(counts["ledger"]), **{key: int(counts[key]) for key in ("photos", "placed")}}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def keep_counts(folder: Path, *, ledger: str, photos: int, placed: int) -> None:
    """Leave the numbers of photos, with the version of the ledger that they are of, for `read_counts`."""
    write_atomically(folder / COUNTS, json.dumps({"ledger": ledger, "photos": photos, "placed": placed}))


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


def is_writable(folder: Path) -> bool:
    """Whether all that a gallery writes may be written."""
    parts = [folder, folder / "lock", folder / "ledger", folder / "index", folder / "vectors"]
    return all(os.access(part, os.W_OK) for part in parts if part.exists())
