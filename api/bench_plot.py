"""The picture of ``placeprint bench``: scores as dots with intervals, a panel for each task."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..encoders.probes.anchors import Anchor, anchors
from ..encoders.probes.bench import Bench, Board, Figures
from ..encoders.probes.intervals import MIN_GROUPS

COLORS = ("#1b6ca8", "#d1495b", "#e9a227", "#3a7d44")
"""Of splits, in the order in which they first come."""

INK, FAINT, PAPER = "#222222", "#9a9a9a", "#ffffff"
FLOOR, CEILING = -0.15, 1.02
"""Scores and intervals end here: what goes on beyond the floor has an arrow there, a score its number."""
N_COLUMNS = 3


def plot_bench(bench: Bench, path: str | Path) -> None:
    """Draw all scores to an image file."""
    tasks = [list(boards) for _, boards in groupby(bench.boards, key=lambda board: board.task.name)]
    tasks = [boards for boards in tasks if any(board.rows for board in boards)]
    figures = {board: board.figures() for boards in tasks for board in boards}
    splits = list(dict.fromkeys(board.split.title for board in bench.boards))
    colors = {title: COLORS[place % len(COLORS)] for place, title in enumerate(splits)}
    n_columns = min(N_COLUMNS, len(tasks))
    n_lines = -(-len(tasks) // n_columns)
    heights = [
        max(len(_labels(boards)) for boards in tasks[line * n_columns : (line + 1) * n_columns])
        for line in range(n_lines)
    ]
    figure = Figure(
        figsize=(5.4 * n_columns, 0.25 * sum(heights) + 1.0 * n_lines + 1.2),
        layout="constrained",
        facecolor=PAPER,
    )
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(n_lines, n_columns, height_ratios=[height + 2 for height in heights])
    for place, boards in enumerate(tasks):
        axes = figure.add_subplot(grid[place // n_columns, place % n_columns])
        _panel(axes, {board: figures[board] for board in boards}, colors)
    handles = _legend(figures, colors)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 3 * n_columns),
        frameon=False,
        fontsize=7,
        columnspacing=1.2,
        handletextpad=0.5,
    )
    few = "" if bench.max_rows is None else f" (at most {bench.max_rows:,} labels of each task)"
    figure.suptitle(f"What location embeddings know{few}", fontsize=10 + n_columns, color=INK)
    figure.savefig(path, dpi=150)


def _legend(boards: dict[Board, list[Figures]], colors: dict[str, str]) -> list[Line2D]:
    """Entries for what is drawn, and for nothing else."""
    titles = {board.split.title for board in boards}
    used = [
        Line2D([], [], color=color, marker="o", markersize=5, linewidth=1.8, label=title)
        for title, color in colors.items()
        if title in titles
    ]

    def entry(label: str, marker: str, color: str, size: float, fill: str | None = None) -> None:
        mark = Line2D([], [], linestyle="", color=color, marker=marker, markersize=size, label=label)
        mark.set_markerfacecolor(fill or color)
        used.append(mark)

    if any(one.seen == "seen" for board in boards for one in board.rows):
        entry("seen in training", "o", INK, 5, PAPER)
    if any(anchor.score >= FLOOR for board in boards for anchor in _anchors(board)):
        entry("published by CoordBench", "D", FAINT, 3.5)
    if any(_goes_below(board, figures) for board, figures in boards.items()):
        entry("goes on below", "<", INK, 4.5)
    if any(board.rows and not board.has_intervals for board in boards):
        entry(f"no line: fewer than {MIN_GROUPS} blocks in a fold", "o", FAINT, 5)
    return used


def _goes_below(board: Board, figures: list[Figures]) -> bool:
    """Whether a score or an interval is cut at the floor."""
    scores = [one.score.mean for one in board.rows] + [anchor.score for anchor in _anchors(board)]
    ends = [one.bootstrap[0] for one in figures if one.bootstrap is not None]
    return min([*scores, *ends], default=FLOOR) < FLOOR


def _panel(axes: Axes, figures: dict[Board, list[Figures]], colors: dict[str, str]) -> None:
    """One task: a line for each row, a dot for each split, published scores below."""
    boards = list(figures)
    labels = _labels(boards)
    at = {label: -float(place) for place, label in enumerate(labels)}
    shown: list[float] = []
    n_splits = len(boards)
    for number, board in enumerate(boards):
        color = colors[board.split.title]
        offset = 0.27 * ((n_splits - 1) / 2.0 - number)
        for one in figures[board]:
            shown += _dot(axes, one, at[one.scored.row.name] + offset, color)
        for anchor in _anchors(board):
            y = at[_published(anchor)]
            if anchor.score < FLOOR:
                _arrow(axes, y + offset, color, anchor.score)
                shown.append(FLOOR)
                continue
            axes.plot(anchor.score, y + offset, "D", color=color, markersize=3.5, alpha=0.55, zorder=2)
            shown.append(anchor.score)
    n_rows = sum(not label.startswith("published") for label in labels)
    if n_rows < len(labels):
        axes.axhspan(-len(labels) + 0.5, -n_rows + 0.5, color="#f4f4f2", zorder=0)
    least = max(min(shown, default=0.0), FLOOR)
    axes.set_xlim(
        least - 0.04 if least > FLOOR else FLOOR - 0.02, min(max(shown, default=1.0) + 0.04, CEILING)
    )
    axes.set_ylim(-len(labels) + 0.4, 0.6)
    axes.set_yticks(list(at.values()), [_short(label) for label in labels], fontsize=8)
    for tick, label in zip(axes.get_yticklabels(), labels, strict=True):
        if label.startswith("published"):
            tick.set_color(FAINT)
        elif "placeprint" in label:
            tick.set_fontweight("bold")
    task = boards[0].task
    axes.set_title(task.title, loc="left", fontsize=11, fontweight="bold", color=INK)
    axes.set_xlabel(f"{task.score_name}, {len(boards[0].labels):,} labels", fontsize=8, color=FAINT)
    axes.tick_params(length=0, labelsize=8)
    axes.grid(axis="x", color="#e8e8e8", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _dot(axes: Axes, one: Figures, y: float, color: str) -> list[float]:
    """A score with its interval; returns what must lie within the panel."""
    mean = one.scored.score.mean
    low, high = one.bootstrap if one.bootstrap is not None else (mean, mean)
    shown = [max(low, FLOOR), max(mean, FLOOR), max(high, FLOOR)]
    axes.plot([shown[0], shown[2]], [y, y], color=color, linewidth=1.8, alpha=0.7, solid_capstyle="round")
    if mean < FLOOR:
        _arrow(axes, y, color, mean, beside=shown[2])
        return shown
    if low < FLOOR:
        _arrow(axes, y, color)
    fill = PAPER if one.scored.seen == "seen" else color
    axes.plot(mean, y, "o", color=color, markerfacecolor=fill, markersize=5, zorder=3)
    return shown


def _arrow(axes: Axes, y: float, color: str, score: float | None = None, *, beside: float = FLOOR) -> None:
    """What goes on below the floor: an arrow there, and the score right of all that is drawn of it."""
    axes.plot(FLOOR, y, "<", color=color, markersize=4.5, alpha=0.7, clip_on=False)
    if score is None:
        return
    axes.annotate(
        f"{score:.2f}",
        (beside, y),
        xytext=(6, 0),
        textcoords="offset points",
        fontsize=6,
        color=color,
        va="center",
    )


def _labels(boards: list[Board]) -> list[str]:
    """Names of all rows of a task, and below them of the published models."""
    rows = [one.row.name for board in boards for one in board.rows]
    published = [_published(anchor) for board in boards for anchor in _anchors(board)]
    return list(dict.fromkeys([*rows, *published]))


def _anchors(board: Board) -> list[Anchor]:
    """Published ridge scores; those of neighbors stand in the tables alone, to keep the picture small."""
    return [one for one in anchors(board.task.name, board.split.name) if one.method == "ridge"]


def _short(label: str) -> str:
    return label.removeprefix("published: ").replace("placeprint-location-", "placeprint ")


def _published(anchor: Anchor) -> str:
    return f"published: {anchor.model}"
