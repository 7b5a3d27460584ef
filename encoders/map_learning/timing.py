"""How long steps take, and what share of that is waiting for data; no part of the log.

Times differ from run to run, and the log of a resumed run must not.
"""

import time
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class Timing:
    """Sums over the steps of this process, the first one left out: it warms everything up."""

    n_steps: int = 0
    waited_s: float = 0.0
    worked_s: float = 0.0
    _started: float = 0.0
    _is_warm: bool = False
    _waited_s: float = 0.0

    def begin(self, *, waited_s: float) -> None:
        """A step's data is there, after so many seconds."""
        self._started, self._waited_s = time.perf_counter(), waited_s

    def end(self, device: torch.device) -> None:
        """The step is done."""
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        if self._is_warm:
            self.n_steps += 1
            self.waited_s += self._waited_s
            self.worked_s += time.perf_counter() - self._started
        self._is_warm = True

    @property
    def figures(self) -> dict[str, Any]:
        """Mean seconds a step, and the share of them spent waiting for data; empty before two steps."""
        total = self.waited_s + self.worked_s
        if not self.n_steps or total <= 0.0:
            return {}
        return {
            "timed_steps": self.n_steps,
            "step_s": total / self.n_steps,
            "data_wait_share": self.waited_s / total,
        }
