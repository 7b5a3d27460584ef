"""The figures of an evaluation: intervals, a table, a plot, and JSON.

Intervals are 95 % percentile bootstrap intervals over groups, since photos of one group share their
luck. Differences are paired: both rows see the same resampled groups. Letters: Q photos, G groups,
B resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .geolocate import RADII_KM
from .surface import Floats

TRUST_KM = 750.0
"""The radius by which sure answers are told from unsure ones."""


@dataclass(frozen=True, eq=False)
class Row:
    """One method, photo by photo; arrays are (Q,).

    Attributes:
        name: of the method.
        error_km: great-circle distance from its answer to the truth.
        geoscore: 5000 for no error.
        bits: log2 of its density at the truth, less the prior's; NaN where it states none.
        country_hit: whether it names the right country; so does `state_hit`.
    """

    name: str
    error_km: Floats
    geoscore: Floats
    bits: Floats
    country_hit: NDArray[np.bool_]
    state_hit: NDArray[np.bool_]

    def columns(self) -> dict[str, Floats]:
        """What is averaged over photos, by the name of the figure."""
        within = {f"within_{radius:g}_km": self.error_km <= radius for radius in RADII_KM}
        return {name: hit.astype(np.float64) for name, hit in within.items()} | {
            "mean_km": self.error_km,
            "geoscore": self.geoscore,
            "country": self.country_hit.astype(np.float64),
            "state": self.state_hit.astype(np.float64),
            "bits": self.bits,
        }


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

    @cached_property
    def _weights(self) -> Floats:
        """How often each photo is drawn in each resample of groups, (B, Q)."""
        _, index = np.unique(self.group, return_inverse=True)
        n_groups = int(index.max()) + 1
        rng = np.random.default_rng(self.seed)
        drawn = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=self.n_resamples)
        return drawn[:, index].astype(np.float64)

    def interval(self, values: Floats) -> tuple[float, float, float]:
        """Mean of (Q,) values and its 95 % interval."""
        means = self._weights @ values / self._weights.sum(axis=1)
        low, high = np.quantile(means, (0.025, 0.975))
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
        figures = {name: self.interval(values) for name, values in row.columns().items()}
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

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain JSON types: value, low and high; None for what is not stated."""
        return {
            "n_photos": len(self.group),
            "n_groups": len(np.unique(self.group)),
            "rows": {row.name: _plain(self.figures(row)) for row in self.rows},
            "gains": {name: _plain(gain) for name, gain in self.gains().items()},
            "coverage": _plain(
                {f"{level:g}": self.interval(hit.astype(float)) for level, hit in self.covered.items()}
            ),
            "calibration_error": {f"{radius:g}": error for radius, error in self.calibration_error().items()},
            "area_under_risk": {f"{radius:g}": self.area_under_risk(radius) for radius in self.stated},
            "mean_stated_bits": float(self.information_bits.mean()),
            "abstained": float(self.abstained.mean()),
            "audit": self.audit,
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
        lines.append(f"abstained: {self.abstained.mean():.1%} of {len(self.group):,} photos")
        lines += [f"look at: {count} photos, {what}" for what, count in self.audit.items() if count]
        return "\n".join(lines)

    def table(self) -> Table:
        """A column for each method, narrow enough for any terminal, with the main intervals."""
        shown: list[tuple[str, str, Callable[[float], str]]] = [
            *((f"≤ {radius:g} km", f"within_{radius:g}_km", _percent) for radius in RADII_KM),
            ("country", "country", _percent),
            ("state", "state", _percent),
            ("median km", "median_km", "{:,.0f}".format),
            ("mean km", "mean_km", "{:,.0f}".format),
            ("GeoScore", "geoscore", "{:,.0f}".format),
            ("bits", "bits", "{:.2f}".format),
        ]
        coverage = ", ".join(
            "{:.0%} regions hold {:.1%} [{:.1%}, {:.1%}]".format(level, *self.interval(hit.astype(float)))
            for level, hit in self.covered.items()
        )
        table = Table(
            box=SIMPLE_HEAD,
            pad_edge=False,
            padding=0,
            caption_justify="left",
            caption=f"bits: information over the prior. {coverage}. 95 % intervals over groups.",
        )
        table.add_column(f"{len(self.group):,} photos", no_wrap=True)
        figures = [self.figures(row) for row in self.rows]
        for row in self.rows:
            table.add_column(row.name, justify="right", min_width=9, no_wrap=" " not in row.name)
        for title, key, form in shown:
            table.add_row(title, *(_cell(one[key], form) for one in figures))
            if key in ("geoscore", "bits"):
                plain = "{:.0f}".format if key == "geoscore" else form  # a comma more would be too wide
                table.add_row("", *(_interval_cell(one[key], plain) for one in figures), style="dim")
        return table

    def plot(self, path: str | Path) -> None:
        """Draw errors, stated against observed probabilities, coverage, and what abstaining buys."""
        figure = Figure(figsize=(19.0, 4.6), layout="constrained")
        FigureCanvasAgg(figure)
        errors, reliability, coverage, trust = figure.subplots(1, 4)
        for row in self.rows:
            share = np.arange(1, len(row.error_km) + 1) / len(row.error_km)
            errors.step(np.sort(np.maximum(row.error_km, 0.1)), share, where="post", label=row.name)
        errors.set(xscale="log", xlabel="error, km", ylabel="share of photos", xlim=(1.0, 20_040.0))
        errors.legend(fontsize="small")
        reliability.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for radius, stated in self.stated.items():
            means, observed = _reliability(stated, self.best_error_km <= radius)
            reliability.plot(means, observed, marker="o", label=f"within {radius:g} km")
        reliability.set(xlabel="stated probability", ylabel="observed share")
        reliability.legend(fontsize="small")
        levels = list(self.covered)
        held = np.array([self.interval(self.covered[level].astype(float)) for level in levels])
        spread = np.abs(held[:, 1:] - held[:, :1]).T
        coverage.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        coverage.errorbar(levels, held[:, 0], yerr=spread, fmt="o", capsize=4)
        coverage.set(xlabel="level of the region", ylabel="share of truths inside", xlim=(0, 1), ylim=(0, 1))
        for radius in self.stated:
            trust.step(*self.risk_coverage(radius), where="pre", label=f"farther than {radius:g} km")
        trust.set(xlabel="share answered, the surest first", ylabel="share of them in error", ylim=(0, 1))
        trust.legend(fontsize="small")
        figure.savefig(path, dpi=150)


def expected_calibration_error(stated: Floats, hit: NDArray[np.bool_], *, n_bins: int = 10) -> float:
    """Mean gap between stated probabilities and what happened, over equally wide bins, by their size."""
    bins = np.minimum((stated * n_bins).astype(int), n_bins - 1)
    gap = np.bincount(bins, stated - hit, minlength=n_bins)
    return float(np.abs(gap).sum() / len(stated))


def _reliability(stated: Floats, hit: NDArray[np.bool_], n_bins: int = 10) -> tuple[Floats, Floats]:
    """Mean stated probability and observed share of each tenth of the photos."""
    parts = [part for part in np.array_split(np.argsort(stated, kind="stable"), n_bins) if len(part)]
    return (
        np.array([stated[part].mean() for part in parts]),
        np.array([hit[part].mean() for part in parts]),
    )


def _plain(figures: dict[str, tuple[float, float, float]]) -> dict[str, list[float | None]]:
    return {
        name: [None if np.isnan(value) else value for value in figure] for name, figure in figures.items()
    }


def _percent(value: float) -> str:
    return f"{100.0 * value:.1f} %"


def _cell(figure: tuple[float, float, float], form: Callable[[float], str]) -> str:
    return "–" if np.isnan(figure[0]) else form(figure[0])


def _interval_cell(figure: tuple[float, float, float], form: Callable[[float], str]) -> str:
    return "" if np.isnan(figure[0]) else f"{form(figure[1])}–{form(figure[2])}"
