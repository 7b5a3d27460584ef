"""What a gallery holds, in numbers, without opening it, since others may have it open.

The numbers are those that the gallery left when it was closed; where its ledger has changed since,
they are counted in the ledger.
"""

from dataclasses import dataclass

from ..encoders.errors import UnknownGallery
from ..encoders.fingerprint import Fingerprint
from .gallery_files import gallery_config, gallery_folder, read_counts
from .ledger import Ledger
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class Overview:
    """One gallery at a glance."""

    name: str
    photos: int
    placed: int  # photos of known place
    encoder: str
    store: str  # the URL of a server, or folder


def overview(name: str, settings: Settings | None = None) -> Overview:
    """Count the photos of a gallery.

    Raises:
        UnknownGallery: there is none of that name.
        DamagedGallery: its description cannot be read.
        DamagedLedger: a shard cannot be read.
    """
    settings = settings or Settings()
    config = gallery_config(name, settings)
    if config is None:
        raise UnknownGallery(f"no gallery {name!r} in {settings.home / 'galleries'}")
    folder = gallery_folder(name, settings)
    fingerprint = Fingerprint(**config["fingerprint"])
    ledger = Ledger(
        folder / "ledger", fingerprint=fingerprint.id, dimension=fingerprint.dimension, is_read_only=True
    )
    counts = read_counts(folder)
    if counts is None or counts["ledger"] != ledger.version:
        counts = _counted(ledger)
    return Overview(
        name=name,
        photos=counts["photos"],
        placed=counts["placed"],
        encoder=config["encoder"],
        store=config["qdrant_url"] or "folder",
    )


def _counted(ledger: Ledger) -> dict[str, int]:
    """The same numbers from the rows, which takes seconds for a hundred thousand."""
    state = ledger.replay()
    shown = [places[0] for photo in state.live if (places := state.positions(photo)) is not None]
    rows: dict[int, list[int]] = {}
    for position in shown:
        rows.setdefault(position.shard, []).append(position.row)
    placed = sum(int(ledger.is_placed(number)[wanted].sum()) for number, wanted in rows.items())
    return {"photos": len(shown), "placed": placed}
