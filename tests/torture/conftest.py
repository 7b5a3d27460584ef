"""What torture tests share: the record of their row, a limit of time, the copy for faults, a server."""

import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torture_session
from served import make_gallery
from torture_rows import Record, row_of
from torture_runs import Copy
from torture_scale import scaled
from torture_server import Server, served

ENDED = pytest.StashKey[dict[str, pytest.CallInfo[None]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Whatever this run starts can be told from what others do."""
    torture_session.begin()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order of the rows, and what looks at the leavings of all others last."""
    items.sort(key=lambda item: (item.name.startswith("test_r32_"), row_number(item)))


def row_number(item: pytest.Item) -> int:
    row = row_of(item.name)
    return int(row[1:]) if row and item.path.parent == Path(__file__).parent else 0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    item.stash.setdefault(ENDED, {})[call.when] = call
    return (yield)


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """The record of the test's row, written however the test ends."""
    row = row_of(request.node.name)
    assert row is not None, "a torture test is called test_rNN_… after its row"
    record = Record(row)
    yield record
    call = request.node.stash.get(ENDED, {}).get("call")
    error = call.excinfo.value if call is not None and call.excinfo is not None else None
    if isinstance(error, pytest.skip.Exception):
        record.write(skipped=str(error))
    elif call is None or error is not None:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        record.write(failure=f"failed: {lines[0][:300]}")
    elif record.missing():
        record.write(failure=f"never planted: {', '.join(sorted(record.missing()))}")
        pytest.fail(f"{row}: never planted: {', '.join(sorted(record.missing()))}")
    else:
        record.write()


@pytest.fixture(autouse=True)
def within_time() -> Iterator[None]:
    """Nothing hangs: a test that takes far too long is ended, and fails."""
    limit_s = scaled(900, 1800, 7200)

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"still running after {limit_s} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(limit_s)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy of the checkout to put faults into."""
    return Copy(tmp_path_factory.mktemp("copy"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service of three colors that listens, in a process of its own."""
    with served(make_gallery(tmp_path_factory.mktemp("served"))) as server:
        yield server
