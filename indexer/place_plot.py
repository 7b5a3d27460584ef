"""An evaluation of place recognition as a picture: recall, errors, and what heeding doubt buys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .place_recall import RECALL_AT
from .place_report import PlaceEvaluation

_LEAST_M, _MOST_M = 0.1, 2.0e7


def plot_places(evaluation: PlaceEvaluation, path: str | Path) -> None:
    """Write the picture; its kind by the file's suffix, such as .png, .svg or .pdf."""
    drawn = [_recall, _risk]
    if evaluation.rows[0].error_m is not None:
        drawn.insert(1, _errors)
    figure = Figure(figsize=(5.0 * len(drawn), 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    for draw, axes in zip(drawn, figure.subplots(1, len(drawn)), strict=True):
        draw(axes, evaluation)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize="small", frameon=False)
    figure.savefig(path, dpi=150)


def _recall(axes: Axes, evaluation: PlaceEvaluation) -> None:
    for row in evaluation.rows:
        share = np.array([(one.value, one.low, one.high) for one in row.recalls])
        axes.plot(RECALL_AT, share[:, 0], marker="o", label=row.name)
        axes.fill_between(RECALL_AT, share[:, 1], share[:, 2], alpha=0.12, linewidth=0)
    chance = [one.chance for one in evaluation.rows[0].recalls]
    axes.plot(RECALL_AT, chance, color="0.55", linestyle=":", label="chance")
    axes.set(xlabel="answers looked at, N", ylabel="recall@N", xticks=RECALL_AT, ylim=(0, 1.02))


def _errors(axes: Axes, evaluation: PlaceEvaluation) -> None:
    for row in evaluation.rows:
        if row.error_m is not None:
            share = np.arange(1, len(row.error_m) + 1) / len(row.error_m)
            axes.step(np.sort(np.clip(row.error_m, _LEAST_M, _MOST_M)), share, where="post", label=row.name)
    axes.set(
        xscale="log", xlabel="error of the first answer, m", ylabel="share of queries",
        xlim=(_LEAST_M, _MOST_M), ylim=(0, 1.02),
    )  # fmt: skip


def _risk(axes: Axes, evaluation: PlaceEvaluation) -> None:
    """Of the first way, every sign of doubt."""
    row = evaluation.rows[0]
    for sign, one in row.risk.items():
        axes.step(one.coverage, one.risk, where="pre", label=f"{sign}, area {one.area:.3f}")
    axes.axhline(row.n_wrong / row.n_counted, color="0.55", linestyle=":", label="any order")
    axes.set(
        xlabel="share answered, the surest first", ylabel="share of them wrong", xlim=(0, 1), ylim=(0, 1),
        title=row.name,
    )  # fmt: skip
