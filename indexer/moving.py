"""A gallery's store carried from its folder to a Qdrant server, or from there back into the folder.

The ledger stays where it is, and the new store is filled from it, vector by vector as it was embedded. The
old store answers until the new one has been counted; ``gallery.json`` changes last. What is under way stands
in ``moving.json``: cut off, the same call goes on with the shards that are still missing, and removes what
is left of the old store.
"""

import json
import shutil
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..encoders.errors import PlaceprintError, ReadOnlyGallery
from ..encoders.fingerprint import Fingerprint
from .durable import read_or, write_atomically
from .erasing import NOTE as ERASING
from .gallery import Gallery
from .gallery_files import CONFIG, existing_folder, is_writable, read_config, write_config
from .index import Index
from .ledger import Ledger
from .lock import GalleryLock
from .named_vectors import NamedVectors
from .server_options import ServerOptions, options_of
from .server_store import ServerStore, remove_collections
from .settings import Settings
from .storage import storage_of
from .store import StoreUnavailable

NOTE = "moving.json"
Stage = Callable[[str], None]


class Moved(NamedTuple):
    """What became of a move."""

    n_photos: int
    is_new: bool  # False where the gallery was there already


class _Address(NamedTuple):
    """Where a store lies: a server's URL and an alias there, or neither for the folder."""

    url: str | None
    alias: str

    def options(self, settings: Settings) -> ServerOptions | None:
        return None if self.url is None else options_of(self.url, self.alias, settings)


def move(
    name: str, url: str | None, *, settings: Settings | None = None, stage: Stage = lambda what: None
) -> Moved:
    """Move the store of a gallery; nobody else may have the gallery open meanwhile.

    Args:
        name: of the gallery.
        url: of a Qdrant server; None for the gallery's own folder.
        settings: where galleries live, and how servers are reached.
        stage: told what is being done.

    Raises:
        UnknownGallery: there is none of that name.
        GalleryLocked: another process holds it.
        ReadOnlyGallery: it may not be written.
        StoreUnavailable: the server cannot be reached, or does not have all in the end.
    """
    settings = settings or Settings()
    folder = existing_folder(name, settings)
    if not is_writable(folder):
        raise ReadOnlyGallery(f"gallery {name!r} may not be moved: {folder} is not writable here")
    if (folder / ERASING).exists():
        Gallery.open(name, settings=settings).close()  # which ends it first
    lock = GalleryLock(folder / "lock", timeout_s=settings.lock_timeout_s)
    lock.acquire()
    try:
        return _move(folder, url, settings, stage)
    finally:
        lock.release()


def _move(folder: Path, url: str | None, settings: Settings, stage: Stage) -> Moved:
    config = read_config(folder / CONFIG)
    here, note = _Address(config["qdrant_url"], config["collection"]), _read_note(folder)
    if note is not None and here == note[1]:  # all that was left to do
        _remove(note[0], folder, settings)
        (folder / NOTE).unlink()
    elif note is not None and note[1].url != url:  # begun to another place, which is not wanted any more
        _remove(note[1], folder, settings)
        (folder / NOTE).unlink()
        note = None
    if here.url == url:
        return Moved(_count(folder, config, settings, here, stage=None), is_new=False)
    if note is None or here == note[1]:
        note = (here, _Address(url, f"{folder.name}-{uuid.uuid4().hex[:8]}"))
        write_atomically(folder / NOTE, json.dumps(note))
        _forget_applied(folder, note[1])
    n_photos = _count(folder, config, settings, note[1], stage=stage)
    write_config(folder / CONFIG, config | {"qdrant_url": url, "collection": note[1].alias})
    stage("removing the old store")
    _remove(here, folder, settings)
    (folder / NOTE).unlink()
    return Moved(n_photos, is_new=True)


def _count(
    folder: Path, config: dict[str, Any], settings: Settings, address: _Address, *, stage: Stage | None
) -> int:
    """Open a store, which brings it in step with the ledger, and count what is in it.

    Args:
        folder: of the gallery.
        config: what ``gallery.json`` says.
        settings: of servers.
        address: of the store.
        stage: told what is being done with a store that is filled; None for one in use.
    """
    fingerprint = Fingerprint(**config["fingerprint"])
    ledger = Ledger(folder / "ledger", fingerprint=fingerprint.id, dimension=fingerprint.dimension)
    options = address.options(settings)
    if stage is not None:
        stage(f"filling the store {'in the folder' if address.url is None else 'at ' + address.url}")
        options = options and replace(options, is_filled_first=True)
    index = Index(
        folder, ledger, fingerprint.dimension, NamedVectors(folder),
        server=options, storage=storage_of(config),
    )  # fmt: skip
    try:
        if stage is not None and isinstance(index.store, ServerStore):
            stage("building the search index")
            index.store.link()
        n_there, n_wanted = index.store.count(None), index.state.n_shown
        if n_there != n_wanted:
            raise StoreUnavailable(
                f"the store has {n_there} photos and the ledger {n_wanted}; the old one stays in use. See "
                "whether others write into it, and try again"
            )
        return n_there
    finally:
        index.close()


def _remove(address: _Address, folder: Path, settings: Settings) -> None:
    """Take a store away."""
    options = address.options(settings)
    if options is not None:
        remove_collections(options)
    _forget_applied(folder, address)


def _forget_applied(folder: Path, address: _Address) -> None:
    """Forget what a store was given, which is not there, or not any more."""
    index = folder / "index"
    if address.url is not None:
        (index / "applied.json").unlink(missing_ok=True)
        return
    for generation in index.glob("gen-*"):
        shutil.rmtree(generation)
    (index / "CURRENT").unlink(missing_ok=True)


def _read_note(folder: Path) -> tuple[_Address, _Address] | None:
    """Where from and where to, of a move that was cut off."""
    text = read_or(folder / NOTE, "")
    if not text:
        return None
    try:
        before, after = json.loads(text)
        return _Address(*before), _Address(*after)
    except (ValueError, TypeError) as error:
        raise PlaceprintError(
            f"{folder / NOTE}: damaged ({error}). It says where the gallery was being moved; remove it, and "
            "move again"
        ) from None
