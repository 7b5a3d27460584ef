"""The scoreboard as a picture: a line for each ratio, with its interval and its target."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

REACHED, SHORT, NO_TARGET = "#2f7d4f", "#b4491f", "#7a7a7a"
WORDS = {REACHED: "reaches its target", SHORT: "short of its target", NO_TARGET: "has no target"}
MOST_LETTERS = 58


def draw(board: Mapping[str, Any], path: Path) -> int:
    """Draw all figures that have a ratio; how many there are."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    lines = [(row, one) for row in board["rows"] for one in row["figures"] if one["ratio"]]
    figure, axes = pyplot.subplots(figsize=(10.0, 1.6 + 0.24 * max(1, len(lines))))
    for height, (_, one) in enumerate(lines):
        color = color_of(one)
        low, high = (one["low"] or one["ratio"]), (one["high"] or one["ratio"])
        axes.plot([low, high], [height, height], color=color, linewidth=3.0, solid_capstyle="butt", alpha=0.5)
        axes.plot(one["ratio"], height, "o", color=color, markersize=5.0)
        if one.get("target"):
            axes.plot(one["target"], height, "|", color="black", markersize=9.0, markeredgewidth=1.5)
        axes.annotate(
            f"{one['ratio']:.3g}×",
            (1.01, height),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
        )
    axes.axvline(1.0, color="#444444", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(lines)), [_label(row, one) for row, one in lines], fontsize=8)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.margins(x=0.04)
    axes.grid(axis="x", which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_xlabel("how many times better than the peer, with the 95 % interval; the stroke is the target")
    used = {color_of(one) for _, one in lines}
    handles = [
        pyplot.Line2D([], [], marker="o", linestyle="", color=color, label=word)
        for color, word in WORDS.items()
        if color in used
    ]
    if handles:
        axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    pyplot.close(figure)
    return len(lines)


def color_of(figure: Mapping[str, Any]) -> str:
    """Whether a ratio reaches its target, as a color."""
    target = figure.get("target")
    return NO_TARGET if target is None else REACHED if figure["ratio"] >= target else SHORT


def _label(row: Mapping[str, Any], one: Mapping[str, Any]) -> str:
    label = f"{one['name']} / {one['peer']}" if one["peer"] else one["name"]
    label = label if len(label) <= MOST_LETTERS else label[: MOST_LETTERS - 1] + "…"
    return f"{row['row']}  {label}"
