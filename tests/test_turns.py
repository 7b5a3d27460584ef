"""Contenders in turns, on clocks that are made up."""

from collections.abc import Callable

import numpy as np
import pytest
from benchmarks.turns import OURS, Comparison, Turns, take_turns, verdict_of


class FakeClock:
    """A clock that goes on when somebody works."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.worked: list[str] = []

    def __call__(self) -> float:
        return self.now_s

    def work(self, name: str, seconds: Callable[[], float]) -> Callable[[], None]:
        def call() -> None:
            self.worked.append(name)
            self.now_s += seconds()

        return call


def measured(
    clock: FakeClock, ours: Callable[[], float], peer: Callable[[], float], **options: float
) -> Turns:
    call, other = clock.work("a", ours), clock.work("b", peer)
    return take_turns(call, {"peer": other}, clock=clock, cpu_clock=clock, **options)  # type: ignore[arg-type]


def comparison(**changes: float) -> Comparison:
    values = {"ours_s": 1.0, "theirs_s": 2.0, "ratio": 2.0, "low": 1.9, "high": 2.1, "ratio_of_minima": 2.0}
    return Comparison(**{**values, "cpu_ratio": 2.0, "control": 1.0, **changes})


def test_the_ratio_is_of_the_peers_time_to_ours() -> None:
    found = measured(FakeClock(), lambda: 0.1, lambda: 0.3).compare("peer")
    assert found.ratio == pytest.approx(3.0)
    assert (found.low, found.high) == pytest.approx((3.0, 3.0))
    assert found.ratio_of_minima == pytest.approx(3.0)
    assert found.cpu_ratio == pytest.approx(3.0)
    assert (found.ours_s, found.theirs_s) == pytest.approx((0.1, 0.3))
    assert found.control == pytest.approx(1.0)


def test_blocks_read_the_same_from_both_ends() -> None:
    clock = FakeClock()
    measured(clock, lambda: 1.0, lambda: 1.0, blocks=2)
    assert "".join(clock.worked[-12:]) == "aabbaa" * 2


def test_a_machine_that_slows_down_steadily_changes_nothing() -> None:
    clock = FakeClock()
    found = measured(
        clock, lambda: 0.1 * (1.0 + clock.now_s / 50.0), lambda: 0.2 * (1.0 + clock.now_s / 50.0), blocks=20
    )
    # One after the other, all of ours and then all of the peer's, it would be 2.9 and not 2.
    assert found.compare("peer").ratio == pytest.approx(2.0, rel=0.01)


def test_what_is_short_is_done_several_times_a_turn() -> None:
    clock = FakeClock()
    found = measured(clock, lambda: 0.001, lambda: 0.05, blocks=1, least_s=0.04)
    assert "".join(clock.worked[-162:]) == "a" * 80 + "bb" + "a" * 80
    assert found.clock_s[OURS] == pytest.approx(np.full((1, 2), 0.001))
    assert found.clock_s["peer"] == pytest.approx(np.full((1, 2), 0.05))


def test_the_interval_holds_the_ratio_and_grows_with_the_noise() -> None:
    rng = np.random.default_rng(1)
    quiet = measured(FakeClock(), lambda: 0.1, lambda: 0.2 * rng.lognormal(0.0, 0.02), blocks=40).compare(
        "peer"
    )
    noisy = measured(FakeClock(), lambda: 0.1, lambda: 0.2 * rng.lognormal(0.0, 0.3), blocks=40).compare(
        "peer"
    )
    assert quiet.low < quiet.ratio < quiet.high
    assert quiet.low < 2.0 < quiet.high
    assert noisy.high - noisy.low > 5.0 * (quiet.high - quiet.low)


def test_a_control_that_is_off_makes_the_run_be_repeated_once_with_twice_the_blocks() -> None:
    quiet = measured(FakeClock(), lambda: 0.1, lambda: 0.1, blocks=10)
    assert len(quiet.clock_s[OURS]) == 10
    in_turn = iter("1001" * 1000)  # ours, control, control, ours
    busy = measured(FakeClock(), lambda: 0.1 + 0.01 * int(next(in_turn)), lambda: 0.1, blocks=10)
    assert len(busy.clock_s[OURS]) == 20
    assert abs(busy.control - 1.0) > 0.03


def test_a_void_run_says_so_and_reaches_only_what_is_beyond_doubt() -> None:
    sound, void = comparison(), comparison(control=1.1)
    assert (sound.is_void, void.is_void) == (False, True)
    assert not sound.doubt
    assert "control is 1.100" in void.doubt
    assert sound.reaches(2.0) and not sound.reaches(2.1)
    assert void.reaches(1.7) and not void.reaches(1.75)  # 1.9, less a tenth


def test_minima_that_tell_another_story_are_named() -> None:
    assert "minima is 1.50 times" in comparison(ratio_of_minima=3.0).doubt


def test_a_figure_tells_speeds_or_times() -> None:
    speed = comparison().figure("rows", "peer", n=10.0, unit="rows/s")
    assert (speed.ours, speed.theirs, speed.ratio, speed.low) == (10.0, 5.0, 2.0, 1.9)
    times = comparison().time_figure("a call", "peer")
    assert (times.ours, times.theirs, times.ratio) == (1000.0, 2000.0, 2.0)


def test_a_verdict_needs_every_target() -> None:
    assert verdict_of(True, True) == "reached"
    assert verdict_of(True, False) == "short"
    assert verdict_of() == "short"
