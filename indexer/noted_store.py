"""A vector store with its note of what it was given of the ledgers, ``applied.json``.

The note has the number of the last shard that the store has taken in, what tells that shard from another
of its number, how many points there were then, and as much of the ledgers of named vectors.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .durable import read_or, write_atomically
from .edge_store import EdgeStore
from .ledger import Ledger
from .named_vectors import NamedVectors
from .server_store import ServerStore
from .store import index_kind

MAX_INDEXED_FIELDS = 64
INDEXABLE = re.compile(r"[^\W_]\w{0,199}")


class NotedStore:
    """A store and the file that says which shards it has taken in.

    Args:
        store: the points.
        applied: the file, which need not be there.

    Attributes:
        indexed: payload fields that the store has an index of.
    """

    def __init__(self, store: EdgeStore | ServerStore, applied: Path) -> None:
        self.store = store
        self.applied = applied
        self.indexed: set[str] = set()

    def index_fields(self, payloads: Iterable[Mapping[str, Any]]) -> None:
        """Index each payload field when it is first seen: filters on it stay fast, facets work."""
        for payload in payloads:
            for key in payload.keys() - self.indexed:
                kind = index_kind(payload[key])
                if kind and INDEXABLE.fullmatch(key) and len(self.indexed) < MAX_INDEXED_FIELDS:
                    self.indexed.add(key)
                    self.store.create_index(key, kind)

    @property
    def note(self) -> dict[str, Any]:
        """What was noted last; nothing where there is no note, or it cannot be read."""
        try:
            found = json.loads(read_or(self.applied, "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) and isinstance(found.get("shards"), int) else {}

    @property
    def n_applied(self) -> int:
        """Number of the last shard taken in."""
        return int(self.note.get("shards", 0))

    def n_applied_of(self, name: str) -> int:
        """Number of the last shard of a named vector that was taken in."""
        return int(self.note.get("named", {}).get(name, {}).get("shards", 0))

    def note_applied(self, ledger: Ledger, number: int, named: NamedVectors, last: Mapping[str, int]) -> None:
        """Note shards as taken in, once what they brought is on the disk.

        Args:
            ledger: of the photos.
            number: of its last shard that was taken in; others may have come since.
            named: vectors by other encoders.
            last: numbers of the last shards of these, by name.
        """
        self.store.flush()
        note = {
            "shards": number, "commit": ledger.commit_id(number), "points": self.store.count(None),
            "named": {name: _noted(name, named, last_of_name) for name, last_of_name in last.items()},
        }  # fmt: skip
        write_atomically(self.applied, json.dumps(note))

    def note_nothing(self, named: NamedVectors) -> None:
        """Note of a new store, made for the vectors of these names, that it has taken in nothing."""
        kinds = {name: _noted(name, named, 0) for name in named.cards}
        nothing = {"shards": 0, "commit": "", "points": 0, "named": kinds}
        write_atomically(self.applied, json.dumps(nothing))

    def is_astray(self, ledger: Ledger, named: NamedVectors) -> bool:
        """Whether the store has what the ledgers never said, or lacks what it should have."""
        note = self.note
        if self._is_astray_of_named(note.get("named", {}), named):
            return True
        number, commit = int(note.get("shards", 0)), str(note.get("commit", ""))
        last = len(ledger)
        if number > last or (commit and commit != ledger.commit_id(number)):
            return True
        if number < last:  # of the shards still missing the store may hold a part already
            return False
        return "points" in note and note["points"] != self.store.count(None)

    def _is_astray_of_named(self, noted: dict[str, Any], named: NamedVectors) -> bool:
        if set(noted) != set(named.cards):
            return True
        for name, note in noted.items():
            number = note["shards"]
            if number > len(named.ledgers[name]) or note != _noted(name, named, number):
                return True
        return False


def _noted(name: str, named: NamedVectors, number: int) -> dict[str, Any]:
    """What tells the embeddings of a name, up to a shard, from those of another encoder or time."""
    card = named.cards[name]
    kind = f"{card.fingerprint.id} {'int8' if card.is_quantized else 'float32'}"
    return {"shards": number, "commit": named.ledgers[name].commit_id(number), "kind": kind}
