"""What changes over a run, as pure functions of the step: a resumed run needs no state of them."""

import math

from .settings import MapRun


def cosine(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine; `share` of the way in [0, 1]."""
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * min(max(share, 0.0), 1.0)))


def learning_rate(run: MapRun, step: int, n_steps: int) -> float:
    """Linear to its height over the warm-up, then a cosine to `final_learning_rate`."""
    warm_up = max(1, round(run.warm_up * n_steps))
    if step < warm_up:
        return run.learning_rate * (step + 1) / warm_up
    share = (step - warm_up) / max(1, n_steps - 1 - warm_up)
    return cosine(run.learning_rate, run.final_learning_rate, share)


def weight_decay(run: MapRun, step: int, n_steps: int) -> float:
    """A cosine from `weight_decay` to `final_weight_decay`."""
    return cosine(run.weight_decay, run.final_weight_decay, step / max(1, n_steps - 1))


def teacher_momentum(run: MapRun, step: int, n_steps: int) -> float:
    """A cosine from `teacher_momentum` to 1."""
    return cosine(run.teacher_momentum, 1.0, step / max(1, n_steps - 1))


def teacher_temperature(run: MapRun, step: int, n_steps: int) -> float:
    """Linear from `teacher_temperature_start` to `teacher_temperature` over `teacher_warm_up`."""
    rising = run.teacher_warm_up * n_steps
    share = 1.0 if rising <= 0 else min(1.0, step / rising)
    return run.teacher_temperature_start + share * (run.teacher_temperature - run.teacher_temperature_start)
