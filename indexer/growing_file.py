"""A file that grows by durable parts, survives a kill, and appears whole or not at all.

Until it is complete, a file NAME is ``NAME.partial``, and ``NAME.partial.json``, its journal, says
what is being made, how far it is, and where each part ends. The order is always: part to the disk,
then journal, then the next part. Whoever goes on cuts off what the journal does not know.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import filelock

from ..encoders.errors import AnotherRun, UnwritableFile
from .durable import sync_folder, write_atomically

FORMAT = 1


class GrowingFile:
    """A file in the making; use it as a context. What is there at an error stays, to be resumed.

    Args:
        target: the file's name when it is complete.
        job: what it is made of and how, JSON values; who resumes must ask for the same.
        is_resumed: go on with what an interrupted run has left, if anything.
        is_overwritten: replace the file, and without `is_resumed` what an interrupted run has left.

    Attributes:
        notes: what the last `append` noted, of this run or of the one that is resumed; empty before.
        ends: where each part ends, bytes.
    """

    def __init__(
        self, target: Path, job: dict[str, Any], *, is_resumed: bool = False, is_overwritten: bool = False
    ) -> None:
        self.target = target
        self.partial = target.with_name(f"{target.name}.partial")
        self._journal = target.with_name(f"{target.name}.partial.json")
        self._lock = filelock.FileLock(f"{self.partial}.lock", timeout=0)
        self._job, self._is_resumed, self._is_overwritten = job, is_resumed, is_overwritten
        self._head = 0
        self.ends: list[int] = []
        self.notes: dict[str, Any] = {}

    def __enter__(self) -> "GrowingFile":
        """Take hold of the file.

        Raises:
            UnwritableFile: it is there already, half of it is, another process writes it, or the
                folder is missing, full or not ours.
            AnotherRun: what is to be resumed was made from something else.
        """
        self._check()
        with self._told():
            try:
                self._lock.acquire()
            except filelock.Timeout:
                raise UnwritableFile(f"{self.target}: another process is writing it") from None
            try:
                journal = self._read_journal()
                self._file: BinaryIO = self.partial.open("r+b" if journal else "w+b")
                if journal:
                    self._head, self.ends, self.notes = journal["head"], journal["ends"], journal["notes"]
                    self._file.truncate(self._end)
                    self._file.seek(self._end)
            except BaseException:
                self._release()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._file.close()
        if kind is not None and not self.ends:
            self._journal.unlink(missing_ok=True)
            self.partial.unlink(missing_ok=True)
        self._release()

    def begin(self, head: bytes) -> None:
        """Write what the file begins with, unless it has begun already."""
        if not self.ends:
            with self._told():
                self._file.write(head)
                self._head = len(head)

    def append(self, data: bytes, notes: dict[str, Any]) -> None:
        """Add a part. On return it is on the disk, and will be there whatever happens next.

        Args:
            data: the bytes.
            notes: JSON values that who resumes will find in `notes`.

        Raises:
            UnwritableFile: no room, or no right to write; the parts before are kept.
        """
        with self._told():
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())
            self.ends, self.notes = [*self.ends, self._end + len(data)], notes
            self._write_journal()

    def finish(self, complete: Any, beside: str | None = None) -> None:
        """Complete the file and give it its name.

        Args:
            complete: called with the file, open for reading and writing, and `ends`.
            beside: text for a file ``NAME.json`` beside it.
        """
        with self._told():
            complete(self._file, self.ends)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            if beside is not None:
                write_atomically(self.target.with_name(f"{self.target.name}.json"), beside)
            self.partial.replace(self.target)
            sync_folder(self.target.parent)
            self._journal.unlink(missing_ok=True)

    @property
    def _end(self) -> int:
        return self.ends[-1] if self.ends else self._head

    def _check(self) -> None:
        folder = self.target.parent
        if not folder.is_dir():
            raise UnwritableFile(f"{self.target}: there is no folder {folder}; make it first")
        if self.target.is_dir():
            raise UnwritableFile(f"{self.target}: this is a folder; name a file in it")
        if self.target.exists() and not self._is_overwritten:
            raise UnwritableFile(f"{self.target}: exists already; --overwrite replaces it")

    def _read_journal(self) -> dict[str, Any] | None:
        """The journal of the run to resume, if there is one."""
        if not (self._journal.exists() and self.partial.exists()):
            return None
        try:
            journal: dict[str, Any] = json.loads(self._journal.read_text(encoding="utf-8"))
            n_parts, is_ours = len(journal["ends"]), journal["format"] == FORMAT
            is_whole = not n_parts or self.partial.stat().st_size >= journal["ends"][-1]
        except (ValueError, KeyError, TypeError):
            is_ours = is_whole = False
        if not self._is_resumed and not self._is_overwritten:
            raise UnwritableFile(
                f"{self.partial}: an interrupted run has left this; --resume goes on with it, --overwrite "
                "begins anew"
            )
        if not self._is_resumed:
            return None
        if not is_ours or not is_whole:
            raise AnotherRun(f"{self._journal}: damaged; --overwrite without --resume begins anew")
        differing = sorted(
            key for key in {**journal["job"], **self._job} if journal["job"].get(key) != self._job.get(key)
        )
        if differing:
            told = ", ".join(f"{key} was {journal['job'].get(key)!r}" for key in differing)
            raise AnotherRun(
                f"{self.partial}: begun with something else ({told}); ask for the same, or begin anew with "
                "--overwrite and without --resume"
            )
        return journal if n_parts else None

    def _write_journal(self) -> None:
        journal = {
            "format": FORMAT,
            "job": self._job,
            "head": self._head,
            "ends": self.ends,
            "notes": self.notes,
        }
        write_atomically(self._journal, json.dumps(journal))

    def _release(self) -> None:
        # Removed while it is held: nobody who comes later may find it and think it is free.
        with suppress(OSError):
            Path(self._lock.lock_file).unlink()
        self._lock.release()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Errors of the disk, with what is kept and how to go on."""
        try:
            yield
        except OSError as error:
            kept = f"; what was done is kept in {self.partial.name}: mend this, and go on with --resume"
            kept = kept if self.ends else ""
            raise UnwritableFile(f"{self.target}: {error.strerror or error}{kept}") from None
