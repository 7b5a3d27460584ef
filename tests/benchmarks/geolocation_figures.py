"""Figures of `geolocation`: means with 95 % intervals of a bootstrap over groups, tables and pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.markdown import Markdown

from placeprint.indexer.evaluate import geoscore, share_within
from placeprint.indexer.evaluation_report import expected_calibration_error
from placeprint.indexer.geolocate import RADII_KM

Floats = NDArray[np.float64]
OURS = "ours"
LEVELS = (0.5, 0.9)
_N_RESAMPLES = 1000
_N_BASELINES = 2  # prior and random photo: no method to be best


class Column(NamedTuple):
    """A row of the table, photo by photo, each (n,); `covered` is (n, levels)."""

    bits: Floats
    error_km: Floats
    own_error_km: Floats
    p_within: Floats
    covered: NDArray[np.bool_] | None
    is_right_city: NDArray[np.bool_] | None
    settings: list[str]


class Bootstrap:
    """Resamples of whole groups, the same for every figure, so that differences are paired."""

    def __init__(self, group: NDArray[np.str_], *, n_resamples: int = _N_RESAMPLES, seed: int = 0) -> None:
        self.number = np.unique(group, return_inverse=True)[1]
        n = int(self.number.max()) + 1
        rng = np.random.default_rng(seed)
        self.times = rng.multinomial(n, np.full(n, 1.0 / n), size=n_resamples)

    def mean(self, values: ArrayLike) -> tuple[float, float, float]:
        """Mean of values (n,) and its interval."""
        each = np.asarray(values, dtype=np.float64)
        size = np.bincount(self.number)
        means = (self.times @ np.bincount(self.number, each)) / (self.times @ size)
        return float(each.mean()), *_interval(means)

    def median(self, values: ArrayLike) -> tuple[float, float, float]:
        """Median of values (n,) and its interval."""
        each = np.asarray(values, dtype=np.float64)
        order = np.argsort(each)
        total = np.cumsum(self.times[:, self.number[order]], axis=1)
        middle = (total < total[:, -1:] / 2.0).sum(axis=1)
        return float(np.median(each)), *_interval(each[order][middle])


def _interval(resamples: Floats) -> tuple[float, float]:
    low, high = np.quantile(resamples, [0.025, 0.975]).tolist()
    return low, high


def figures_of(one: Column, bootstrap: Bootstrap, near_km: float) -> dict[str, Any]:
    """All figures of a row; those with an interval as [value, low, high]."""
    result: dict[str, Any] = {
        "bits": bootstrap.mean(one.bits),
        "geoscore": bootstrap.mean(geoscore(one.error_km)),
        "own_geoscore": bootstrap.mean(geoscore(one.own_error_km)),
        "median_km": bootstrap.median(one.error_km),
        "own_median_km": bootstrap.median(one.own_error_km),
        "mean_km": bootstrap.mean(one.error_km),
        "within": {f"{radius:g}": bootstrap.mean(one.error_km <= radius) for radius in RADII_KM},
        "own_within": {f"{radius:g}": share_within(one.own_error_km, radius) for radius in RADII_KM},
        "calibration_error": expected_calibration_error(one.p_within, one.error_km <= near_km),
        "settings": one.settings,
    }
    if one.covered is not None:
        pairs = zip(LEVELS, one.covered.T, strict=True)
        result["coverage"] = {f"{level:g}": bootstrap.mean(each) for level, each in pairs}
    if one.is_right_city is not None:
        result["city"] = bootstrap.mean(one.is_right_city)
    return result


def differences(columns: Mapping[str, Column], bootstrap: Bootstrap) -> dict[str, Any]:
    """Ours less each other row: bits, GeoScore (against the better of a row's two points), and GeoScore
    against the answer as published."""
    ours, result = columns[OURS], {}
    for name, one in columns.items():
        if name != OURS:
            score = max((geoscore(one.error_km), geoscore(one.own_error_km)), key=np.mean)
            result[name] = {
                "bits": bootstrap.mean(ours.bits - one.bits),
                "geoscore": bootstrap.mean(geoscore(ours.error_km) - score),
                "own_geoscore": bootstrap.mean(geoscore(ours.error_km) - geoscore(one.own_error_km)),
            }
    return result


def best_peer(rows: Mapping[str, Any], figure: str) -> str:
    """The published method of the highest figure."""
    names = [name for name in list(rows)[_N_BASELINES:] if not name.startswith(OURS)]
    return max(names, key=lambda name: rows[name][figure][0])


def write_results(
    table: str,
    columns: Mapping[str, Column],
    group: NDArray[np.str_],
    near_km: float,
    out: Path,
    console: Console,
) -> None:
    """Write geolocation-TABLE.json, .md and .png, and show the table."""
    bootstrap = Bootstrap(group)
    rows = {name: figures_of(one, bootstrap, near_km) for name, one in columns.items()}
    results: dict[str, Any] = {"photos": len(group), "groups": len(np.unique(group)), "rows": rows}
    if OURS in columns and len(columns) > _N_BASELINES + 1:
        results["ours_less"] = differences(columns, bootstrap)
        results["best_peer"] = {key: best_peer(rows, key) for key in ("bits", "geoscore")}
    text = "\n".join(lines_of(table, results, near_km))
    (out / f"geolocation-{table}.json").write_text(json.dumps(results, indent=1))
    (out / f"geolocation-{table}.md").write_text(text + "\n", encoding="utf-8")
    draw(results, out / f"geolocation-{table}.png")
    console.print(Markdown(text))


def lines_of(table: str, results: Mapping[str, Any], near_km: float) -> list[str]:
    """The tables in Markdown."""
    rows = results["rows"]
    has_city = "city" in next(iter(rows.values()))
    within = "".join(f" ≤ {radius:g} km |" for radius in RADII_KM)
    lines = [
        f"# Geolocation: {table}",
        "",
        f"{results['photos']} photos of {results['groups']} groups. Points of the best expected GeoScore; in "
        "brackets the median error of the answer as published. Every row's density was calibrated alike on "
        "held-out training photos, which is more than the published methods come with.",
        "",
        "| row | bits over prior | GeoScore | median km | mean km |"
        + within
        + (" city |" if has_city else ""),
        "|---|" + "---|" * (9 + has_city),
    ]
    for name, row in rows.items():
        shares = "".join(f" {100 * row['within'][f'{radius:g}'][0]:.1f} % |" for radius in RADII_KM)
        city = f" {100 * row['city'][0]:.1f} % |" if has_city else ""
        lines.append(
            f"| {name} | {_with(row['bits'], '.2f')} | {_with(row['geoscore'], '.0f')} | "
            f"{_km(row['median_km'][0])} ({_km(row['own_median_km'][0])}) | {_km(row['mean_km'][0])} |"
            f"{shares}{city}"
        )
    if "ours_less" in results:
        lines += ["", "| ours less | bits | GeoScore | GeoScore as published |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {_with(one['bits'], '+.2f')} | {_with(one['geoscore'], '+.0f')} | "
            f"{_with(one['own_geoscore'], '+.0f')} |"
            for name, one in results["ours_less"].items()
        ]
        best = results["best_peer"]
        lines += ["", f"Best published method: {best['bits']} in bits, {best['geoscore']} in GeoScore."]
    lines += [
        "",
        f"| row | calibration error of P(≤ {near_km:g} km) | 50 % region | 90 % region |",
        "|---|---|---|---|",
    ]
    for name, row in rows.items():
        covers = [_with([100 * share for share in one], ".1f") for one in row.get("coverage", {}).values()]
        lines.append(f"| {name} | {row['calibration_error']:.3f} | {' | '.join(covers or ['–', '–'])} |")
    return lines


def _with(figure: ArrayLike, form: str) -> str:
    value, low, high = np.asarray(figure).tolist()
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _km(value: float) -> str:
    return f"{value:,.0f}" if value >= 100.0 else f"{value:.1f}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Dots with intervals: bits over the prior, and GeoScore with the published answer's beside."""
    rows = results["rows"]
    figure = Figure(figsize=(11.0, 0.42 * len(rows) + 1.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    at = -np.arange(len(rows), dtype=float)
    colors = [
        "tab:red" if name == OURS else "tab:orange" if name.startswith(OURS) else "0.35" for name in rows
    ]
    for axes, key, title in ((left, "bits", "bits over the prior"), (right, "geoscore", "GeoScore, of 5000")):
        for y, color, row in zip(at, colors, rows.values(), strict=True):
            value, low, high = row[key]
            axes.plot([low, high], [y, y], color=color, lw=1.6)
            axes.plot([value], [y], "o", color=color, ms=6)
            if key == "geoscore":
                axes.plot([row["own_geoscore"][0]], [y], "x", color=color, ms=6)
        axes.set_xlabel(title)
        axes.grid(axis="x", color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    left.axvline(0.0, color="0.7", lw=0.8)
    left.set_yticks(at, list(rows))
    right.plot([], [], "o", color="0.35", label="best expected score of the calibrated density")
    right.plot([], [], "x", color="0.35", label="answer as published")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
