"""The state on disk says what the rows come to, whatever they are, and follows its ledger."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from placeprint.encoders.errors import UnwritableFile
from placeprint.indexer.entry import Followed, Position
from placeprint.indexer.kept_state import FILE, KeptState
from placeprint.indexer.ledger import Ledger
from placeprint.indexer.record import SAID_NOTHING, Record, photo_id
from placeprint.indexer.state import State

KEYS, BYTES = ["a", "b", "c", "d"], ["1", "2", "3"]


class Plain:
    """The same in dictionaries, as one would write it down."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[Record, Position]] = {}
        self.keys: dict[str, list[str]] = {}
        self.embedded_at: dict[str, Position] = {}
        self.deleted: set[str] = set()

    def apply(self, record: Record, position: Position) -> None:
        before = self.entries.get(record.key)
        if before and before[0].is_live and (before[0].id != record.id or not record.is_live):
            self.keys[before[0].id].remove(record.key)
        if record.status == "removed":
            self.entries.pop(record.key, None)
            return
        self.entries[record.key] = record, position
        if record.status == "embedded":
            self.embedded_at[record.id] = position
        if record.status == "deleted":
            self.deleted.add(record.id)
        if record.is_live:
            self.deleted.discard(record.id)
            keys = self.keys.setdefault(record.id, [])
            if record.key not in keys:
                keys.append(record.key)


rows = st.lists(
    st.builds(
        Record,
        key=st.sampled_from(KEYS),
        status=st.sampled_from(["embedded", "seen", "failed", "removed", "deleted"]),
        sha256=st.sampled_from(BYTES),
        said=st.sampled_from([SAID_NOTHING, "told"]),
        source=st.sampled_from(["x", "y"]),
        size_bytes=st.integers(0, 9),
    ),
    max_size=30,
)


