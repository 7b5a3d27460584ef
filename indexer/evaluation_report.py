"""The figures of an evaluation with their intervals; tables and plots are made of them.

Intervals are 95 % percentile bootstrap intervals over groups, since photos of one group share their
luck. Differences are paired: both rows see the same resampled groups. Letters: Q photos, G groups,
B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from .breakdown import Part, parts_of
from .evaluation_plot import plot_evaluation
from .evaluation_tables import methods_table
from .leakage import BURNED_IN
from .recall_area import AREAS_KM2
from .rows import Row as Row
from .surface import Floats

TRUST_KM = 750.0
"""The radius by which sure answers are told from unsure ones."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All rows and the calibration of ours.

    Attributes:
        rows: baselines first, ours last.
        group: label of each photo, (Q,).
        covered: for each level, whether the region held the truth, (Q,).
        stated: for each radius, the stated probability of an error within it, (Q,).
        best_error_km: error of the default point, which `stated` is about, (Q,).
        information_bits: stated information over the prior, (Q,).
        abstained: (Q,).
        audit: counts of suspicious neighbors.
        seed: of everything random.
        n_resamples: B.
        ceilings: the best that answers of a kind could do (`ceilings`).
        is_inclusive: whether an error of exactly a radius is within it.
        parts: continent and country of each photo, (Q,) each; none where they are not asked for.
        area_km2: for ours and for the prior, the area of the region that just holds the truth, (Q,).
        block_deg: size of the blocks that the groups are; None where they are no blocks.
        exclude_similarity: above which photos were hidden as copies; None where none were.
        burned_in: names of the photos that may show text burned in.
    """

    rows: list[Row]
    group: NDArray[np.intp]
    covered: dict[float, NDArray[np.bool_]]
    stated: dict[float, Floats]
    best_error_km: Floats
    information_bits: Floats
    abstained: NDArray[np.bool_]
    audit: dict[str, int]
    seed: int
    n_resamples: int
    ceilings: list[Row] = field(default_factory=list)
    is_inclusive: bool = True
    parts: Mapping[str, NDArray[np.str_]] = field(default_factory=dict)
    area_km2: Mapping[str, Floats] = field(default_factory=dict)
    block_deg: float | None = None
    exclude_similarity: float | None = None
    burned_in: Sequence[str] = ()

    @cached_property
    def _weights(self) -> Floats:
        """How often each photo is drawn in each resample of groups, (B, Q)."""
        _, index = np.unique(self.group, return_inverse=True)
        n_groups = int(index.max()) + 1
        rng = np.random.default_rng(self.seed)
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=self.n_resamples)
        return drawn[:, index].astype(np.float64)

    def interval(self, values: Floats, rows: NDArray[np.bool_] | None = None) -> tuple[float, float, float]:
        """Mean of (Q,) values and its 95 % interval, of all photos or of some rows, (Q,)."""
        weights = self._weights if rows is None else self._weights[:, rows]
        values = values if rows is None else values[rows]
        n_drawn = weights.sum(axis=1)
        drawn = n_drawn > 0.0  # a resample may leave out every group of a small part
        low, high = np.quantile((weights @ values)[drawn] / n_drawn[drawn], (0.025, 0.975))
        return float(values.mean()), float(low), float(high)

    def median_interval(self, values: Floats) -> tuple[float, float, float]:
        """Median of (Q,) values and its 95 % interval."""
        order = np.argsort(values)
        cumulative = np.cumsum(self._weights[:, order], axis=1)
        place = (cumulative >= cumulative[:, -1:] / 2.0).argmax(axis=1)
        low, high = np.quantile(values[order][place], (0.025, 0.975))
        return float(np.median(values)), float(low), float(high)

    def figures(self, row: Row) -> dict[str, tuple[float, float, float]]:
        """Every figure of a row with its interval."""
        figures = {
            name: self.interval(values)
            for name, values in row.columns(is_inclusive=self.is_inclusive).items()
        }
        return figures | {"median_km": self.median_interval(row.error_km)}

    def gains(self) -> dict[str, dict[str, tuple[float, float, float]]]:
        """GeoScore and bits of the last row less each other row's, paired."""
        ours = self.rows[-1]
        return {
            row.name: {
                "geoscore": self.interval(ours.geoscore - row.geoscore),
                "bits": self.interval(ours.bits - row.bits),
            }
            for row in self.rows[:-1]
        }

    def calibration_error(self) -> dict[float, float]:
        """Expected calibration error of the stated probabilities, for each radius."""
        return {
            radius: expected_calibration_error(stated, self.best_error_km <= radius)
            for radius, stated in self.stated.items()
        }

    def risk_coverage(self, radius_km: float = TRUST_KM) -> tuple[Floats, Floats]:
        """What answering only the surest photos buys: share answered and share of them in error.

        Photos are answered from the highest stated probability of an error within the radius down
        (selective prediction, El-Yaniv and Wiener 2010); photos stated alike are answered together.

        Returns:
            Coverage, rising to 1, and the risk at each, both (at most Q,).
        """
        stated, wrong = self.stated[radius_km], self.best_error_km > radius_km
        order = np.argsort(-stated, kind="stable")
        last = np.append(np.diff(stated[order]) != 0.0, True)
        n = np.arange(1, len(order) + 1)
        return (n / len(order))[last], (np.cumsum(wrong[order]) / n)[last]

    def area_under_risk(self, radius_km: float = TRUST_KM) -> float:
        """Mean risk over all coverages; that of a random order is the error rate itself."""
        coverage, risk = self.risk_coverage(radius_km)
        return float((risk * np.diff(coverage, prepend=0.0)).sum())

    def breakdown(self, kind: str) -> list[Part]:
        """Our figures in each "continent" or "country", that with the most photos first."""
        return parts_of(self, kind)

    def recall_at_area(self) -> dict[str, dict[str, tuple[float, float, float]]]:
        """For ours and the prior, the share of truths in regions of so many km² at most."""
        return {
            name: {f"{limit:g}": self.interval((area <= limit).astype(float)) for limit in AREAS_KM2}
            for name, area in self.area_km2.items()
        }

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types: value, low and high; None for what is not stated."""
        return {
            "n_photos": len(self.group),
            "n_groups": len(np.unique(self.group)),
            "rows": {row.name: _plain(self.figures(row)) for row in self.rows},
            "ceilings": {row.name: _plain(self.figures(row)) for row in self.ceilings},
            "gains": {name: _plain(gain) for name, gain in self.gains().items()},
            "coverage": _plain(
                {f"{level:g}": self.interval(hit.astype(float)) for level, hit in self.covered.items()}
            ),
            "calibration_error": {f"{radius:g}": error for radius, error in self.calibration_error().items()},
            "area_under_risk": {f"{radius:g}": self.area_under_risk(radius) for radius in self.stated},
            "recall_at_km2": {name: _plain(recall) for name, recall in self.recall_at_area().items()},
            "continents": {part.code: part.to_dict() for part in self.breakdown("continent")},
            "countries": {part.code: part.to_dict() for part in self.breakdown("country")},
            "mean_stated_bits": float(self.information_bits.mean()),
            "abstained": float(self.abstained.mean()),
            "audit": self.audit,
            "is_inclusive": self.is_inclusive,
            "block_deg": self.block_deg,
            "exclude_similarity": self.exclude_similarity,
            "burned_in": list(self.burned_in),
            "seed": self.seed,
            "n_resamples": self.n_resamples,
        }

    def summary(self) -> str:
        """What the table does not say: gains over the baselines, calibration, and warnings."""
        lines = []
        for name, gain in self.gains().items():
            if name.startswith("ours"):
                continue
            parts = [
                f"{shown.format(*gain[key])} {unit}"
                for key, unit, shown in (
                    ("geoscore", "GeoScore", "{:+.0f} [{:+.0f}, {:+.0f}]"),
                    ("bits", "bits", "{:+.2f} [{:+.2f}, {:+.2f}]"),
                )
                if not np.isnan(gain[key][0])
            ]
            lines.append(f"{self.rows[-1].name} over {name}: {', '.join(parts)}")
        errors = ", ".join(f"{radius:g} km {error:.3f}" for radius, error in self.calibration_error().items())
        lines.append(f"calibration error of the stated probabilities: {errors}")
        coverage, risk = self.risk_coverage()
        half = int(np.searchsorted(coverage, 0.5))
        lines.append(
            f"farther than {TRUST_KM:g} km: {risk[-1]:.0%} of all photos, {risk[half]:.0%} of the surest half"
        )
        if "ours" in self.area_km2:
            middle, most = np.quantile(self.area_km2["ours"], (0.5, 0.9))
            lines.append(
                f"half of the truths lie in the likeliest {middle:,.0f} km², 90 % in {most:,.0f} km²"
            )
        if self.block_deg is not None:
            lines.append(f"groups are blocks of {self.block_deg:g}°, which nothing that judged them had seen")
        lines.append(f"abstained: {self.abstained.mean():.1%} of {len(self.group):,} photos")
        first = {BURNED_IN: f", the first: {self.burned_in[0]}"} if self.burned_in else {}
        lines += [
            f"look at: {count} photos, {what}{first.get(what, '')}"
            for what, count in self.audit.items()
            if count
        ]
        return "\n".join(lines)

    def table(self) -> Table:
        """A column for each method, narrow enough for any terminal, with the main intervals."""
        return methods_table(self)

    def plot(self, path: str | Path) -> None:
        """Draw errors, areas, stated against observed probabilities, coverage, and what abstaining buys."""
        plot_evaluation(self, path)


def expected_calibration_error(stated: Floats, hit: NDArray[np.bool_], *, n_bins: int = 10) -> float:
    """Mean gap between stated probabilities and what happened, over equally wide bins, by their size."""
    bins = np.minimum((stated * n_bins).astype(int), n_bins - 1)
    gap = np.bincount(bins, stated - hit, minlength=n_bins)
    return float(np.abs(gap).sum() / len(stated))


def _plain(figures: dict[str, tuple[float, float, float]]) -> dict[str, list[float | None]]:
    return {
        name: [None if np.isnan(value) else value for value in figure] for name, figure in figures.items()
    }
