"""The parts of a state that read like dictionaries and sets: they ask its database."""

from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, Set, ValuesView
from typing import Any, Protocol

from .entry import ENTRY, LIVE, Entry, Position, entry_of


class Asked(Protocol):
    """A database that answers questions."""

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows that answer a question."""

    def page_by_page(self, sql: str, column: int) -> Iterator[Any]:
        """All rows that answer a question of any length, see `state.State.page_by_page`."""


class _Table:
    def __init__(self, state: Asked) -> None:
        self._state = state


class Entries(_Table, Mapping[str, Entry]):
    """Entries by key, in the order in which the keys came up."""

    def __getitem__(self, key: str) -> Entry:
        rows = self._state.ask(f"{ENTRY} WHERE e.key = ?", (key,))
        if not rows:
            raise KeyError(key)
        return entry_of(rows[0])

    def __iter__(self) -> Iterator[str]:
        return (row[10] for row in self.rows())

    def __len__(self) -> int:
        return int(self._state.ask("SELECT COUNT(*) FROM entries")[0][0])

    def __contains__(self, key: object) -> bool:
        return bool(self._state.ask("SELECT 1 FROM entries WHERE key = ?", (key,)))

    def rows(self) -> Iterator[Any]:
        """All rows, in the order in which the keys came up."""
        return self._state.page_by_page(f"{ENTRY} WHERE e.n > ? ORDER BY e.n LIMIT ?", 11)

    def items(self) -> ItemsView[str, Entry]:
        """Keys with their entries."""
        return _Items(self)

    def values(self) -> ValuesView[Entry]:
        """The entries."""
        return _Values(self)


class _Items(ItemsView[str, Entry]):
    def __init__(self, entries: Entries) -> None:
        super().__init__(entries)
        self._entries = entries

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return ((row[10], entry_of(row)) for row in self._entries.rows())


class _Values(ValuesView[Entry]):
    def __init__(self, entries: Entries) -> None:
        super().__init__(entries)
        self._entries = entries

    def __iter__(self) -> Iterator[Entry]:
        return map(entry_of, self._entries.rows())


class Keys(_Table, Mapping[str, list[str]]):
    """Live keys by photo, first seen first."""

    def __getitem__(self, photo: str) -> list[str]:
        rows = self._state.ask(
            "SELECT e.key FROM entries e JOIN photos p ON p.n = e.photo "
            "WHERE p.id = ? AND e.status < ? ORDER BY e.since",
            (photo, LIVE),
        )
        if not rows:
            raise KeyError(photo)
        return [row[0] for row in rows]

    def __iter__(self) -> Iterator[str]:
        is_live = f"EXISTS (SELECT 1 FROM entries e WHERE e.photo = p.n AND e.status < {LIVE})"
        sql = f"SELECT p.id, p.n FROM photos p WHERE {is_live} AND p.n > ? ORDER BY p.n LIMIT ?"
        return (row[0] for row in self._state.page_by_page(sql, 1))

    def __len__(self) -> int:
        return int(
            self._state.ask("SELECT COUNT(DISTINCT photo) FROM entries WHERE status < ?", (LIVE,))[0][0]
        )


class Embeddings(_Table, Mapping[str, Position]):
    """Where the embedding of a photo stands, live or not."""

    def __getitem__(self, photo: str) -> Position:
        rows = self._state.ask("SELECT shard, row FROM photos WHERE id = ? AND shard IS NOT NULL", (photo,))
        if not rows:
            raise KeyError(photo)
        return Position(*rows[0])

    def __iter__(self) -> Iterator[str]:
        sql = "SELECT id, n FROM photos WHERE shard IS NOT NULL AND n > ? ORDER BY n LIMIT ?"
        return (row[0] for row in self._state.page_by_page(sql, 1))

    def __len__(self) -> int:
        return int(self._state.ask("SELECT COUNT(shard) FROM photos")[0][0])


class Deleted(_Table, Set[str]):
    """Photos that are not wanted, under whatever key."""

    def __contains__(self, photo: object) -> bool:
        return bool(self._state.ask("SELECT 1 FROM photos WHERE id = ? AND is_deleted", (photo,)))

    def __iter__(self) -> Iterator[str]:
        sql = "SELECT id, n FROM photos WHERE is_deleted AND n > ? ORDER BY n LIMIT ?"
        return (row[0] for row in self._state.page_by_page(sql, 1))

    def __len__(self) -> int:
        return int(self._state.ask("SELECT COUNT(*) FROM photos WHERE is_deleted")[0][0])

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> Any:  # what & and | of the two sets give
        return set(it)
