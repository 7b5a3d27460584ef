"""The settings of a caption training run, and presets of them.

``ours`` is the default. Its learning rates are those usual for each kind of tuning, chosen on drawn scenes
and small models; for large published weights begin with a tenth. ``pigeon`` and ``pigeotto`` keep the
constants of PIGEON's two pre-trainings (batches of 1,024, of which a GPU held 32 at a time).
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from ..captions import Style
from ..errors import InvalidOption, UnknownEncoder
from .tuning import Tune

Schedule = Literal["cosine", "linear"]

LEARNING_RATES: Mapping[str, float] = {"projection": 1e-4, "last-layer": 1e-5, "lora": 1e-4, "all": 1e-6}
"""Where none is given, by what is tuned."""


@dataclass(frozen=True, kw_only=True)
class CaptionRun:
    """One training run. Its checkpoint holds a copy."""

    # What is trained: see `tuning`.
    tune: Tune = "last-layer"
    lora_rank: int = 8
    lora_alpha: float = 16.0

    # What it sees: see `captions`.
    style: Style = "street"
    crop_share: float = 0.8  # of the side, at least; a random square of 0.8 to 1, never mirrored
    same_place_km: float | None = 1.0  # nearer photos are no negatives; None: all are
    masks_equal_captions: bool = True  # nor are photos whose captions say the same

    # The optimization: AdamW with betas 0.9 and 0.98.
    epochs: int = 10
    batch_size: int = 256
    part_size: int = 64  # of a batch, in memory at a time
    learning_rate: float | None = None  # at its height; None: `LEARNING_RATES`
    weight_decay: float = 1e-3  # of matrices
    warm_up_share: float = 0.05  # of all steps
    schedule: Schedule = "cosine"  # after the warm-up, to 0

    # The hold-outs: whole regions, see `csp_sampling.hold_out`.
    validation_share: float = 0.1  # chooses the weights that are kept
    test_share: float = 0.1  # is reported, and chooses nothing
    block_deg: float | None = None  # None: the largest that leaves regions enough
    takes_best: bool = True  # of all evaluations, or the last
    evaluate_every: int | None = None  # steps; None: an epoch, 500 steps at most

    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InvalidOption: names the setting, its value and what it may be.
        """
        for name, hint in get_type_hints(CaptionRun).items():
            choices = get_args(hint)
            if choices and all(isinstance(choice, str) for choice in choices):
                self._require(getattr(self, name) in choices, name, f"one of {', '.join(choices)}")
        for name in ("lora_rank", "epochs", "part_size"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        self._require(self.batch_size >= 2, "batch_size", "2 or more: a pair alone has no negatives")
        self._require(self.lora_alpha > 0.0, "lora_alpha", "above 0")
        self._require(self.weight_decay >= 0.0, "weight_decay", "0 or more")
        self._require(self.learning_rate is None or self.learning_rate > 0.0, "learning_rate", "above 0")
        self._require(self.evaluate_every is None or self.evaluate_every >= 1, "evaluate_every", "1 or more")
        self._require(self.same_place_km is None or self.same_place_km >= 0.0, "same_place_km", "0 or more")
        self._require(0.0 < self.crop_share <= 1.0, "crop_share", "in (0, 1]")
        self._require(0.0 <= self.warm_up_share < 1.0, "warm_up_share", "in [0, 1)")
        self._require(self.block_deg is None or 0.0 < self.block_deg <= 90.0, "block_deg", "in (0, 90]")
        self._require(self.seed >= 0, "seed", "0 or more")
        shares = (self.validation_share, self.test_share)
        self._require(
            min(shares) > 0.0 and sum(shares) <= 0.5, "validation_share", "above 0, with test_share up to 0.5"
        )

    def _require(self, is_met: bool, name: str, expected: str) -> None:
        if not is_met:
            raise InvalidOption(f"{name}={getattr(self, name)!r}: must be {expected}")

    @property
    def highest_rate(self) -> float:
        """The learning rate at its height."""
        return LEARNING_RATES[self.tune] if self.learning_rate is None else self.learning_rate

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types."""
        return asdict(self)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "CaptionRun":
        """A preset, with some settings changed.

        Raises:
            UnknownEncoder: no preset of that name.
            InvalidOption: no such setting, or a value without meaning.
        """
        if name not in PRESETS:
            raise UnknownEncoder(f"no preset {name!r} of caption training; there are {', '.join(PRESETS)}")
        unknown = set(changes) - {one.name for one in fields(cls)}
        if unknown:
            raise InvalidOption(f"no setting {', '.join(sorted(unknown))} of caption training")
        return replace(PRESETS[name], **changes)


_PIGEON = CaptionRun(
    batch_size=1024,
    part_size=32,
    epochs=20,
    learning_rate=1e-6,
    warm_up_share=0.2,
    schedule="linear",
    same_place_km=None,
    masks_equal_captions=False,
    takes_best=False,
)

PRESETS: dict[str, CaptionRun] = {
    "ours": CaptionRun(),
    "pigeon": _PIGEON,
    "pigeotto": replace(
        _PIGEON, style="photo", crop_share=1.0, epochs=4, learning_rate=5e-7, warm_up_share=0.02
    ),
}


def learning_rate(run: CaptionRun, step: int, n_steps: int) -> float:
    """Learning rate at a step, 0..n_steps - 1: a pure function. It rises in a line, then falls to 0."""
    warm_up = max(1, round(run.warm_up_share * n_steps))
    if step < warm_up:
        return run.highest_rate * (step + 1) / warm_up
    share = (step - warm_up) / max(1, n_steps - warm_up)
    fall = 1.0 - share if run.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * share))
    return run.highest_rate * fall
