"""Which places a run learns from, and how often: held-out blocks, weights by what a map says.

A crop of open sea holds one class and teaches little, but the sea must still be embedded: places of
low entropy come seldom, not never. Everything random is a function of seed and epoch or step.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..csp_sampling import hold_out, regions
from ..errors import TooFewPairs
from ..mosaics.entropy import entropy_bits, sampling_weight
from ..sphere import EARTH_RADIUS_KM, chord_of_km, unit_vectors
from .crop_source import CropSource
from .settings import MapRun

MIN_REGIONS = 10
"""Blocks below which holding some out would say nothing."""

# Streams of one seed that must not meet; those of `csp_sampling` end at 5.
_EPOCH, _STEP = 11, 12
_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]


@dataclass(frozen=True)
class MapSplit:
    """Places dealt out: rows that train, rows that are held out in whole blocks.

    Places near a held-out one, whose views would show what it shows, are in neither.
    """

    train: _Rows
    held_out: _Rows
    n_regions: int

    @classmethod
    def of(cls, lonlat: _Floats, run: MapRun) -> "MapSplit":
        """Deal places out.

        Blocks are three times as wide as what one place's views cover. With too few blocks nothing is
        held out.

        Raises:
            TooFewPairs: fewer places than a batch remain for training.
        """
        everything = np.arange(len(lonlat))
        train, held, n = everything, everything[:0], 0
        if run.held_out_share > 0.0 and len(lonlat):
            block_deg = float(np.degrees(6.0 * run.reach_m / 1000.0 / EARTH_RADIUS_KM))
            region = regions(lonlat, np.arange(len(lonlat)).astype(str), block_deg)
            n = int(region.max()) + 1
            if n >= MIN_REGIONS:
                part = hold_out(region, (run.held_out_share,), seed=run.seed)
                train, held = np.flatnonzero(part == 0), np.flatnonzero(part == 1)
                # Two views that touch lie two reaches apart.
                tree = cKDTree(unit_vectors(lonlat[held]))
                distance, _ = tree.query(unit_vectors(lonlat[train]))
                train = train[distance > chord_of_km(2.0 * run.reach_m / 1000.0)]
        if len(train) < run.batch_size:
            raise TooFewPairs(
                f"{len(train)} training places are fewer than a batch of {run.batch_size}: give more places, "
                "a smaller --batch-size, or a smaller held_out_share"
            )
        return cls(train, held, n)


@dataclass(frozen=True)
class PlaceWeights:
    """Entropy of each training place's crop, and the weight that follows from it, (N,)."""

    entropy: _Floats
    weight: _Floats
    keep_floor: float
    full_bits: float

    @classmethod
    def measure(
        cls, source: CropSource, lonlat: _Floats, run: MapRun, *, batch_size: int = 512
    ) -> "PlaceWeights":
        """Look at the straight crop of each place once: (N, 2) degrees."""
        parts = [
            entropy_bits(source.crops(part, ground_m=run.ground_m, px=run.global_px))
            for part in np.array_split(lonlat, max(1, -(-len(lonlat) // batch_size)))
        ]
        entropy = np.concatenate(parts).astype(np.float64)
        weight = sampling_weight(entropy, reference=run.entropy_bits, keep_floor=run.keep_floor)
        return cls(entropy, weight, run.keep_floor, run.entropy_bits)

    @property
    def n_epoch(self) -> int:
        """Places of an epoch: the sum of the weights, whole."""
        return max(1, int(float(self.weight.sum()) + 1e-9))

    def draw(self, seed: int, epoch: int) -> _Rows:
        """Places of one epoch in order, none twice, each with the probability of its weight: (n_epoch,)."""
        rng = np.random.default_rng([seed, _EPOCH, epoch])
        # Systematic: weights are laid end to end in a random order, and every whole number that they pass
        # takes the place that it falls into. Draws by odds would keep twice as many of small weight.
        order = rng.permutation(len(self.weight))
        end = np.cumsum(self.weight[order])
        passed = np.floor(end / end[-1] * self.n_epoch + rng.uniform())
        chosen = order[np.diff(passed, prepend=0.0) > 0.0]
        return rng.permutation(chosen)

    def report(self) -> dict[str, Any]:
        """Figures for the report."""
        return {
            "places": len(self.weight),
            "places_an_epoch": self.n_epoch,
            "left_out_an_epoch": len(self.weight) - self.n_epoch,
            "keep_floor": self.keep_floor,
            "full_weight_from_bits": self.full_bits,
            "entropy_bits": {
                str(q): round(float(np.quantile(self.entropy, q / 100)), 3) for q in (0, 10, 50, 90, 100)
            },
            "share_below_full_weight": round(float((self.entropy < self.full_bits).mean()), 4),
            "share_of_one_class": round(float((self.entropy == 0.0).mean()), 4),
        }


def step_rng(seed: int, step: int) -> np.random.Generator:
    """The generator of the views of one step."""
    return np.random.default_rng([seed, _STEP, step])
