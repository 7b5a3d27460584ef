"""A ledger's state in a file beside it, ``state.sqlite``, opened when it is asked for and kept in step.

The file is the ledger's echo. When it is damaged, of another version, or not what this ledger began with,
it is made anew; what it lacks, because a process was killed, it takes in.
"""

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ..encoders.errors import UnwritableFile
from .entry import Followed, Position
from .ledger import Ledger
from .record import Record
from .state import State

FILE = "state.sqlite"
BESIDE = ("", "-wal", "-shm")  # the files of one database


class KeptState:
    """What a ledger comes to.

    Args:
        ledger: to follow.
        folder: where the file is.
        is_fresh: make it anew.
        is_read_only: leave the folder as it is and work on a copy.
    """

    def __init__(
        self, ledger: Ledger, folder: Path, *, is_fresh: bool = False, is_read_only: bool = False
    ) -> None:
        self._ledger = ledger
        self._path = folder / FILE
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._state: State | None = None
        self._opening = threading.Lock()
        if is_read_only:
            self._copy = tempfile.TemporaryDirectory(prefix="placeprint-")
            for ending in BESIDE:
                with suppress(FileNotFoundError):
                    shutil.copyfile(f"{self._path}{ending}", Path(self._copy.name, f"{FILE}{ending}"))
            self._path = Path(self._copy.name, FILE)
        if is_fresh:
            self._remove()

    @property
    def state(self) -> State:
        """In step with the ledger when it is first asked for; later by who appends, with `follow`."""
        with self._opening:
            if self._state is None:
                self._state = self._opened()
            return self._state

    def follow(self, number: int, records: Sequence[Record]) -> None:
        """Take in the shard that was just appended.

        Raises:
            UnwritableFile: the disk is full, for one; the shard is in the ledger, and is taken in when
                the state is asked for again.
        """
        state = self.state
        rows = ((record, Position(number, row)) for row, record in enumerate(records))
        before = state.followed
        if before.number >= number:  # opened just now
            return
        try:
            state.follow(rows, Followed(number, before.shards + 1, self._ledger.commit_id(number)))
        except sqlite3.Error as error:
            self._let_go()
            raise UnwritableFile(
                f"{self._path}: {error}; the photos are kept, and found once it can"
            ) from None

    def renew(self) -> None:
        """Make the file anew, after rows of the ledger were emptied; others ask the old one meanwhile."""
        fresh = self._path.with_name(f"{FILE}.new")
        for ending in BESIDE:
            Path(f"{fresh}{ending}").unlink(missing_ok=True)
        made = State(fresh)
        self._ledger.bring_up(made)
        made.close()
        with self._opening:
            # Not closed: another thread may still be asking it, which goes on with the old file.
            self._state = None
            self._remove()
            fresh.replace(self._path)

    def close(self) -> None:
        """Let go of the file."""
        self._let_go()
        if self._copy is not None:
            self._copy.cleanup()

    def _let_go(self) -> None:
        with self._opening:
            if self._state is not None:
                self._state.close()
                self._state = None

    def _opened(self) -> State:
        try:
            state = State(self._path)
            if self._ledger.is_followed_by(state):
                self._ledger.bring_up(state)
                return state
            state.close()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
                raise UnwritableFile(f"{self._path}: {error}; make room and try again") from None
        self._remove()
        state = State(self._path)
        self._ledger.bring_up(state)
        return state

    def _remove(self) -> None:
        for ending in BESIDE:
            Path(f"{self._path}{ending}").unlink(missing_ok=True)
