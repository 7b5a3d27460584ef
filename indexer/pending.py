"""Which items of a source there is anything to do for.

A file belongs to one source, its owner, whose word on place, time and payload counts, so that two
sources that list the same file do not take turns. The owner is the source that listed it first,
with two exceptions: one that says something of a photo (a table, an archive with sidecars) takes it
over from a folder, which says nothing; and what belongs to a source that is not there any more may be
taken by any other. A row with a fault of its own takes nothing over.

A photo that was deleted is left out, under whatever path its bytes turn up.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Protocol

from .entry import Entry
from .listing import Item
from .record import SAID_NOTHING
from .state import MANY, State


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What else is taken up beside what is new or changed.

    Attributes:
        retry_failed: what failed in an earlier run.
        undelete: what was deleted.
        claim: what belongs to another source.
    """

    retry_failed: bool = False
    undelete: bool = False
    claim: bool = False


class Counts(Protocol):
    """Where is counted what is passed over, and why."""

    n_unchanged: int
    elsewhere: dict[str, int]
    n_deleted: int
    n_failed_before: int
    failures: dict[str, str]


def pending(items: Iterable[Item], state: State, choice: Choice, counts: Counts) -> Iterator[Item]:
    """The items to read, in order; the others are counted by the reason."""
    is_there = cache(lambda source: Path(source).exists())
    for item, entry in _with_entries(items, state):
        if entry is None:
            yield item
        elif entry.id in state.deleted and _is_same_file(item, entry):
            if choice.undelete:
                yield item
            else:
                counts.n_deleted += 1
        elif _is_due(item, entry, choice, is_there):
            yield item
        elif entry.status == "failed":
            counts.n_failed_before += 1
        elif entry.source != item.source:
            counts.elsewhere[entry.source] = counts.elsewhere.get(entry.source, 0) + 1
            if item.problem:
                counts.failures[item.key] = item.problem
        elif entry.is_live and entry.id in state.embedded_at:
            counts.n_unchanged += 1
        else:  # its shard was taken away, or it was deleted and is wanted again under another path
            yield item


def _with_entries(items: Iterable[Item], state: State) -> Iterator[tuple[Item, Entry | None]]:
    """Items with what is known of their keys, which is asked for many at a time."""
    remaining = iter(items)
    while some := list(islice(remaining, MANY)):
        known = state.entries_of([item.key for item in some])
        yield from ((item, known.get(item.key)) for item in some)


def _is_due(item: Item, entry: Entry, choice: Choice, is_there: Callable[[str], bool]) -> bool:
    """Whether there is something new of a file that the gallery knows."""
    if entry.status == "failed" and choice.retry_failed:
        return True
    if entry.source == item.source:
        return entry.said != item.said or not _is_same_file(item, entry)
    if item.problem:
        return False
    return choice.claim or (item.is_told and entry.said == SAID_NOTHING) or not is_there(entry.source)


def _is_same_file(item: Item, entry: Entry) -> bool:
    return (entry.size_bytes, entry.mtime_ns) == (item.size_bytes, item.mtime_ns)
