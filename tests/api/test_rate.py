"""A rate is counted over the last minute, by a clock that nobody can set."""

import time
from types import SimpleNamespace

import pytest

from placeprint.api.serving import rate
from placeprint.api.serving.rate import RequestRate
from placeprint.api.serving.refusals import TooManyRequests


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(rate, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def waits(requests: RequestRate, caller: str) -> int:
    """Seconds until the caller may come again; 0 where it was let in."""
    try:
        requests.take(caller)
        return 0
    except TooManyRequests as refused:
        return refused.retry_after_s


def test_the_window_moves_along(clock: SimpleNamespace) -> None:
    requests = RequestRate(3)
    for _ in range(3):
        assert waits(requests, "one") == 0
        clock.s += 10.0
    assert waits(requests, "one") == 30  # the first of the three came half a minute ago
    assert waits(requests, "other") == 0
    clock.s += 29.5
    assert waits(requests, "one") == 1
    clock.s += 0.5
    assert waits(requests, "one") == 0
    assert waits(requests, "one") == 10


def test_no_rate_is_no_limit(clock: SimpleNamespace) -> None:
    requests = RequestRate(0)
    assert [waits(requests, "one") for _ in range(100)] == [0] * 100


def test_who_came_longest_ago_is_forgotten_first(
    clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate, "_MOST_CALLERS", 2)
    requests = RequestRate(1)
    assert [waits(requests, caller) for caller in ("a", "b", "a", "c")] == [0, 0, 60, 0]
    assert waits(requests, "a") == 60  # came again, after b
    assert waits(requests, "b") == 0


def test_a_clock_that_is_put_back_shuts_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    requests, real = RequestRate(1), time.time
    assert waits(requests, "one") == 0
    monkeypatch.setattr(time, "time", lambda: real() - 3600.0)
    assert 59 <= waits(requests, "one") <= 60
