"""Whose way is quicker, on a machine that does other things too.

Contenders take turns in one process, in blocks that read the same from both ends (A C B B C A), so that what
slows the machine down slows all of them, and a drift cancels. A block gives one ratio of the peer's time to
ours; told are their median with the 95 % interval of a bootstrap, and the ratio of the quickest turns of
each. C is ours once more, the control: where its ratio is not 1 within `CONTROL`, the run is void, and is
made once again with twice the blocks.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a script sees its own folder only

from scoreboard_rows import Figure, Verdict

BLOCKS = 12
LEAST_S = 0.03
"""A turn lasts so long at least: what takes less is done several times."""

CONTROL = 0.03
AGREEMENT = 0.05
"""How far the ratio of minima may lie from the median of ratios before a row says so."""

OURS, AGAIN = "ours", "ours again"
_Floats = NDArray[np.float64]
_Call = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """A peer beside ours. Ratios are of its time to ours: above 1 ours is quicker.

    Attributes:
        ours_s: median time of a call.
        theirs_s: the peer's.
        ratio: median of the blocks' ratios.
        low: lower end of its 95 % interval.
        high: upper end.
        ratio_of_minima: of the quickest turns.
        cpu_ratio: of the processor time that this process spent in all turns.
        control: median of the ratios of ours to ours.
    """

    ours_s: float
    theirs_s: float
    ratio: float
    low: float
    high: float
    ratio_of_minima: float
    cpu_ratio: float
    control: float

    @property
    def is_void(self) -> bool:
        """Whether the control says that the machine was too busy to measure anything."""
        return abs(self.control - 1.0) > CONTROL

    @property
    def doubt(self) -> str:
        """Why the ratio may be off; "" where nothing speaks against it."""
        found = []
        if self.is_void:
            found.append(f"void: the control is {self.control:.3f}, not 1 within {CONTROL:.0%}")
        apart = self.ratio_of_minima / self.ratio
        if abs(apart - 1.0) > AGREEMENT:
            found.append(f"the ratio of minima is {apart:.2f} times the median of ratios")
        return ", ".join(found)

    def reaches(self, target: float) -> bool:
        """Whether the ratio is at least `target`; of a void run the interval, less the control's error."""
        if self.is_void:
            return self.low * (1.0 - abs(self.control - 1.0)) >= target
        return self.ratio >= target

    def figure(self, name: str, peer: str, *, n: float, unit: str) -> Figure:
        """The comparison as a speed: `n` things were done in a call, and the unit names them, as photos/s."""
        return Figure(
            name, n / self.ours_s, unit, peer, n / self.theirs_s, self.ratio, self.low, self.high,
            self.ratio_of_minima, cpu_ratio=self.cpu_ratio, control=self.control,
        )  # fmt: skip

    def time_figure(self, name: str, peer: str, *, unit: str = "ms") -> Figure:
        """The comparison as times of a call."""
        scale = {"s": 1.0, "ms": 1e3, "µs": 1e6}[unit]
        return Figure(
            name, scale * self.ours_s, unit, peer, scale * self.theirs_s, self.ratio, self.low, self.high,
            self.ratio_of_minima, cpu_ratio=self.cpu_ratio, control=self.control,
        )  # fmt: skip


@dataclass(frozen=True)
class Turns:
    """Times of one call, by contender: two turns in each block, (blocks, 2)."""

    clock_s: Mapping[str, _Floats]
    cpu_s: Mapping[str, _Floats]

    def compare(self, peer: str, *, ours: str = OURS, n_draws: int = 4000) -> Comparison:
        """A contender beside ours, or beside another one; the control is the run's."""
        a, b = self.clock_s[ours], self.clock_s[peer]
        ratios = b.sum(axis=1) / a.sum(axis=1)
        draws = np.random.default_rng(0).integers(0, len(ratios), (n_draws, len(ratios)))
        low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
        cpu = self.cpu_s[ours].sum()
        return Comparison(
            ours_s=float(np.median(a)),
            theirs_s=float(np.median(b)),
            ratio=float(np.median(ratios)),
            low=float(low),
            high=float(high),
            ratio_of_minima=float(b.min() / a.min()),
            cpu_ratio=float(self.cpu_s[peer].sum() / cpu) if cpu > 0.0 else float("nan"),
            control=self.control,
        )

    @property
    def control(self) -> float:
        """Median ratio of ours to ours."""
        again, first = self.clock_s[AGAIN].sum(axis=1), self.clock_s[OURS].sum(axis=1)
        return float(np.median(again / first))


def take_turns(
    ours: _Call,
    peers: Mapping[str, _Call],
    *,
    blocks: int = BLOCKS,
    least_s: float = LEAST_S,
    clock: Callable[[], float] = time.perf_counter,
    cpu_clock: Callable[[], float] = time.process_time,
) -> Turns:
    """Measure; once more with twice the blocks where the control is off.

    Args:
        ours: does the work once.
        peers: others that do the same work, by name.
        blocks: how many.
        least_s: how long a turn lasts at least.
        clock: seconds.
        cpu_clock: seconds of this process.
    """
    contenders = {OURS: ours, AGAIN: ours, **peers}
    n_calls = {name: _calls_a_turn(contenders[name], least_s, clock) for name in (OURS, *peers)}
    n_calls[AGAIN] = n_calls[OURS]
    turns = _measured(contenders, n_calls, blocks, clock, cpu_clock)
    if abs(turns.control - 1.0) > CONTROL:
        turns = _measured(contenders, n_calls, 2 * blocks, clock, cpu_clock)
    return turns


def verdict_of(*reached: bool) -> Verdict:
    """Of a row whose every target is among `reached`."""
    return "reached" if reached and all(reached) else "short"


def doubts_of(comparisons: Mapping[str, Comparison]) -> str:
    """What speaks against the comparisons of a row, each by its name; "" where nothing does."""
    return "; ".join(f"{name}: {one.doubt}" for name, one in comparisons.items() if one.doubt)


def pin_threads(n: int) -> None:
    """Give numpy, torch, OpenMP and GDAL `n` threads each, here and in processes started from here."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "GDAL_NUM_THREADS"):
        os.environ[name] = str(n)
    from threadpoolctl import threadpool_limits

    threadpool_limits(n)
    import torch

    torch.set_num_threads(n)


def _calls_a_turn(call: _Call, least_s: float, clock: Callable[[], float]) -> int:
    """How many calls last `least_s`; also warms up."""
    began = clock()
    call()
    if clock() - began > 10.0 * least_s:  # not even the first, which is the slowest, makes it many
        return 1
    began, n = clock(), 0
    while n < 1 or (spent := clock() - began) < least_s / 4.0:
        call()
        n += 1
    return max(1, round(least_s / max(spent / n, 1e-9)))


def _measured(
    contenders: Mapping[str, _Call],
    n_calls: Mapping[str, int],
    blocks: int,
    clock: Callable[[], float],
    cpu_clock: Callable[[], float],
) -> Turns:
    clock_s = {name: np.empty((blocks, 2)) for name in contenders}
    cpu_s = {name: np.empty((blocks, 2)) for name in contenders}
    order = list(contenders)
    for block in range(blocks):
        for half, names in enumerate((order, order[::-1])):
            for name in names:
                call, n = contenders[name], n_calls[name]
                cpu_began, began = cpu_clock(), clock()
                for _ in range(n):
                    call()
                clock_s[name][block, half] = (clock() - began) / n
                cpu_s[name][block, half] = (cpu_clock() - cpu_began) / n
    return Turns(clock_s, cpu_s)
