"""An evaluation as a picture: errors, calibration, coverage, trust, and how much must be searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .recall_area import recall_by_area
from .surface import Floats

if TYPE_CHECKING:
    from .evaluation_report import Evaluation

_LEAST_KM2 = 1.0
_EARTH_KM2 = 5.1e8


def plot_evaluation(evaluation: Evaluation, path: str | Path) -> None:
    """Write the picture; its kind by the file's suffix, such as .png, .svg or .pdf."""
    has_areas = bool(evaluation.area_km2)
    figure = Figure(figsize=(14.5, 8.6) if has_areas else (19.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3).ravel() if has_areas else figure.subplots(1, 4)
    drawn = [_errors, _reliability_of, _coverage, _trust]
    if has_areas:
        drawn = [_errors, _areas, _reliability_of, _coverage, _trust, _parts]
    for draw, one in zip(drawn, axes, strict=True):
        draw(one, evaluation)
        one.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def _errors(axes: Axes, evaluation: Evaluation) -> None:
    for row in evaluation.rows:
        share = np.arange(1, len(row.error_km) + 1) / len(row.error_km)
        axes.step(np.sort(np.maximum(row.error_km, 0.1)), share, where="post", label=row.name)
    for row, dash in zip(evaluation.ceilings, ("--", ":"), strict=False):
        share = np.arange(1, len(row.error_km) + 1) / len(row.error_km)
        errors = np.sort(np.maximum(row.error_km, 0.1))
        axes.step(errors, share, where="post", label=row.name, color="0.55", linestyle=dash)
    axes.set(xscale="log", xlabel="error, km", ylabel="share of photos", xlim=(1.0, 20_040.0), ylim=(0, 1))
    axes.legend(fontsize="small", frameon=False)


def _areas(axes: Axes, evaluation: Evaluation) -> None:
    for name, area in evaluation.area_km2.items():
        areas, share = recall_by_area(np.maximum(area, _LEAST_KM2))
        axes.step(areas, share, where="post", label=name, color="0.55" if name == "prior" else "C5")
    axes.set(
        xscale="log", xlabel="area of the region, km²", ylabel="share of truths in it",
        xlim=(_LEAST_KM2, _EARTH_KM2), ylim=(0, 1),
    )  # fmt: skip
    axes.legend(fontsize="small", frameon=False)


def _reliability_of(axes: Axes, evaluation: Evaluation) -> None:
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for radius, stated in evaluation.stated.items():
        means, observed = reliability(stated, evaluation.best_error_km <= radius)
        axes.plot(means, observed, marker="o", label=f"within {radius:g} km")
    axes.set(xlabel="stated probability", ylabel="observed share", xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize="small", frameon=False)


def _coverage(axes: Axes, evaluation: Evaluation) -> None:
    levels = list(evaluation.covered)
    held = np.array([evaluation.interval(evaluation.covered[level].astype(float)) for level in levels])
    spread = np.abs(held[:, 1:] - held[:, :1]).T
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.errorbar(levels, held[:, 0], yerr=spread, fmt="o", capsize=4)
    axes.set(xlabel="level of the region", ylabel="share of truths inside", xlim=(0, 1), ylim=(0, 1))


def _trust(axes: Axes, evaluation: Evaluation) -> None:
    for radius in evaluation.stated:
        axes.step(*evaluation.risk_coverage(radius), where="pre", label=f"farther than {radius:g} km")
    axes.set(
        xlabel="share answered, the surest first", ylabel="share of them in error", xlim=(0, 1), ylim=(0, 1)
    )
    axes.legend(fontsize="small", frameon=False)


def _parts(axes: Axes, evaluation: Evaluation) -> None:
    """Coverage by continent: marginal coverage can hide that one is covered always, another never."""
    parts = [part for part in evaluation.breakdown("continent") if part.n_photos][::-1]
    rows = np.arange(len(parts))
    for shift, level in zip(
        np.linspace(-0.12, 0.12, len(evaluation.covered)), evaluation.covered, strict=True
    ):
        held = np.array([part.figures[f"coverage_{100 * level:g}"] for part in parts]).reshape(-1, 3)
        spread = np.nan_to_num(np.abs(held[:, 1:] - held[:, :1]).T)
        line = axes.errorbar(
            held[:, 0], rows + shift, xerr=spread, fmt="o", capsize=3, label=f"{level:.0%} region"
        )
        axes.axvline(level, color=line[0].get_color(), linewidth=1, alpha=0.5)
    axes.set_yticks(rows, [f"{part.name} ({part.n_photos:,})" for part in parts])
    axes.set(xlabel="share of truths inside, by continent", xlim=(-0.02, 1.02))
    if parts:
        axes.legend(fontsize="small", frameon=False)


def reliability(stated: Floats, hit: NDArray[np.bool_], n_bins: int = 10) -> tuple[Floats, Floats]:
    """Mean stated probability and observed share of each tenth of the photos."""
    parts = [part for part in np.array_split(np.argsort(stated, kind="stable"), n_bins) if len(part)]
    return (
        np.array([stated[part].mean() for part in parts]),
        np.array([hit[part].mean() for part in parts]),
    )
