"""The settings of a contrastive pre-training run, and presets of them.

``ours`` is the default: MC with all three parts, both directions, temperatures that are learned from
a sharp start, a positional encoding without seams that fits the spread of the photos, images centered
and reduced. Its values were chosen on validation regions of the benchmark's collections.

``csp-paper`` and ``csp-scripts`` keep the constants of Mai et al. 2023 (arXiv:2305.01118): the first
those of its appendix A.4 (iNaturalist column; epochs are not given there, ours are the scripts'), the
second those of the released ``main/run-*.sh``, with the in-batch temperature of 20 at which a perfect
fit is hardly better than chance. Both draw their random places uniformly on the sphere, as the paper
says; the scripts draw from a square of degrees.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args, get_type_hints

from .csp_sampling import Negatives
from .errors import InvalidOption
from .run_settings import known_settings, preset_of

Objective = Literal["mc", "nce"]
Parts = Literal["B", "BL", "BD", "BLD"]
Schedule = Literal["cosine", "exponential"]


@dataclass(frozen=True, kw_only=True)
class CspRun:
    """One pre-training run. Its checkpoint holds a copy."""

    # The objective: see `csp_objectives`.
    objective: Objective = "mc"
    parts: Parts = "BLD"
    is_symmetric: bool = True  # ask also which place a photo belongs to; NCE is symmetric anyway
    location_weight: float = 1.0  # of part L; α1 or β1 in the paper
    dropout_weight: float = 0.1  # of part D; α2 or β2
    n_random: int = 256  # C, random places that a photo is compared with
    shares_random: bool = True  # the same random places for all photos of a batch: C to embed, not B·C
    negatives: Negatives = "sphere"
    same_place_km: float | None = 0.05  # nearer places are one, and no negatives; None: all are
    temperature: float = 0.07  # of part B, at the start where temperatures are learned
    location_temperature: float = 0.07  # of part L
    dropout_temperature: float = 0.07  # of part D
    learned_temperatures: str = "BLD"  # letters of the parts whose temperature learns; "" for none

    # The location side: see `location.LocationEncoder`.
    positional: str = "nerf"  # of the point on the sphere: no seam, no pole
    positional_options: Mapping[str, Any] | None = None  # None: `fitted`
    network: str = "feed-forward"
    network_options: Mapping[str, Any] = field(default_factory=lambda: {"dropout": 0.2})
    dimension: int = 256
    jitter_km: float = 0.0  # places move at random within this radius, anew at each step

    # The image side: frozen embeddings, then one linear layer.
    image_components: int | None = 128  # principal components kept, each of unit variance; None: as is
    image_dropout: float = 0.0

    # The optimization: AdamW, which without weight decay is Adam.
    epochs: int = 60
    batch_size: int = 256  # some hundred steps count for more than some hundred negatives
    learning_rate: float = 1e-3  # at its height
    weight_decay: float = 0.0
    schedule: Schedule = "cosine"  # after a warm-up of 5 %; or exponential, times 0.98 an epoch

    # The hold-outs: whole regions, see `csp_sampling.hold_out`.
    validation_share: float = 0.1  # chooses the epoch
    test_share: float = 0.1  # is reported, and chooses nothing
    block_deg: float | None = None  # None: the largest that leaves regions enough
    takes_best: bool = True  # keep the epoch that was best on the validation part, or the last
    evaluate_every: int = 5  # epochs

    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InvalidOption: names the setting, its value and what it may be.
        """
        for name, hint in get_type_hints(CspRun).items():
            choices = get_args(hint)
            if choices and all(isinstance(choice, str) for choice in choices):
                _require(getattr(self, name) in choices, name, self, f"one of {', '.join(choices)}")
        for name in ("temperature", "location_temperature", "dropout_temperature", "learning_rate"):
            _require(getattr(self, name) > 0.0, name, self, "above 0")
        for name in ("location_weight", "dropout_weight", "jitter_km", "weight_decay"):
            _require(getattr(self, name) >= 0.0, name, self, "0 or more")
        for name in ("n_random", "dimension", "epochs", "evaluate_every"):
            _require(getattr(self, name) >= 1, name, self, "1 or more")
        for name in ("image_components", "same_place_km"):
            least = 1 if name == "image_components" else 0.0
            value = getattr(self, name)
            _require(value is None or value >= least, name, self, f"{least:g} or more, or none")
        are_parts = set(self.learned_temperatures) <= set("BLD")
        _require(are_parts, "learned_temperatures", self, "letters of B, L and D")
        _require(self.batch_size >= 2, "batch_size", self, "2 or more: a pair alone has no negatives")
        _require(0.0 <= self.image_dropout < 1.0, "image_dropout", self, "in [0, 1)")
        _require(self.block_deg is None or 0.0 < self.block_deg <= 90.0, "block_deg", self, "in (0, 90]")
        _require(self.seed >= 0, "seed", self, "0 or more")
        shares = (self.validation_share, self.test_share)
        _require(
            min(shares) > 0.0 and sum(shares) <= 0.5,
            "validation_share",
            self,
            "above 0, with test_share up to 0.5",
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types."""
        return asdict(self)

    def fitted(self, block_deg: float) -> "CspRun":
        """Fit the finest wavelength of `nerf` to how far apart the photos lie, if it is left open.

        An encoding much finer than what the photos resolve learns each of them by heart: on photos
        of 1,188 sites all over the world, waves of half the Earth's radius rank held-out places
        best, on aerial tiles of four cities waves of a thousandth. The finest of S scales is
        2 / 2^(S-1) of the radius; S is such that it spans about 16 of the hold-out's blocks.

        Args:
            block_deg: side of the blocks, degrees.
        """
        if self.positional_options is not None:
            return self
        if self.positional != "nerf":
            return replace(self, positional_options={})
        scales = 1 + round(math.log2(2.0 / (16.0 * math.radians(block_deg))))
        return replace(self, positional_options={"scales": min(max(scales, 2), 14)})

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "CspRun":
        """Settings that `to_dict` made.

        Raises:
            InvalidOption: a setting unknown here.
        """
        return cls(**known_settings(cls, settings))

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "CspRun":
        """A preset, with some settings changed.

        Raises:
            UnknownEncoder: no preset of that name.
        """
        return preset_of(PRESETS, name, "pre-training", changes)


def _require(is_met: bool, name: str, run: CspRun, expected: str) -> None:
    if not is_met:
        raise InvalidOption(f"{name}={getattr(run, name)!r}: must be {expected}")


_PAPER = CspRun(
    is_symmetric=False,
    dropout_weight=1.0,
    n_random=1,
    shares_random=False,
    same_place_km=None,
    temperature=1.0,
    location_temperature=1.0,
    dropout_temperature=1.0,
    learned_temperatures="",
    positional="grid",
    positional_options={"scales": 32, "r_min": 0.01, "r_max": 360.0},
    network_options={"hidden": 512, "layers": 1, "dropout": 0.5, "act": "leaky-relu"},
    image_components=None,
    epochs=30,
    batch_size=1024,
    learning_rate=2e-4,
    schedule="exponential",
    takes_best=False,
)

PRESETS: dict[str, CspRun] = {
    "ours": CspRun(),
    "csp-paper": _PAPER,
    "csp-scripts": replace(
        _PAPER,
        temperature=20.0,
        positional_options={"scales": 32, "r_min": 0.1, "r_max": 360.0},
        learning_rate=5e-4,
    ),
}
