"""The settings of a map run, and presets of them.

``small-data``, the default, is for some hundreds to some ten thousands of places and two CPU cores;
``gpu`` for a hundred thousand and more on one GPU, in bfloat16; ``paper`` is ``small-data`` with every
loss as Bougie et al. 2023 (ACML, PMLR 222:185-200) publish it. That paper's network, temperatures,
weights and batch are not known to us: the numbers of every preset are ours.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args, get_type_hints

from ..errors import InvalidOption
from ..run_settings import known_settings, preset_of
from .network import NETWORKS, STRIDE

Variant = Literal["ours", "paper"]
PriceLoss = Literal["huber", "squared"]
DensityLoss = Literal["coral", "soft-bins", "cross-entropy"]
PositionLoss = Literal["sphere", "degrees"]
ReconstructionLoss = Literal["classes", "colors"]
Centering = Literal["mean", "sinkhorn"]
Weighting = Literal["running-mean", "log-variance", "equal"]


@dataclass(frozen=True, kw_only=True)
class MapRun:
    """One self-distillation run over a map. Its checkpoint holds a copy.

    Fields that may be None follow `variant`; `resolved` fills them in.
    """

    variant: Variant = "ours"

    # Views: see `views`.
    ground_m: float = 800.0  # ground width of the crop that a place is embedded by
    global_px: int = 64
    local_px: int = 32
    n_local: int = 4
    global_zoom: tuple[float, float] = (0.8, 1.25)  # ground width of a global view over `ground_m`
    local_zoom: tuple[float, float] = (0.25, 0.5)
    local_offset: float = 0.25  # centers of local views lie this share of `ground_m` off, at most
    is_rotated: bool = True
    is_flipped: bool = False  # a mirrored coast is another coast
    channel_dropout: float = 0.05  # share of the legend's classes that a student's view never sees

    # The network and the head: see `network` and `dino`.
    network: str = "tiny"
    dimension: int = 128
    n_out: int = 256
    head_hidden: int = 512
    bottleneck: int = 64
    head_is_batch_normed: bool = True
    student_temperature: float = 0.1
    teacher_temperature_start: float = 0.04
    teacher_temperature: float = 0.05
    teacher_warm_up: float = 0.3  # share of the run over which the teacher's temperature rises
    teacher_momentum: float = 0.99  # at step 0; rises to 1 along a cosine
    centering: Centering | None = None  # of the teacher's logits
    center_momentum: float = 0.9
    frozen_epochs: int = 1  # for which the last layer of the head does not learn

    # The weights of the total; 0 leaves a part out.
    distillation_weight: float = 1.0
    koleo_weight: float = 0.02  # with 0.1 a crop and the same turned are told apart, too: see README
    geo_weight: float = 0.3  # alpha
    reconstruction_weight: float = 0.3  # beta
    clustering_weight: float = 0.3  # gamma
    surroundings_weight: float = 1.0  # ours; the published total has no such part
    weighting: Weighting | None = None  # of the auxiliary parts against each other

    # Geographic heads: see `geo_heads`.
    uses_price: bool = True
    uses_density: bool = True
    uses_position: bool = True
    price_loss: PriceLoss | None = None
    density_loss: DensityLoss | None = None
    position_loss: PositionLoss | None = None
    position_stop_gradient: bool | None = None  # the position head learns, the network does not
    n_density_bins: int = 8
    n_geocells: int = 32

    # Reconstruction under a mask, and clustering of the middle layer.
    reconstruction_loss: ReconstructionLoss | None = None
    mask_share: float = 0.5
    n_prototypes: int = 64
    cluster_width: int = 64
    cluster_student_temperature: float = 0.1
    cluster_teacher_temperature: float | None = None
    center_student: bool | None = None  # subtract the diversity offset from the student, too

    # The ring around a crop, see `surroundings`: width of its outer edge over `ground_m`.
    surroundings_zoom: float = 3.0

    # Places: see `sampling`.
    keep_floor: float = 0.1  # weight of a place whose crop shows one class only; 1: no filter
    entropy_bits: float = 1.5  # from this entropy of its crop on a place has full weight
    held_out_share: float = 0.1  # of the places, in whole blocks, that nothing learns from

    # The optimization: AdamW.
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-3  # at its height
    final_learning_rate: float = 1e-5
    warm_up: float = 0.1  # share of the run
    weight_decay: float = 0.04
    final_weight_decay: float = 0.2
    clip: float = 3.0  # largest norm of the gradient; 0: none
    is_bf16: bool = False
    is_channels_last: bool = False
    prefetched: int = 4  # batches of crops that are cut ahead

    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning; whether a run can go well is for `checks` to say.

        Raises:
            InvalidOption: names the setting, its value and what it may be.
        """
        for name in ("global_zoom", "local_zoom"):  # JSON knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, hint in get_type_hints(MapRun).items():
            choices = [one for one in get_args(hint) if isinstance(one, str)]
            choices += [word for one in get_args(hint) for word in get_args(one)]
            value = getattr(self, name)
            if choices and all(isinstance(one, str) for one in choices) and value is not None:
                _require(value in choices, name, self, f"one of {', '.join(choices)}")
        _require(self.network in NETWORKS, "network", self, f"one of {', '.join(NETWORKS)}")
        for name in (
            "ground_m", "student_temperature", "teacher_temperature_start", "teacher_temperature",
            "cluster_student_temperature", "learning_rate", "entropy_bits",
        ):  # fmt: skip
            _require(getattr(self, name) > 0.0, name, self, "above 0")
        hot = self.cluster_teacher_temperature
        _require(hot is None or hot > 0.0, "cluster_teacher_temperature", self, "above 0")
        for name in (
            "koleo_weight", "distillation_weight", "geo_weight", "reconstruction_weight",
            "clustering_weight", "surroundings_weight", "weight_decay", "final_weight_decay", "clip",
            "n_local", "frozen_epochs", "seed", "final_learning_rate", "local_offset",
        ):  # fmt: skip
            _require(getattr(self, name) >= 0, name, self, "0 or more")
        for name in (
            "dimension", "head_hidden", "bottleneck", "cluster_width", "epochs", "prefetched", "n_geocells",
        ):  # fmt: skip
            _require(getattr(self, name) >= 1, name, self, "1 or more")
        for name in ("n_out", "n_prototypes", "n_density_bins", "batch_size"):
            _require(getattr(self, name) >= 2, name, self, "2 or more")
        _require(self.surroundings_zoom > 1.0, "surroundings_zoom", self, "above 1")
        for name in ("global_px", "local_px"):
            px = getattr(self, name)
            _require(px >= STRIDE and px % STRIDE == 0, name, self, f"a multiple of {STRIDE}")
        for name in ("global_zoom", "local_zoom"):
            zoom = getattr(self, name)
            _require(len(zoom) == 2 and 0 < zoom[0] <= zoom[1], name, self, "two numbers, the smaller first")
        for name in (
            "teacher_momentum", "center_momentum", "warm_up", "teacher_warm_up",
        ):  # fmt: skip
            _require(0.0 <= getattr(self, name) <= 1.0, name, self, "in [0, 1]")
        _require(0.0 < self.keep_floor <= 1.0, "keep_floor", self, "in (0, 1]")
        _require(0.0 <= self.channel_dropout < 1.0, "channel_dropout", self, "in [0, 1)")
        _require(0.0 < self.mask_share < 1.0, "mask_share", self, "in (0, 1)")
        _require(0.0 <= self.held_out_share <= 0.5, "held_out_share", self, "in [0, 0.5]")

    @property
    def resolved(self) -> "MapRun":
        """The same settings with every None filled in as `variant` says."""
        forms = _FORMS[self.variant]
        return replace(self, **{name: value for name, value in forms.items() if getattr(self, name) is None})

    @property
    def reach_m(self) -> float:
        """How far from its place learning looks, meters: a corner of the widest view, or an offset one."""
        widest = max(self.global_zoom[1], self.surroundings_zoom if self.surroundings_weight > 0.0 else 0.0)
        shifted = 2.0 * self.local_offset + self.local_zoom[1] * 2.0**0.5
        return float(self.ground_m * max(widest * 2.0**0.5, shifted) / 2.0)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types."""
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "MapRun":
        """Settings that `to_dict` made.

        Raises:
            InvalidOption: a setting unknown here.
        """
        return cls(**known_settings(cls, settings))

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "MapRun":
        """A preset, with some settings changed.

        Raises:
            UnknownEncoder: no preset of that name.
        """
        return preset_of(PRESETS, name, "map training", changes)


def _require(is_met: bool, name: str, run: MapRun, expected: str) -> None:
    if not is_met:
        raise InvalidOption(f"{name}={getattr(run, name)!r}: must be {expected}")


_FORMS: dict[str, dict[str, Any]] = {
    "ours": {
        "centering": "sinkhorn",
        "weighting": "running-mean",
        "price_loss": "huber",
        "density_loss": "coral",
        "position_loss": "sphere",
        "position_stop_gradient": True,
        "reconstruction_loss": "classes",
        "center_student": False,
        # With 0.1 on both sides the assignments stay uniform: 4.10 nats of ln 64 = 4.16 after 112 steps.
        "cluster_teacher_temperature": 0.05,
    },
    "paper": {
        "centering": "mean",
        "weighting": "equal",
        "price_loss": "squared",
        "density_loss": "cross-entropy",
        "position_loss": "degrees",
        "position_stop_gradient": False,
        "reconstruction_loss": "colors",
        "center_student": True,
        "cluster_teacher_temperature": 0.1,
    },
}

PRESETS: dict[str, MapRun] = {
    "small-data": MapRun(),
    "paper": MapRun(variant="paper", koleo_weight=0.0, channel_dropout=0.0, surroundings_weight=0.0),
    "gpu": MapRun(
        network="vit-small",
        dimension=256,
        global_px=224,
        local_px=96,
        n_local=8,
        n_out=4096,
        head_hidden=2048,
        bottleneck=256,
        n_prototypes=512,
        cluster_width=128,
        n_geocells=256,
        teacher_momentum=0.996,
        teacher_temperature=0.07,
        batch_size=256,
        learning_rate=5e-4,
        final_learning_rate=1e-6,
        final_weight_decay=0.4,
        epochs=100,
        is_bf16=True,
        prefetched=8,
    ),
}
