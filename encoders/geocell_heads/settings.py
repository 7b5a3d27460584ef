"""The settings of one training run of a geocell head, and of an encoder's last blocks with it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_type_hints

from ..errors import InvalidOption
from ..geocell_targets import KEPT, Tau
from ..run_settings import known_settings

HeadKind = Literal["linear", "mlp"]
Solver = Literal["auto", "lbfgs", "adamw"]
Weights = Literal["normalized", "pigeon"]

LBFGS_UP_TO = 2e10
"""Numbers multiplied in one pass (photos × cells × dimension) up to which a linear head takes L-BFGS."""
PENALTIES: Mapping[str, tuple[float, ...]] = {"lbfgs": (1e-3, 1e-2, 1e-1, 1.0), "adamw": (0.01, 0.1, 1.0)}
"""Weight decays tried by default. L-BFGS minimizes mean loss + decay · |W|² / 2; AdamW's is decoupled."""


@dataclass(frozen=True, kw_only=True)
class HeadRun:
    """One run. Its head, its checkpoint and its report hold a copy."""

    head: HeadKind = "linear"
    hidden: int = 512  # of the MLP
    dropout: float = 0.3  # of its hidden layer
    tau: Tau = "auto"  # of the targets, see `geocell_targets`
    weights: Weights = "normalized"  # pigeon: theirs, for comparisons; needs kilometers
    kept: float = KEPT
    state_weight: float = 0.0  # of the cross-entropy of states beside that of cells
    country_weight: float = 0.0
    offset_weight: float = 1.0  # of the place within the cell; 0: the head has cells only
    offset_rank: int = 16  # directions of the embedding that tell places within cells apart
    tasks: tuple[str, ...] = ()  # names of `geocell_tasks.TASKS`; they help through a shared hidden layer

    solver: Solver = "auto"
    weight_decays: tuple[float, ...] | None = None  # the validation chooses; None: `PENALTIES`
    learning_rate: float = 1e-3  # of AdamW
    batch_size: int = 256
    rounds: int = 200  # at most: an epoch of AdamW, or 3 steps of L-BFGS
    patience: int = 10  # rounds without a better validation before it ends

    # The hold-outs: whole groups, or whole blocks of the Earth joined by groups.
    validation_share: float = 0.2  # chooses decay, round and temperatures
    test_share: float = 0.2  # is reported, and chooses nothing
    block_deg: float = 0.0  # 0: groups only
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InvalidOption: names the setting, its value and what it may be.
        """
        for name, hint in get_type_hints(HeadRun).items():
            choices = get_args(hint)
            if choices and all(isinstance(choice, str) for choice in choices):
                self._require(getattr(self, name) in choices, name, f"one of {', '.join(choices)}")
        for name in ("hidden", "batch_size", "rounds", "patience", "offset_rank"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("state_weight", "country_weight", "offset_weight"):
            self._require(getattr(self, name) >= 0.0, name, "0 or more")
        self._require(self.learning_rate > 0.0, "learning_rate", "above 0")
        self._require(0.0 <= self.dropout < 1.0, "dropout", "in [0, 1)")
        self._require(0.0 <= self.block_deg <= 90.0, "block_deg", "0 for groups only, or up to 90")
        decays = self.weight_decays
        is_usable = decays is None or (len(decays) > 0 and min(decays) >= 0.0)
        self._require(is_usable, "weight_decays", "one or more numbers, 0 or more")
        self._require(
            min(self.validation_share, self.test_share) > 0.0
            and self.validation_share + self.test_share <= 0.6,
            "validation_share",
            "above 0, with test_share up to 0.6",
        )
        self._require(
            not self.tasks or self.head == "mlp",
            "tasks",
            "none with a linear head, which shares nothing with them that they could teach; choose mlp",
        )
        self._require(self.solver != "lbfgs" or self.head == "linear", "solver", "adamw for an mlp")
        is_number = not isinstance(self.tau, str) and self.tau > 0.0
        self._require(
            self.weights == "normalized" or is_number, "tau", "kilometers above 0 for PIGEON's weights"
        )

    def solver_for(self, n: int, n_cells: int, dimension: int) -> Literal["lbfgs", "adamw"]:
        """What minimizes, for n photos, where it was left open."""
        if self.solver != "auto":
            return self.solver
        is_small = float(n) * n_cells * dimension <= LBFGS_UP_TO
        return "lbfgs" if self.head == "linear" and is_small else "adamw"

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types."""
        return {key: list(one) if isinstance(one, tuple) else one for key, one in asdict(self).items()}

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "HeadRun":
        """Settings that `to_dict` made.

        Raises:
            InvalidOption: a setting unknown here.
        """
        values: dict[str, Any] = {
            key: tuple(one) if isinstance(one, list) else one
            for key, one in known_settings(cls, settings).items()
        }
        return cls(**values)

    def _require(self, is_met: bool, name: str, expected: str) -> None:
        if not is_met:
            raise InvalidOption(f"{name}={getattr(self, name)!r}: must be {expected}")


@dataclass(frozen=True, kw_only=True)
class TuneRun:
    """How the last blocks of the encoder are trained with the head. The two rates are OSV-5M's.

    Rates and decay are those of Astruc et al. (2024, arXiv:2404.18873) for a whole CLIP; the batch is ours.
    """

    blocks: int = 1  # of the encoder, from its end
    epochs: int = 20  # at most
    rate: float = 2e-5  # of the encoder's blocks, at its height
    head_rate: float = 2e-4
    weight_decay: float = 1e-4  # of the blocks, decoupled; the head keeps that of its fit
    warm_up_share: float = 0.1  # of the steps: the rates rise in a line, then fall along a cosine
    clip_norm: float = 1.0  # of the gradient
    batch_size: int = 64
    patience: int = 10  # epochs without a better validation before it ends; it often worsens at first

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InvalidOption: names the setting, its value and what it may be.
        """
        for name in ("blocks", "epochs", "batch_size", "patience"):
            self._require(getattr(self, name) >= 1, name, "1 or more")
        for name in ("rate", "head_rate", "clip_norm"):
            self._require(0.0 < getattr(self, name) < float("inf"), name, "above 0")
        self._require(self.weight_decay >= 0.0, "weight_decay", "0 or more")
        self._require(0.0 <= self.warm_up_share < 1.0, "warm_up_share", "in [0, 1)")

    def rate_share(self, step: int, n_steps: int) -> float:
        """Share of both rates at a step, 0..n_steps - 1: it rises in a line, then falls to 0."""
        warm_up = max(1, round(self.warm_up_share * n_steps))
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(1, n_steps - warm_up)))

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types, beside those of a `HeadRun`."""
        return {f"tune_{name}": value for name, value in asdict(self).items()}

    def _require(self, is_met: bool, name: str, expected: str) -> None:
        if not is_met:
            raise InvalidOption(f"tune_{name}={getattr(self, name)!r}: must be {expected}")
