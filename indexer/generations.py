"""The generations of a gallery's store in its folder: ``gen-0001``, ``gen-0002``, …, one of them in use.

``CURRENT`` names the one in use and changes by an atomic rename. A new generation is made beside it, and
what is left of others, when a process was killed, is removed by whoever opens the store next.
"""

import shutil
import time
from pathlib import Path

from .durable import read_or, write_atomically
from .holes import copy_written
from .store import StoreUnavailable


class Generations:
    """The folder of a store.

    Args:
        folder: need not be there before something is made in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def number(self) -> int:
        """Of the one in use; 1 where none is named.

        Raises:
            StoreUnavailable: ``CURRENT`` is damaged.
        """
        text = read_or(self.folder / "CURRENT", "1")
        if not text.strip().isdecimal():
            raise StoreUnavailable(
                f"{self.folder / 'CURRENT'}: damaged; `placeprint rebuild` makes the store anew"
            )
        return int(text)

    def path(self, number: int) -> Path:
        """Folder of a generation, whether it is there or not."""
        return self.folder / f"gen-{number:04d}"

    @property
    def current(self) -> Path:
        """Folder of the one in use."""
        return self.path(self.number)

    def following(self) -> tuple[int, Path]:
        """Number and folder of the next one, with nothing in its place."""
        number = self.number + 1
        fresh = self.path(number)
        shutil.rmtree(fresh, ignore_errors=True)
        return number, fresh

    def use(self, number: int) -> None:
        """From now on this one is in use."""
        write_atomically(self.folder / "CURRENT", str(number))

    def clear(self, number: int) -> None:
        """Remove one into which the engine may still write for a moment; opening tries again."""
        folder = self.path(number)
        for _ in range(20):
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                return
            time.sleep(0.05)

    def clear_others(self) -> None:
        """Remove all but the one in use: what is left of a renewal that was cut off."""
        current = self.current
        for leftover in self.folder.glob("gen-*"):
            if leftover != current:
                shutil.rmtree(leftover)

    def clear_all(self) -> None:
        """An empty folder."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def copied(self, copy: Path, *, is_whole: bool) -> "Generations":
        """A copy, which may be written.

        Args:
            copy: its folder, made here.
            is_whole: the generation in use, too, and not the notes alone, as for a store on a server.
        """
        copy.mkdir()
        used = self.current
        for source in [*self.folder.glob("*"), *(used.rglob("*") if is_whole else ())]:
            target = copy / source.relative_to(self.folder)
            if source.is_file():  # copied without its permissions, as copytree would not
                copy_written(source, target)
            elif source.is_relative_to(used):
                target.mkdir()
        return Generations(copy)