@given(rows)
@trying(max_examples=300, deadline=None)
def test_any_history_comes_to_what_plain_dictionaries_say(history: list[Record]) -> None:
    state, plain = State(), Plain()
    for n, record in enumerate(history):
        position = Position(n // 4 + 1, n % 4)
        state.apply(record, position)
        plain.apply(record, position)
    assert set(state.entries) == set(plain.entries) and len(state.entries) == len(plain.entries)
    for key, entry in state.entries.items():
        record, position = plain.entries[key]
        assert entry == state.entries[key] and key in state.entries
        assert (entry.status, entry.id, entry.sha256, entry.source, entry.size_bytes, entry.said) == (
            record.status, record.id, record.sha256, record.source, record.size_bytes, record.said,
        )  # fmt: skip
        assert entry.position == position and entry.error == record.error
    assert "nowhere" not in state.entries and state.entries.get("nowhere") is None
    assert dict(state.embedded_at) == plain.embedded_at and len(state.embedded_at) == len(plain.embedded_at)
    assert state.deleted == plain.deleted
    assert dict(state.keys) == {photo: keys for photo, keys in plain.keys.items() if keys}
    assert state.n_shown == sum(bool(keys) and id in plain.embedded_at for id, keys in plain.keys.items())
    for sha256 in BYTES:
        photo, keys = photo_id(sha256), plain.keys.get(photo_id(sha256), [])
        known = bool(keys) or photo in plain.embedded_at or photo in plain.deleted
        assert state.knows(photo) == known and state.is_known(sha256) == (photo in plain.embedded_at)
        if keys and photo in plain.embedded_at:
            told = next((key for key in keys if plain.entries[key][0].said != SAID_NOTHING), keys[0])
            expected = (plain.entries[told][1], plain.embedded_at[photo])
            assert state.positions(photo) == expected
        else:
            assert state.positions(photo) is None
    assert [key for key, _ in state.failures] == sorted(
        key for key, (record, _) in plain.entries.items() if record.status == "failed"
    )
    state.close()


def row(key: str, **more: Any) -> Record:
    return Record(key=key, status="embedded", sha256=key, embedding=np.array([1.0, 0.0], "f4"), **more)


@pytest.fixture()
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger", fingerprint="f", dimension=2)
    made.append([row("a"), row("b")])
    made.append([row("c")])
    return made


def keys_of(kept: KeptState) -> list[str]:
    found = sorted(kept.state.entries)
    kept.close()
    return found


def test_a_state_that_lags_behind_takes_in_what_it_misses(ledger: Ledger, tmp_path: Path) -> None:
    assert keys_of(KeptState(ledger, tmp_path)) == ["a", "b", "c"]
    ledger.append([row("d")])
    kept = KeptState(ledger, tmp_path)
    assert kept.state.followed.number == 3 and keys_of(kept) == ["a", "b", "c", "d"]


def test_only_what_is_missing_is_read(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys_of(KeptState(ledger, tmp_path))
    ledger.append([row("d")])
    real, read = Ledger.outcomes, []
    monkeypatch.setattr(Ledger, "outcomes", lambda self, number: read.append(number) or real(self, number))
    keys_of(KeptState(ledger, tmp_path))
    assert read == [3]


@pytest.mark.parametrize("how", ["another ledger", "a shard less", "damaged", "another version", "gone"])
def test_a_state_of_something_else_is_made_anew(ledger: Ledger, tmp_path: Path, how: str) -> None:
    keys_of(KeptState(ledger, tmp_path))
    if how == "another ledger":
        ledger = Ledger(tmp_path / "other", fingerprint="f", dimension=2)
        ledger.append([row("x")])
        ledger.append([row("y")])
    elif how == "a shard less":
        ledger.path(1).unlink()
        ledger = Ledger(tmp_path / "ledger", fingerprint="f", dimension=2)
    elif how == "damaged":
        (tmp_path / FILE).write_bytes(b"no database" * 100)
    elif how == "another version":
        with sqlite3.connect(tmp_path / FILE) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()
    else:
        (tmp_path / FILE).unlink()
    expected = {"another ledger": ["x", "y"], "a shard less": ["c"]}.get(how, ["a", "b", "c"])
    assert keys_of(KeptState(ledger, tmp_path)) == expected


def test_a_read_only_state_is_left_as_it_is(ledger: Ledger, tmp_path: Path) -> None:
    keys_of(KeptState(ledger, tmp_path))
    before = (tmp_path / FILE).read_bytes()
    ledger.append([row("d")])
    kept = KeptState(ledger, tmp_path, is_read_only=True)
    assert keys_of(kept) == ["a", "b", "c", "d"]
    assert (tmp_path / FILE).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger", FILE]


def test_a_full_disk_is_told_and_what_is_in_the_ledger_is_taken_in_later(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptState(ledger, tmp_path)
    assert len(kept.state.entries) == 3
    number = ledger.append([row("d"), row("e")])

    def full(state: State, record: Record, position: Position) -> None:
        if record.key == "e":
            raise sqlite3.OperationalError("database or disk is full")
        real(state, record, position)

    real = State.apply
    monkeypatch.setattr(State, "apply", full)
    with pytest.raises(UnwritableFile, match="disk is full"):
        kept.follow(number, [row("d"), row("e")])
    monkeypatch.undo()
    assert keys_of(kept) == ["a", "b", "c", "d", "e"]


def test_a_commit_is_taken_in_whole_or_not_at_all() -> None:
    state = State()

    def rows() -> Any:
        yield row("a"), Position(1, 0)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        state.follow(rows(), Followed(1, 1, "x"))
    assert len(state.entries) == 0 and state.followed == Followed(0, 0, "")


def test_threads_may_ask_while_one_writes(tmp_path: Path) -> None:
    state = State(tmp_path / FILE)
    n_seen: list[int] = []

    def ask() -> None:
        while not n_seen or n_seen[-1] < 400:
            n_seen.append(sum(1 for _ in state.entries.items()))

    thread = threading.Thread(target=ask)
    thread.start()
    for number in range(1, 21):
        new = [(row(f"{number}-{n}"), Position(number, n)) for n in range(20)]
        state.follow(new, Followed(number, number, ""))
    thread.join(30)
    assert not thread.is_alive() and n_seen == sorted(n_seen)
    assert all(n % 20 == 0 for n in n_seen)  # never half a commit
    state.close()


def test_what_is_left_over_is_remade_with_the_rest(ledger: Ledger, tmp_path: Path) -> None:
    kept = KeptState(ledger, tmp_path)
    old = kept.state
    ledger.erase({photo_id("a")})
    kept.renew()
    assert kept.state.entries["a"].status == "deleted" and old.entries["a"].status == "embedded"
    old.close()
    kept.close()


def test_a_shard_that_opening_took_in_is_not_counted_twice(ledger: Ledger, tmp_path: Path) -> None:
    kept = KeptState(ledger, tmp_path)
    number = ledger.append([row("d")])
    kept.follow(number, [row("d")])  # opens the state, which finds the shard there already
    assert kept.state.followed.shards == 3
    kept.close()
