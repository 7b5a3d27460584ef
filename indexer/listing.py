"""The photos of a source as it lists them, none of them read yet."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from .record import SAID_NOTHING, encode_payload, said_of


@dataclass(frozen=True, kw_only=True)
class Item:
    """One photo as its source lists it, not read yet."""

    key: str  # its path; in an archive ``archive.tar::member``
    source: str
    path: Path
    size_bytes: int
    mtime_ns: int
    offset: int = 0  # where its bytes begin in `path`
    lon: float | None = None
    lat: float | None = None
    captured_at: datetime | None = None
    group: str | None = None
    payload: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None  # why it cannot be indexed, known from the listing

    def read(self) -> bytes:
        """The bytes of the picture's file."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size_bytes) if self.offset else file.read()

    @property
    def said(self) -> str:
        """A hash of all that the source says of the photo beside its bytes."""
        if self.lon is None and self.captured_at is None and self.group is None and not self.payload:
            return SAID_NOTHING
        return said_of(self.lon, self.lat, self.captured_at, self.group, encode_payload(self.payload))

    @property
    def is_told(self) -> bool:
        """Whether the source says anything of the photo beside its bytes; a folder does not."""
        return self.said != SAID_NOTHING


class Listing(Sequence[Item]):
    """The photos of one source, ordered by key.

    Args:
        items: the photos, or what finds them anew each time they are asked for one by one: a folder of
            millions is never held as a whole, unless somebody asks for an item by its number.
        source: its path, as the items name it.
        notes: what to know of the listing, a sentence each.
        count: tells how many there are, where that is quicker than to find them.
    """

    def __init__(
        self,
        items: Iterable[Item] | Callable[[], Iterator[Item]],
        source: str,
        notes: Sequence[str] = (),
        *,
        count: Callable[[], int] | None = None,
    ) -> None:
        self._find = items if callable(items) else None
        self._held = None if callable(items) else list(items)
        self._count = count or (lambda: sum(1 for _ in self))
        self._n: int | None = None
        self.source = source
        self.notes = list(notes)

    def __iter__(self) -> Iterator[Item]:
        if self._held is not None:
            return iter(self._held)
        return iter(()) if self._find is None else self._find()

    def __len__(self) -> int:
        if self._held is not None:
            return len(self._held)
        if self._n is None:
            self._n = self._count()
        return self._n

    def __getitem__(self, number: Any) -> Any:
        if self._held is None:
            self._held = list(self)
        return self._held[number]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # as of any sequence that may change

    def part(self, number: int, of: int) -> "Listing":
        """A share of the photos, always the same ones, whatever else the source lists.

        Args:
            number: which share, from 1.
            of: how many there are.
        """

        def shared() -> Iterator[Item]:
            return (item for item in self if _share(item.key, of) == number)

        return Listing(shared, self.source, self.notes)


def _share(key: str, of: int) -> int:
    """In which of so many equal shares a key is, from 1."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % of + 1
