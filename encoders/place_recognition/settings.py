"""The settings of learning to recognize places. Distances are meters."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from ..errors import InvalidOption
from ..netvlad import Form
from ..run_settings import known_settings
from .pooling import Kind

Loss = Literal["multi-similarity", "triplet"]
Resize = Literal["squash", "shortest"]


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """Which photos may show one place; see `relations`."""

    positive_from_m: float = 1.0  # further than this; 0: the very same spot counts, too
    positive_to_m: float = 10.0  # at this distance or nearer
    negative_from_m: float = 25.0  # further than this
    other_time: bool = False  # a potential positive was taken at another time
    other_sequence: bool = False  # … and in another sequence
    heading_to_deg: float | None = None  # … and looks at most so far aside

    def __post_init__(self) -> None:
        if not 0.0 <= self.positive_from_m < self.positive_to_m <= self.negative_from_m < math.inf:
            raise InvalidOption(
                f"positives from {self.positive_from_m:g} to {self.positive_to_m:g} m, negatives from "
                f"{self.negative_from_m:g} m: each must be above the one before, or equal to it the last two"
            )
        if self.heading_to_deg is not None and not 0.0 < self.heading_to_deg <= 180.0:
            raise InvalidOption(f"heading_to_deg={self.heading_to_deg:g}: must be in (0, 180]")

    @property
    def conditions(self) -> str:
        """The conditions besides distance, in words to follow it; "" without any."""
        return (
            (" of another time" if self.other_time else "")
            + (" of another sequence" if self.other_sequence else "")
            + (f" looking at most {self.heading_to_deg:g}° aside" if self.heading_to_deg is not None else "")
        )


@dataclass(frozen=True, kw_only=True)
class PlaceRun:
    """One run. Its checkpoint holds a copy."""

    # The encoder: see `encoder.PlaceConfig`.
    layer: int = -1
    size: int | None = None
    resize: Resize = "squash"
    aggregation: Kind = "netvlad"
    n_centers: int = 64  # of NetVLAD
    form: Form = "v1"  # of NetVLAD
    options: dict[str, Any] = field(default_factory=dict)  # of the other aggregations
    n_blocks: int = 0  # last blocks of the backbone that are trained, too; 0 trains the aggregation alone
    whiten: bool = True
    dimension: int | None = (
        None  # after whitening; None: 512, or half of the looks at training photos if fewer
    )

    nearness: Nearness = field(default_factory=Nearness)

    # Looks at each photo: see `looks`.
    n_looks: int = 4  # the first is the whole photo
    least_area: float = 0.4  # share of the photo that the others show, at least

    # The losses: see `losses`.
    loss: Loss = "multi-similarity"
    n_places: int = 32  # of a batch; multi-similarity
    n_views: int = 3  # photos of each of them, at most
    similarity_alpha: float = 1.0
    similarity_beta: float = 50.0
    similarity_base: float = 0.0  # other places are at right angles: with 0.5 hardly any is pushed away
    similarity_margin: float = 0.1  # of its mining
    triplet_margin: float = 0.1  # of squared distances
    n_tuples: int = 4  # of a batch; triplets
    n_random: int = 1000  # negatives that are looked at for each query
    n_remembered: int = 10  # hardest negatives of the last time, looked at again
    n_negatives: int = 10  # of a tuple, at most
    refresh: int = 1000  # queries after which the embeddings that negatives are chosen by are made anew

    # The optimization: Adam, along half a cosine.
    epochs: int = 10
    learning_rate: float = 0.01  # of the aggregation, in shares of a parameter's size
    block_learning_rate: float = 1e-5  # of the backbone's blocks
    held_out_share: float = 0.15  # of the photos, in whole regions, by which the epoch is chosen
    block_deg: float | None = None  # side of these regions; None: by the photos' spread
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning.

        Raises:
            InvalidOption: names the setting, its value and what it may be.
        """
        if isinstance(self.nearness, Mapping):  # JSON knows no classes
            object.__setattr__(self, "nearness", Nearness(**self.nearness))
        for name, choices in (("loss", Loss), ("resize", Resize), ("form", Form), ("aggregation", Kind)):
            known = get_args(choices)
            _require(getattr(self, name) in known, name, self, f"one of {', '.join(known)}")
        for name in ("n_centers", "n_places", "n_views"):
            _require(getattr(self, name) >= 2, name, self, "2 or more")
        for name in ("n_tuples", "n_random", "n_negatives", "refresh", "n_looks"):
            _require(getattr(self, name) >= 1, name, self, "1 or more")
        for name in ("epochs", "n_blocks", "n_remembered", "seed", "similarity_margin"):
            _require(getattr(self, name) >= 0, name, self, "0 or more")
        for name in (
            "learning_rate", "block_learning_rate", "triplet_margin", "similarity_alpha", "similarity_beta",
        ):  # fmt: skip
            _require(0.0 < getattr(self, name) < math.inf, name, self, "above 0, and finite")
        _require(0.0 <= self.held_out_share <= 0.5, "held_out_share", self, "in [0, 0.5]")
        _require(0.0 < self.least_area <= 1.0, "least_area", self, "in (0, 1]")
        for name in ("dimension", "size", "block_deg"):
            value = getattr(self, name)
            _require(value is None or value > 0, name, self, "above 0")

    @property
    def aggregation_options(self) -> dict[str, Any]:
        """Keyword arguments of the aggregation."""
        if self.aggregation == "netvlad":
            return {"n_centers": self.n_centers, "form": self.form, **self.options}
        return dict(self.options)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "PlaceRun":
        """Settings that `to_dict` made.

        Raises:
            InvalidOption: a setting unknown here.
        """
        return cls(**known_settings(cls, settings))


def _require(is_met: bool, name: str, run: PlaceRun, wanted: str) -> None:
    if not is_met:
        raise InvalidOption(f"{name}={getattr(run, name)!r}: must be {wanted}")
