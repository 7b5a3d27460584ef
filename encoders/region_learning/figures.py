"""How well regions are told: what is right, what is taken for what, and how far it can be believed.

The headline is the mean recall of the regions: each counts alike, however many photos it has. Intervals are
of 95 %, by 1,000 resamples of whole sub-areas within each region; photos of one sub-area tell much the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..geocell_heads.figures import calibration_error
from .material import RegionPhotos

_Floats = NDArray[np.float64]
_Rows = NDArray[np.intp]

N_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Resamples:
    """How often each sub-area is drawn in each resample, (B, A): as many as there are, region by region."""

    times: NDArray[np.int32]

    @classmethod
    def of(cls, photos: RegionPhotos, *, n: int = N_RESAMPLES, seed: int = 0) -> "Resamples":
        """Draw them."""
        rng = np.random.default_rng([seed, 13])
        region_of_area = np.zeros(len(photos.area_names), dtype=np.intp)
        region_of_area[photos.area] = photos.region
        times = np.zeros((n, len(region_of_area)), dtype=np.int32)
        for region in range(len(photos.names)):
            areas = np.flatnonzero(region_of_area == region)
            times[:, areas] = rng.multinomial(len(areas), np.full(len(areas), 1.0 / len(areas)), size=n)
        return cls(times)

    def recalls(self, photos: RegionPhotos, is_right: NDArray[np.bool_]) -> tuple[_Floats, _Floats]:
        """Recall of each region, (R,), and of each in each resample, (B, R)."""
        n_areas, n_regions = len(photos.area_names), len(photos.names)
        right = np.zeros((n_areas, n_regions))
        asked = np.zeros((n_areas, n_regions))
        np.add.at(right, (photos.area, photos.region), is_right.astype(np.float64))
        np.add.at(asked, (photos.area, photos.region), 1.0)
        drawn_right, drawn_asked = self.times @ right, self.times @ asked
        return right.sum(axis=0) / asked.sum(axis=0), drawn_right / np.maximum(drawn_asked, 1e-12)

    def accuracies(self, photos: RegionPhotos, is_right: NDArray[np.bool_]) -> _Floats:
        """Share of photos that are right in each resample, (B,)."""
        right = np.bincount(photos.area, is_right, len(photos.area_names))
        asked = np.bincount(photos.area, minlength=len(photos.area_names))
        return np.asarray((self.times @ right) / np.maximum(self.times @ asked, 1e-12))


def figures_of(photos: RegionPhotos, said: _Rows, drawn: Resamples) -> dict[str, Any]:
    """Mean recall and accuracy of answers, with intervals, and the recall of each region."""
    is_right = said == photos.region
    recall, recalls = drawn.recalls(photos, is_right)
    return {
        "macro_recall": float(recall.mean()),
        "macro_recall_interval": interval(recalls.mean(axis=1)),
        "accuracy": float(is_right.mean()),
        "accuracy_interval": interval(drawn.accuracies(photos, is_right)),
        "recall": recall.tolist(),
        "recall_interval": [interval(column) for column in recalls.T],
    }


def stated_figures(photos: RegionPhotos, log_p: _Floats, drawn: Resamples) -> dict[str, Any]:
    """`figures_of` the likeliest regions, and whether probabilities can be believed.

    ``nll`` is in nats, of a photo; ``even_nll`` that of a guess, log R. ``ece`` is over 15 bins. Both are
    as if each region were asked about as often, which is what the classifier takes for granted.
    ``of_surest`` is the share that is right among the surest 10, 20, …, 100 % of the photos.
    """
    said = log_p.argmax(axis=1)
    is_right = said == photos.region
    stated = np.exp(log_p[np.arange(len(said)), said])
    order = np.argsort(-stated, kind="stable")
    upto = np.maximum(1, np.round(np.arange(0.1, 1.05, 0.1) * len(order)).astype(np.intp))
    even = 1.0 / (len(photos.names) * np.bincount(photos.region)[photos.region])
    rank = (log_p > log_p[np.arange(len(said)), photos.region][:, None]).sum(axis=1)
    return figures_of(photos, said, drawn) | {
        "top_2": float((rank < 2).mean()),
        "top_3": float((rank < 3).mean()),
        "nll": -float(even @ log_p[np.arange(len(said)), photos.region]),
        "even_nll": float(np.log(len(photos.names))),
        "ece": calibration_error(stated, is_right, weights=even),
        "of_surest": [float(is_right[order[:n]].mean()) for n in upto],
    }


def confusion_of(photos: RegionPhotos, said: _Rows) -> NDArray[np.intp]:
    """How many photos of each region, a row, were taken for each, a column: (R, R)."""
    n = len(photos.names)
    return np.bincount(photos.region * n + said, minlength=n * n).reshape(n, n)


def confused_pairs(confusion: NDArray[np.intp], *, most: int = 10) -> list[tuple[int, int, int]]:
    """Pairs of regions most taken for each other: (a, b, photos of either taken for the other).

    Ordered by their share of both regions' photos, so that large regions do not come first for being large.
    """
    both = confusion + confusion.T
    total = confusion.sum(axis=1)
    pairs = [
        (int(both[a, b]) / max(int(total[a] + total[b]), 1), a, b)
        for a in range(len(both))
        for b in range(a + 1, len(both))
        if both[a, b]
    ]
    pairs.sort(key=lambda one: (-one[0], one[1], one[2]))
    return [(a, b, int(both[a, b])) for _, a, b in pairs[:most]]


def interval(values: _Floats) -> tuple[float, float]:
    """95 % of resamples lie between these."""
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
