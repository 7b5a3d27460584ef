"""What is being erased from a gallery, noted so that whatever ends the process, the erasing is ended.

To erase takes several files: shards of the ledgers, the calibration, the vector store. The note is
written before the first of them changes and removed after the last; whoever opens the gallery and finds
one goes on with it. It says of each photo up to which shard: what is added again later stays.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from ..encoders.errors import DamagedGallery
from .durable import sync_folder, write_atomically
from .gallery_files import FITTED
from .index import Index
from .ledger import Ledger
from .named_vectors import NamedVectors

NOTE = "erasing.json"


class Erasing:
    """The erasing of photos from a gallery, with its note in the gallery's folder.

    Args:
        folder: of the gallery.
        ledger: in which rows are emptied.
        named: in whose ledgers, too.
    """

    def __init__(self, folder: Path, ledger: Ledger, named: NamedVectors) -> None:
        self._folder, self._ledger, self._named = folder, ledger, named
        self._path = folder / NOTE

    @property
    def begun(self) -> dict[str, int]:
        """Ids of the photos that are being erased, and the last shard of each that is meant.

        Raises:
            DamagedGallery: the note cannot be read.
        """
        try:
            return {str(id): int(number) for id, number in json.loads(self._path.read_text()).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            raise DamagedGallery(
                f"{self._path}: damaged ({error}). It says which photos are being erased; remove it, run "
                "`placeprint rebuild`, and erase them again"
            ) from None

    def begin(self, index: Index, ids: Iterable[str]) -> int:
        """The first and short part: on return nobody finds the photos, and the ledgers hold them no more.

        Args:
            index: of the gallery.
            ids: of photos; unknown ones are passed over.

        Returns:
            How many were known.
        """
        with index.writing:
            known = {id for id in ids if index.state.knows(id)}
            is_any_live = any(index.state.keys.get(id) for id in known)
            self.note(known, len(self._ledger) + is_any_live)  # the shard that deletes them
            index.delete(known)
            if self.empty():
                index.read_state_anew()
            return len(known)

    def finish(self, index: Index) -> None:
        """The long part: take what was erased out of the store's files too, while questions go on."""
        begun = self.begun
        if not begun:
            return
        is_gone = index.renew()
        with index.writing:
            if is_gone and self.begun == begun:  # else more was begun since, and is not done
                self.end()

    def note(self, ids: Iterable[str], until: int) -> None:
        """Note photos, up to a shard of the ledger; when this returns the note is on the disk."""
        if noted := self.begun | dict.fromkeys(ids, until):
            write_atomically(self._path, json.dumps(noted))

    def empty(self) -> bool:
        """Empty the rows of the photos noted, and remove what was learned from them.

        Returns:
            Whether any were noted, so that a vector store may still hold them.
        """
        noted = self.begun
        for until in sorted(set(noted.values())):
            self._ledger.erase({id for id, number in noted.items() if number == until}, until=until)
        if noted:
            for other in self._named.ledgers.values():
                # Whenever they were made: a photo that is added again is looked at again.
                other.erase(set(noted))
            for name in FITTED:
                (self._folder / name).unlink(missing_ok=True)
        return bool(noted)

    def end(self) -> None:
        """Forget the note: nothing holds these photos any more."""
        self._path.unlink(missing_ok=True)
        sync_folder(self._folder)
