"""Is a run likely to go well? Asked before it begins: a collapsed one looks like a slow one for hours."""

import math

from ..errors import InvalidOption
from .settings import MapRun

HIGHEST_RATE = 5e-3
"""Above this learning rate AdamW on a head of normalized directions is refused."""

HIGH_RATE_PER_256 = 5e-3
"""Above this rate for a batch of 256, scaled with the batch, it is doubted; DINO itself has 5e-4."""

HOT_TEACHER = 0.07
"""Teacher temperature above which DINO's own documentation calls training unstable."""

PLACES_PER_OUTPUT = 4
"""Training places that an output should have, at least."""


def check_run(run: MapRun, n_places: int) -> list[str]:
    """See that settings can work.

    Args:
        run: the settings.
        n_places: training places.

    Returns:
        Warnings, a sentence or two each.

    Raises:
        InvalidOption: they cannot: the message says why and what to change.
    """
    hottest = max(run.teacher_temperature, run.teacher_temperature_start)
    if hottest >= run.student_temperature:
        raise InvalidOption(
            f"teacher_temperature={hottest:g} is not below student_temperature={run.student_temperature:g}: "
            "the teacher must be the sharper one, or both end uniform; take 0.04 to 0.07 against 0.1"
        )
    run = run.resolved
    assert run.cluster_teacher_temperature is not None  # resolved
    if run.cluster_teacher_temperature > run.cluster_student_temperature:
        raise InvalidOption(
            f"cluster_teacher_temperature={run.cluster_teacher_temperature:g} is above "
            f"cluster_student_temperature={run.cluster_student_temperature:g}: the "
            "teacher must not be the softer one"
        )
    if run.learning_rate > HIGHEST_RATE:
        raise InvalidOption(
            f"learning_rate={run.learning_rate:g} is too high for AdamW; take at most {HIGHEST_RATE:g}, and "
            f"about {5e-4 * run.batch_size / 256:.1e} to 1e-3 for a batch of {run.batch_size}"
        )
    if run.n_out > n_places:
        raise InvalidOption(
            f"n_out={run.n_out} outputs for {n_places} training places: most could never be used; take "
            f"{_fitting(n_places)}"
        )
    return _warnings(run, n_places, hottest)


def _warnings(run: MapRun, n_places: int, hottest: float) -> list[str]:
    found = []
    if hottest > HOT_TEACHER:
        found.append(
            f"teacher_temperature={hottest:g} is above {HOT_TEACHER}, where training becomes unstable; "
            "watch the teacher's entropy"
        )
    if run.n_out * PLACES_PER_OUTPUT > n_places:
        found.append(
            f"n_out={run.n_out} is much for {n_places} training places, fewer than {PLACES_PER_OUTPUT} each; "
            f"n_out={_fitting(n_places)} would fit"
        )
    if run.learning_rate > HIGH_RATE_PER_256 * run.batch_size / 256:
        found.append(
            f"learning_rate={run.learning_rate:g} is high for a batch of {run.batch_size}; where the loss "
            f"does not fall, try {5e-4 * run.batch_size / 256:.1e}"
        )
    if run.learning_rate < 1e-6:
        found.append(f"learning_rate={run.learning_rate:g} will hardly move the weights")
    if run.distillation_weight > 0.0 and run.n_local == 0:
        found.append("without local views only two global ones are compared; nothing learns part from whole")
    return found


def _fitting(n_places: int) -> int:
    """The largest power of two that leaves each output places enough, at least 2."""
    return int(2 ** max(1, math.floor(math.log2(max(2, n_places / PLACES_PER_OUTPUT)))))
